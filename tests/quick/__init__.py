"""Tests that need neither torch nor transformers: `make quick`."""
