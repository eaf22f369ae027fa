"""Transformer blocks on a packed sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from vlmres.encoder.layout.segments import QuerySegments, Segments
from vlmres.encoder.nn.attention import attend
from vlmres.encoder.nn.biased_attention import Bias, adds_bias, attend_run, attend_with_bias
from vlmres.encoder.nn.positions import RelativePositions, rotate

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmres.encoder import config as configs
    from vlmres.encoder.config import Activation, Norm, Tower

    Projected = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]


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


class Relative(NamedTuple):
    """What relative positions need to know of the segments."""

    sides: tuple[tuple[int, ...], tuple[int, ...]]
    """Each number of rows, and of columns, that there is."""
    chosen: torch.Tensor
    """int64 [tokens, 1, dims]: of a query's products with all distances, those that are its extra dimensions."""
    codes: torch.Tensor
    """[tokens, 1, dims], of the keys."""
    bases: torch.Tensor
    """int32 [tokens, 2]: as of `Bias`."""
    places: torch.Tensor


class Padded(NamedTuple):
    """Windows that are filled up with padding."""

    gather: torch.Tensor
    """int64: the place of each token of the windows in the sequence; 0 where it is padding."""
    is_padding: torch.Tensor
    """bool [windows' tokens, 1]."""
    scatter: torch.Tensor
    """int64: the place of each token of the sequence in the windows."""


@dataclass
class Scope:
    """What tokens a block's attention sees; shared by all blocks of a kind."""

    segments: Segments | QuerySegments
    angles: tuple[torch.Tensor, torch.Tensor] | None = None
    """Cosines and sines, float32 [tokens, 1, head_dim / 2]."""
    relative: Relative | None = None
    padded: Padded | None = None


class Attention(nn.Module):
    """Multi-head attention inside segments; one matrix makes q, k and v."""

    def __init__(self, config: configs.Attention, width: int, relative: int | None) -> None:
        super().__init__()
        self.config = config
        heads, pairs = config.heads * config.head_dim, config.kv_heads * config.head_dim
        self.qkv = nn.Linear(width, heads + 2 * pairs, bias=config.bias)
        self.out = nn.Linear(heads, width, bias=config.out_bias)
        self.q_norm = make_norm(config.qk_norm, heads)
        self.k_norm = make_norm(config.qk_norm, pairs)
        self.relative = RelativePositions(relative, config.head_dim) if relative else None

    def project(
        self,
        x: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor] | None,
        padded: Padded | None,
        distances: torch.Tensor | None,
        extra: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> Projected:
        """[tokens, width] to what the kernel takes as q, k and v, [tokens, heads, head_dim] each.

        With `distances`, products of q with them too, [tokens, heads, distances]. With what is chosen of those and the
        codes of a `Relative`, `extra`, they are dimensions of q and k instead, for which v gets zeros.
        """
        config = self.config
        heads, kv_heads = config.heads, config.kv_heads
        qkv = self.qkv(x)
        products = None
        if self.relative is not None and distances is not None:
            products = self.relative(qkv[:, : heads * config.head_dim].unflatten(1, (heads, -1)), distances)
        if padded is not None:
            # Padding is zero after the norm, and takes part with the bias alone.
            bias = 0.0 if self.qkv.bias is None else self.qkv.bias.to(qkv.dtype)
            qkv = torch.where(padded.is_padding, bias, qkv[padded.gather])
            products = None if products is None else products[padded.gather]
        qkv = qkv.unflatten(-1, (-1, config.head_dim))
        if config.qk_norm is None and angles is not None:
            q, k = rotate(qkv[:, : heads + kv_heads], *angles).split([heads, kv_heads], dim=1)
            return q, k, qkv[:, heads + kv_heads :], None
        q, k, v = qkv.split([heads, kv_heads, kv_heads], dim=1)
        if config.qk_norm is not None:
            q, k = (norm(part.flatten(1)).view_as(part) for norm, part in ((self.q_norm, q), (self.k_norm, k)))
        if angles is not None:
            q, k = rotate(q, *angles), rotate(k, *angles)
        if products is not None and extra is not None:
            chosen, codes = extra
            products = products.gather(2, chosen.expand(-1, heads, -1))
            q = torch.cat([q * self.scale, products], dim=-1)
            k = torch.cat([k, codes.to(k.dtype).expand(-1, kv_heads, -1)], dim=-1)
            return q, k, functional.pad(v, (0, chosen.shape[2])), None
        return q, k, v, products

    @property
    def scale(self) -> float:
        """What products of q and k are multiplied by."""
        return float(self.config.head_dim**-0.5)

    def join(self, attended: torch.Tensor, padded: Padded | None) -> torch.Tensor:
        """The kernel's result, [tokens, heads, head_dim] or more, to [tokens, width]."""
        if self.relative is not None:
            attended = attended[..., : self.config.head_dim]
        if padded is not None:
            attended = attended[padded.scatter]
        out: torch.Tensor = self.out(attended.flatten(1))
        return out


