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
    """The reference's kernel with normalisation and the order of values folded in.

    With x = (byte * rescale - mean) / std, W x + b = W' (byte - 127.5) + b', exactly in real arithmetic. The sums are
    made in float64.

    Args:
        weight: [width, channels, (frames,) size, size], or [width, size * size * channels] where `config.kind` is
            "linear".
        bias: [width] or None.
        config: What to fold.

    Returns:
        W' [width, frames * size * size * channels] in (frame, row, col, channel) order, and b' [width], both float64.
    """
    kernel = raster_kernel(weight.double(), config)
    mean = torch.tensor(config.mean, dtype=torch.float64, device=weight.device)
    std = torch.tensor(config.std, dtype=torch.float64, device=weight.device)
    folded = (kernel * (config.rescale / std)).flatten(1)
    offset = (kernel * ((_CENTRE * config.rescale - mean) / std)).flatten(1).sum(dim=1)
    return folded, offset if bias is None else offset + bias.double()


def raster_kernel(weight: torch.Tensor, config: Patch) -> torch.Tensor:
    """A reference's kernel as [width, frames, size, size, channels]."""
    if config.kind == "linear":
        return weight.view(-1, 1, config.size, config.size, config.channels)
    if config.kind == "conv2d":
        weight = weight.unsqueeze(2)
    return weight.permute(0, 2, 3, 4, 1)


class PatchEmbed(nn.Module):
    """Patches to vectors [N, width].

    Those of still images are [N, dim] in (row, col, channel) order, those of videos [N, frames * dim] in (frame, row,
    col, channel) order.

    With `fold` they are uint8, normalisation is part of the weights, and the equal frames of a still image are one.
    Without, they are the reference's normalised values, and the operation is the reference's own.
    """

    def __init__(self, config: Patch, width: int, *, fold: bool) -> None:
        super().__init__()
        self.config = config
        self.fold = fold
        shape = (width, config.frames * config.dim) if fold else self.reference_shape(config, width)
        self.weight = nn.Parameter(torch.empty(shape).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(width)) if config.bias or fold else None

    def reset(self) -> None:
        """Random weights of the reference's kernel, of a size that keeps the scale of normalised values."""
        config = self.config
        kernel = torch.empty(self.reference_shape(config, len(self.weight))).normal_(
            std=(config.frames * config.dim) ** -0.5
        )
        with torch.no_grad():
            if self.fold:
                weight, bias = fold_weights(kernel, None, config)
                self.weight.copy_(weight)
                if self.bias is not None:
                    self.bias.copy_(bias)
            else:
                self.weight.copy_(kernel)

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
        is_still = patches.shape[1] == config.dim
        if self.fold:
            if patches.dtype != torch.uint8:
                raise TypeError(
                    f"patches are {patches.dtype}, but normalisation is folded into the weights: "
                    'use dtype="uint8" in the Processor, or an encoder with fold=False'
                )
            weight = self.weight
            if is_still and config.frames > 1:
                weight = weight.unflatten(1, (config.frames, config.dim)).sum(dim=1)
            return functional.linear(patches.to(dtype).sub_(_CENTRE), weight, self.bias)
        if not patches.is_floating_point():
            raise TypeError(f"patches are {patches.dtype}, but an encoder with fold=False takes normalised values")
        patches = patches.to(dtype)
        if config.kind == "linear":
            return functional.linear(patches, self.weight, self.bias)
        frames = 1 if is_still else config.frames
        pixels = patches.view(-1, frames, config.size, config.size, config.channels).permute(0, 4, 1, 2, 3)
        # A kernel fits its patch; the stride is given because torch's choice of algorithm, and so bits, depend on it.
        stride = tuple(self.weight.shape[2:])
        if config.kind == "conv2d":
            return functional.conv2d(pixels.squeeze(2).contiguous(), self.weight, self.bias, stride).flatten(1)
        pixels = pixels.expand(-1, -1, config.frames, -1, -1).contiguous()
        return functional.conv3d(pixels, self.weight, self.bias, stride).flatten(1)
