"""Several recipes at once, in child processes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING

from vlmres.verify.run import Tally, verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def verify_all(tallies: Sequence[Tally], seed: int, numbers: range, jobs: int) -> Iterator[tuple[int, Tally]]:
    """Runs the cases of these numbers of every tally in several processes; yields the index of each finished tally."""
    # torch's threads do not survive a fork.
    executor = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _quiet)
    try:
        futures = {executor.submit(_verify, tally, seed, numbers): index for index, tally in enumerate(tallies)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        executor.shutdown(cancel_futures=True)


def _quiet() -> None:
    import transformers

    transformers.logging.set_verbosity_error()


def _verify(tally: Tally, seed: int, numbers: range) -> Tally:
    deque(verify(tally, seed, numbers), maxlen=0)
    return tally
