"""Percentiles of the costs of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres.cli import output

if TYPE_CHECKING:
    from collections.abc import Sequence

COUNTED = {"tokens": "num_tokens", "patches": "num_patches", "tiles": "num_tiles", "bytes": "nbytes"}
"""The counts, and their keys in a row of `vlmres plan --json`."""
_PERCENTILES = {"min": 0, "p10": 10, "median": 50, "p90": 90, "p99": 99, "max": 100}


class Summary:
    """Counts of many images."""

    def __init__(self) -> None:
        self._counts: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, row: dict[str, Any]) -> None:
        """Adds an image, given as a row of `vlmres plan --json`."""
        self._counts.append(tuple(row[key] for key in COUNTED.values()))

    def as_dict(self) -> dict[str, Any]:
        """The number of images, and the percentiles, mean and total of each count."""
        counts = np.array(self._counts, np.int64).reshape(-1, len(COUNTED))
        found: dict[str, Any] = {"images": len(counts)}
        for name, column in zip(COUNTED, counts.T, strict=True):
            if not len(column):
                continue
            # Percentiles are values that occur: half a token does not exist.
            values = np.percentile(column, list(_PERCENTILES.values()), method="nearest").tolist()
            found[name] = dict(zip(_PERCENTILES, values, strict=True))
            found[name] |= {"mean": round(float(column.mean()), 1), "total": int(column.sum())}
        return found

    def print(self, title: str) -> None:
        """Prints a table."""
        found = self.as_dict()
        columns = (*_PERCENTILES, "mean", "total")
        table = output.table(f"{found['images']:,} images", *columns, right=columns, title=title)
        for name in COUNTED:
            if name in found:
                show = output.size if name == "bytes" else "{:,}".format
                table.add_row(name, *(show(round(found[name][column])) for column in columns))
        output.console().print(table)


def sort(rows: Sequence[dict[str, Any]], by: str | None, limit: int | None) -> list[dict[str, Any]]:
    """At most `limit` rows of `vlmres plan`, by descending cost or in order of names."""
    if by == "name":
        rows = sorted(rows, key=lambda row: row["path"])
    elif by is not None:
        rows = sorted(rows, key=lambda row: row[COUNTED[by]], reverse=True)
    return list(rows[:limit])
