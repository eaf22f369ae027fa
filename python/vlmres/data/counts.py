"""Counters of a `Loader`: what it did, and how long it took."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmres._core import Crew

# From this part of its time on, a loop that waits is slowed down by the loader.
_WAITS = 0.1


class Counts:
    """Sums over all loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._crews: list[Crew] = []
        self._times = (0, 0.0, 0.0, 0.0)
        self.images = 0
        self.batches = 0
        self.skipped = 0
        self.waited = 0.0
        """Seconds that loops waited for batches, but for the first of each."""
        self.used = 0.0
        """Seconds that they spent on batches."""
        self._timed_images = 0

    def begin(self, crew: Crew) -> None:
        """A loop begins, with these threads."""
        with self._lock:
            self._crews.append(crew)

    def end(self, crew: Crew) -> None:
        """It ends; its threads stop."""
        crew.stop()
        with self._lock:
            if crew in self._crews:
                self._crews.remove(crew)
                self._times = _plus(self._times, crew.times())

    def timed(self, waited: float, used: float, images: int) -> None:
        """A loop waited for a batch, after it had used the one before for so long."""
        self.waited += waited
        self.used += used
        self._timed_images += images

    def stats(self) -> dict[str, Any]:
        """As `Loader.stats`."""
        with self._lock:
            times = self._times
            for crew in self._crews:
                times = _plus(times, crew.times())
        images, decode, resample, write = times
        each = 1000 / max(images, 1)
        total = self.waited + self.used
        bottleneck = None
        if self._timed_images:
            bottleneck = "loader" if self.waited > _WAITS * total else "consumer"
        return {
            "images": self.images,
            "batches": self.batches,
            "skipped": self.skipped,
            "decode_ms": decode * each,
            "resample_ms": resample * each,
            "write_ms": write * each,
            "wait_ms": self.waited * 1000 / max(self._timed_images, 1),
            "bottleneck": bottleneck,
        }


def _plus(
    one: tuple[int, float, float, float], other: tuple[int, float, float, float]
) -> tuple[int, float, float, float]:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])
