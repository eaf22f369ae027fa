"""Errors that say which item of a call they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def with_index(error: Exception, index: int | str, what: str = "image") -> Exception:
    """The same kind of error, saying which image or video it is about."""
    return with_name(error, f"{what} {index}")


def with_name(error: Exception, name: str) -> Exception:
    """The same kind of error, whose message starts with a name."""
    if isinstance(error, OSError) and error.errno is not None:
        return type(error)(error.errno, f"{name}: {error.strerror}", error.filename)
    try:
        return type(error)(f"{name}: {error}")
    except Exception:
        return ValueError(f"{name}: {type(error).__qualname__}: {error}")


def namer(what: str, samples: Sequence[int] | None) -> Callable[[int], str]:
    """How errors call items of a call: by their index, or by sample and index in it."""
    if samples is None:
        return lambda index: f"{what} {index}"
    starts = np.cumsum([0, *samples])

    def name(index: int) -> str:
        sample = int(np.searchsorted(starts, index, side="right")) - 1
        return f"sample {sample}, {what} {index - int(starts[sample])}"

    return name
