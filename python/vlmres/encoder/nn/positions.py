"""Position schemes: learned tables, rotary angles, SAM's decomposed relative positions."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmres.encoder.config import Rotary, Table
    from vlmres.encoder.layout.position_taps import Taps


def frequencies(config: Rotary, head_dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What turns each pair of a head's values: float32 frequencies and int64 axes (0 row, 1 column), [head_dim / 2].

    Pair i is values i and i + head_dim / 2, as in transformers.
    """
    half = head_dim // 2
    cpu = torch.device("cpu")

    def powers(count: int, dim: int) -> torch.Tensor:
        steps = torch.arange(0, 2 * count, 2, dtype=torch.float32, device=cpu) / dim
        return 1.0 / (config.theta**steps)

    row, col = torch.zeros(half, dtype=torch.int64, device=cpu), torch.ones(half, dtype=torch.int64, device=cpu)
    quarter = half // 2
    if config.kind == "sequence":
        return powers(half, head_dim), row
    if config.kind == "split":
        both = powers(half, head_dim)
        return torch.cat([both[0::2], both[1::2]]), torch.cat([row[:quarter], col[quarter:]])
    both = powers(quarter, half)
    if config.kind == "axial":
        return torch.cat([both, both]), torch.cat([row[:quarter], col[quarter:]])
    axes = torch.stack([col[:quarter], row[:quarter]], dim=1).flatten()
    return both.repeat_interleave(2), axes


class Constants(nn.Module):
    """Buffers that follow from a configuration, and so are in no checkpoint.

    They move with their model, and keep values and dtypes whatever is done to its tensors: `half`, or `to_empty` of a
    model on the meta device.
    """

    def __init__(self, make: Callable[[], dict[str, torch.Tensor]]) -> None:
        super().__init__()
        self._make = make
        for name, value in make().items():
            self.register_buffer(name, value, persistent=False)

    def _apply(self, fn, recurse=True):  # type: ignore[no-untyped-def]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in self._make().items():
            setattr(self, name, value.to(self.get_buffer(name).device))
        return self


class RotaryEmbedding(Constants):
    """Cosines and sines for coordinates."""

    frequency: torch.Tensor
    axis: torch.Tensor

    def __init__(self, config: Rotary, head_dim: int) -> None:
        super().__init__(functools.partial(_rotary, config, head_dim))

    def forward(self, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From int [tokens, 2] (row, col) to float32 cosines and sines [tokens, 1, head_dim / 2]."""
        angles = (positions[:, self.axis].float() * self.frequency).unsqueeze(1)
        return angles.cos(), angles.sin()


def _rotary(config: Rotary, head_dim: int) -> dict[str, torch.Tensor]:
    return dict(zip(("frequency", "axis"), frequencies(config, head_dim), strict=True))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turns pairs in float32; x [tokens, heads, head_dim] keeps its dtype."""
    # Products with float32 are in float32, whatever the halves are: no copy of x in it is made.
    first, second = x.chunk(2, dim=-1)
    turned = torch.addcmul(first * cos, second, sin, value=-1), torch.addcmul(second * cos, first, sin)
    return torch.cat([half.to(x.dtype) for half in turned], dim=-1)


class PositionTable(nn.Module):
    """A learned table, resampled to each grid in float32."""

    def __init__(self, config: Table, width: int, *, prefix: int) -> None:
        super().__init__()
        self.prefix = prefix
        """Rows for tokens that are no patches, before the grid's."""
        self.weight = nn.Parameter(torch.empty(prefix + config.rows * config.cols, width).normal_(std=0.02))

    def forward(self, taps: Taps) -> torch.Tensor:
        """Rows for all patches of segments, [patches, width]."""
        rows = self.weight[self.prefix :].float()
        summed = functional.embedding_bag(taps.rows, rows, taps.starts, mode="sum", per_sample_weights=taps.weights)
        return summed.to(self.weight.dtype)


class TimeTable(Constants):
    """Sinusoids of the times of a clip's frames. Source: transformers' `Kimi_K25VisionPositionEmbeddings`."""

    rows: torch.Tensor
    """float32 [1 + frames, width]: zeros for what has no time, then a row for each frame."""

    def __init__(self, frames: int, width: int) -> None:
        super().__init__(functools.partial(_sinusoids, frames, width))

    def forward(self, times: torch.Tensor) -> torch.Tensor:
        """From int64 [tokens], 0 or one more than the frame's number, to float32 [tokens, width]."""
        return self.rows[times]


def _sinusoids(frames: int, width: int) -> dict[str, torch.Tensor]:
    cpu = torch.device("cpu")
    steps = torch.arange(0, width, 2, dtype=torch.float32, device=cpu) / width
    angles = torch.arange(frames, dtype=torch.float32, device=cpu)[:, None] * (1.0 / 10000**steps)
    return {"rows": functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, 0, 1, 0))}


class RelativePositions(nn.Module):
    """SAM's decomposed relative positions, as extra dimensions of q and k.

    SAM adds q·R(row_q - row_k) + q·C(col_q - col_k) to each score, with q unscaled. That is the dot product of the two
    vectors of all q·R(row_q - i) and q·C(col_q - j) with one-hot codes of the key's row and column. So appending them
    to q and k gives the same scores from any attention kernel, without a matrix of tokens by tokens.
    Source: arXiv:2304.02643 and arXiv:2112.01526, equation 4; transformers' SAM attention.
    """

    def __init__(self, side: int, head_dim: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(2 * side - 1, head_dim).normal_(std=0.02))
        self.cols = nn.Parameter(torch.empty(2 * side - 1, head_dim).normal_(std=0.02))

    def distances(self, sides: tuple[Sequence[int], Sequence[int]]) -> torch.Tensor:
        """[distances, head_dim]: R for grids of each number of rows, then C of columns, 2 side - 1 distances each."""
        tables = [_resampled(self.rows, side) for side in sides[0]] + [_resampled(self.cols, side) for side in sides[1]]
        return torch.cat(tables)

    def forward(self, q: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
        """Products of q, [tokens, heads, head_dim], with all distances: [tokens, heads, distances]."""
        # q is a part of a longer vector; as a batch of heads it is not copied.
        return torch.bmm(q.transpose(0, 1), distances.T.expand(q.shape[1], -1, -1)).transpose(0, 1)


def _resampled(table: torch.Tensor, side: int) -> torch.Tensor:
    """A table of distances for another side."""
    wanted = 2 * side - 1
    if wanted == len(table):
        return table
    return functional.interpolate(table.T.unsqueeze(0), size=wanted, mode="linear")[0].T


def distance_index(bases: torch.Tensor, dims: tuple[int, int]) -> torch.Tensor:
    """The index of a token's product for each row and column of a key.

    Args:
        bases: int32 [tokens, 2]: where the distances to row 0 and to column 0 are.
        dims: Rows and columns; where a token's segment has fewer, what is named behind them is any product.

    Returns:
        int64 [tokens, 1, sum(dims)].
    """
    places = [bases[:, axis : axis + 1] - torch.arange(dims[axis], device=bases.device) for axis in (0, 1)]
    return torch.cat(places, dim=1).clamp_(min=0).unsqueeze(1)


def one_hot_places(places: torch.Tensor, dims: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """Codes of keys' rows and columns: int32 [tokens, 2] to [tokens, 1, sum(dims)]."""
    rows = places[:, :1] == torch.arange(dims[0], device=places.device)
    cols = places[:, 1:] == torch.arange(dims[1], device=places.device)
    return torch.cat([rows, cols], dim=1).unsqueeze(1).to(dtype)
