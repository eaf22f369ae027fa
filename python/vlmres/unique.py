"""Cells of patches that repeat an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import first_equal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Within = Literal["image", "segment", "batch"]


@dataclass(frozen=True)
class Unique:
    """The cells of a packed batch that differ from all cells before them.

    A cell is the patches that become one token, `Recipe.token_stride` a side. Cells are in the order of the batch:
    segment by segment, row by row. If `values` has a row for each kept cell, `values[inverse]` has a row for each cell.
    """

    cells: NDArray[np.int64]
    """int64 [kept]: indices of the kept cells, the first of equal cells."""
    inverse: NDArray[np.int64]
    """int64 [cells]: for each cell, the index in `cells` of the kept cell that it equals."""
    patches: NDArray[np.int64]
    """int64: rows of `Batch.patches` that belong to the kept cells, in the batch's order."""

    @property
    def share(self) -> float:
        """The share of cells that are kept, from 0 to 1."""
        return len(self.cells) / len(self.inverse)

    def restore(self, values: Any) -> Any:
        """Expands an array or tensor with a row for each kept cell to one with a row for each cell."""
        if len(values) != len(self.cells):
            raise ValueError(f"values of {len(values)} cells, {len(self.cells)} were kept")
        if isinstance(values, np.ndarray):
            return values[self.inverse]
        import torch

        return values[torch.from_numpy(self.inverse).to(values.device)]


def find_unique(arrays: Mapping[str, Any], stride: int, within: Within) -> Unique:
    """As `Batch.unique`, of the arrays of a packed batch whose tokens have `stride` patches a side."""
    if within not in ("image", "segment", "batch"):
        raise ValueError(f'within must be "image", "segment" or "batch", got {within!r}')
    if "patches" not in arrays:
        raise ValueError(f'unique needs a batch of layout="packed", this one has {", ".join(arrays) or "no images"}')
    patches = arrays["patches"]
    if not isinstance(patches, np.ndarray):
        raise ValueError("unique compares arrays: call it before the batch becomes tensors")
    order, segments = _cells(arrays, stride)
    groups = {
        "image": arrays["image_index"][segments],
        "segment": segments.astype(np.int32),
        "batch": np.zeros(len(segments), np.int32),
    }[within]
    patches = np.ascontiguousarray(patches)
    size = patches.shape[1] * patches.itemsize
    first = first_equal(patches.reshape(-1).view(np.uint8), size, order.reshape(-1), stride**2, groups)
    kept = np.flatnonzero(first == np.arange(len(first)))
    place = np.empty(len(first), np.int64)
    place[kept] = np.arange(len(kept))
    rows = order[kept]
    return Unique(kept, place[first], np.sort(rows[rows >= 0]))


def _cells(arrays: Mapping[str, Any], stride: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Patches of each cell, int64 [cells, stride²], -1 where it lacks one, and the segment of each cell."""
    lengths, grids = np.diff(arrays["cu_seqlens"]), arrays["grids"]
    segment = np.repeat(np.arange(len(lengths)), lengths)
    cols = -(-grids[:, 1] // stride)
    counts = cols * -(-grids[:, 0] // stride)
    starts = np.cumsum(counts) - counts
    rows, columns = arrays["positions"].T
    cell = starts[segment] + rows // stride * cols[segment] + columns // stride
    order = np.full((int(counts.sum()), stride**2), -1, np.int64)
    order[cell, rows % stride * stride + columns % stride] = np.arange(len(cell))
    return order, np.repeat(np.arange(len(counts)), counts)
