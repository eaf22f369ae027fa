"""What is too large or too small, each with an error that names it."""

import json
from pathlib import Path

import numpy as np
import pytest

import vlmres

THIN = np.broadcast_to(np.zeros((1, 1, 3), dtype=np.uint8), (1, 60_000, 3))


def test_a_thin_image_costs_nothing_but_itself() -> None:
    proc = vlmres.Processor("llava-1.5-pad")
    with pytest.raises(vlmres.PlanError, match=r"60000x60000.*268435456"):
        proc(THIN, input_data_format="channels_last")
    batch = proc([THIN, np.zeros((30, 40, 3), dtype=np.uint8)], errors="return")
    assert batch.indices == [1]
    assert isinstance(batch.errors[0], vlmres.PlanError)


def test_a_resize_without_memory_is_an_error() -> None:
    with pytest.raises(MemoryError, match=str(3 << 60)):
        vlmres.resize(np.zeros((5, 4, 3), dtype=np.uint8), (1 << 30, 1 << 30))


@pytest.mark.parametrize("size", [(2**70, 5), (5, -(2**70)), (2**31, 5)])
def test_sizes_beyond_all_bounds(size: tuple[int, int]) -> None:
    with pytest.raises(vlmres.PlanError, match=str(max(abs(side) for side in size))):
        vlmres.plan(size, "qwen2-vl")


def test_overrides_beyond_all_bounds() -> None:
    with pytest.raises(vlmres.RecipeError, match=f"max_pixels.*{2**70}"):
        vlmres.Recipe.load("qwen2-vl", max_pixels=2**70)


@pytest.mark.parametrize(
    ("recipe", "patch_size"),
    [("internvl2", 500), ("llava-1.5", 1000), ("llava-next", 400), ("deepseek-ocr-base", 1025)],
)
def test_a_tile_holds_a_patch(recipe: str, patch_size: int) -> None:
    with pytest.raises(vlmres.RecipeError, match=str(patch_size)):
        vlmres.Recipe.load(recipe, patch_size=patch_size)


def test_no_boxes_are_no_boxes() -> None:
    plan = vlmres.plan((640, 480), "qwen2-vl")
    assert plan.to_model([]).shape == (0, 4)
    assert plan.to_image(np.empty((0, 4))).shape == (0, 4)


def test_a_configuration_is_an_object(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps([1, 2]))
    with pytest.raises(vlmres.RecipeError, match=r"preprocessor_config\.json is not a JSON object"):
        vlmres.Recipe.from_pretrained(tmp_path)


def test_many_threads_are_not_made_for_nothing() -> None:
    picture = np.zeros((900, 700, 3), dtype=np.uint8)
    expected = vlmres.Processor("internvl2", num_threads=1)(picture)["pixel_values"]
    assert np.array_equal(vlmres.Processor("internvl2", num_threads=100_000)(picture)["pixel_values"], expected)
