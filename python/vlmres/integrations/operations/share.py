"""Divides the machine's processors among several processes.

Several processes of a server that preprocess at the same time would each use all processors. So each process touches a
file of its own when it works, and a call uses a share: the number of processors, divided by the processes that worked
in the last seconds and by the calls that run in this process. `VLMRES_NUM_THREADS` overrides the share.
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

# Seconds after which an idle process is no longer counted, and between two counts.
_ACTIVE = 10.0
_LOOK = 1.0
_STALE = 3600.0

_lock = threading.Lock()
_calls = 0
_processes = 1
_looked = -_LOOK


def enable() -> None:
    """Calls of this process use their share from now on."""
    threads.share = _threads


@contextlib.contextmanager
def working() -> Iterator[None]:
    """Counts a call while it runs."""
    global _calls
    with _lock:
        _calls += 1
    try:
        yield
    finally:
        with _lock:
            _calls -= 1


def processes() -> int:
    """Number of processes on the same processors that worked in the last seconds, this one included."""
    global _looked, _processes
    now = time.monotonic()
    if now - _looked >= _LOOK:
        _looked = now
        with contextlib.suppress(OSError):  # without the folder no other process is counted
            _processes = _count(_folder())
    return _processes


def _threads() -> int:
    available = default_threads()
    if os.environ.get("VLMRES_NUM_THREADS"):
        return available
    return max(1, available // processes() // max(1, _calls))


def _folder() -> Path:
    """The folder of the files of this user's processes on these processors."""
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
