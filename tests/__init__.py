"""The Python test suite of vlmres."""
