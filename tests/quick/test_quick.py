"""One size of every family, invariants of plans, and the resize beside Pillow."""

import json

import numpy as np
import pytest
from PIL import Image

import vlmres
from tests.quick.known import FILE, SIZE, answers, pixels

KNOWN = json.loads(FILE.read_text(encoding="utf-8"))
SIZES = [(1, 1), (640, 480), (480, 640), (1500, 4500), (3000, 40)]


def test_every_recipe_is_known() -> None:
    assert sorted(KNOWN) == vlmres.recipes(), "run python -m tests.quick.known"


@pytest.mark.parametrize("name", vlmres.recipes())
def test_known_answers(name: str) -> None:
    assert answers(name) == KNOWN[name]


@pytest.mark.parametrize("name", vlmres.recipes())
def test_plans_are_consistent(name: str) -> None:
    table = vlmres.plan_many(SIZES, name, errors="return")
    for index, size in enumerate(SIZES):
        if index in table.errors:
            with pytest.raises(vlmres.PlanError):
                vlmres.plan(size, name)
            continue
        plan = vlmres.plan(size, name)
        assert plan.num_tokens == table.num_tokens[index] > 0
        assert 0 <= plan.num_valid_tokens <= plan.num_visual_tokens <= plan.num_tokens
        assert plan.num_patches == table.num_patches[index] == sum(view.num_patches for view in plan.views)
        whole = [[0, 0, *size], [0, 0, 0, 0]]
        np.testing.assert_allclose(plan.to_image(plan.to_model(whole)), whole, atol=1e-6)


@pytest.mark.parametrize("name", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
@pytest.mark.parametrize("size", [(336, 336), (28, 700), (1402, 351), (1, 1)])
def test_the_resize_is_pillows(name: str, size: tuple[int, int]) -> None:
    expected = Image.fromarray(pixels()).resize(size, getattr(Image.Resampling, name.upper()))
    got = vlmres.resize(pixels(), size, name, "pillow-installed", input_data_format="channels_last")  # type: ignore[arg-type]
    np.testing.assert_array_equal(got, np.asarray(expected))


def test_the_picture_is_what_was_planned() -> None:
    assert pixels().shape == (SIZE[1], SIZE[0], 3)
