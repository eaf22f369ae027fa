"""Comparison with the installed transformers, for `vlmres verify` and the tests."""
