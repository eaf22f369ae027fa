"""The output of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class EncoderOutput:
    """The tokens of images or videos, in the order in which their language model receives them."""

    tokens: torch.Tensor
    """[total, hidden]."""
    cu_seqlens: torch.Tensor
    """int32 [images + 1], on the CPU: where images or videos start."""
    deepstack: tuple[torch.Tensor, ...] = ()
    """[total, hidden] each: the values that Qwen3-VL adds to the first layers of its language model, at the same
    tokens."""

    def __len__(self) -> int:
        return len(self.cu_seqlens) - 1

    def split(self) -> list[torch.Tensor]:
        """The tokens of each image or video."""
        lengths: list[int] = torch.diff(self.cu_seqlens).tolist()
        return list(self.tokens.split(lengths))

    @classmethod
    def join(cls, outputs: Sequence[EncoderOutput]) -> EncoderOutput:
        """The outputs of consecutive images as one.

        Raises:
            ValueError: There is none.
        """
        if not outputs:
            raise ValueError("there are no outputs to join: all images were bad, or there were none")
        if len(outputs) == 1:
            return outputs[0]
        lengths = torch.cat([torch.diff(output.cu_seqlens) for output in outputs])
        bounds = torch.zeros(len(lengths) + 1, dtype=torch.int32)
        bounds[1:] = lengths.cumsum(0)
        deepstack = zip(*(output.deepstack for output in outputs), strict=True)
        return cls(torch.cat([output.tokens for output in outputs]), bounds, tuple(map(torch.cat, deepstack)))

    def joined(self, ends: Sequence[bool]) -> EncoderOutput:
        """The same output after parts of images or videos are joined; `ends` marks the last part of each."""
        bounds = self.cu_seqlens[1:][torch.tensor(ends)]
        return EncoderOutput(self.tokens, torch.cat([self.cu_seqlens[:1], bounds]), self.deepstack)
