"""Names that people type, and what parameters and defaults mean."""

import pydoc
import re
from typing import Any, get_args

import numpy as np
import pytest
import transformers

import vlmres
from vlmres.verify import references as hf


@pytest.mark.parametrize("asked", ["qwen3-vl", "qwen3vl", "Qwen3-VL", "QWEN3_VL", "Qwen 3 VL"])
def test_names_may_be_spelled_otherwise(asked: str) -> None:
    assert vlmres.Recipe.load(asked) == vlmres.Recipe.load("qwen3-vl")
    assert vlmres.Processor(asked).recipe.name == "qwen3-vl"
    assert vlmres.plan((640, 480), asked).recipe.name == "qwen3-vl"
    assert vlmres.plan_many([(640, 480)], asked).num_tokens[0] > 0


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen3-vl"),
        ("Qwen/Qwen2.5-VL-72B-Instruct-AWQ", "qwen2.5-vl"),
        ("OpenGVLab/InternVL3-8B", "internvl3"),
        ("google/gemma-3-4b-it", "gemma3"),
        ("qwen3-vl-8b", "qwen3-vl"),
        ("qwen4-vl", "qwen3-vl"),
        ("intern-vl", "internvl3"),
    ],
)
def test_names_of_checkpoints_suggest_a_recipe(asked: str, meant: str) -> None:
    for use in (vlmres.Recipe.load, vlmres.Processor, lambda name: vlmres.plan((640, 480), name)):
        with pytest.raises(vlmres.RecipeError, match=f'named "{asked}".*; did you mean .*"{meant}"') as caught:
            use(asked)
        assert len(str(caught.value)) < 300


def test_a_long_name_makes_no_long_message() -> None:
    for name in ("x" * 5000, "/".join(["Qwen3-VL"] * 500), "clip" * 1000):
        with pytest.raises(vlmres.RecipeError, match="no recipe is named") as caught:
            vlmres.Recipe.load(name)
        assert len(str(caught.value)) < 300


def test_editors_know_the_names_of_recipes() -> None:
    assert list(get_args(vlmres.RecipeName)) == vlmres.recipes(), "run docs/tables.py"


@pytest.mark.parametrize("name", vlmres.recipes())
def test_parameters_say_what_they_are(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    assert {key: parameter.value for key, parameter in recipe.parameters.items()} == recipe.params
    for key, parameter in recipe.parameters.items():
        assert parameter.meaning, key
        assert bool(parameter.limits) == (not isinstance(parameter.value, bool)), key
    assert recipe.coordinates.convention in ("pixels", "0-1000", "0-999", "0-1")
    box = vlmres.plan((640, 480), recipe).to_model([0, 0, 640, 480])
    np.testing.assert_array_equal(
        box, vlmres.plan((640, 480), recipe).to_model([0, 0, 640, 480], recipe.coordinates[0])
    )


@pytest.mark.parametrize("name", vlmres.recipes())
def test_limits_of_parameters_hold(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    for key, parameter in recipe.parameters.items():
        found = re.match(r"between (\d+) and (\d+)", parameter.limits)
        values: list[Any] = [] if found is None else [int(found[1]) - 1, int(found[2]) + 1]
        if isinstance(parameter.value, str):
            values = ["abacus"]
        for value in values:
            bad: Any = value
            for _ in range(np.ndim(parameter.value)):
                bad = [bad] * 2
            with pytest.raises(vlmres.RecipeError, match=f"{key} must be .*{value}"):
                recipe.replace(**{key: bad})


def test_help_of_a_recipe_is_its_own() -> None:
    recipe = vlmres.Recipe.load("internvl2")
    text = pydoc.plain(pydoc.render_doc(recipe))
    assert "max_tiles = 12" in text
    assert (
        "Most tiles of an image, the view of the whole aside (tiles; between 1 and 1024, at least min_tiles)." in text
    )
    assert "max_pixels" not in text
    assert "from_pretrained" in pydoc.plain(pydoc.render_doc(vlmres.Recipe))


# Recipes that end in a class of transformers, beside those that are nothing but one.
DEFAULT_ARITHMETIC = dict.fromkeys(
    [*hf.REFERENCES, "nativeres-llava", "ovis2.5", "qwen2.5-vl-utils", "qwen3-vl-utils"], "torch"
)


@pytest.mark.parametrize("name", vlmres.recipes())
def test_the_default_arithmetic_is_the_reference_s(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    expected = DEFAULT_ARITHMETIC.get(name, "pillow")
    assert recipe.params["arithmetic"] == vlmres.Processor(name).arithmetic == expected
    assert (expected == "torch") == ("transformers" in recipe.reference)
    if name in hf.REFERENCES:
        backends = {"torchvision": "torch", "pil": "pillow"}
        reference = hf.REFERENCES[name]
        default: Any = getattr(transformers, reference.name)
        assert backends[default(**reference.settings).backend] == expected


@pytest.mark.parametrize("name", vlmres.recipes())
def test_parameters_that_a_recipe_has_not(name: vlmres.RecipeName) -> None:
    for parameter in ("zzz", "image_siz", "x" * 1000):
        with pytest.raises(vlmres.RecipeError, match=r'has no parameter "') as caught:
            vlmres.Recipe.load(name, **{parameter: 1})
        assert len(str(caught.value)) < 300
        assert "did you mean" in str(caught.value) or "it has arithmetic" in str(caught.value)
