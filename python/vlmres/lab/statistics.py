"""Statistics of results: their spread over areas and ratios, and confidence intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SIDE = 384
AREAS = (0.5, 1, 2, 4, 8, 16, 32)
"""Areas of RC-Bench's columns in units of 384 x 384 pixels."""
RATIOS = (1 / 5, 1 / 2.8, 1.0, 2.8, 5.0)
"""Ratios width : height of its rows: below 1 : 4, to 1 : 2, to 2 : 1, to 4 : 1, above."""
_RATIO_BOUNDS = (1 / 4, 1 / 2, 2, 4)

_Z95 = 1.959963984540054


class Interval(NamedTuple):
    """A mean of shares with its 95 % interval, all from 0 to 1."""

    mean: float
    low: float
    high: float


class Spread(NamedTuple):
    """How much accuracy depends on size and shape (RC-Bench, arXiv:2506.12776); NaN where it is unknown."""

    acv: float
    """100 x standard deviation / mean of the means of the areas."""
    rcv: float
    """The same of the ratios."""


def cell(size: tuple[int, int]) -> tuple[int, int]:
    """Row (ratio) and column (area) of an image of this (width, height) in RC-Bench's table."""
    width, height = size
    units = math.log2(width * height / SIDE**2)
    column = min(range(len(AREAS)), key=lambda at: abs(math.log2(AREAS[at]) - units))
    row = sum(width / height > bound for bound in _RATIO_BOUNDS)
    return row, column


def cell_size(row: int, column: int) -> tuple[int, int]:
    """(width, height) of the grid's image in a cell."""
    area, ratio = AREAS[column] * SIDE**2, RATIOS[row]
    return round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))


def heat_map(sizes: list[tuple[int, int]], values: ArrayLike) -> NDArray[np.float64]:
    """Means by ratio and area, of shape (5, 7); NaN where a cell is empty.

    Args:
        sizes: (width, height) of each value's image.
        values: Of shape (n,).
    """
    total, count = np.zeros((len(RATIOS), len(AREAS))), np.zeros((len(RATIOS), len(AREAS)))
    for size, value in zip(sizes, np.asarray(values, dtype=np.float64), strict=True):
        total[cell(size)] += value
        count[cell(size)] += 1
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def spread(cells: ArrayLike) -> Spread:
    """ACV and RCV of a table of means, rows by ratio and columns by area; empty cells are NaN.

    Each is 100 x the sample standard deviation of the columns' (rows') means over their mean.
    """
    table = np.asarray(cells, dtype=np.float64)
    return Spread(_variation(_means(table, 0)), _variation(_means(table, 1)))


def _means(table: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    known = ~np.isnan(table)
    count = known.sum(axis=axis)
    means: NDArray[np.float64] = np.where(known, table, 0.0).sum(axis=axis)[count > 0] / count[count > 0]
    return means


def _variation(means: NDArray[np.float64]) -> float:
    if len(means) < 2 or means.mean() == 0:
        return math.nan
    return float(100 * means.std(ddof=1) / means.mean())


def interval(values: ArrayLike, groups: ArrayLike) -> Interval:
    """The mean of values from 0 to 1, and Wilson's 95 % interval for as many independent values as they are worth.

    Lines of one page are alike: the number of values is divided by the design effect, the variance of the mean over
    pages against that of independent lines (Kish 1965), which is taken as no less than 1.

    Args:
        values: Of shape (n,).
        groups: Of shape (n,): the page of each value.
    """
    found = np.asarray(values, dtype=np.float64)
    if not len(found):
        return Interval(math.nan, 0.0, 1.0)
    mean = float(found.mean())
    worth = len(found) / _design_effect(found, np.asarray(groups))
    centre = (mean + _Z95**2 / (2 * worth)) / (1 + _Z95**2 / worth)
    half = _Z95 / (1 + _Z95**2 / worth) * math.sqrt(mean * (1 - mean) / worth + _Z95**2 / (4 * worth**2))
    return Interval(mean, max(0.0, min(mean, centre - half)), min(1.0, max(mean, centre + half)))


def _design_effect(values: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    _, group = np.unique(groups, return_inverse=True)
    count = int(group.max()) + 1
    variance = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    if count < 2 or variance == 0:
        return 1.0
    sums = np.bincount(group, weights=values - values.mean(), minlength=count)
    of_mean = count / (count - 1) * float((sums**2).sum()) / len(values) ** 2
    return max(1.0, of_mean * len(values) / variance)


def difference(gaps: ArrayLike, groups: ArrayLike) -> Interval:
    """The mean of differences from -1 to 1 with its 95 % interval, lines of a page being alike.

    Args:
        gaps: Of shape (n,): one value's less the other's.
        groups: Of shape (n,): the page of each.
    """
    found = np.asarray(gaps, dtype=np.float64)
    mean = float(found.mean())
    worth = len(found) / _design_effect(found, np.asarray(groups))
    # One line that differs is added to either side, so that lines that are all alike do not seem certain.
    half = _Z95 * math.sqrt((float(found.var()) + 1 / len(found)) / worth)
    return Interval(mean, max(-1.0, mean - half), min(1.0, mean + half))


def safe_from(values: ArrayLike, good: ArrayLike, share: float = 0.9) -> float:
    """The least value from which on every run of neighbours is good in this share; a run is a twentieth, at least 30.

    Args:
        values: Of shape (n,).
        good: bool of shape (n,).
        share: Of the values of each run.

    Raises:
        ValueError: There are none.
    """
    sizes = np.asarray(values, dtype=np.float64)
    if not len(sizes):
        raise ValueError("no values")
    order = np.argsort(sizes, kind="stable")
    sizes, counted = sizes[order], np.cumsum([0, *np.asarray(good, dtype=np.int64)[order]])
    run = min(len(sizes), max(30, len(sizes) // 20))
    shares = (counted[run:] - counted[:-run]) / run
    bad = np.flatnonzero(shares < share)
    return float(sizes[0] if not len(bad) else sizes[bad[-1] + run // 2])
