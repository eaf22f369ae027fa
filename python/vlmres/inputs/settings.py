"""Settings of one image of a call, in the words of qwen-vl-utils: `(image, {"max_pixels": 200_000})`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from vlmres._core import VlmresError, plan_like
from vlmres._core import plan as plan_size
from vlmres.inputs.errors import shown

if TYPE_CHECKING:
    from vlmres._core import Plan, Recipe

# Parameters of recipes that change nothing but the size to which an image is resized.
_BUDGETS = ("min_pixels", "max_pixels", "min_tokens", "max_tokens", "min_tiles", "max_tiles", "max_soft_tokens")
_SIDES = ("resized_width", "resized_height", "longest_side", "do_resize")


class Settled(NamedTuple):
    """An image with settings of its own."""

    image: Any
    settings: Mapping[str, Any]


def settled(image: Any) -> Settled | None:
    """The image and its settings, if it is a pair of both; None for anything else."""
    if isinstance(image, tuple) and len(image) == 2 and isinstance(image[1], Mapping):
        if "bytes" in image[1] or "path" in image[1]:
            return None  # a row of a data set
        return Settled(*image)
    return None


def plan_with(size: tuple[int, int], recipe: Recipe, settings: Mapping[str, Any]) -> Plan:
    """The plan of an image of `size` with settings of its own.

    Args:
        size: (width, height).
        recipe: The call's recipe.
        settings: Budgets of the recipe, such as `max_pixels`; or `resized_width` and `resized_height`, a size that the
            recipe then rounds and brings within its budgets; or `longest_side`, the longer side of such a size with the
            image's aspect ratio; or `do_resize=False`, for an image whose sides are whole merged patches.

    Raises:
        VlmresError: A setting is unknown, or does not fit this recipe or this size.
    """
    unknown = [key for key in settings if key not in (*_BUDGETS, *_SIDES)]
    if unknown:
        known = ", ".join((*_BUDGETS, *_SIDES))
        raise VlmresError(f"an image has no setting {shown(unknown[0])} of its own; it may have {known}")
    budgets = {key: settings[key] for key in _BUDGETS if key in settings}
    if settings.get("do_resize") is False:
        if len(settings) > 1:
            raise VlmresError("do_resize=False allows no other setting")
        return _unresized(size, recipe)
    changed = recipe.replace(**budgets) if budgets else recipe
    like = sides_of(size, settings)
    return plan_size(size, changed) if like is None else plan_like(size, like, changed)


def sides_of(size: tuple[int, int], settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """The size that the settings name for an image or a frame of `size`; None if they name none."""
    width, height, longest = (settings.get(key) for key in ("resized_width", "resized_height", "longest_side"))
    for name, side in (("resized_width", width), ("resized_height", height), ("longest_side", longest)):
        if side is not None and (isinstance(side, bool) or not isinstance(side, int) or side < 1):
            raise VlmresError(f"{name} must be a positive integer, got {shown(side)}")
    if (width is None) != (height is None):
        raise VlmresError("resized_width and resized_height come together")
    if width is not None and height is not None:
        if longest is not None:
            raise VlmresError("longest_side and resized_width exclude each other")
        return width, height
    if longest is None:
        return None
    scale = longest / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _unresized(size: tuple[int, int], recipe: Recipe) -> Plan:
    side = recipe.patch_size * recipe.merge_size
    pixels = size[0] * size[1]
    counts = {"pixels": pixels, "tokens": max(1, pixels // side**2)}
    budgets = {}
    for unit, count in counts.items():
        for name, choose in ((f"min_{unit}", min), (f"max_{unit}", max)):
            if name in recipe.params:
                budgets[name] = choose(count, recipe.params[name])
    plan = plan_like(size, size, recipe.replace(**budgets))
    if any(view.resized != size for view in plan.views):
        raise VlmresError(
            f"do_resize=False needs sides of whole merged patches, multiples of {side}, got {size[0]}x{size[1]}"
        )
    return plan
