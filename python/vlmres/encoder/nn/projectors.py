"""From a tower's tokens to fewer: means over time, SAM's convolutions, and projectors to the language model."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

from vlmres.encoder.nn.blocks import activate, make_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.encoder.config import Neck as NeckConfig
    from vlmres.encoder.config import Projector as ProjectorConfig


def mean_of_frames(x: torch.Tensor, clips: Sequence[tuple[int, int, int]]) -> torch.Tensor:
    """[tokens, width] to the means over each clip's frames; `clips` are (count, frames, tokens of a frame) of runs."""
    outputs, start = [], 0
    for count, frames, tokens in clips:
        end = start + count * frames * tokens
        outputs.append(x[start:end].unflatten(0, (count, frames, tokens)).mean(dim=1).flatten(0, 1))
        start = end
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


class Neck(nn.Module):
    """Convolutions on each segment's grid; each strided one halves the grid, rounding up."""

    def __init__(self, config: NeckConfig, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, config.width, 1, bias=False)
        self.norm1 = make_norm(config.norm, config.width)
        self.conv2 = nn.Conv2d(config.width, config.width, 3, padding=1, bias=False)
        self.norm2 = make_norm(config.norm, config.width)
        widths = (config.width, *config.strided)
        self.strided = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False) for before, after in pairwise(widths)
        )

    def forward(self, x: torch.Tensor, grids: Sequence[tuple[int, int, int]]) -> torch.Tensor:
        """[tokens, width] in raster order to fewer; `grids` are (count, rows, cols) of runs of equal segments."""
        outputs, start = [], 0
        for count, rows, cols in grids:
            end = start + count * rows * cols
            grid = x[start:end].unflatten(0, (count, rows, cols)).permute(0, 3, 1, 2)
            grid = _channels_last(self.norm1, self.conv1(grid))
            grid = _channels_last(self.norm2, self.conv2(grid))
            for convolution in self.strided:
                grid = convolution(grid)
            outputs.append(grid.permute(0, 2, 3, 1).flatten(0, 2))
            start = end
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _channels_last(norm: nn.Module, grid: torch.Tensor) -> torch.Tensor:
    normed: torch.Tensor = norm(grid.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return normed


class Projector(nn.Module):
    """Merges consecutive patches and projects them to the language model's width."""

    def __init__(self, config: ProjectorConfig, width: int, merge: int) -> None:
        super().__init__()
        self.config = config
        self.merged = width * merge * merge
        self.norm = make_norm(config.norm, self.merged if config.norm_merged else width)
        widths = [self.merged, *(layer.out for layer in config.layers)]
        self.layers = nn.ModuleList(
            nn.Linear(before, layer.out, bias=layer.bias) for before, layer in zip(widths, config.layers, strict=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[patches, width] to [tokens, out]; the patches of a token are consecutive."""
        merged = x.reshape(-1, self.merged) if self.config.norm_merged else x
        x = self.norm(merged).reshape(-1, self.merged)
        for linear, layer in zip(self.layers, self.config.layers, strict=True):
            x = linear(x)
            if layer.activation is not None:
                x = activate(x, layer.activation)
        return x
