"""A row of `vlmres doctor`: whether a class is accelerated, else why not, and the speed-up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

_ROUNDS = 3

EXAMPLE = (1920, 1080)
"""(width, height) of the image on which parts are timed."""


class Part(NamedTuple):
    """A class that prepares images."""

    name: str
    reason: str | None
    """Why it is left to the original; None if it is accelerated."""
    faster: float | None = None
    """Processor time of the original over that of vlmres, on this machine, for one image; None if not measured."""


def example() -> Any:
    """A smooth picture, similar to a photograph."""
    import numpy as np
    from PIL import Image

    small = np.random.default_rng(0).integers(0, 256, (EXAMPLE[1] // 40, EXAMPLE[0] // 40, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(EXAMPLE)


def times_faster(ours: Callable[[], Any], original: Callable[[], Any]) -> float:
    """Processor time of the original over that of vlmres: the fastest of a few calls each, made in turn."""
    best = [float("inf"), float("inf")]
    for _ in range(_ROUNDS):
        for index, call in enumerate((ours, original)):
            started = time.process_time()
            call()
            best[index] = min(best[index], time.process_time() - started)
    return best[1] / max(best[0], 1e-9)
