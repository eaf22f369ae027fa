"""Results that are kept for the next batch."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")

# The latest results, and the places of a grid for which one is kept: so memory is bounded by the product of the two.
_KEPT = 256
_LARGEST = 16384


def cache_small(function: Callable[P, T]) -> Callable[P, T]:
    """Keeps results of a function of two sides and more, unless their product is large.

    What is kept is shared: not to be written to.
    """
    kept = functools.lru_cache(_KEPT)(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        sides: Any = args[:2]
        chosen: Callable[P, T] = kept if sides[0] * sides[1] <= _LARGEST else function  # type: ignore[assignment]
        return chosen(*args, **kwargs)

    return call
