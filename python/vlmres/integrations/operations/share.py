"""Threads of several processes together stay within the processors.

Processes that preprocess beside each other, as a server's, would each take all processors. So each says when it
works, by the time of a file of its own, and a call takes a share: the processors, over the processes that have worked
in the last seconds, over the calls that run in this one. `VLMRES_NUM_THREADS` is taken as it is.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from vlmres import threads
from vlmres._core import default_threads

# Seconds after which a process that has not called is no longer counted, and those between two looks at the others.
_ACTIVE = 10.0
_LOOK = 1.0
_STALE = 3600.0

_lock = threading.Lock()
_calls = 0
_processes = 1
_looked = -_LOOK


def enable() -> None:
    """Has calls of this process take their share from now on."""
    threads.share = _threads


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Around a call."""
    global _calls
    with _lock:
        _calls += 1
    try:
        yield
    finally:
        with _lock:
            _calls -= 1


def processes() -> int:
    """How many processes on the same processors have called in the last seconds, this one among them."""
    global _looked, _processes
    now = time.monotonic()
    if now - _looked >= _LOOK:
        _looked = now
        with contextlib.suppress(OSError):  # without such a folder nobody is counted
            _processes = _count(_folder())
    return _processes


def _threads() -> int:
    available = default_threads()
    if os.environ.get("VLMRES_NUM_THREADS"):
        return available
    return max(1, available // processes() // max(1, _calls))


def _folder() -> Path:
    """Of processes of this user on these processors."""
    affinity = getattr(os, "sched_getaffinity", None)
    where = f"{min(affinity(0))}-{max(affinity(0))}-{len(affinity(0))}" if affinity else "all"
    folder = Path(tempfile.gettempdir()) / f"vlmres-{os.getuid() if hasattr(os, 'getuid') else 'user'}" / where
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _count(folder: Path) -> int:
    (folder / str(os.getpid())).touch()
    now, count = time.time(), 0
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            age = now - file.stat().st_mtime
            count += age < _ACTIVE
            if age > _STALE:
                file.unlink()
    return max(1, count)


def _after_fork() -> None:
    global _lock, _calls, _looked
    _lock, _calls, _looked = threading.Lock(), 0, -_LOOK


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
