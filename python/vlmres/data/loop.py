"""A loop over batches that are made ahead."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vlmres.data.pipeline import Pipeline
from vlmres.data.progress import Progress
from vlmres.profiling import note_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmres.data.batches import Made
    from vlmres.data.counts import Counts
    from vlmres.data.sources import Source, Work

logger = logging.getLogger("vlmres.data")

# With errors="skip", so many failures one after the other are no accident.
MOST_FAILURES = 100


class Loop(Iterator[Any]):
    """A loop over a source's batches, from its current position to the end of the epoch."""

    def __init__(
        self,
        source: Source,
        make: Callable[[Work], Made],
        counts: Counts,
        *,
        ahead: int,
        has_bar: bool,
        on_close: Callable[[], None],
    ) -> None:
        self._source = source
        self._counts = counts
        self._pipeline = Pipeline(source.work(), make, ahead=ahead, on_close=on_close)
        self._progress = Progress(source.total(), source.done()) if has_bar else None
        # In a row.
        self._failures = 0
        self._left: float | None = None

    def __next__(self) -> Any:
        try:
            return self._next()
        except BaseException:
            self.close()
            raise

    def _next(self) -> Any:
        called = time.perf_counter()
        while True:
            made = next(self._pipeline)
            self._source.taken(made.state)
            self._counts.images += made.images
            self._note(made.errors)
            if self._progress is not None:
                self._progress.advance(self._counts.skipped)
            if not made.is_left_out:
                break
        self._counts.batches += 1
        now = time.perf_counter()
        note_wait(now - called)
        if self._left is not None:
            self._counts.timed(now - called, called - self._left, made.images)
        self._left = now
        return made.result

    def _note(self, errors: Sequence[Exception | None]) -> None:
        """Counts failures, also those in a row."""
        for error in errors:
            if error is None:
                self._failures = 0
                continue
            self._failures += 1
            self._counts.skipped += 1
            logger.info("skipped: %s", error)
            if self._failures == MOST_FAILURES:
                raise RuntimeError(
                    f"{MOST_FAILURES} samples in a row could not be loaded; the last: {error}"
                ) from error

    def close(self) -> None:
        """Ends the threads."""
        self._pipeline.close()
        if self._progress is not None:
            self._progress.close()
