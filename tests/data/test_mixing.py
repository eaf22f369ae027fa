"""Recipes drawn for samples: how often, and that nothing but seed, epoch and index decides."""

from typing import Any

import numpy as np
import pytest

import vlmres
from vlmres.data import Mix, Schedule

MODES = ["deepseek-ocr-tiny", "deepseek-ocr-small", "deepseek-ocr-base", "deepseek-ocr-gundam"]
SIZES = np.array([(640, 480), (3000, 4000), (128, 16), (1240, 1754)] * 50)


def test_recipes_come_as_often_as_their_weights_say() -> None:
    chosen = Mix(MODES, [1, 1, 2, 4]).choose(np.arange(80_000))
    # Eight standard deviations of the rarest.
    assert np.abs(np.bincount(chosen, minlength=4) - np.array([10_000, 10_000, 20_000, 40_000])).max() < 800


def test_a_draw_follows_from_seed_epoch_and_index_alone() -> None:
    mix = Mix(MODES, seed=3)
    chosen = mix.choose(np.arange(1000), epoch=2)
    order = np.random.default_rng(0).permutation(1000)
    assert (Mix(MODES, seed=3).choose(order, epoch=2) == chosen[order]).all()
    assert mix.recipe(17, epoch=2) == mix.recipes[chosen[17]]
    for other in (Mix(MODES, seed=4).choose(np.arange(1000), 2), mix.choose(np.arange(1000), 3)):
        assert 600 < (other != chosen).sum() < 900
    # Neighbours have nothing to do with each other.
    assert 200 < (chosen[1:] == chosen[:-1]).sum() < 300


def test_these_are_the_draws_for_ever() -> None:
    assert Mix(MODES, seed=1).choose(range(12)).tolist() == [3, 2, 2, 1, 1, 1, 3, 3, 0, 3, 3, 0]


def test_tokens_are_those_of_the_recipe_that_is_drawn() -> None:
    mix = Mix(["qwen2-vl", "internvl2"], seed=5)
    table, chosen = mix.plan_many(SIZES, epoch=1)
    assert set(chosen.tolist()) == {0, 1}
    for row in range(0, 200, 7):
        planned = vlmres.plan(tuple(SIZES[row].tolist()), mix.recipe(row, epoch=1))
        assert (table.num_tokens[row], table.num_patches[row]) == (planned.num_tokens, planned.num_patches)
    assert (mix.tokens(SIZES, epoch=1) == table.num_tokens).all()
    # Images of one sample have one recipe.
    _, of_samples = mix.plan_many(SIZES, indices=np.repeat(np.arange(50), 4))
    assert (of_samples.reshape(50, 4) == of_samples[::4, None]).all()


def test_a_schedule_of_drawn_tokens_keeps_its_limits() -> None:
    lengths = Mix(["qwen2-vl", "internvl2"]).tokens(SIZES)
    packs = [pack for step in Schedule(lengths, 20_000, ranks=1).steps(0) for pack in step]
    assert max(int(lengths[pack].sum()) for pack in packs) <= 20_000
    assert sorted(np.concatenate(packs).tolist()) == list(range(200))


@pytest.mark.parametrize("recipe", ["qwen2-vl", "qwen3-vl", "nativeres-llava", "nemotron-omni", "kimi-vl"])
def test_areas_keep_the_ratio_and_stay_between_the_bounds(recipe: str) -> None:
    mix = Mix.areas(recipe, 256 * 784, 1280 * 784)
    areas = []
    for number in range(16):
        view = vlmres.plan((4000, 3000), mix.recipes[number]).views[0]
        areas.append(view.resized.width * view.resized.height)
        assert view.resized.width / view.resized.height == pytest.approx(4 / 3, rel=0.1)
    assert areas == sorted(areas)
    assert 190_000 < areas[0] < areas[-1] < 1_050_000
    sides = np.sqrt(areas)
    assert np.diff(sides).std() < 25  # sides are evenly spaced, up to whole tokens


def test_areas_enlarge_where_asked() -> None:
    enlarged = Mix.areas("qwen2-vl", 500_000, 500_000, levels=1, enlarge=True)
    assert vlmres.plan((64, 48), enlarged.recipes[0]).num_tokens > 500
    assert vlmres.plan((64, 48), Mix.areas("qwen2-vl", 500_000, 500_000, levels=1).recipes[0]).num_tokens < 10
    with pytest.raises(ValueError, match="recipe 'siglip2-naflex' has no lower bound of max_num_patches"):
        Mix.areas("siglip2-naflex", 10_000, 50_000, enlarge=True)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (([],), {}, ValueError, "a Mix takes a list of recipes"),
        (("qwen2-vl",), {}, ValueError, "a Mix takes a list of recipes, got 'qwen2-vl'"),
        ((MODES, [1, 2]), {}, ValueError, r"4 recipes, weights of shape \(2,\)"),
        ((["qwen2-vl"], [float("nan")]), {}, ValueError, "weights must be positive and finite"),
        ((["qwen2-vl"], [0.0]), {}, ValueError, "weights must be positive and finite"),
        ((["qwen9"],), {}, vlmres.RecipeError, "no recipe is named"),
        ((MODES,), {"seed": -1}, ValueError, "seed must be from 0"),
    ],
)
def test_a_mix_that_cannot_be_is_named(arguments: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Mix(*arguments, **options)


def test_what_cannot_be_drawn_is_named() -> None:
    mix = Mix(MODES)
    with pytest.raises(TypeError, match="indices must be integers, got float64"):
        mix.choose([0.5])
    with pytest.raises(ValueError, match="indices must be at least 0, got -1"):
        mix.choose([-1])
    with pytest.raises(vlmres.PlanError, match="row 1: "):
        mix.tokens([(10, 10), (0, 5)])
    with pytest.raises(vlmres.RecipeError, match="'internvl2' has no parameter that bounds an image's area"):
        Mix.areas("internvl2", 1, 2)
    assert mix.tokens([]).tolist() == []
