"""Chunks: the parts of a batch that go through the model in one forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vlmres.encoder.layout.token_order import ImageTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres.batch import Batch
    from vlmres.encoder.layout.batch import Layout


@dataclass
class Chunk:
    """Consecutive images, or parts of videos, of a packed batch."""

    patches: torch.Tensor
    grids: NDArray[np.int32]
    positions: NDArray[np.int32]
    images: list[ImageTokens]
    layout: Layout | None = None

    @classmethod
    def of(cls, batch: Batch, *, joins: bool = False) -> Chunk:
        """All of the tensors; `joins` as of `ImageTokens.of`."""
        images = [image for plan in batch.plans if plan is not None for image in ImageTokens.of(plan, joins=joins)]
        return cls(batch.torch()["patches"], _host(batch.grids), _host(batch.positions), images)

    @property
    def bounds(self) -> NDArray[np.int64]:
        """[segments + 1]: where segments start among the patches."""
        bounds: NDArray[np.int64] = np.cumsum([0, *(self.grids[:, 0].astype(np.int64) * self.grids[:, 1])])
        return bounds

    @property
    def segments(self) -> NDArray[np.int64]:
        """[images + 1]: where images start among the segments."""
        return np.cumsum([0, *(image.segments for image in self.images)])

    def between(self, first: int, last: int) -> Chunk:
        """Some of the images."""
        if (first, last) == (0, len(self.images)):
            return self
        own = slice(self.segments[first], self.segments[last])
        rows = slice(self.bounds[own.start], self.bounds[own.stop])
        return Chunk(self.patches[rows], self.grids[own], self.positions[rows], self.images[first:last])

    def split(self, budget: int) -> list[Chunk]:
        """Parts of at most `budget` patches, unless an image has more."""
        counts = np.diff(self.bounds[self.segments]).tolist()
        return [self.between(*ends) for ends in split_ranges(counts, budget)]

    def halves(self) -> tuple[Chunk, Chunk]:
        """The first and second half of the images."""
        middle = len(self.images) // 2
        return self.between(0, middle), self.between(middle, len(self.images))


def _host(array: NDArray[np.int32] | torch.Tensor) -> NDArray[np.int32]:
    """The array of a batch that may have been moved to a device."""
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else array


def split_ranges(counts: Sequence[int], budget: int) -> list[tuple[int, int]]:
    """Ranges of consecutive items of at most `budget` together, or of one item."""
    ranges, first, total = [], 0, 0
    for index, count in enumerate(counts):
        if index > first and total + count > budget:
            ranges.append((first, index))
            first, total = index, 0
        total += count
    return [*ranges, (first, len(counts))]
