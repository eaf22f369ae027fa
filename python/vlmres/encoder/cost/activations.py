"""Bytes that are alive during a forward pass, from grids alone: estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmres.encoder.layout.grids import extra_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.encoder.config import Patch, Tower
    from vlmres.encoder.layout.grids import Grid


_INDEX_BYTES = 8


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
