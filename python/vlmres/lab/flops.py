"""FLOPs of encoders, for recipes whose published checkpoint is known."""

from __future__ import annotations

import functools
import importlib.resources
import json
from typing import TYPE_CHECKING, Any

from vlmres.encoder import load_config

if TYPE_CHECKING:
    from vlmres._core import Plan
    from vlmres.encoder.config import EncoderConfig


def encoder_of(recipe: str) -> str | None:
    """The checkpoint whose encoder is counted for a recipe; None if none is known."""
    name: str | None = _published()["recipes"].get(recipe)
    return name


def encoder_flops(plan: Plan) -> int | None:
    """FLOPs of encoding an image (`Plan.cost`); None if the recipe's encoder is not known."""
    name = encoder_of(plan.recipe.name)
    if name is None:
        return None
    return plan.cost(_config(name)).flops


@functools.cache
def _published() -> Any:
    """`config.json` of checkpoints, shortened to their encoders, and which recipe has which."""
    return json.loads(importlib.resources.files("vlmres.lab").joinpath("encoders.json").read_text(encoding="utf-8"))


@functools.cache
def _config(name: str) -> EncoderConfig:
    return load_config(_published()["configs"][name])
