"""Products that a forward pass takes, from grids alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmres.encoder.layout.grids import extra_tokens, halved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.encoder.config import Projector, Tower
    from vlmres.encoder.layout.grids import Grid


def tower_flops(tower: Tower, grids: Sequence[Grid], merge: int) -> int:
    """Of a tower's blocks and neck, for segments of given grids; `merge` is that of windows' cells."""
    windowed = sum(tower.windows_of(block) is not None for block in range(tower.blocks))
    total = windowed * _block_flops(tower, grids, merge, windowed=True) if windowed else 0
    total += (tower.blocks - windowed) * _block_flops(tower, grids, merge, windowed=False)
    return total + _neck_flops(tower, grids)


def _block_flops(tower: Tower, grids: Sequence[Grid], merge: int, *, windowed: bool) -> int:
    attention, mlp = tower.attention, tower.mlp
    inner = attention.heads * attention.head_dim
    qkv = inner + 2 * attention.kv_heads * attention.head_dim
    length = sum(rows * cols + extra_tokens(tower, rows * cols) for rows, cols in grids)
    attended = _attended(tower, grids, merge, windowed=windowed)
    seen = sum(count * size for count, size, _ in attended)
    total = 2 * length * (3 if mlp.gated else 2) * tower.width * mlp.hidden + 2 * seen * tower.width * (qkv + inner)
    total += sum(4 * inner * count * size * keys for count, size, keys in attended)
    return total + (_relative_flops(tower, grids, windowed=windowed) if tower.relative else 0)


def _attended(tower: Tower, grids: Sequence[Grid], merge: int, *, windowed: bool) -> list[tuple[int, int, int]]:
    """(count, queries, keys) of what attends together."""
    if not windowed or tower.windows is None:
        attended = []
        for rows, cols in grids:
            tokens, extra = rows * cols, extra_tokens(tower, rows * cols)
            if tower.queries:
                attended += [(1, tokens, tokens), (1, extra, tokens + extra)]
            else:
                attended.append((1, tokens + extra, tokens + extra))
        return attended
    size = tower.windows.size
    if tower.windows.kind == "pad":
        return [(-(-rows // size) * -(-cols // size), size * size, size * size) for rows, cols in grids]
    attended = []
    for rows, cols in grids:
        for height, tall in _cuts(rows // merge, size):
            for width, wide in _cuts(cols // merge, size):
                length = height * width * merge**2
                attended.append((tall * wide, length, length))
    return attended


def _cuts(cells: int, size: int) -> list[tuple[int, int]]:
    """(side, how many) of windows along an axis."""
    full, rest = divmod(cells, size)
    return [(size, full), (rest, int(rest > 0))]


def _relative_flops(tower: Tower, grids: Sequence[Grid], *, windowed: bool) -> int:
    """The products of each query with its distances to all rows and columns."""
    attention, size = tower.attention, tower.windows.size if tower.windows is not None else 0
    total = 0
    if windowed:
        grids = [(size, size)] * sum(-(-rows // size) * -(-cols // size) for rows, cols in grids)
    for rows, cols in grids:
        total += 2 * rows * cols * attention.heads * attention.head_dim * (rows + cols)
    return total


def _neck_flops(tower: Tower, grids: Sequence[Grid]) -> int:
    if tower.neck is None:
        return 0
    neck, total = tower.neck, 0
    for rows, cols in grids:
        total += 2 * rows * cols * neck.width * (tower.width + 9 * neck.width)
        before = neck.width
        for after in neck.strided:
            rows, cols = halved((rows, cols))
            total += 2 * rows * cols * 9 * before * after
            before = after
    return total


def projector_flops(projector: Projector, tokens: int, width: int) -> int:
    """Of a projector, for merged patches of `width` values."""
    total = 0
    for layer in projector.layers:
        total += 2 * tokens * width * layer.out
        width = layer.out
    return total