class MLP(nn.Module):
    """The feed-forward part."""

    def __init__(self, config: configs.MLP, width: int) -> None:
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


class Steps(NamedTuple):
    """A block's parts, compiled or not."""

    before: Callable[..., Any]
    after: Callable[..., Any]
    attend_run: Callable[..., Any] | None
    """Attention that adds relative positions to scores, where it is compiled."""


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
        steps = self._compiled or Steps(self.before, self.after, None)
        y = self._attend(x, scope, steps)
        out: torch.Tensor = steps.after(x, y, scope.padded)
        return out

    def _attend(self, x: torch.Tensor, scope: Scope, steps: Steps) -> torch.Tensor:
        """[tokens, width] to the kernel's result."""
        scale, positions, relative = self.attention.scale, self.attention.relative, scope.relative
        if positions is None or relative is None:
            q, k, v, _ = steps.before(x, scope.angles, scope.padded, None, None)
            return attend(q, k, v, scope.segments, scale)
        distances = positions.distances(relative.sides)
        # Gradients of the bias are not known to work in every torch.
        if steps.attend_run is None or torch.is_grad_enabled() or not adds_bias(x.device, x.dtype):
            extra = relative.chosen, relative.codes
            q, k, v, _ = steps.before(x, scope.angles, scope.padded, distances, extra)
            return attend(q, k, v, scope.segments, 1.0)
        q, k, v, products = steps.before(x, scope.angles, scope.padded, distances, None)
        bias = Bias(products, relative.bases, relative.places)
        return attend_with_bias(q, k, v, bias, scope.segments, scale, steps.attend_run)

    def before(
        self,
        x: torch.Tensor,
        angles: tuple[torch.Tensor, torch.Tensor] | None,
        padded: Padded | None,
        distances: torch.Tensor | None,
        extra: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> Projected:
        """What comes before attention: as of `Attention.project`."""
        return self.attention.project(self.norm1(x), angles, padded, distances, extra)

    def after(self, x: torch.Tensor, attended: torch.Tensor, padded: Padded | None) -> torch.Tensor:
        """What comes after attention, whose result is `attended`."""
        y = self.attention.join(attended, padded)
        x = x + (y if self.scale1 is None else self.scale1 * y)
        y = self.mlp(self.norm2(x))
        out: torch.Tensor = x + (y if self.scale2 is None else self.scale2 * y)
        return out

    def compile(self, **options: Any) -> None:
        """Compiles what comes before and after attention, which is one kernel, or a loop over segments, and stays.

        Attention with relative positions is compiled too.
        """
        self._compiled = Steps(
            torch.compile(self.before, **options),
            torch.compile(self.after, **options),
            torch.compile(attend_run, **options) if self.attention.relative is not None else None,
        )

    def __getstate__(self) -> dict[str, Any]:
        # Of this very block: a copy is compiled anew.
        return {**super().__getstate__(), "_compiled": None}  # type: ignore[no-untyped-call]
