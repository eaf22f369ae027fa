"""Interpolation taps for learned position tables: rows and weights for each patch, from grids alone, on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.nn import functional

from vlmres.encoder.layout._cache import cache_small

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres.encoder.config import Table
    from vlmres.encoder.layout.windows import GridOrder

    Integers = NDArray[np.int32]
    Floats = NDArray[np.float32]


@dataclass
class Taps:
    """Rows of a table, and what they are multiplied by, that add up to the rows of patches."""

    rows: torch.Tensor
    """int32 [taps], patch after patch."""
    weights: torch.Tensor
    """float32 [taps]."""
    starts: torch.Tensor
    """int32 [patches]: where a patch's taps start."""

    @classmethod
    def of(cls, table: Table, grids: Sequence[tuple[int, int]], orders: Sequence[GridOrder]) -> Taps:
        """A table resampled to grids, patches in their orders."""
        own = {grid: _grid_taps(table, grid, order) for grid, order in dict(zip(grids, orders, strict=True)).items()}
        parts = [own[grid] for grid in grids]
        rows, weights = (np.concatenate([part[index].ravel() for part in parts]) for index in (0, 1))
        lengths, counts = zip(*(part[0].shape for part in parts), strict=True)
        taps = np.repeat(np.array(counts), lengths)
        starts = (np.cumsum(taps) - taps).astype(np.int32)
        return cls(torch.from_numpy(rows), torch.from_numpy(weights), torch.from_numpy(starts))


def _grid_taps(table: Table, grid: tuple[int, int], order: GridOrder) -> tuple[Integers, Floats]:
    """Of a grid's patches, [patches, taps] each: a row's taps by a column's."""
    how = table.mode, table.align_corners, table.antialias
    (rows, by_row), (cols, by_col) = _side_taps(grid[0], table.rows, *how), _side_taps(grid[1], table.cols, *how)
    # All pairs of taps, row by row: long rows of few operations.
    count, other = rows.shape[1], cols.shape[1]
    row, col = order.positions[:, 0], order.positions[:, 1]
    places = np.repeat(rows * np.int32(table.cols), other, axis=1).take(row, axis=0)
    places += np.tile(cols, count).take(col, axis=0)
    weights = np.repeat(by_row, other, axis=1).take(row, axis=0)
    weights *= np.tile(by_col, count).take(col, axis=0)
    return places, weights


@cache_small
def _side_taps(
    wanted: int, side: int, mode: Literal["bilinear", "bicubic"], align_corners: bool, antialias: bool
) -> tuple[Integers, Floats]:
    """Which of `side` places make each of `wanted`, [wanted, taps], and with what weights.

    The weights are torch's own: what its resize makes of each place alone. Columns stay as many as they are, because
    torch 2.15's antialiased kernel for the CPU gives wrong rows where one column is wanted of several.
    """
    alone = torch.eye(side, device="cpu", dtype=torch.float32)[None, None]
    resized = functional.interpolate(
        alone, size=(wanted, side), mode=mode, align_corners=align_corners, antialias=antialias
    )
    weights = resized[0, 0].numpy()
    used = weights != 0
    first = used.argmax(axis=1)
    last = side - 1 - used[:, ::-1].argmax(axis=1)
    taps = int((last - first).max()) + 1
    places = np.minimum(first, side - taps)[:, None] + np.arange(taps)
    return places.astype(np.int32), np.take_along_axis(weights, places, axis=1)
