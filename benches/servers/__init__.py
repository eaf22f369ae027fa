"""What images cost inside vLLM's processors, with vlmres and without: python -m benches.servers."""
