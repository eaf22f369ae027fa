"""Lists of lists of images: references that know samples have a row for each, padded to the longest."""

from typing import Any

import numpy as np
import pytest
import torch

import vlmres
from tests.compare import assert_equal_tensors
from tests.images import KINDS, image, random_sizes
from vlmres.verify import references as hf

SQUARE = {"size": {"height": 56, "width": 56}}
LONGEST = {"size": {"longest_edge": 230}, "max_image_size": {"longest_edge": 56}}
GRIDS = [[56, 112], [112, 56], [112, 112], [56, 168]]

# Overrides of the recipe, and the same settings of the reference.
FAMILIES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("granite-docling", {"image_size": 64}, {"size": {"height": 64, "width": 64}}),
    ("idefics2", {"shortest_edge": 50, "longest_edge": 170}, {"size": {"shortest_edge": 50, "longest_edge": 170}}),
    (
        "idefics2",
        {"shortest_edge": 50, "longest_edge": 90, "do_image_splitting": True},
        {"size": {"shortest_edge": 50, "longest_edge": 90}, "do_image_splitting": True},
    ),
    ("idefics3", {"longest_edge": 230, "tile_size": 56}, LONGEST),
    (
        "idefics3",
        {"longest_edge": 230, "tile_size": 56, "return_row_col_info": True},
        {**LONGEST, "return_row_col_info": True},
    ),
    (
        "smolvlm",
        {"longest_edge": 230, "tile_size": 64, "do_image_splitting": False, "return_row_col_info": True},
        {**LONGEST, "max_image_size": {"longest_edge": 64}, "do_image_splitting": False, "return_row_col_info": True},
    ),
    ("mllama", {"tile_size": 56}, SQUARE),
    ("mllama", {"tile_size": 56, "max_image_tiles": 6}, {**SQUARE, "max_image_tiles": 6}),
    (
        "llava-onevision",
        {"image_size": 56, "image_grid_pinpoints": GRIDS},
        {**SQUARE, "image_grid_pinpoints": GRIDS},
    ),
]

# Numbers of images of the samples of a call. (A last one without images is missing from some outputs of references.)
CALLS = [[1, 2], [3, 1], [2, 2, 2], [1, 1, 1], [4], [1], [1, 3, 2, 1], [2, 0, 1]]


def nested(counts: list[int], seed: int) -> list[list[Any]]:
    # No side of one pixel: Idefics2 would have nothing to halve.
    sizes = ((max(2, w), max(2, h)) for w, h in random_sizes(sum(counts), 500, seed=seed, ratio=20))
    return [[image(*next(sizes), KINDS[(seed + place) % 5]) for place in range(count)] for count in counts]


def compare(got: vlmres.Batch, expected: Any, counts: list[int], what: str) -> None:
    tensors = got.torch()
    assert list(tensors) == list(expected), what
    for key, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert_equal_tensors(tensors[key], value, f"{what} {key}")
        else:  # lists of different lengths, which ours pads with zeros
            rows = tensors[key].tolist()
            assert [row[:count] for row, count in zip(rows, counts, strict=True)] == value, f"{what} {key}"
            assert not any(any(row[count:]) for row, count in zip(rows, counts, strict=True)), f"{what} {key}"


@pytest.mark.parametrize("arithmetic", ["torch", "pillow"])
@pytest.mark.parametrize(("recipe", "overrides", "settings"), FAMILIES, ids=[f"{row[0]}-{row[1]}" for row in FAMILIES])
def test_samples(recipe: str, overrides: dict[str, Any], settings: dict[str, Any], arithmetic: Any) -> None:
    processor = vlmres.Processor(vlmres.Recipe.load(recipe, **overrides), arithmetic=arithmetic)
    reference = hf.processor(recipe, arithmetic, **settings)
    for seed, counts in enumerate(CALLS):
        images = nested(counts, seed)
        compare(processor(images), reference(images, return_tensors="pt"), counts, f"{recipe} {counts}")


@pytest.mark.parametrize("recipe", ["internvl2", "qwen2-vl"])
def test_samples_of_a_family_without_them(recipe: str) -> None:
    processor = vlmres.Processor(recipe)
    images = nested([2, 0, 1], 0)
    got, expected = processor(images), processor([image for sample in images for image in sample])
    for key in expected:
        np.testing.assert_array_equal(got[key], expected[key], strict=True)


@pytest.mark.parametrize("recipe", ["idefics3", "mllama", "llava-onevision"])
def test_bad_images_leave_their_sample(recipe: str) -> None:
    processor = vlmres.Processor(recipe)
    one, two, three = image(90, 60), image(30, 200), image(120, 80)
    got = processor([[one, b"no image"], [two, three, b"nor this"]], errors="return")
    assert (sorted(got.errors), got.indices) == ([1, 4], [0, 2, 3])
    expected = processor([[one], [two, three]])
    assert [plan for plan in got.plans if plan is not None] == expected.plans
    for key in expected:
        np.testing.assert_array_equal(got[key], expected[key], strict=True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "uint8"])
def test_memory_of_the_callers(dtype: Any) -> None:
    """Every value is written, padding included, whatever the memory held."""
    processor = vlmres.Processor(vlmres.Recipe.load("mllama", tile_size=56), dtype=dtype)
    images = nested([1, 3], 7)
    expected = processor(images)["pixel_values"]
    out = np.full_like(expected, 77)
    processor(images, out=out)
    np.testing.assert_array_equal(out, expected)


def test_packed_samples() -> None:
    """One of several images has no tiles, in any layout."""
    sample = [image(300, 200), image(100, 200)]
    processor = vlmres.Processor("llava-onevision", layout="packed")
    assert np.diff(processor([sample]).cu_seqlens).tolist() == [729, 729]
    assert processor([[sample[0]]]).plans == processor(sample[0]).plans
    assert vlmres.plan((300, 200), "llava-onevision", images=2) == processor([sample]).plans[0]
    assert processor([sample]).num_tokens == [730, 730]


def test_what_is_refused() -> None:
    processor = vlmres.Processor("idefics3")
    one = image(20, 30)
    with pytest.raises(TypeError, match="items 0 and 1 are Image and list"):
        processor([one, [one]])
    with pytest.raises(ValueError, match="images is empty"):
        processor([[], []])
    with pytest.raises(vlmres.VlmresError, match="sample 1, image 1: "):
        processor([[one], [one, b""]])
    with pytest.raises(ValueError, match="images must be at least 1, got 0"):
        vlmres.plan((20, 30), "idefics3", images=0)
    with pytest.raises(OverflowError):
        vlmres.plan((20, 30), "idefics3", images=-1)
