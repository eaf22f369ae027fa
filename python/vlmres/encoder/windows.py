"""Where patches go in the encoder's sequence, and the windows that they attend in. All on the host, in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


class PatchPlaces(NamedTuple):
    """What is known of every patch, each int64 [N]."""

    start: Integers
    """First patch of its segment."""
    rows: Integers
    """The segment's grid."""
    cols: Integers
    row: Integers
    col: Integers

    @classmethod
    def of(cls, grids: Integers, positions: Integers) -> PatchPlaces:
        """From (rows, cols) of segments, and (row, col) of patches in their segments."""
        lengths = grids[:, 0] * grids[:, 1]
        starts = np.cumsum(lengths) - lengths
        start, rows, cols = (np.repeat(values, lengths) for values in (starts, grids[:, 0], grids[:, 1]))
        return cls(start, rows, cols, positions[:, 0], positions[:, 1])


def block_order(places: PatchPlaces, merge: int) -> Integers:
    """Place of each patch where cells of merge² patches follow each other in raster order; raster order for merge 1."""
    cells = places.row // merge * (places.cols // merge) + places.col // merge
    return places.start + cells * merge * merge + places.row % merge * merge + places.col % merge


def window_order(places: PatchPlaces, merge: int, size: int) -> Integers:
    """Place of each patch where windows of size² cells follow each other, smaller at the right and lower edges.

    Source: transformers' Qwen2.5-VL `get_vision_window_index`.
    """
    rows, cols = places.rows // merge, places.cols // merge
    row, col = places.row // merge, places.col // merge
    top, left = row // size * size, col // size * size
    height, width = np.minimum(size, rows - top), np.minimum(size, cols - left)
    cells: Integers = top * cols + left * height + (row - top) * width + (col - left)
    return places.start + cells * merge * merge + places.row % merge * merge + places.col % merge


def window_lengths(grids: Integers, merge: int, size: int) -> Integers:
    """Patches of every window of `window_order`."""
    lengths = [
        np.multiply.outer(_sides(int(rows) // merge, size), _sides(int(cols) // merge, size)).ravel() * merge * merge
        for rows, cols in grids
    ]
    return np.concatenate(lengths)


def _sides(cells: int, size: int) -> Integers:
    full, rest = divmod(cells, size)
    return np.array([size] * full + ([rest] if rest else []), dtype=np.int64)


def padded_windows(grids: Integers, size: int) -> tuple[Integers, Integers]:
    """Windows of size² patches over grids that are filled up at the right and below.

    Returns:
        For every place of every window the patch there, in raster order of all patches, or their number where there is
        none; and for every patch its place in the windows.

    Source: arXiv:2304.02643; transformers' SAM `window_partition`.
    """
    total = int((grids[:, 0] * grids[:, 1]).sum())
    gathers, start = [], 0
    for rows, cols in grids.tolist():
        padded = np.full((-(-rows // size) * size, -(-cols // size) * size), total, dtype=np.int64)
        padded[:rows, :cols] = np.arange(start, start + rows * cols).reshape(rows, cols)
        tiles = padded.reshape(padded.shape[0] // size, size, padded.shape[1] // size, size)
        gathers.append(tiles.transpose(0, 2, 1, 3).ravel())
        start += rows * cols
    gather = np.concatenate(gathers)
    scatter = np.empty(total + 1, dtype=np.int64)
    scatter[gather] = np.arange(len(gather))
    return gather, scatter[:total]
