"""How many values a model's weights are."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmres.encoder.config import Projector, Tower


def _norm_weights(kind: str, width: int) -> int:
    return width * (2 if kind == "layer" else 1)


def projector_weights(projector: Projector, width: int, merge: int) -> int:
    """Values of a projector of merge² patches of `width`."""
    merged, total = width * merge * merge, 0
    if projector.norm is not None:
        total += _norm_weights(projector.norm.kind, merged if projector.norm_merged else width)
    for layer in projector.layers:
        total += merged * layer.out + layer.bias * layer.out
        merged = layer.out
    return total


def tower_weights(tower: Tower) -> int:
    """Values of a tower, without the patch embedding."""
    attention, mlp, width = tower.attention, tower.mlp, tower.width
    inner, pairs = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    block = 2 * _norm_weights(tower.norm.kind, width) + 2 * width * tower.layer_scale
    block += (width + attention.bias) * (inner + 2 * pairs) + (inner + attention.out_bias) * width
    block += (width + mlp.bias) * mlp.hidden * (2 if mlp.gated else 1) + (mlp.hidden + mlp.bias) * width
    if attention.qk_norm is not None:
        block += inner + pairs
    total = tower.blocks * block + width * (tower.cls + sum(tower.queries))
    if tower.table is not None:
        total += (tower.table.rows * tower.table.cols + tower.cls) * width
    for norm in (tower.pre_norm, None if tower.features else tower.final_norm):
        total += 0 if norm is None else _norm_weights(norm.kind, width)
    if tower.relative:
        for block_index in range(tower.blocks):
            windows = tower.windows_of(block_index)
            total += 2 * (2 * (windows.size if windows is not None else tower.relative) - 1) * attention.head_dim
    if tower.neck is not None:
        neck = tower.neck
        total += neck.width * (width + 9 * neck.width) + 2 * _norm_weights(neck.norm.kind, neck.width)
        widths = (neck.width, *neck.strided)
        total += sum(9 * before * after for before, after in pairwise(widths))
    return total
