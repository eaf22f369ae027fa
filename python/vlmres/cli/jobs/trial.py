"""Files that end the process that reads them, found by processes that may end.

A run does its work in one process: a process for each image, or for each shard, would copy every tensor once more. A
fault that no exception can report (memory that the system refuses, a decoder's own crash) therefore ends the run. The
run after it knows from the lock which shards were being made, tries their files one by one, and leaves out those that
end the process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from typing import TYPE_CHECKING

from vlmres.cli.items import FAILURES, Opener

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnContext, SpawnProcess
    from pathlib import Path

    from vlmres._core import ImageFile
    from vlmres.cli.items import Dpi, Item
    from vlmres.documents import Page
    from vlmres.processor import Processor

# What people and schedulers end processes with. Of the rest, SIGKILL is also what a system short of memory sends.
_FROM_OUTSIDE = frozenset({"SIGINT", "SIGTERM", "SIGHUP"})


def fatal(items: Sequence[Item], processor: Processor, dpi: Dpi) -> dict[int, str]:
    """Which of the items end a process that processes them alone, by their index, and how.

    Raises:
        KeyboardInterrupt: The process was ended from outside.
    """
    context = multiprocessing.get_context("spawn")
    found: dict[int, str] = {}
    child: tuple[SpawnProcess, Connection] | None = None
    try:
        for index, item in enumerate(items):
            child = child or _start(context, processor, dpi)
            process, connection = child
            try:
                connection.send(item)
                connection.recv()
            except (EOFError, OSError):
                process.join()
                ended = _ended(process.exitcode or 0)
                if ended in _FROM_OUTSIDE:
                    raise KeyboardInterrupt from None
                found[index] = f"it ended the process that decoded it ({ended})"
                connection.close()
                child = None
    finally:
        if child is not None:
            child[1].close()  # which ends the process
            child[0].join(5)
            child[0].kill()
    return found


def _start(context: SpawnContext, processor: Processor, dpi: Dpi) -> tuple[SpawnProcess, Connection]:
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, processor, dpi), name="vlmres-trial", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _serve(connection: Connection, processor: Processor, dpi: Dpi) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    opener = Opener(processor.recipe, processor.loader, dpi)
    while True:
        try:
            item = connection.recv()
        except EOFError:
            return
        source: ImageFile | Page | Path = item.path
        with contextlib.suppress(*FAILURES):
            source, _ = opener.open(item)
        processor([source], errors="return")
        connection.send(None)


def _ended(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"exit code {code}"
