"""What goes through the model at once, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from vlmres.encoder.arrange import ImageTokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres.batch import Batch
    from vlmres.encoder.layout import Layout


@dataclass
class EncoderOutput:
    """The tokens of images or videos, in the order in which their language model receives them."""

    tokens: torch.Tensor
    """[total, hidden]."""
    cu_seqlens: torch.Tensor
    """int32 [images + 1], on the CPU: where images or videos start."""
    deepstack: tuple[torch.Tensor, ...] = ()
    """[total, hidden] each: what Qwen3-VL adds to its language model's first layers at the same places."""

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1

    def split(self) -> list[torch.Tensor]:
        """The tokens of each image or video."""
        lengths: list[int] = torch.diff(self.cu_seqlens).tolist()
        return list(self.tokens.split(lengths))

    @classmethod
    def join(cls, parts: Sequence[EncoderOutput]) -> EncoderOutput:
        """The outputs of consecutive images as one.

        Raises:
            ValueError: There is none.
        """
        if not parts:
            raise ValueError("there are no outputs to join: all images were bad, or there were none")
        if len(parts) == 1:
            return parts[0]
        lengths = torch.cat([torch.diff(part.cu_seqlens) for part in parts])
        bounds = torch.zeros(len(lengths) + 1, dtype=torch.int32)
        bounds[1:] = lengths.cumsum(0)
        deepstack = zip(*(part.deepstack for part in parts), strict=True)
        return cls(torch.cat([part.tokens for part in parts]), bounds, tuple(map(torch.cat, deepstack)))

    def joined(self, ends: Sequence[bool]) -> EncoderOutput:
        """The same where the items are parts of images or videos; `ends` says which are the last of theirs."""
        bounds = self.cu_seqlens[1:][torch.tensor(ends)]
        return EncoderOutput(self.tokens, torch.cat([self.cu_seqlens[:1], bounds]), self.deepstack)


@dataclass
class Part:
    """Consecutive images, or parts of videos, of a packed batch."""

    patches: torch.Tensor
    grids: NDArray[np.int32]
    positions: NDArray[np.int32]
    images: list[ImageTokens]
    layout: Layout | None = None

    @classmethod
    def of(cls, batch: Batch, *, joins: bool = False) -> Part:
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

    def between(self, first: int, last: int) -> Part:
        """Some of the images."""
        if (first, last) == (0, len(self.images)):
            return self
        own = slice(self.segments[first], self.segments[last])
        rows = slice(self.bounds[own.start], self.bounds[own.stop])
        return Part(self.patches[rows], self.grids[own], self.positions[rows], self.images[first:last])

    def cut(self, budget: int) -> list[Part]:
        """Parts of at most `budget` patches, unless an image has more."""
        counts = np.diff(self.bounds[self.segments]).tolist()
        return [self.between(*ends) for ends in cut(counts, budget)]

    def halves(self) -> tuple[Part, Part]:
        """The first and second half of the images."""
        middle = len(self.images) // 2
        return self.between(0, middle), self.between(middle, len(self.images))


def _host(array: NDArray[np.int32] | torch.Tensor) -> NDArray[np.int32]:
    """The array of a batch that may have been moved to a device."""
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else array


def cut(counts: Sequence[int], budget: int) -> list[tuple[int, int]]:
    """Ranges of consecutive items of at most `budget` together, or of one item."""
    ranges, first, total = [], 0, 0
    for index, count in enumerate(counts):
        if index > first and total + count > budget:
            ranges.append((first, index))
            first, total = index, 0
        total += count
    return [*ranges, (first, len(counts))]
