"""Attention that adds relative positions to the scores inside the kernel: torch's FlexAttention.

It is a kernel only where it is compiled, and so is that of compiled blocks; others append the positions to q and k.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from vlmres.encoder.layout.segments import QuerySegments, Segments

if TYPE_CHECKING:
    from collections.abc import Callable


class Bias(NamedTuple):
    """What is added to scores: of a query's products with all distances, one for the row and one for the column."""

    products: torch.Tensor
    """[tokens, heads, distances]."""
    bases: torch.Tensor
    """int32 [tokens, 2]: where a query's products with the distances to row 0 and to column 0 are."""
    places: torch.Tensor
    """int32 [tokens, 2]: row and column of a key."""


def adds_bias(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether compiled blocks use this: in bfloat16 and float16 on CUDA, from compute capability 8.0 on.

    Not where `VLMRES_ATTENTION` names a kernel.
    """
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16) or os.environ.get("VLMRES_ATTENTION"):
        return False
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


def attend_with_bias(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: Bias,
    segments: Segments | QuerySegments,
    scale: float,
    run: Callable[..., Any],
) -> torch.Tensor:
    """Attention of every token to its own segment.

    Args:
        q: [tokens, heads, head_dim].
        k: As q.
        v: As q.
        bias: What is added to scores.
        segments: Their bounds.
        scale: What products of q and k are multiplied by.
        run: `attend_run`, compiled.

    Returns:
        [tokens, heads, head_dim].
    """
    assert isinstance(segments, Segments)
    tensors: list[torch.Tensor] = [q, k, v, *bias]
    if segments.permutation is not None:
        tensors = [tensor[segments.permutation] for tensor in tensors]
    outputs, start = [], 0
    for count, length in segments.runs:
        end = start + count * length
        outputs.append(run(*(tensor[start:end].unflatten(0, (count, length)) for tensor in tensors), scale))
        start = end
    out = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return out if segments.inverse is None else out[segments.inverse]


def attend_run(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    products: torch.Tensor,
    bases: torch.Tensor,
    places: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Of segments of equal lengths: all [segments, tokens, …], to [segments * tokens, heads, head_dim]."""
    from torch.nn.attention.flex_attention import flex_attention

    products = products.transpose(1, 2)
    row_base, col_base = bases.unbind(2)
    rows, cols = places.unbind(2)

    def add(score: torch.Tensor, batch: Any, head: Any, query: Any, key: Any) -> torch.Tensor:
        by_row = products[batch, head, query, row_base[batch, query] - rows[batch, key]]
        by_col = products[batch, head, query, col_base[batch, query] - cols[batch, key]]
        return score + by_row + by_col

    out: Any = flex_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), score_mod=add, scale=scale)
    joined: torch.Tensor = out.transpose(1, 2).flatten(0, 1)
    return joined
