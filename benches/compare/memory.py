"""Peak memory of one call, each contestant in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from benches.compare.contestants import CONTESTANTS
from benches.compare.fleet import Fleet, PeerError
from benches.compare.measure import prepare
from benches.compare.tables import TABLES
from benches.compare.work import Output, Shelf, Work

JOBS = {
    "4032x3024, at most 1280 tokens": TABLES["qwen2-vl"].columns["4032x3024"],
    "1500x4500, at most 16384 tokens": TABLES["large"].columns["qwen2-vl, at most 16384 tokens, 1500x4500"],
    "32 photographs": TABLES["batch"].columns["1 thread"],
}
ROWS: Mapping[str, tuple[str, Output]] = {
    "vlmres, float32": ("vlmres", "float32"),
    "vlmres, uint8 packed": ("vlmres", "uint8"),
    "transformers torchvision, float32": ("transformers torchvision", "float32"),
    "transformers PIL, float32": ("transformers PIL", "float32"),
    "hf-processors-rs, float32": ("hf-processors-rs", "float32"),
}


def report(shelf: Shelf) -> str:
    """A Markdown table: MiB of output, and of what else a call needs at its peak.

    Raises:
        OSError: The system is not Linux.
    """
    lines = [
        "| Qwen2-VL, from arrays, one thread, MiB | " + " | ".join(JOBS) + " |",
        "|---" * (1 + len(JOBS)) + "|",
    ]
    for title, (name, output) in ROWS.items():
        cells = []
        for job in JOBS.values():
            try:
                cells.append(_cell(shelf, name, replace(job, output=output)))
            except PeerError as error:
                if not error.missing:
                    raise
                cells.append(f"skipped: {error}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(shelf: Shelf, name: str, work: Work) -> str:
    process = CONTESTANTS[name].process
    with closing(Fleet(work.threads)) as fleet:
        # A small image first: code, threads and tables are there once for all calls.
        small = replace(work, sizes=((64, 64),))
        prepare(fleet, name, small, shelf.put(small))
        fleet.ask(process, "turn", name=name)
        fleet.clear()
        prepare(fleet, name, work, shelf.put(work))
        peak = fleet.ask(process, "peak", name=name)
    output = peak["output"]
    more = peak["peak"] - peak["before"] - output
    return f"{output / 2**20:.0f} + {more / 2**20:.0f}"
