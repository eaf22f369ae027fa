"""Tiles of grids that are given, where vLLM's own code chooses them.

Its functions go through candidates in the order of a Python set, which decides between equals. So they choose here as
well, for no more than what counting an image's tokens costs, and vlmres computes the tiles.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

from vlmres._core import Recipe
from vlmres.integrations.operations.lazy import unread
from vlmres.processor import DType, Processor

Grid = tuple[int, int]

_RECIPE = """
[chosen-tiles]
extends = "internvl2"
title = "Tiles of given grids"
reference = "vllm InternVLImageProcessor and its subclasses"

[chosen-tiles.params]
arithmetic = "pillow"
has_first = true
has_second = true
first = [[448, 448]]
second = [[448, 448]]

[[chosen-tiles.views]]
role = "tile"
enabled = "$has_first"
tiles.size = ["$image_size", "$image_size"]
tiles.search = { kind = "pinpoints", candidates = "$first", width_first = true }
steps = [{ kind = "squash", to = "grid" }]

[[chosen-tiles.views]]
role = "tile"
enabled = "$has_second"
tiles.size = ["$image_size", "$image_size"]
tiles.search = { kind = "pinpoints", candidates = "$second", width_first = true }
steps = [{ kind = "squash", to = "grid" }]

[[chosen-tiles.views]]
role = "global"
enabled = "$use_thumbnail"
steps = [{ kind = "squash", to = ["$image_size", "$image_size"] }]
"""


class Tiling(NamedTuple):
    """The grids of an image as (columns, rows), and whether the whole image comes after their tiles."""

    first: Grid | None
    second: Grid | None
    thumbnail: bool


def tiler(image_size: int, dtype: DType, **normalisation: Any) -> Processor:
    """A processor for `tiles`. An image's tiles are squares of `image_size` pixels."""
    canvas = [[image_size, image_size]]
    recipe = Recipe.from_toml(_RECIPE, image_size=image_size, first=canvas, second=canvas, **normalisation)
    return Processor(recipe, dtype=dtype, arithmetic="pillow-installed")


def tiles(processor: Processor, images: Sequence[Any], tilings: Sequence[Tiling]) -> list[Any]:
    """The tiles of each image as a tensor, of one buffer."""
    recipes = [_recipe(processor.recipe, tiling) for tiling in tilings]
    batch = processor._process(unread(images), None, recipes=recipes)
    return list(batch.torch()["pixel_values"].split([plan.num_tiles for plan in batch.plans if plan]))


@functools.lru_cache(maxsize=1024)
def _recipe(recipe: Recipe, tiling: Tiling) -> Recipe:
    size = recipe.params["image_size"]

    def canvas(grid: Grid | None) -> list[list[int]]:
        columns, rows = grid or (1, 1)
        return [[columns * size, rows * size]]

    return recipe.replace(
        has_first=tiling.first is not None,
        has_second=tiling.second is not None,
        first=canvas(tiling.first),
        second=canvas(tiling.second),
        use_thumbnail=tiling.thumbnail,
    )
