"""Files that end the process that reads them, found by processes that may end.

A run does its work in one process: a process for each image, or for each shard, would copy every tensor once more. A
fault that no exception can report (memory that the system refuses, a decoder's own crash) therefore ends the run. The
run after it knows from the lock which shards were being made, tries their files one by one, and leaves out those that
end the process.
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
    """Which of the items end a process that processes them alone, by their index, and how.

    Raises:
        KeyboardInterrupt: The process was ended from outside.
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
