"""The benchmark's script runs, and what it compares is equal."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_tiny_models_on_the_cpu(tmp_path: Path) -> None:
    script, out = ROOT / "benches" / "gpu.py", tmp_path / "out.json"
    options = ["--tiny", "--device", "cpu", "--dtype", "float32", "--batch", "2", "--seconds", "0.01"]
    command = [sys.executable, str(script), *options, "--json", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "Tiny models" in done.stdout
    results = json.loads(out.read_text())["results"]
    assert [result["model"] for result in results] == ["qwen2-vl", "qwen2.5-vl", "internvl", "deepseek-ocr"]
    for result in results:
        assert result["difference"] < 1e-5
        assert result["encoder"]["vlmres"]["copied_bytes"] * 4 <= result["encoder"]["transformers"]["copied_bytes"]


def test_help() -> None:
    command = [sys.executable, "-m", "benches.gpu", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert "python -m benches.gpu --tiny --device cpu" in done.stdout
    wrong = subprocess.run([*command[:-1], "--model", "abacus"], capture_output=True, text=True, cwd=ROOT)
    assert wrong.returncode == 2
    assert "invalid choice: 'abacus'" in wrong.stderr
