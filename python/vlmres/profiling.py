"""Where the time of calls goes: `vlmres.profile()`."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from typing import TYPE_CHECKING, ParamSpec

from vlmres._core import watch, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vlmres.batch import Batch

P = ParamSpec("P")

_PHASES = ("open", "decode", "resample", "write")
_lock = threading.Lock()
_profiles: list[Profile] = []
_of_thread = threading.local()


class Profile:
    """What the calls in a block of `vlmres.profile` did, and how long they took. It can be read inside the block, too.

    Times are in seconds and summed over all threads, so that they may exceed `seconds`.
    """

    def __init__(self) -> None:
        self.calls = 0
        """Calls that came to their end."""
        self.images = 0
        """Images, and frames of videos, in their tensors."""
        self.cached = 0
        """How many of the calls a `Cache` had."""
        self.call_seconds = 0.0
        """From the beginning of calls to their end, one after the other."""
        self.wait_seconds = 0.0
        """How long loops over a `Loader` waited for batches."""
        self._begun = time.perf_counter()
        self._seconds: float | None = None
        self._before = watched()
        self._spent: tuple[float, ...] | None = None

    @property
    def seconds(self) -> float:
        """How long the block took, or takes until now."""
        return time.perf_counter() - self._begun if self._seconds is None else self._seconds

    def as_dict(self) -> dict[str, float]:
        """All of it: counts, seconds, and milliseconds of a thread an image.

        Returns:
            `calls`, `images` and `cached`: counts. `seconds` of the block. Milliseconds an image: `open_ms` (opening
            files, reading headers), `decode_ms` (reading and decoding), `resample_ms`, `write_ms` (values to their
            places): what threads spent; `call_ms`: what callers waited for calls; `wait_ms`: what loops over a `Loader`
            waited for batches.
        """
        spent = self._spent or _since(self._before)
        seconds = dict(zip(_PHASES, spent, strict=True)) | {"call": self.call_seconds, "wait": self.wait_seconds}
        each = {f"{name}_ms": value * 1000 / max(self.images, 1) for name, value in seconds.items()}
        return {"calls": self.calls, "images": self.images, "cached": self.cached, "seconds": self.seconds, **each}

    def __str__(self) -> str:
        found = self.as_dict()
        work = sum(found[f"{name}_ms"] for name in _PHASES)
        cached = f", {self.cached:,} of them cached" if self.cached else ""
        lines = [f"{self.images:,} images in {self.calls:,} calls{cached}, {self.seconds:.3f} s; ms an image:"]
        for name in _PHASES:
            value = found[f"{name}_ms"]
            lines.append(f"  {name:<10}{value:9.3f}  {100 * value / work if work else 0:3.0f} % of threads' time")
        lines += [f"  {name:<10}{found[f'{name}_ms']:9.3f}  {what}" for name, what in _WAITS.items()]
        return "\n".join(lines)

    def _end(self) -> None:
        self._seconds, self._spent = self.seconds, _since(self._before)


_WAITS = {"call": "callers in calls", "wait": "loops over a Loader, for batches"}


def _since(before: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(now - then for now, then in zip(watched(), before, strict=True))


@contextlib.contextmanager
def profile() -> Iterator[Profile]:
    """Measures where the time of calls goes in a block: of `Processor`, of a `Loader`, of the transformers drop-in.

        >>> with vlmres.profile() as found:  # doctest: +SKIP
        ...     processor(images)
        >>> print(found)  # doctest: +SKIP
        >>> found.as_dict()["decode_ms"]  # doctest: +SKIP

    All calls of this process in that time are counted, of all threads; those in a DataLoader's worker processes are
    not: measure with `num_workers=0`. Blocks may be in each other. Measuring costs some 100 ns an image.
    """
    found = Profile()
    watch(True)
    with _lock:
        _profiles.append(found)
    try:
        yield found
    finally:
        with _lock:
            _profiles.remove(found)
            found._end()
        watch(False)


def counted(process: Callable[P, Batch]) -> Callable[P, Batch]:
    """Counts calls of a function, where somebody measures; one in another is a part of that."""

    @functools.wraps(process)
    def call(*args: P.args, **kwargs: P.kwargs) -> Batch:
        if not _profiles or getattr(_of_thread, "is_in_call", False):
            return process(*args, **kwargs)
        begun = time.perf_counter()
        _of_thread.is_in_call, _of_thread.is_cached = True, False
        try:
            batch = process(*args, **kwargs)
        finally:
            _of_thread.is_in_call = False
        seconds = time.perf_counter() - begun
        images = sum(plan.frames or 1 for plan in batch.plans if plan is not None)
        with _lock:
            for found in _profiles:
                found.calls += 1
                found.images += images
                found.cached += _of_thread.is_cached
                found.call_seconds += seconds
        return batch

    return call


def note_cached() -> None:
    """Says that the call of this thread was in a cache."""
    _of_thread.is_cached = True


def note_wait(seconds: float) -> None:
    """Counts how long a loop waited for a batch."""
    if _profiles:
        with _lock:
            for found in _profiles:
                found.wait_seconds += seconds
