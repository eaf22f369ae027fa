"""Bit-for-bit comparison with the live reference libraries."""
