"""What an encoder costs for an image, from its size alone: `Plan.cost`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmres.encoder.config import EncoderConfig
from vlmres.encoder.flops import projector_flops, tower_flops
from vlmres.encoder.grids import check_grids, output_grids
from vlmres.encoder.memory import projector_weights, tower_activations, tower_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres._core import Plan
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
    """Of all segments: before those over padding are dropped (LLaVA-NeXT), and without newlines and separators."""

    @property
    def bytes(self) -> int:
        """Memory of weights, input and activations together."""
        return self.input_bytes + self.weight_bytes + self.activation_bytes


def cost(plan: Plan, config: EncoderConfig, value_bytes: int) -> Cost:
    """What `Plan.cost` gives.

    Raises:
        TypeError: `config` is no encoder's.
        ValueError: The plan's patches are not the encoder's, or it is a video's.
    """
    if not isinstance(config, EncoderConfig):
        raise TypeError(f"config must be an EncoderConfig, as load_config gives it, got {type(config).__name__}")
    if plan.frames is not None:
        raise ValueError("the plan is of a video; the encoder takes images")
    if plan.recipe.patch_size != config.patch.size:
        found = f"{plan.recipe.name} has patches of {plan.recipe.patch_size} pixels"
        raise ValueError(f"{found}, {config.name} of {config.patch.size}")
    if value_bytes < 1:
        raise ValueError(f"value_bytes must be at least 1, got {value_bytes}")
    grids = [
        (view.patches.rows, view.patches.cols) for view in plan.views for _ in range(view.tiles.rows * view.tiles.cols)
    ]
    return grid_cost(grids, config, value_bytes)


def grid_cost(grids: Sequence[Grid], config: EncoderConfig, value_bytes: int) -> Cost:
    """The cost of segments of given (rows, cols) of patches.

    Raises:
        ValueError: A grid does not fit the encoder.
    """
    check_grids(config, grids)
    patches = sum(rows * cols for rows, cols in grids)
    width, merge = config.towers[0].width, config.merge
    flops, weights = 2 * patches * config.patch.dim * width, config.patch.dim * width + width
    activations = 0
    for index, tower in enumerate(config.towers):
        flops += tower_flops(tower, grids, merge if index == 0 else 1)
        weights += tower_weights(tower)
        activations = max(activations, tower_activations(tower, grids, value_bytes))
        grids = output_grids(tower, grids)
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
        input_bytes=patches * config.patch.dim,
        weight_bytes=weights * value_bytes,
        activation_bytes=activations,
        tokens=tokens,
    )
