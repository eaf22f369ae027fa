"""What an encoder costs for an image or a batch, from sizes alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from vlmres._core import Plan
from vlmres.encoder.grids import choose_queries, halved, output_grids

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmres.encoder.config import EncoderConfig, Projector, Tower
    from vlmres.encoder.grids import Grid


@dataclass(frozen=True)
class Cost:
    """What a forward pass takes."""

    flops: int
    """Of matrix products, a multiplication and an addition being two; attention's q·k and weights·v in full.

    The extra dimensions that carry SAM's relative positions through the attention kernel do not count: a reference that
    adds a matrix of biases does not have them.
    """
    input_bytes: int
    """uint8 patches that go to the device."""
    weight_bytes: int
    """Weights, each read once."""
    activation_bytes: int
    """Estimated peak beside weights and input, in inference with a fused attention kernel."""
    tokens: int
    """Visual tokens before newlines and separators."""

    @property
    def bytes(self) -> int:
        """Memory of weights, input and activations together."""
        return self.input_bytes + self.weight_bytes + self.activation_bytes


def cost(plan: Plan | Iterable[Plan], config: EncoderConfig, *, value_bytes: int = 2) -> Cost:
    """What a plan, or a batch of plans, costs on an encoder.

    Args:
        plan: One plan or several, encoded in one batch.
        config: The encoder's.
        value_bytes: Bytes of a weight and of an activation: 2 for bfloat16, 4 for float32.

    Raises:
        ValueError: A grid does not fit the encoder.
    """
    plans = [plan] if isinstance(plan, Plan) else list(plan)
    grids = [
        (view.patches.rows, view.patches.cols)
        for item in plans
        for view in item.views
        for _ in range(view.tiles.rows * view.tiles.cols)
    ]
    return grid_cost(grids, config, value_bytes=value_bytes)


def grid_cost(grids: Sequence[Grid], config: EncoderConfig, *, value_bytes: int = 2) -> Cost:
    """As `cost`, of segments of given (rows, cols) of patches."""
    patches = sum(rows * cols for rows, cols in grids)
    width = config.towers[0].width
    flops, weights = 2 * patches * config.patch.dim * width, config.patch.dim * width + width
    activations, merge = 0, config.merge
    for index, tower in enumerate(config.towers):
        for row_count, col_count in grids:
            if row_count % merge or col_count % merge:
                raise ValueError(f"{row_count}x{col_count} patches; {config.name} needs multiples of {merge}")
        flops += _tower_flops(tower, grids, merge if index == 0 else 1)
        weights += _tower_weights(tower)
        activations = max(activations, _tower_activations(tower, grids, value_bytes))
        grids = output_grids(tower, grids)
    tokens = sum(rows * cols for rows, cols in grids) // merge**2
    if config.projector is not None:
        flops += _projector_flops(config.projector, tokens, config.features * merge**2)
        weights += _projector_weights(config.projector, config.features, merge)
    if config.deepstack is not None:
        taps = len(config.towers[0].taps)
        flops += taps * _projector_flops(config.deepstack, tokens, width * merge**2)
        weights += taps * _projector_weights(config.deepstack, width, merge)
    return Cost(
        flops=flops,
        input_bytes=patches * config.patch.dim,
        weight_bytes=weights * value_bytes,
        activation_bytes=activations,
        tokens=tokens,
    )


def _extra(tower: Tower, tokens: int) -> int:
    if tower.queries:
        return tower.queries[choose_queries(tower, tokens)]
    return int(tower.cls)


def _tower_flops(tower: Tower, grids: Sequence[Grid], merge: int) -> int:
    attention, mlp = tower.attention, tower.mlp
    inner = attention.heads * attention.head_dim
    qkv = inner + 2 * attention.kv_heads * attention.head_dim
    length = sum(rows * cols + _extra(tower, rows * cols) for rows, cols in grids)
    dense = 2 * length * (3 if mlp.gated else 2) * tower.width * mlp.hidden
    total = 0
    for block in range(tower.blocks):
        windows = tower.windows if tower.windows is not None and block not in tower.windows.full else None
        lengths = _attended(tower, grids, merge, windowed=windows is not None)
        seen = sum(count * size for count, size, _ in lengths)
        total += dense + 2 * seen * tower.width * (qkv + inner)
        for count, size, keys in lengths:
            total += 4 * attention.heads * count * size * keys * attention.head_dim
        if tower.relative:
            total += _relative_flops(tower, grids, windowed=windows is not None)
    return total + _neck_flops(tower, grids)


def _attended(tower: Tower, grids: Sequence[Grid], merge: int, *, windowed: bool) -> list[tuple[int, int, int]]:
    """(count, queries, keys) of what attends together."""
    if not windowed or tower.windows is None:
        attended = []
        for rows, cols in grids:
            tokens, extra = rows * cols, _extra(tower, rows * cols)
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


def _projector_flops(projector: Projector, tokens: int, width: int) -> int:
    total = 0
    for layer in projector.layers:
        total += 2 * tokens * width * layer.out
        width = layer.out
    return total


def _norm_weights(kind: str, width: int) -> int:
    return width * (2 if kind == "layer" else 1)


def _projector_weights(projector: Projector, width: int, merge: int) -> int:
    merged, total = width * merge * merge, 0
    if projector.norm is not None:
        total += _norm_weights(projector.norm.kind, merged if projector.norm_merged else width)
    for layer in projector.layers:
        total += merged * layer.out + layer.bias * layer.out
        merged = layer.out
    return total


def _tower_weights(tower: Tower) -> int:
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
            windows = tower.windows if tower.windows is not None and block_index not in tower.windows.full else None
            total += 2 * (2 * (windows.size if windows is not None else tower.relative) - 1) * attention.head_dim
    if tower.neck is not None:
        neck = tower.neck
        total += neck.width * (width + 9 * neck.width) + 2 * _norm_weights(neck.norm.kind, neck.width)
        widths = (neck.width, *neck.strided)
        total += sum(9 * before * after for before, after in pairwise(widths))
    return total


def _tower_activations(tower: Tower, grids: Sequence[Grid], value_bytes: int) -> int:
    """Bytes alive at once in a block: what is kept of earlier steps, and q, k, v with their rotation, or the MLP."""
    attention, mlp = tower.attention, tower.mlp
    length = sum(rows * cols + _extra(tower, rows * cols) for rows, cols in grids)
    inner, pairs = attention.heads * attention.head_dim, attention.kv_heads * attention.head_dim
    heads = (inner + 2 * pairs) * value_bytes
    # Rotation is in float32: a copy of q and k where they are not, then both halves and a product.
    rotation = (inner + pairs) * (6 + (4 if value_bytes < 4 else 0)) if tower.rotary is not None else 0
    fused = (2 * inner + pairs) * value_bytes
    if tower.relative:
        fused += 2 * attention.heads * max(rows + cols for rows, cols in grids) * value_bytes
    copies = 4 if mlp.gated else 3 if mlp.activation == "quick_gelu" else 2
    kept = 6 + len(tower.features) + len(tower.taps)
    return length * (
        kept * tower.width * value_bytes + max(heads + max(rotation, fused), copies * mlp.hidden * value_bytes)
    )
