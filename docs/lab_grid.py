"""The table of the resolution lab's grid, from what `make lab-grid` left in docs/lab/."""

from __future__ import annotations

import csv
from pathlib import Path

FOLDER = Path(__file__).parent / "lab"
READERS = ("pp-ocrv6", "pp-ocrv4")

Rows = dict[str, dict[str, str]]


def table() -> str:
    """A row for each candidate, by tokens; two columns of the second reader."""
    first, second = (_read(reader) for reader in READERS)
    head = ["recipe", "strategy", "mean tokens", "legible, %", "accuracy, %", "ACV", "RCV", "encoder, GFLOP"]
    head += [f"{READERS[1]}: legible, %", "ACV", "RCV"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in sorted(first.items(), key=lambda item: float(item[1]["tokens"])):
        flops = f"{float(row['encoder_flops']) / 1e9:,.0f}" if row["encoder_flops"] else "-"
        accuracy = f"{100 * float(row['accuracy']):.1f}"
        cells = [f"`{name}`", row["strategy"], f"{float(row['tokens']):,.0f}", _legible(row), accuracy]
        cells += [*_spread(row), flops, _legible(second[name]), *_spread(second[name])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _read(reader: str) -> Rows:
    with (FOLDER / f"{reader}.csv").open(encoding="utf-8", newline="") as file:
        return {row["candidate"]: row for row in csv.DictReader(file)}


def _legible(row: dict[str, str]) -> str:
    mean, low, high = (100 * float(row[name]) for name in ("legible", "legible_low", "legible_high"))
    return f"{mean:.1f} ({low:.0f} to {high:.0f})"


def _spread(row: dict[str, str]) -> list[str]:
    return [f"{float(row[name]):.1f}" for name in ("acv", "rcv")]
