"""Rows as lines of one Markdown table."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benches.encoder.measure import Row

HEAD = (
    "| model | part | | runs on | images | tokens/s | images/s | beside transformers | difference | MFU | peak memory "
    "| copied |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def line(model: str, row: Row) -> str:
    """A row: medians, and in brackets the slowest and the fastest round."""
    rates = [row.tokens / seconds for seconds in row.seconds]
    cells = [
        model,
        row.part,
        row.who,
        row.how,
        str(row.images),
        spread(rates, ",.0f"),
        f"{row.images / statistics.median(row.seconds):,.1f}",
        "" if row.who == "transformers" or not row.baseline else spread(ratios(row), ".2f", "x"),
        "" if row.difference is None else f"{row.difference:.1e}",
        "n/a" if row.mfu is None else f"{row.mfu:.1%}",
        "n/a" if row.peak_bytes is None else f"{row.peak_bytes / 2**30:.2f} GiB",
        "" if row.copied_bytes is None else f"{row.copied_bytes / 2**20:.1f} MiB",
    ]
    return f"| {' | '.join(cells)} |"


def failure(model: str, part: str, error: BaseException) -> str:
    """A line for what failed."""
    text = " ".join(str(error).replace("|", "/").split())[:300]
    return f"| {model} | {part} | failed: {type(error).__name__}: {text} |{' |' * 9}"


def ratios(row: Row) -> list[float]:
    """Time of transformers over this one's, round by round."""
    return [theirs / own for theirs, own in zip(row.baseline, row.seconds, strict=True)]


def spread(values: Sequence[float], form: str, unit: str = "") -> str:
    """The median, and the least and the most."""
    low, middle, high = (f"{value:{form}}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle}{unit} ({low} to {high})"
