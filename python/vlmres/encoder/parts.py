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
    """The tokens of images, in the order in which their language model receives them."""

    tokens: torch.Tensor
    """[total, hidden]."""
    cu_seqlens: torch.Tensor
    """int32 [images + 1], on the CPU: where images start."""
    deepstack: tuple[torch.Tensor, ...] = ()
    """[total, hidden] each: what Qwen3-VL adds to its language model's first layers at the same places."""

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1

    def split(self) -> list[torch.Tensor]:
        """The tokens of each image."""
        lengths: list[int] = torch.diff(self.cu_seqlens).tolist()
        return list(self.tokens.split(lengths))

    @classmethod
    def join(cls, parts: Sequence[EncoderOutput]) -> EncoderOutput:
        """The outputs of consecutive images as one."""
        if len(parts) == 1:
            return parts[0]
        lengths = torch.cat([torch.diff(part.cu_seqlens) for part in parts])
        bounds = torch.zeros(len(lengths) + 1, dtype=torch.int32)
        bounds[1:] = lengths.cumsum(0)
        deepstack = zip(*(part.deepstack for part in parts), strict=True)
        return cls(torch.cat([part.tokens for part in parts]), bounds, tuple(map(torch.cat, deepstack)))


@dataclass
class Part:
    """Consecutive images of a packed batch."""

    patches: torch.Tensor
    grids: NDArray[np.int32]
    positions: NDArray[np.int32]
    images: list[ImageTokens]
    layout: Layout | None = None

    @classmethod
    def of(cls, batch: Batch) -> Part:
        """All images of the tensors."""
        images = [ImageTokens.of(plan) for plan in batch.plans if plan is not None]
        return cls(torch.from_numpy(batch.patches), batch.grids, batch.positions, images)

    def images_between(self, first: int, last: int) -> Part:
        """Some of the images."""
        if (first, last) == (0, len(self.images)):
            return self
        segments = np.cumsum([0, *(image.segments for image in self.images)])
        patches = np.cumsum([0, *(self.grids[:, 0].astype(np.int64) * self.grids[:, 1])])
        own, rows = slice(segments[first], segments[last]), slice(patches[segments[first]], patches[segments[last]])
        return Part(self.patches[rows], self.grids[own], self.positions[rows], self.images[first:last])

    def halves(self) -> tuple[Part, Part]:
        """The first and second half of the images."""
        middle = len(self.images) // 2
        return self.images_between(0, middle), self.images_between(middle, len(self.images))
