"""The parameters of a recipe that bound an image's resolution, and how far they can be lowered."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any, TypeAlias

from vlmres._core import Recipe, RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterator

Overrides: TypeAlias = "dict[str, Any]"

# Parameters of recipes: most pixels, patches or tokens of an image; its longest side; its tiles; the canvases that its
# tiles may fill.
_AREAS = ("max_pixels", "max_patches", "max_num_patches", "max_tokens", "max_soft_tokens", "max_image_tokens")
_SIDES = ("longest_edge", "max_image_size")
_TILES = ("max_tiles", "max_image_tiles", "max_slice_nums")
_CANVASES = ("image_grid_pinpoints", "candidate_resolutions")

# Neighbouring bounds of an area differ by this share; bounds of a side by half of it.
_STEP = 1.05


def bounds(recipe: Recipe) -> tuple[str, ...]:
    """The parameters that bound an image's resolution; none if the recipe gives every image the same resolution."""
    return tuple(name for name in (*_TILES, *_CANVASES, *_AREAS, *_SIDES) if name in recipe.params)


def area_bound(recipe: Recipe) -> tuple[str, int]:
    """The parameter that bounds an image's area, and the number of pixels in one of its units.

    Raises:
        RecipeError: The recipe has none.
    """
    for name in _AREAS:
        if name in recipe.params:
            unit = recipe.parameters[name].unit
            side = {"pixels": 1, "patches": recipe.patch_size, "tokens": recipe.patch_size * recipe.token_stride}[unit]
            return name, side**2
    known = ", ".join(bounds(recipe)) or "none"
    raise RecipeError(f"recipe {recipe.name!r} has no parameter that bounds an image's area (what bounds it: {known})")


def lowered(recipe: Recipe) -> list[tuple[Overrides, Recipe]]:
    """The recipe, then the recipe with lower and lower bounds: first fewer tiles, then smaller areas or sides."""
    found: list[tuple[Overrides, Recipe]] = [({}, recipe)]
    kept: Overrides = {}
    for name in bounds(recipe):
        for value in _lower(recipe, name):
            changed = _replaced(recipe, (*_frozen(kept), (name, _freeze(value))))
            if changed is not None:
                found.append(({**kept, name: value}, changed))
        kept = found[-1][0]
    return found


def _lower(recipe: Recipe, name: str) -> Iterator[Any]:
    """Lower values of a parameter, down to the lowest that may be possible."""
    value = recipe.params[name]
    if name in _CANVASES:
        by_area = sorted(value, key=lambda canvas: canvas[0] * canvas[1])
        for count in range(len(by_area) - 1, 0, -1):
            yield [canvas for canvas in value if canvas in by_area[:count]]
    elif name in _TILES:
        yield from range(value - 1, 0, -1)
    elif name in _SIDES:
        grain = recipe.params.get("tile_size", recipe.patch_size)
        yield from _falling(value, _STEP**0.5, grain)
    else:
        _, area = area_bound(recipe)
        yield from _falling(value, _STEP, max(1, (recipe.patch_size * recipe.token_stride) ** 2 // area))


def _falling(value: int, factor: float, grain: int) -> Iterator[int]:
    """Multiples of `grain` below `value`, each at least `factor` smaller than the one before."""
    last = value
    for power in itertools.count(1):
        now = int(value / factor**power) // grain * grain
        if now < grain:
            return
        if now < last:
            last = now
            yield now


def _freeze(value: Any) -> Any:
    return tuple(tuple(item) for item in value) if isinstance(value, list) else value


def _frozen(overrides: Overrides) -> tuple[tuple[str, Any], ...]:
    return tuple((name, _freeze(value)) for name, value in overrides.items())


@functools.lru_cache(maxsize=4096)
def _replaced(recipe: Recipe, overrides: tuple[tuple[str, Any], ...]) -> Recipe | None:
    """The recipe with other parameters; None if it does not allow them."""
    values = {name: [list(item) for item in value] if isinstance(value, tuple) else value for name, value in overrides}
    try:
        return recipe.replace(**values)
    except RecipeError:
        return None
