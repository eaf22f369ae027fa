"""Transformer blocks on a packed sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from vlmres.encoder.attention import QuerySegments, Segments, attend
from vlmres.encoder.positions import RelativePositions, rotate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmres.encoder import config as parts
    from vlmres.encoder.config import Activation, Norm, Tower

    Steps = tuple[Callable[..., Any], Callable[..., Any]]


def make_norm(config: Norm | None, width: int) -> nn.Module:
    """The norm of a configuration; the identity for None."""
    if config is None:
        return nn.Identity()
    return nn.LayerNorm(width, config.eps) if config.kind == "layer" else nn.RMSNorm(width, config.eps)


def activate(x: torch.Tensor, kind: Activation) -> torch.Tensor:
    """An activation by name."""
    if kind == "quick_gelu":
        return x * torch.sigmoid(1.702 * x)
    if kind == "silu":
        return functional.silu(x)
    return functional.gelu(x, approximate="tanh" if kind == "gelu_tanh" else "none")


@dataclass
class Relative:
    """What relative positions need to know of the segments."""

    grids: Sequence[tuple[int, int, int]]
    """(count, rows, cols) of runs of equal segments."""
    dims: tuple[int, int]
    codes: torch.Tensor
    """[tokens, 1, sum(dims)], of the keys."""


@dataclass
class Scope:
    """What tokens a block's attention sees; shared by all blocks of a kind."""

    segments: Segments | QuerySegments
    angles: tuple[torch.Tensor, torch.Tensor] | None = None
    """Cosines and sines, float32 [tokens, 1, head_dim / 2]."""
    relative: Relative | None = None
    gather: torch.Tensor | None = None
    """int64: the place of each token of padded windows in the sequence; the sequence's length where it is padding."""
    scatter: torch.Tensor | None = None
    """int64: the place of each token of the sequence in the padded windows."""


class Attention(nn.Module):
    """Multi-head attention inside segments; one matrix makes q, k and v."""

    def __init__(self, config: parts.Attention, width: int, relative: int | None) -> None:
        super().__init__()
        self.config = config
        heads, pairs = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.qkv = nn.Linear(width, heads + 2 * pairs, bias=config.bias)
        self.out = nn.Linear(heads, width, bias=config.out_bias)
        self.q_norm = make_norm(config.qk_norm, heads)
        self.k_norm = make_norm(config.qk_norm, pairs)
        self.relative = RelativePositions(relative, config.head_dim) if relative else None

    def project(
        self, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """[tokens, width] to q, k and v, [tokens, heads, head_dim] each."""
        config = self.config
        heads, kv_heads = config.heads, config.kv_heads
        qkv = self.qkv(x).unflatten(-1, (-1, config.head_dim))
        if config.qk_norm is None and angles is not None:
            q, k = rotate(qkv[:, : heads + kv_heads], *angles).split([heads, kv_heads], dim=1)
            return q, k, qkv[:, heads + kv_heads :]
        q, k, v = qkv.split([heads, kv_heads, kv_heads], dim=1)
        if config.qk_norm is not None:
            q, k = (norm(part.flatten(1)).view_as(part) for norm, part in ((self.q_norm, q), (self.k_norm, k)))
        return (q, k, v) if angles is None else (rotate(q, *angles), rotate(k, *angles), v)

    def attend(self, projected: tuple[torch.Tensor, torch.Tensor, torch.Tensor], scope: Scope) -> torch.Tensor:
        """q, k and v to [tokens, heads, head_dim]."""
        q, k, v = projected
        scale = self.config.head_dim**-0.5
        if self.relative is not None and scope.relative is not None:
            extra = self.relative(q, scope.relative.grids, scope.relative.dims)
            q = torch.cat([q * scale, extra], dim=-1)
            k = torch.cat([k, scope.relative.codes.to(k.dtype).expand(-1, self.config.kv_heads, -1)], dim=-1)
            scale = 1.0
        return attend(q, k, v, scope.segments, scale)


class MLP(nn.Module):
    """The feed-forward part."""

    def __init__(self, config: parts.MLP, width: int) -> None:
        super().__init__()
        self.config = config
        self.up = nn.Linear(width, config.hidden * (2 if config.gated else 1), bias=config.bias)
        """Where gated, the gate's rows come first."""
        self.down = nn.Linear(config.hidden, width, bias=config.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[tokens, width] to the same."""
        hidden = self.up(x)
        if self.config.gated:
            gate, value = hidden.chunk(2, dim=-1)
            hidden = activate(gate, self.config.activation) * value
        else:
            hidden = activate(hidden, self.config.activation)
        out: torch.Tensor = self.down(hidden)
        return out


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, tower: Tower, relative: int | None) -> None:
        super().__init__()
        width = tower.width
        self.norm1 = make_norm(tower.norm, width)
        self.attention = Attention(tower.attention, width, relative)
        self.norm2 = make_norm(tower.norm, width)
        self.mlp = MLP(tower.mlp, width)
        self.scale1 = nn.Parameter(torch.full((width,), 0.1)) if tower.layer_scale else None
        self.scale2 = nn.Parameter(torch.full((width,), 0.1)) if tower.layer_scale else None
        self._compiled: Steps | None = None

    def forward(self, x: torch.Tensor, scope: Scope) -> torch.Tensor:
        """[tokens, width] to the same."""
        steps: Steps = self._compiled or (self.before, self.after)
        before, after = steps
        # In one expression, so that q, k and v are gone afterwards.
        y = self.attention.attend(before(x, scope.angles, scope.gather), scope)
        out: torch.Tensor = after(x, y, scope.scatter)
        return out

    def before(
        self, x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor] | None, gather: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What comes before attention: to its q, k and v."""
        y = self.norm1(x)
        if gather is not None:
            # Padding is zero after the norm and takes part with the bias of q, k and v.
            y = functional.pad(y, (0, 0, 0, 1))[gather]
        return self.attention.project(y, angles)

    def after(self, x: torch.Tensor, attended: torch.Tensor, scatter: torch.Tensor | None) -> torch.Tensor:
        """What comes after attention, whose result is `attended`."""
        y = self.attention.out(attended.flatten(1))
        if scatter is not None:
            y = y[scatter]
        x = x + (y if self.scale1 is None else self.scale1 * y)
        y = self.mlp(self.norm2(x))
        out: torch.Tensor = x + (y if self.scale2 is None else self.scale2 * y)
        return out

    def compile(self, **options: Any) -> None:
        """Compiles what comes before and after attention, which is one kernel, or a loop over segments, and stays."""
        self._compiled = torch.compile(self.before, **options), torch.compile(self.after, **options)

    def __getstate__(self) -> dict[str, Any]:
        # Of this very block: a copy is compiled anew.
        return {**super().__getstate__(), "_compiled": None}  # type: ignore[no-untyped-call]
