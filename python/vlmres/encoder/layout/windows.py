"""Where patches go in the encoder's sequence, and the windows that they attend in. All on the host, in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlmres.encoder.layout._cache import cache_small

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


class GridOrder(NamedTuple):
    """The encoder's order of a grid's patches. Arrays are shared: not to be written to."""

    positions: NDArray[np.int32]
    """[patches, 2]: row and column, in the encoder's order."""
    place: Integers
    """[patches]: place in the encoder's order, of each patch in raster order."""
    token: Integers
    """[cells]: place among the tokens, of each cell of merge² patches in raster order."""


@cache_small
def grid_order(rows: int, cols: int, merge: int, window: int | None) -> GridOrder:
    """Cells of merge² patches, or patches where that is 1, in raster order; or window after window.

    Windows have `window`² cells, fewer at the right and lower edges. Source: transformers' Qwen2.5-VL
    `get_vision_window_index`.
    """
    row, col = np.divmod(np.arange(rows * cols), cols)
    height, width = rows // merge, cols // merge
    down, right = row // merge, col // merge
    size = max(height, width) if window is None else window
    top, left = down // size * size, right // size * size
    tall, wide = np.minimum(size, height - top), np.minimum(size, width - left)
    cells = top * width + left * tall + (down - top) * wide + (right - left)
    place = (cells * merge + row % merge) * merge + col % merge
    positions = np.empty((rows * cols, 2), dtype=np.int32)
    positions[place] = np.stack([row, col], axis=1)
    first = (row % merge == 0) & (col % merge == 0)
    order = GridOrder(positions, place, cells[first])
    for array in order:
        array.flags.writeable = False
    return order


def window_lengths(grids: Iterable[tuple[int, int]], merge: int, size: int) -> Integers:
    """Patches of every window of `grid_order`."""
    lengths = [
        np.multiply.outer(_sides(rows // merge, size), _sides(cols // merge, size)).ravel() * merge * merge
        for rows, cols in grids
    ]
    return np.concatenate(lengths)


def _sides(cells: int, size: int) -> Integers:
    full, rest = divmod(cells, size)
    return np.array([size] * full + ([rest] if rest else []), dtype=np.int64)


def padded_windows(grids: Sequence[tuple[int, int]], size: int) -> tuple[Integers, Integers]:
    """Windows of size² patches over grids that are filled up at the right and below.

    Returns:
        For every place of every window the patch there, in raster order of all patches, or their number where there is
        none; and for every patch its place in the windows.

    Source: arXiv:2304.02643; transformers' SAM `window_partition`.
    """
    total = sum(rows * cols for rows, cols in grids)
    gathers, scatters, start, windowed = [], [], 0, 0
    for rows, cols in grids:
        gather, scatter = _padded(rows, cols, size)
        gathers.append(np.where(gather < 0, total, gather + start))
        scatters.append(scatter + windowed)
        start += rows * cols
        windowed += len(gather)
    return np.concatenate(gathers), np.concatenate(scatters)


@cache_small
def _padded(rows: int, cols: int, size: int) -> tuple[Integers, Integers]:
    """As `padded_windows` of one grid; -1 where there is no patch."""
    padded = np.full((-(-rows // size) * size, -(-cols // size) * size), -1, dtype=np.int64)
    padded[:rows, :cols] = np.arange(rows * cols).reshape(rows, cols)
    tiles = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size)
    gather = tiles.transpose(0, 2, 1, 3).ravel()
    scatter = np.empty(rows * cols + 1, dtype=np.int64)
    scatter[gather] = np.arange(len(gather))
    return gather, scatter[:-1]
