"""A process in which contestants of one library run: `python -m benches.compare.worker`, spoken to by `fleet`.

One JSON object a line in each direction. Anything that a library prints goes to standard error.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benches.compare.work import Work, load
from numpy.typing import NDArray

Run = Callable[[], Any]


def arrays(result: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """The pixel values of what a contestant returns, bfloat16 as the uint16 of its bits."""
    items = result.items() if isinstance(result, Mapping) else [("pixel_values", result)]
    for key, value in items:
        if key not in ("pixel_values", "images_crop", "patches"):
            continue
        if hasattr(value, "detach"):
            value = value.detach()
            if str(value.dtype) == "torch.bfloat16":
                value = value.view(importlib.import_module("torch").int16)
            value = value.numpy()
        value = np.asarray(value)
        yield key, value.view(np.uint16) if value.dtype == np.int16 else value


def peak(run: Run) -> dict[str, int]:
    """Bytes of resident memory before, at most during, and of the output of one call (Linux)."""
    status = Path("/proc/self/status")

    def read(name: str) -> int:
        line = next(line for line in status.read_text(encoding="ascii").splitlines() if line.startswith(name))
        return int(line.split()[1]) << 10

    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = read("VmRSS")
    result = run()
    highest = read("VmHWM")
    return {"before": before, "peak": highest, "output": sum(array.nbytes for _, array in arrays(result))}


class Worker:
    """Contestants by name, and what can be asked of them."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    def prepare(
        self, name: str, function: str, options: dict[str, Any], work: dict[str, Any], images: list[str]
    ) -> None:
        """Makes a contestant ready: `function` is "module:name" within `peers`."""
        module, _, attribute = function.partition(":")
        build = getattr(importlib.import_module(f"benches.compare.peers.{module}"), attribute)
        job = Work.from_json(work)
        self._runs[name] = build(job, load(images, job.source), **options)
        # What is imported by now stays; later collections need not look at it.
        gc.collect()
        gc.freeze()

    def dump(self, name: str, path: str) -> None:
        """Writes a contestant's output to a file."""
        np.savez(path, allow_pickle=False, **dict(arrays(self._runs[name]())))

    def turn(self, name: str) -> float:
        """Milliseconds of a call, its result's release included, after one that is not timed."""
        run = self._runs[name]
        run()
        gc.collect()
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e3

    def peak(self, name: str) -> dict[str, int]:
        """See `peak`."""
        return peak(self._runs[name])

    def clear(self) -> None:
        """Forgets all contestants and what they hold."""
        self._runs.clear()
        gc.unfreeze()
        gc.collect()


def main() -> None:
    """Answers until standard input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    gc.disable()
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"value": getattr(worker, request.pop("do"))(**request)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}", "missing": isinstance(error, ImportError)}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
