"""Finds files that crash the process that reads them, by trying them in child processes.

A run works in one process, because a process per image or shard would copy every tensor once more. A fault that no
exception reports (the system is out of memory, a decoder crashes) therefore ends the run. The next run knows from the
lock which shards were being written. It tries their files one by one and leaves out those that crash the process.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from vlmres.cli.children import Child, EndedError
from vlmres.cli.items import FAILURES, Opener

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vlmres._core import ImageFile
    from vlmres.cli.items import Dpi, Item
    from vlmres.documents import Page
    from vlmres.processor import Processor


def fatal(items: Sequence[Item], processor: Processor, dpi: Dpi) -> dict[int, str]:
    """The items that crash a process when it processes them alone, by index, and how.

    Raises:
        KeyboardInterrupt: A signal from outside ended the process.
    """
    found: dict[int, str] = {}
    with contextlib.closing(Child(_processing, processor, dpi)) as child:
        for index, item in enumerate(items):
            try:
                child.ask(item)
            except EndedError as ended:
                found[index] = f"it ended the process that decoded it ({ended})"
    return found


def _processing(processor: Processor, dpi: Dpi) -> Callable[[Item], None]:
    opener = Opener(processor.recipe, processor.loader, dpi)

    def process(item: Item) -> None:
        source: ImageFile | Page | Path = item.path
        with contextlib.suppress(*FAILURES):
            source, _ = opener.open(item)
        processor([source], errors="return")

    return process
