"""The default number of threads of a call."""

from __future__ import annotations

from collections.abc import Callable

from vlmres._core import default_threads
from vlmres._imported import imported

share: Callable[[], int] | None = None
"""The process's own rule, if it has one: a server that shares the machine with others sets it."""


def usual_threads() -> int:
    """One in a DataLoader worker, else those of `share`, else `VLMRES_NUM_THREADS` or all processors."""
    data = imported("torch.utils.data", "get_worker_info")
    if data is not None and data.get_worker_info() is not None:
        return 1
    return default_threads() if share is None else share()
