"""`fit_budget`: a resolution for each image of a prompt, so that all fit into a budget of tokens."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmres._core import Plan, PlanError, Recipe, VlmresError
from vlmres.planning.plans import plan
from vlmres.planning.resolution import bounds, lowered
from vlmres.planning.sizes import Sizable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres._types import RecipeName


@dataclass(frozen=True)
class BudgetFit:
    """The result of `fit_budget`; lists and arrays have an entry for each image, in order."""

    plans: list[Plan]
    """The plans. Pass an image's `plan.recipe` to a `Processor`."""
    limits: list[dict[str, Any]]
    """The parameters that were lowered, as overrides of the recipe; empty for images that were not changed."""
    tokens: NDArray[np.int64]
    """Tokens of each, int64 (n,)."""
    taken: NDArray[np.int64]
    """Tokens by which each was reduced, int64 (n,)."""
    reasons: list[str]
    """The reason for each image's resolution."""
    max_tokens: int
    """The budget."""

    @property
    def total(self) -> int:
        """Tokens of all."""
        return int(self.tokens.sum())

    def __str__(self) -> str:
        lines = [f"{self.total:,} of {self.max_tokens:,} tokens"]
        for number, (planned, why) in enumerate(zip(self.plans, self.reasons, strict=True)):
            width, height = planned.size
            lines.append(f"image {number}, {width}x{height}: {planned.num_tokens:,} tokens: {why}")
        return "\n".join(lines)


class _Choice(NamedTuple):
    """A resolution that an image may have."""

    tokens: int
    detail: float
    """Logarithm of the number of pixels that the finest view keeps apart, at most those of the image."""
    enlarged: float
    """Scale of the finest view: above 1 it enlarges the image, below 1 it shrinks it."""
    limits: dict[str, Any]
    plan: Plan


