"""Comparison with the installed transformers: what `vlmres verify` and the tests do."""
