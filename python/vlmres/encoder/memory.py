"""Values of weights, and what is alive during a forward pass, from grids alone."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from vlmres.encoder.grids import extra_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.encoder.config import Patch, Projector, Tower
    from vlmres.encoder.grids import Grid


_INDEX_BYTES = 8


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


def embedding_activations(patch: Patch, width: int, patches: int, frames: int, value_bytes: int) -> int:
    """Bytes alive when patches become vectors: their values, the vectors, and the kernel of still images."""
    folded = patch.dim * width if frames < patch.frames else 0
    return (patches * (frames * patch.dim + width) + folded) * value_bytes


def table_activations(tower: Tower, grids: Sequence[Grid], value_bytes: int) -> int:
    """Bytes alive when a learned table is resampled: vectors, and float32 copies of table and sums."""
    table, width = tower.table, tower.width
    if table is None:
        return 0
    vectors = sum(rows * cols for rows, cols in grids) * width
    if value_bytes >= 4:
        return 2 * vectors * value_bytes
    return vectors * value_bytes + 4 * (table.rows * table.cols * width + vectors)


def tower_activations(tower: Tower, grids: Sequence[Grid], value_bytes: int) -> int:
    """Bytes alive at once in a block: what is kept of earlier steps, and q, k, v with their rotation, or the MLP."""
    attention, mlp = tower.attention, tower.mlp
    length = sum(rows * cols + extra_tokens(tower, rows * cols) for rows, cols in grids)
    inner, pairs = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    heads = (inner + 2 * pairs) * value_bytes
    # Rotation is in float32: a copy of q and k where they are not, then both halves and a product.
    rotation = (inner + pairs) * (6 + (4 if value_bytes < 4 else 0)) if tower.rotary is not None else 0
    fused = (2 * inner + pairs) * value_bytes
    attended = length * (heads + max(rotation, fused))
    if tower.relative:
        scopes = _relative_scopes(tower, grids)
        attended = max(_relative(tower, *seen) for seen in scopes) * value_bytes
        attended += sum(tokens * dims for tokens, dims, _ in scopes) * _INDEX_BYTES
    copies = 4 if mlp.gated else 3 if mlp.activation == "quick_gelu" else 2
    kept = 6 + len(tower.features) + len(tower.taps)
    return length * kept * tower.width * value_bytes + max(attended, length * copies * mlp.hidden * value_bytes)


def _relative_scopes(tower: Tower, grids: Sequence[Grid]) -> list[tuple[int, int, int]]:
    """Tokens, dimensions that carry rows and columns, and distances, of full blocks and of windowed ones."""
    sides = [set(axis) for axis in zip(*grids, strict=True)]
    # All segments of a batch have as many dimensions as the tallest and the widest need.
    dims = sum(map(max, sides))
    scopes = [(sum(rows * cols for rows, cols in grids), dims, sum(2 * side - 1 for axis in sides for side in axis))]
    if tower.windows is not None:
        size = tower.windows.size
        windows = sum(-(-rows // size) * -(-cols // size) for rows, cols in grids)
        scopes.append((windows * size**2, 2 * size, 2 * (2 * size - 1)))
    return scopes


def _relative(tower: Tower, tokens: int, dims: int, distances: int) -> int:
    """Values of q, k and v, and of products with distances, or of q, k and v with what carries relative positions."""
    heads, head_dim = tower.attention.heads, tower.attention.head_dim
    return tokens * heads * (3 * head_dim + dims + max(distances, 3 * (head_dim + dims)))