def fit_budget(
    sizes: Sequence[Sizable],
    recipe: Recipe | RecipeName | str,
    max_tokens: int,
    *,
    include_markers: bool = True,
    max_enlarge: float | None = None,
    min_tokens: int = 1,
) -> BudgetFit:
    """Chooses a resolution for each image of a prompt, so that all together have at most `max_tokens` tokens.

    An image's detail is the number of its pixels that the finest view keeps apart; its loss is the decrease of the
    logarithm of that number. Tokens are removed where the loss per token is smallest: first where an image is only
    enlarged, then from the largest images. The parameters that bound an image's resolution are lowered
    (`Recipe.parameters` lists them), so tile recipes lose tiles and native recipes lose pixels. No image falls below
    the recipe's own minimum.

    Args:
        sizes: (width, height) of each image, or a path, bytes or a PIL image, as of `vlmres.plan`.
        recipe: A recipe or the name of one.
        max_tokens: The budget.
        include_markers: Whether separators, newlines, start and end tokens count, as in `Plan.num_tokens`, or only
            `Plan.num_visual_tokens`.
        max_enlarge: Most enlargement of a side, whether or not the budget is short. An image that would be enlarged
            more gets the finest resolution within this limit, or its smallest. InternVL2 gives a line of text of 128x16
            pixels eight tiles and 2,306 tokens; with `max_enlarge=2` it gets one tile and 258 tokens.
        min_tokens: No image is reduced below this many tokens; an image that has fewer is not changed.

    Raises:
        ValueError: The images cannot fit; the message names the least possible number of tokens, and says if the recipe
            gives every image the same number. Or an argument has an unsupported value.
        PlanError: An image cannot be planned; the message names it.
        TypeError: `max_tokens` or `min_tokens` is not an integer, or a size is not a size.
    """
    loaded = Recipe.load(recipe) if isinstance(recipe, str) else recipe
    for name, value, least in (("max_tokens", max_tokens, 0), ("min_tokens", min_tokens, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if max_enlarge is not None and not 0 < max_enlarge < math.inf:
        raise ValueError(f"max_enlarge must be positive and finite, got {max_enlarge}")
    images = [_image_size(number, size, loaded) for number, size in enumerate(sizes)]
    known: dict[tuple[int, int], list[_Choice]] = {}
    ladders: list[list[_Choice]] = []
    for number, size in enumerate(images):
        if size not in known:
            known[size] = _choices(number, size, loaded, len(images), include_markers, min_tokens)
        ladders.append(known[size])
    first = [0 if max_enlarge is None else _guarded(ladder, max_enlarge) for ladder in ladders]
    chosen = _fit(ladders, first, int(max_tokens), loaded)
    picked = [ladder[at] for ladder, at in zip(ladders, chosen, strict=True)]
    tokens = np.array([choice.tokens for choice in picked], dtype=np.int64)
    before = np.array([ladder[0].tokens for ladder in ladders], dtype=np.int64)
    whys = [
        _reason(ladder, guarded, at, max_enlarge) for ladder, guarded, at in zip(ladders, first, chosen, strict=True)
    ]
    plans, limits = [choice.plan for choice in picked], [dict(choice.limits) for choice in picked]
    return BudgetFit(plans, limits, tokens, before - tokens, whys, int(max_tokens))


def _image_size(number: int, size: Sizable, recipe: Recipe) -> tuple[int, int]:
    try:
        planned = plan(size, recipe)
    except (VlmresError, TypeError) as error:
        raise type(error)(f"image {number}: {error}") from None
    if planned.frames is not None:
        raise TypeError(f"image {number}: fit_budget takes images, got the size of a video {size}")
    return planned.size


def _choices(
    number: int, size: tuple[int, int], recipe: Recipe, images: int, markers: bool, least: int
) -> list[_Choice]:
    """The recipe's own resolution, then others of fewer and fewer tokens, each with the most detail for them."""
    found: list[_Choice] = []
    for limits, changed in lowered(recipe):
        try:
            planned = plan(size, changed, images)
        except PlanError as error:
            if not limits:
                raise PlanError(f"image {number}: {error}") from None
            continue
        tokens = planned.num_tokens if markers else planned.num_visual_tokens
        found.append(_Choice(tokens, *_detail(planned), limits, planned))
    own, lower = found[0], sorted(found[1:], key=lambda choice: (choice.tokens, -choice.detail), reverse=True)
    result = [own]
    for at, choice in enumerate(lower):
        if choice.tokens >= result[-1].tokens or choice.tokens < min(least, own.tokens):
            continue
        # No other resolution has as much detail with as few tokens.
        if all(other.detail < choice.detail or other.tokens >= choice.tokens for other in lower[at + 1 :]):
            result.append(choice)
    return result


def _detail(planned: Plan) -> tuple[float, float]:
    """Logarithm of the number of pixels that the finest view keeps apart, and the scale of that view."""
    width, height = planned.size
    # Crops show parts of the image; together they count as one view.
    crops = math.sqrt(sum(view.resized.width * view.resized.height for view in planned.views if view.role == "crop"))
    scales = [
        (view.resized.width / width, view.resized.height / height) for view in planned.views if view.role != "crop"
    ]
    if crops:
        scale = crops / math.sqrt(width * height)
        scales.append((scale, scale))
    return max(
        (math.log(min(across, 1) * width * min(down, 1) * height), math.sqrt(across * down)) for across, down in scales
    )


def _guarded(ladder: list[_Choice], most: float) -> int:
    """The index of the first resolution that enlarges by at most `most`, or of the last."""
    return next((at for at, choice in enumerate(ladder) if choice.enlarged <= most), len(ladder) - 1)


def _fit(ladders: list[list[_Choice]], first: list[int], budget: int, recipe: Recipe) -> list[int]:
    """The index of each image's resolution."""
    chosen = list(first)
    total = sum(ladder[at].tokens for ladder, at in zip(ladders, chosen, strict=True))
    least = sum(ladder[-1].tokens for ladder in ladders)
    if least > budget:
        raise ValueError(_too_many(ladders, least, budget, recipe))
    heap = [(*_next(ladder, at), number) for number, (ladder, at) in enumerate(zip(ladders, chosen, strict=True))]
    heapq.heapify(heap)
    while total > budget:
        _, at, number = heapq.heappop(heap)
        ladder = ladders[number]
        total += ladder[at].tokens - ladder[chosen[number]].tokens
        chosen[number] = at
        heapq.heappush(heap, (*_next(ladder, at), number))
    # If the last step removed too much, the remaining tokens go to the images that gain the most.
    while True:
        gains = [
            (ladder[at].detail - ladder[now].detail, -number, at)
            for number, (ladder, now, top) in enumerate(zip(ladders, chosen, first, strict=True))
            for at in [_raised(ladder, now, top, budget - total)]
            if at < now
        ]
        if not gains:
            return chosen
        _, negative, at = max(gains)
        total += ladders[-negative][at].tokens - ladders[-negative][chosen[-negative]].tokens
        chosen[-negative] = at


def _next(ladder: list[_Choice], at: int) -> tuple[float, int]:
    """The smallest loss per token of a step down, and the index it leads to; infinite at the last resolution."""
    now = ladder[at]
    steps = [
        ((now.detail - choice.detail) / (now.tokens - choice.tokens), below)
        for below, choice in enumerate(ladder[at + 1 :], at + 1)
    ]
    return min(steps, key=lambda step: (step[0], -step[1]), default=(math.inf, at))


def _raised(ladder: list[_Choice], now: int, top: int, room: int) -> int:
    """The best resolution from `top` on that has more detail and needs at most `room` more tokens."""
    for at in range(top, now):
        if ladder[at].tokens - ladder[now].tokens <= room and ladder[at].detail > ladder[now].detail:
            return at
    return now


def _too_many(ladders: list[list[_Choice]], least: int, budget: int, recipe: Recipe) -> str:
    message = f"{len(ladders)} images need at least {least} tokens with {recipe.name}, max_tokens is {budget}"
    if not any(len(ladder) > 1 for ladder in ladders):
        known = ", ".join(bounds(recipe))
        why = f"{known} does not change them" if known else "no parameter bounds an image's resolution"
        return f"{message}; the recipe's tokens are fixed: {why}"
    return message


def _reason(ladder: list[_Choice], guarded: int, at: int, most: float | None) -> str:
    own, now = ladder[0], ladder[at]
    if at == 0:
        return "as the recipe has it" if len(ladder) > 1 else "fixed by the recipe"
    what = f"{own.tokens - now.tokens:,} of {own.tokens:,} tokens taken ({_named(now.limits)})"
    lost = 1 - math.exp(now.detail - own.detail)
    why = "they only enlarged it" if lost < 1e-9 else f"it keeps {100 * (1 - lost):.0f} % of the pixels it had"
    if at == guarded and most is not None:
        kept = f"over max_enlarge={most:g} still" if now.enlarged > most else f"within max_enlarge={most:g}"
        return f"{what}: {why}; enlarged {now.enlarged:.3g} times, not {own.enlarged:.3g}, {kept}"
    return f"{what}: {why}"


def _named(limits: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} of {len(value)} canvases" if isinstance(value, list) else f"{name}={value}"
        for name, value in limits.items()
    )
