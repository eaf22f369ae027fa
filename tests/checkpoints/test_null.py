"""Files with nulls: transformers' classes keep them in place of their defaults, and a step that is null is not done."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers

import vlmres
from tests.checkpoints.test_saved import RECIPES, SETTINGS, image_class
from tests.compare import assert_equal_batches
from tests.images import image

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = (
    "aria",
    "clip",
    "deepseek_vl_hybrid",
    "gemma3",
    "gemma4",
    "glm4v",
    "got_ocr2",
    "idefics2",
    "kimi_k25",
    "llava",
    "llava_next",
    "llava_onevision",
    "mllama",
    "pixtral",
    "qwen2_vl",
    "siglip",
    "siglip2",
)
IMAGES = [image(120, 80), image(50, 110)]
# Nulls with which the class does what no recipe follows: they are refused.
REFUSED = {"do_center_crop", "do_pad", "do_resize", "high_res_image_mean", "high_res_image_std", "resample"}
# How a call is made, and whose the file is.
MANNERS = {"device", "image_processor_type", "processor_class", "return_tensors"}


def keys(cls: Any, settings: dict[str, Any]) -> Iterator[str]:
    yield from sorted({*cls.valid_kwargs.__annotations__, *settings} - MANNERS)


@pytest.mark.parametrize("suffix", ["", "Pil"])
@pytest.mark.parametrize("kind", KINDS)
def test_null_of_every_key(kind: str, suffix: str) -> None:
    """The pixels of transformers' class, or an error that names the key; an error where the class has one."""
    cls = getattr(transformers, f"{image_class(kind)}{suffix}", None)
    if cls is None:
        assert kind == "kimi_k25"
        return
    settings = cls(**SETTINGS.get(kind, {})).to_dict()
    equal = 0
    for key in keys(cls, settings):
        file = {**settings, key: None}
        try:
            recipe = vlmres.Recipe.from_pretrained(file, family=RECIPES[kind])
            ours = vlmres.Processor(recipe, arithmetic="pillow-installed" if suffix else "torch")(IMAGES).torch()
        except vlmres.VlmresError as error:
            refusal = str(error)
            ours = {}
        try:
            expected = cls.from_dict(copy.deepcopy(file))(IMAGES, return_tensors="pt")
        except Exception:
            assert not ours, key
            continue
        if ours:
            assert_equal_batches(ours, expected, f"{kind} {key}")
            equal += 1
        elif key == "do_rescale":  # as do_normalize, which is false already
            assert 'dtype="uint8"' in refusal
        else:
            assert f"{key}=null" in refusal
            assert key in REFUSED or "high_res_resample" in refusal
    assert equal > 6


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_is_null_is_one_that_is_false(kind: str) -> None:
    steps = [
        key for key in getattr(transformers, str(image_class(kind))).valid_kwargs.__annotations__ if key[:3] == "do_"
    ]
    assert len(steps) > 5

    def recipe(key: str, value: bool | None) -> vlmres.Recipe | str:
        file = {"image_processor_type": image_class(kind), **SETTINGS.get(kind, {}), key: value}
        try:
            return vlmres.Recipe.from_pretrained(file, family=RECIPES[kind])
        except vlmres.RecipeError as error:
            return str(error).replace("null", "false")

    for key in steps:
        assert recipe(key, None) == recipe(key, False), key


def test_colours_are_not_converted() -> None:
    file = {"image_processor_type": "SiglipImageProcessor", "do_convert_rgb": None}
    assert vlmres.Recipe.from_pretrained(file, family="siglip") == vlmres.Recipe.load("siglip", convert="none")


@pytest.mark.parametrize("do_pad", [None, False])
def test_images_of_different_sizes_that_are_not_padded(do_pad: bool | None) -> None:
    """Files of Pixtral's class before transformers 5.19 have a null here."""
    recipe = vlmres.Recipe.from_pretrained({"image_processor_type": "PixtralImageProcessor", "do_pad": do_pad})
    assert recipe.params["do_pad"] is False
    vlmres.Processor(recipe)(IMAGES[0])
    with pytest.raises(vlmres.VlmresError, match="cannot share"):
        vlmres.Processor(recipe)(IMAGES)


@pytest.mark.parametrize(
    "size",
    [
        {"size": None, "min_pixels": None, "max_pixels": None},
        {"size": {"shortest_edge": 4096, "longest_edge": 16384}, "min_pixels": None, "max_pixels": None},
        {"size": None, "min_pixels": 4096, "max_pixels": 16384},
    ],
)
def test_sizes_of_qwen(size: dict[str, Any]) -> None:
    file = {"image_processor_type": "Qwen2VLImageProcessor", **size}
    ours = vlmres.Processor(vlmres.Recipe.from_pretrained(file, family="qwen2-vl"))(IMAGES).torch()
    assert_equal_batches(ours, transformers.Qwen2VLImageProcessor(**file)(IMAGES, return_tensors="pt"))


@pytest.mark.parametrize("kind", ["Qwen2VL", "Qwen3VL", "Glm4v", "LlavaOnevision"])
def test_null_of_every_key_of_videos(kind: str) -> None:
    name = f"{kind}VideoProcessor"
    cls = getattr(transformers, name)
    frames = np.stack([np.asarray(image(96, 64, seed=seed)) for seed in range(4)])
    video = torch.from_numpy(frames).permute(0, 3, 1, 2)
    equal = 0
    for key in keys(cls, {}):
        file = {"video_processor_type": name, key: None}
        try:
            ours = vlmres.Processor(vlmres.Recipe.from_pretrained(file), arithmetic="torch")(videos=[frames]).torch()
        except vlmres.VlmresError:
            ours = {}
        try:
            expected = cls(**copy.deepcopy(file))([video], do_sample_frames=False, return_tensors="pt")
        except Exception:
            assert not ours, key
            continue
        if ours:
            assert_equal_batches(ours, {key: expected[key] for key in ours}, f"{kind} {key}")
            equal += 1
        else:  # which frames are taken depends on the rest
            assert key in {"do_resize", "fps", "max_duration", "max_frames", "max_video_tokens", "min_frames"}
    assert equal > 6
