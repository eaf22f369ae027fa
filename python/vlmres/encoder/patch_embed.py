"""Patches of bytes to vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from vlmres.encoder.config import Patch

# In the middle of the bytes: b - 127.5 is exact in bfloat16, and small sums round less than sums of all-positive terms.
_CENTRE = 127.5


def fold_weights(weight: torch.Tensor, bias: torch.Tensor | None, config: Patch) -> tuple[torch.Tensor, torch.Tensor]:
    """The reference's kernel with normalisation, equal frames and the order of values folded in.

    With x = (byte * rescale - mean) / std, and all frames equal, W x + b = W' (byte - 127.5) + b', exactly in real
    arithmetic. The sums are made in float64.

    Args:
        weight: [width, channels, (frames,) size, size], or [width, size * size * channels] where `config.kind` is
            "linear".
        bias: [width] or None.
        config: What to fold.

    Returns:
        W' [width, size * size * channels] in (row, col, channel) order, and b' [width], both float64.
    """
    kernel = raster_kernel(weight.double(), config)
    mean = torch.tensor(config.mean, dtype=torch.float64, device=weight.device)
    std = torch.tensor(config.std, dtype=torch.float64, device=weight.device)
    folded = (kernel * (config.rescale / std)).flatten(1)
    offset = (kernel * ((_CENTRE * config.rescale - mean) / std)).flatten(1).sum(dim=1)
    return folded, offset if bias is None else offset + bias.double()


def raster_kernel(weight: torch.Tensor, config: Patch) -> torch.Tensor:
    """A reference's kernel as [width, size, size, channels]; frames are summed."""
    if config.kind == "linear":
        return weight.view(-1, config.size, config.size, config.channels)
    if config.kind == "conv3d":
        weight = weight.sum(dim=2)
    return weight.permute(0, 2, 3, 1)


class PatchEmbed(nn.Module):
    """Patches [N, size * size * channels] in (row, col, channel) order to [N, width].

    With `fold` they are uint8, and normalisation and equal frames are part of the weights. Without, they are the
    reference's normalised values, and the operation is the reference's own.
    """

    def __init__(self, config: Patch, width: int, *, fold: bool) -> None:
        super().__init__()
        self.config = config
        self.fold = fold
        shape = (width, config.dim) if fold else self.reference_shape(config, width)
        self.weight = nn.Parameter(torch.empty(shape).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(width)) if config.bias or fold else None

    @staticmethod
    def reference_shape(config: Patch, width: int) -> tuple[int, ...]:
        """Shape of the reference's kernel."""
        if config.kind == "linear":
            return width, config.dim
        frames = (config.frames,) if config.kind == "conv3d" else ()
        return width, config.channels, *frames, config.size, config.size

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """[N, patch_dim] to [N, width].

        Raises:
            TypeError: The patches are not uint8 where normalisation is folded, or not floating point where it is not.
        """
        config, dtype = self.config, self.weight.dtype
        if self.fold:
            if patches.dtype != torch.uint8:
                raise TypeError(
                    f"patches are {patches.dtype}, but normalisation is folded into the weights: "
                    'use dtype="uint8" in the Processor, or an encoder with fold=False'
                )
            return functional.linear(patches.to(dtype).sub_(_CENTRE), self.weight, self.bias)
        if not patches.is_floating_point():
            raise TypeError(f"patches are {patches.dtype}, but an encoder with fold=False takes normalised values")
        patches = patches.to(dtype)
        if config.kind == "linear":
            return functional.linear(patches, self.weight, self.bias)
        pixels = patches.view(-1, config.size, config.size, config.channels).permute(0, 3, 1, 2)
        # A kernel fits its patch; the stride is given because torch's choice of algorithm, and so bits, depend on it.
        stride = tuple(self.weight.shape[2:])
        if config.kind == "conv2d":
            return functional.conv2d(pixels.contiguous(), self.weight, self.bias, stride).flatten(1)
        pixels = pixels.unsqueeze(2).expand(-1, -1, config.frames, -1, -1).contiguous()
        return functional.conv3d(pixels, self.weight, self.bias, stride).flatten(1)
