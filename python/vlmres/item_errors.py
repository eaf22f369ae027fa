"""Errors that name the item of a call they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def with_index(error: Exception, index: int | str, what: str = "image") -> Exception:
    """An error of the same type that names the image or video by its index."""
    return with_name(error, f"{what} {index}")


def with_name(error: Exception, name: str) -> Exception:
    """An error of the same type whose message starts with a name."""
    if isinstance(error, OSError) and error.errno is not None:
        return type(error)(error.errno, f"{name}: {error.strerror}", error.filename)
    try:
        return type(error)(f"{name}: {error}")
    except Exception:
        return ValueError(f"{name}: {type(error).__qualname__}: {error}")


def namer(what: str, samples: Sequence[int] | None) -> Callable[[int], str]:
    """The names of items in errors: their index, or their sample and the index in it."""
    if samples is None:
        return lambda index: f"{what} {index}"
    starts = np.cumsum([0, *samples])

    def name(index: int) -> str:
        sample = int(np.searchsorted(starts, index, side="right")) - 1
        return f"sample {sample}, {what} {index - int(starts[sample])}"

    return name
