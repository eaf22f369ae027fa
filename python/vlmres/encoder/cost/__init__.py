"""`Plan.cost`: the cost of encoding an image, from its size alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmres.encoder.config import EncoderConfig
from vlmres.encoder.cost.activations import embedding_activations, table_activations, tower_activations
from vlmres.encoder.cost.flops import projector_flops, tower_flops
from vlmres.encoder.cost.weights import projector_weights, tower_weights
from vlmres.encoder.layout.grids import check_grids, clip_grids, output_grids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres._core import Plan
    from vlmres.encoder.layout.grids import Grid


@dataclass(frozen=True)
class Cost:
    """The cost of a forward pass."""

    flops: int
    """Operations of matrix products, where a multiplication and an addition count as two. Attention counts q·k and
    weights·v in full.

    The extra dimensions that carry SAM's relative positions through the attention kernel do not count: a reference that
    adds a matrix of biases does not have them.
    """
    input_bytes: int
    """Bytes of the uint8 patches that go to the device; of videos with all frames."""
    weight_bytes: int
    """Bytes of the weights, each read once."""
    activation_bytes: int
    """Estimated peak of activation memory in bytes, in inference with a fused attention kernel."""
    tokens: int
    """Tokens of all segments, before padding tokens are dropped (LLaVA-NeXT), without newlines and separators."""

    @property
    def bytes(self) -> int:
        """Memory of weights, input and activations together."""
        return self.input_bytes + self.weight_bytes + self.activation_bytes


def plan_cost(plan: Plan, config: EncoderConfig, value_bytes: int) -> Cost:
    """What `Plan.cost` gives.

    Raises:
        TypeError: `config` is not an `EncoderConfig`.
        ValueError: The plan's patches are not the encoder's.
    """
    if not isinstance(config, EncoderConfig):
        raise TypeError(f"config must be an EncoderConfig, as load_config gives it, got {type(config).__name__}")
    if plan.recipe.patch_size != config.patch.size:
        found = f"{plan.recipe.name} has patches of {plan.recipe.patch_size} pixels"
        raise ValueError(f"{found}, {config.name} of {config.patch.size}")
    if value_bytes < 1:
        raise ValueError(f"value_bytes must be at least 1, got {value_bytes}")
    if plan.frames is None:
        tiles = [(view.patches, view.tiles.rows * view.tiles.cols) for view in plan.views]
        return grid_cost([(grid.rows, grid.cols) for grid, count in tiles for _ in range(count)], config, value_bytes)
    joins = config.towers[0].clip_frames is not None
    clips = [clip for times, *_ in plan.grid_thw for clip in ([times] if joins else [1] * times)]
    grids = [(rows, cols) for times, rows, cols in plan.grid_thw for _ in range(times)]
    return grid_cost(grids, config, value_bytes, clips=clips, frames=config.patch.frames)


def grid_cost(
    grids: Sequence[Grid],
    config: EncoderConfig,
    value_bytes: int,
    *,
    clips: Sequence[int] | None = None,
    frames: int = 1,
) -> Cost:
    """The cost of segments of given (rows, cols) of patches.

    Args:
        grids: Of the segments.
        config: The encoder's.
        value_bytes: Bytes of a weight or hidden value.
        clips: Numbers of segments along time that the encoder joins; by default segments are independent.
        frames: Frames in a patch.

    Raises:
        ValueError: A grid or clip does not fit the encoder.
    """
    check_grids(config, grids)
    clips = [1] * len(grids) if clips is None else clips
    patches = sum(rows * cols for rows, cols in grids)
    width, merge, dim = config.towers[0].width, config.merge, config.patch.dim
    flops, weights = 2 * patches * frames * dim * width, config.patch.frames * dim * width + width
    activations = embedding_activations(config.patch, width, patches, frames, value_bytes)
    for index, tower in enumerate(config.towers):
        activations = max(activations, table_activations(tower, grids, value_bytes))
        grids = clip_grids(tower, grids, clips)
        # A clip's segments attend to each other, as if they were stacked vertically.
        seen = [(count * rows, cols) for count, (rows, cols) in zip(clips, grids, strict=True)]
        flops += tower_flops(tower, seen, merge if index == 0 else 1)
        weights += tower_weights(tower)
        activations = max(activations, tower_activations(tower, seen, value_bytes))
        grids = output_grids(tower, grids)
        clips = [1] * len(grids)
    tokens = sum(rows * cols for rows, cols in grids) // merge**2
    if config.projector is not None:
        flops += projector_flops(config.projector, tokens, config.features * merge**2)
        weights += projector_weights(config.projector, config.features, merge)
    if config.deepstack is not None:
        taps = len(config.towers[0].taps)
        flops += taps * projector_flops(config.deepstack, tokens, width * merge**2)
        weights += taps * projector_weights(config.deepstack, width, merge)
    return Cost(
        flops=flops,
        input_bytes=patches * frames * dim,
        weight_bytes=weights * value_bytes,
        activation_bytes=activations,
        tokens=tokens,
    )
