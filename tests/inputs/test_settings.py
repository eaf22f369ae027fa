"""Images with settings of their own, in a call with others."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

import vlmres
from tests import files
from tests.compare import assert_equal_batches
from tests.images import EXAMPLES, image

PHOTO = EXAMPLES / "photo.jpg"
PICTURE = image(500, 300, "smooth")


def joined(*batches: vlmres.Batch) -> dict[str, Any]:
    return {key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]}


def assert_same(batch: vlmres.Batch, expected: dict[str, Any]) -> None:
    assert set(batch) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(batch[key], array, err_msg=key)


def test_each_image_has_its_own_budget() -> None:
    proc = vlmres.Processor("qwen2-vl")
    pairs = [(PHOTO, {"max_pixels": 50_000}), PICTURE, (PICTURE, {"min_pixels": 400_000}), (PHOTO, {})]
    one, two = vlmres.Processor("qwen2-vl", max_pixels=50_000), vlmres.Processor("qwen2-vl", min_pixels=400_000)
    batch = proc(pairs)
    assert_same(batch, joined(one(PHOTO), proc(PICTURE), two(PICTURE), proc(PHOTO)))
    assert batch.num_tokens[0] == one(PHOTO).num_tokens[0]
    nested = proc([pairs[:2], pairs[2:]])
    assert_equal_batches(nested.torch(), batch.torch())
    assert_equal_batches(proc(pairs[0]).torch(), one(PHOTO).torch())


def test_bad_images_cost_themselves() -> None:
    proc = vlmres.Processor("qwen2-vl")
    settings = {"max_pixels": 50_000}
    cut = files.encode(PICTURE, "PNG")[:2000]
    batch = proc([(b"junk", settings), (PHOTO, settings), (PHOTO, {"size": 5}), (cut, settings)], errors="return")
    assert (batch.indices, sorted(batch.errors)) == ([1], [0, 2, 3])
    assert_equal_batches(batch.torch(), proc([(PHOTO, settings)]).torch())


@pytest.mark.parametrize("size", [(280, 420), (300, 300), (15, 900)])
def test_a_size_of_ones_own(size: tuple[int, int]) -> None:
    """As that of an image is: rounded to merged patches and brought within the budgets."""
    proc = vlmres.Processor("qwen2-vl", arithmetic="pillow")
    settings = {"resized_width": size[0], "resized_height": size[1]}
    batch = proc([(PICTURE, settings)])
    target = vlmres.plan(size, "qwen2-vl").views[0].resized
    plan = batch.plans[0]
    assert plan is not None
    assert (plan.size, plan.views[0].resized) == (PICTURE.size, target)
    assert_same(batch, dict(proc(PICTURE.resize(target, Image.Resampling.BICUBIC))))


def test_a_longest_side() -> None:
    batch = vlmres.Processor("qwen2-vl")([(PICTURE, {"longest_side": 280}), (PICTURE, {"longest_side": 1120})])
    assert [plan and tuple(plan.views[0].resized) for plan in batch.plans] == [(280, 168), (1120, 672)]


def test_the_size_is_qwen_vl_utils() -> None:
    utils = pytest.importorskip("qwen_vl_utils.vision_process")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    cls: Any = Qwen2VLImageProcessorPil
    reference = cls(size={"shortest_edge": 4 * 784, "longest_edge": 16384 * 784}, patch_size=14, merge_size=2)
    proc = vlmres.Processor("qwen2-vl", arithmetic="pillow", min_pixels=4 * 784, max_pixels=16384 * 784)
    for settings in (
        {"resized_width": 290, "resized_height": 410},
        {"max_pixels": 60_000},
        {"min_pixels": 300_000, "max_pixels": 900_000},
    ):
        expected = reference([utils.fetch_image({"image": PICTURE, **settings})], return_tensors="pt")
        assert_equal_batches(proc([(PICTURE, settings)]).torch(), expected, str(settings))


@pytest.mark.parametrize("size", [(28, 28), (2800, 56), (560, 280)])
def test_no_resize_of_whole_merged_patches(size: tuple[int, int]) -> None:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    cls: Any = Qwen2VLImageProcessorPil
    picture = image(*size)
    expected = cls(do_resize=False)(picture, return_tensors="pt")
    proc = vlmres.Processor("qwen2-vl", arithmetic="pillow")
    assert_equal_batches(proc([(picture, {"do_resize": False})]).torch(), expected)


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        ("qwen2-vl", {"image_mean": [0, 0, 0]}, "no setting 'image_mean' of its own"),
        ("qwen2-vl", {"do_resize": False}, "multiples of 28, got 500x300"),
        ("qwen2-vl", {"do_resize": False, "max_pixels": 5}, "allows no other setting"),
        ("qwen2-vl", {"resized_width": 280}, "come together"),
        ("qwen2-vl", {"resized_width": 0, "resized_height": 5}, "positive integer, got '0'"),
        ("qwen2-vl", {"longest_side": 2.5}, "positive integer"),
        ("qwen2-vl", {"longest_side": 5, "resized_width": 5, "resized_height": 5}, "exclude each other"),
        ("qwen2-vl", {"max_tiles": 5}, "max_tiles"),
        ("llava-1.5", {"longest_side": 100}, "canvas goes by the image's own size"),
        ("internvl2", {"resized_width": 448, "resized_height": 448}, "canvas goes by the image's own size"),
    ],
)
def test_what_cannot_be_followed_is_said(recipe: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(vlmres.VlmresError, match=f"image 0: .*{message}"):
        vlmres.Processor(recipe)([(PICTURE, settings)])


def test_tiles_of_ones_own() -> None:
    proc = vlmres.Processor("internvl2")
    batch = proc([(PHOTO, {"max_tiles": 2}), PHOTO])
    assert_same(batch, joined(vlmres.Processor("internvl2", max_tiles=2)(PHOTO), proc(PHOTO)))


def test_messages_go_straight_to_a_processor() -> None:
    part = {"type": "image", "image": str(PHOTO), "max_pixels": 50_000}
    media = vlmres.from_messages([{"role": "user", "content": [part, {"image": PICTURE}]}])
    proc = vlmres.Processor("qwen2-vl")
    assert_equal_batches(proc(media.images).torch(), proc([(PHOTO, {"max_pixels": 50_000}), PICTURE]).torch())
