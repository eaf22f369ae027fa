"""Checks of arguments."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

# Counts are of 64 bits.
MOST = 2**64 - 1


def check_choice(name: str, value: object, kind: Any) -> None:
    """Refuses a value that is not one of a `Literal`."""
    names = get_args(kind)
    if value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}")


def check_count(name: str, value: object) -> None:
    """Refuses a value that is neither None nor a positive integer."""
    if value is None:
        return
    # numpy's integers are not int, and its bool is not an integer.
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer or None, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    if value > MOST:
        raise ValueError(f"{name} must be at most {MOST}, got {value}")
