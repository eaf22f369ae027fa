"""Budgets of prompts: never exceeded, never below an image's minimum, and taken where it loses least."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vlmres

NATIVE = ["qwen2-vl", "qwen3-vl", "nativeres-llava", "pixtral", "gemma4", "kimi-vl"]
TILES = ["internvl2", "llava-next", "deepseek-ocr-gundam", "idefics3", "minicpm-v-4.6", "lfm2-vl", "step3"]
SIDES = st.integers(28, 3000)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(SIDES, SIDES).filter(lambda size: max(size) < 30 * min(size)), min_size=1, max_size=6),
    st.sampled_from([*NATIVE, *TILES]),
    st.floats(0.05, 1.2),
    st.booleans(),
)
def test_the_budget_is_never_exceeded_and_every_image_keeps_its_minimum(
    sizes: list[tuple[int, int]], recipe: str, share: float, markers: bool
) -> None:
    def count(planned: vlmres.Plan) -> int:
        return planned.num_tokens if markers else planned.num_visual_tokens

    own = [count(vlmres.plan(size, recipe, len(sizes))) for size in sizes]
    budget = int(sum(own) * share)
    try:
        fit = vlmres.fit_budget(sizes, recipe, budget, include_markers=markers)
    except ValueError as error:
        least = int(str(error).split(" tokens")[0].rsplit(" ", 1)[1])
        assert least > budget
        # The least is possible, and so is each image's share of it.
        fit = vlmres.fit_budget(sizes, recipe, least, include_markers=markers)
        assert fit.total == least
        return
    assert fit.total == fit.tokens.sum() <= budget
    assert [count(planned) for planned in fit.plans] == fit.tokens.tolist()
    assert (fit.tokens + fit.taken).tolist() == own
    loaded = vlmres.Recipe.load(recipe)
    for planned, limits, size, taken in zip(fit.plans, fit.limits, sizes, fit.taken, strict=True):
        assert planned == vlmres.plan(size, loaded.replace(**limits), len(sizes))
        assert planned.num_tokens >= 1
        assert bool(limits) == (taken != 0)
    if budget >= sum(own):
        assert not fit.taken.any()


def test_the_largest_give_first() -> None:
    fit = vlmres.fit_budget([(640, 480), (4000, 3000), (400, 400)], "qwen2-vl", 4000)
    assert fit.taken[0] == fit.taken[2] == 0
    assert fit.total > 3800
    assert list(fit.limits[1]) == ["max_pixels"]
    assert fit.reasons[0] == "as the recipe has it"
    assert "tokens taken (max_pixels=" in fit.reasons[1]
    assert "image 1, 4000x3000" in str(fit)


def test_equal_images_have_nearly_equal_tokens() -> None:
    fit = vlmres.fit_budget([(3000, 2000)] * 5, "qwen2-vl", 5000)
    assert fit.tokens.min() > 0.9 * fit.tokens.max()
    assert fit.total > 4700


def test_tokens_that_only_enlarge_go_first() -> None:
    # The page needs its seven tiles; the icon is enlarged 28 times.
    fit = vlmres.fit_budget([(1240, 1754), (128, 16)], "internvl2", 2100)
    assert fit.taken.tolist() == [0, 2048]
    assert "they only enlarged it" in fit.reasons[1]


def test_the_guard_against_inflation() -> None:
    unguarded = vlmres.fit_budget([(128, 16), (4000, 3000)], "internvl2", 100_000)
    assert unguarded.tokens.tolist() == [2306, 3330]
    fit = vlmres.fit_budget([(128, 16), (4000, 3000)], "internvl2", 100_000, max_enlarge=2)
    assert fit.tokens.tolist() == [258, 3330]
    assert fit.limits == [{"max_tiles": 1}, {}]
    assert "not 28, over max_enlarge=2 still" in fit.reasons[0]
    # An image that need not be enlarged so much keeps the finest resolution within the guard.
    fit = vlmres.fit_budget([(640, 480)], "internvl2", 100_000, max_enlarge=2)
    assert vlmres.plan((640, 480), "internvl2").views[0].resized == (1792, 1344)
    assert fit.plans[0].views[0].resized == (1344, 896)
    assert fit.reasons[0].endswith("enlarged 1.98 times, not 2.8, within max_enlarge=2")


def test_a_floor_of_tokens() -> None:
    sizes = [(3000, 2000), (300, 200), (28, 28)]
    fit = vlmres.fit_budget(sizes, "qwen2-vl", 500, min_tokens=100)
    own = [vlmres.plan(size, "qwen2-vl").num_tokens for size in sizes]
    assert all(tokens >= min(100, before) for tokens, before in zip(fit.tokens.tolist(), own, strict=True))
    with pytest.raises(ValueError, match="3 images need at least"):
        vlmres.fit_budget(sizes, "qwen2-vl", 100, min_tokens=100)


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ("llava-1.5", "fixed: no parameter bounds an image's resolution"),
        ("idefics2", "fixed: longest_edge does not change them"),
    ],
)
def test_fixed_tokens_are_said_to_be(recipe: str, why: str) -> None:
    each = vlmres.plan((640, 480), recipe).num_tokens
    fit = vlmres.fit_budget([(640, 480)] * 3, recipe, 3 * each)
    assert fit.reasons == ["fixed by the recipe"] * 3
    with pytest.raises(ValueError, match=f"3 images need at least {3 * each} tokens .*, max_tokens is 10; .*{why}"):
        vlmres.fit_budget([(640, 480)] * 3, recipe, 10)


def test_several_images_of_a_sample_are_planned_as_such() -> None:
    fit = vlmres.fit_budget([(1000, 1000)] * 2, "llava-onevision", 10_000)
    assert fit.tokens.tolist() == [vlmres.plan((1000, 1000), "llava-onevision", images=2).num_tokens] * 2


def test_no_images_fit_into_nothing() -> None:
    fit = vlmres.fit_budget([], "qwen2-vl", 0)
    assert (fit.total, fit.plans, fit.tokens.dtype) == (0, [], np.dtype(np.int64))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([(10, 0)], "qwen2-vl", 100), {}, vlmres.PlanError, "image 0: "),
        (([(10, 10), "missing.jpg"], "qwen2-vl", 100), {}, FileNotFoundError, "missing.jpg"),
        (([(8, 640, 360)], "qwen2-vl", 100), {}, TypeError, "image 0: fit_budget takes images, got the size of a vi"),
        (([(10, 10)], "qwen2-vl", 1.5), {}, TypeError, "max_tokens must be an integer, got 1.5"),
        (([(10, 10)], "qwen2-vl", -1), {}, ValueError, "max_tokens must be at least 0, got -1"),
        (([(10, 10)], "qwen2-vl", 5), {"max_enlarge": 0}, ValueError, "max_enlarge must be positive and finite"),
        (([(10, 10)], "qwen2-vl", 5), {"min_tokens": 0}, ValueError, "min_tokens must be at least 1, got 0"),
        (([(10, 10)], "qwen9", 5), {}, vlmres.RecipeError, "no recipe is named"),
    ],
)
def test_what_cannot_be_is_named(arguments: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vlmres.fit_budget(*arguments, **options)
