"""vLLM's own processor classes on vlmres: the same results, or the original's with the reason."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.images import image
from tests.integrations.vllm.conftest import followed
from vlmres.integrations.operations import parts
from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.counters import FALLBACKS, IMAGES, VERIFIED, counters
from vlmres.integrations.transformers import accelerate
from vlmres.integrations.vllm import chosen, deepseek, hooks, internvl, kimi
from vlmres.integrations.vllm.classes import HOOKS
from vlmres.integrations.vllm.hooks import Hook

Install = Callable[[Hook], ModuleType]
Reasons = Callable[[], list[str]]

PICTURES = [image(150, 90), image(40, 30), image(70, 310)]


def original(cls: Any, hook: Hook) -> Any:
    return getattr(cls, hook.method)._vlmres_original


def done(hook: Hook, path: str = "vlmres") -> float:
    return counters.value(IMAGES, path=path, **{"class": hook.part})


def internvl_processor(module: ModuleType, **settings: Any) -> Any:
    defaults = {"image_size": 56, "min_dynamic_patch": 1, "max_dynamic_patch": 6, "dynamic_image_size": True}
    return module.InternVLImageProcessor(**{**defaults, "use_thumbnail": True, **settings})


@pytest.mark.parametrize("settings", [{}, {"use_thumbnail": False}, {"dynamic_image_size": False}, {"image_size": 28}])
@pytest.mark.parametrize("call", [{}, {"max_dynamic_patch": 3}, {"dynamic_image_size": False}])
def test_internvl(install: Install, settings: dict[str, Any], call: dict[str, Any], reasons: Reasons) -> None:
    module = install(internvl.IMAGES)
    processor = internvl_processor(module, **settings)
    result = processor._images_to_pixel_values_lst(PICTURES, **call)
    assert same(result, original(type(processor), internvl.IMAGES)(processor, PICTURES, **call))
    assert (done(internvl.IMAGES), reasons()) == (3, [])


def test_tiles_of_which_two_grids_are_as_close(install: Install) -> None:
    """vLLM takes the first in the order of a set: of 5:2 are 4x1 and 2x2 as far."""
    module = install(internvl.IMAGES)
    processor = internvl_processor(module, min_dynamic_patch=4, max_dynamic_patch=4)
    for picture in (image(25, 10), image(250, 100)):
        expected = original(type(processor), internvl.IMAGES)(processor, [picture])
        assert same(processor._images_to_pixel_values_lst([picture]), expected)
    assert done(internvl.IMAGES) == 2


@pytest.mark.parametrize("use_msac", [True, False])
@pytest.mark.parametrize("thumbnail", [True, False])
def test_h2ovl(install: Install, use_msac: bool, thumbnail: bool, reasons: Reasons) -> None:
    processor = install(internvl.H2OVL).H2OVLImageProcessor(56, 1, 6, True, thumbnail, use_msac=use_msac)
    for pictures in (*([picture] for picture in PICTURES), PICTURES):
        expected = original(type(processor), internvl.H2OVL)(processor, pictures)
        assert same(processor._images_to_pixel_values_lst(pictures), expected)
    assert (done(internvl.H2OVL), reasons()) == (6, [])


def test_internvl_videos(install: Install, reasons: Reasons) -> None:
    processor = install(internvl.VIDEOS).InternVLVideoProcessor(56)
    videos = [np.stack([np.asarray(image(90, 70, seed=seed)) for seed in range(3)]), np.asarray(image(40, 90))[None]]
    expected = original(type(processor), internvl.VIDEOS)(processor, videos)
    assert same(processor._videos_to_pixel_values_lst(videos), expected)
    assert (done(internvl.VIDEOS), reasons()) == (2, [])


@pytest.mark.parametrize("settings", [{}, {"max_crops": 4}, {"normalize": False}])
def test_deepseek_ocr(install: Install, settings: dict[str, Any], reasons: Reasons) -> None:
    processor = install(deepseek.OCR).DeepseekOCRProcessor(base_size=128, **settings)
    for pictures in (PICTURES, [PICTURES[1]]):
        text = "read" + "<image> and" * len(pictures)
        expected = original(type(processor), deepseek.OCR)(processor, text, pictures)
        assert same(processor.tokenize_with_images(text, pictures), expected)
    assert (done(deepseek.OCR), reasons()) == (4, [])


def test_what_of_deepseek_ocr_is_left(install: Install, reasons: Reasons) -> None:
    processor = install(deepseek.OCR).DeepseekOCRProcessor(base_size=128)
    theirs = original(type(processor), deepseek.OCR)
    call = ("<image>", [PICTURES[0]])
    assert same(processor.tokenize_with_images(*call, cropping=False), theirs(processor, *call, cropping=False))
    with pytest.raises(ValueError, match="Number of tokens does not match"):
        processor.tokenize_with_images("no token", [PICTURES[0]])
    assert done(deepseek.OCR, "original") == 1
    assert [reason.rpartition(": ")[2] for reason in reasons()] == [
        "cropping=False squeezes an image before it is padded",
        "the prompt has not one token for each image",
    ]


@pytest.mark.parametrize("cropping", [True, False])
def test_deepseek_vl2(install: Install, cropping: bool, reasons: Reasons) -> None:
    candidates = ((56, 56), (56, 112), (112, 56), (112, 112), (168, 56))
    processor = install(deepseek.VL2).DeepseekVLV2Processor(candidates)
    call = ("<image>" * 3, PICTURES, True, True, cropping)
    assert same(processor.tokenize_with_images(*call), original(type(processor), deepseek.VL2)(processor, *call))
    assert (done(deepseek.VL2), reasons()) == (3, [])


def kimi_processor(module: ModuleType, **settings: Any) -> Any:
    limits = {"in_patch_limit": 64, "in_patch_limit_each_frame": 36, "in_patch_limit_video": None}
    cuts = {"patch_size": 14, "merge_kernel_size": 2, "patch_limit_on_one_side": 512}
    values = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    return module.KimiK25FusedVisionProcessor({**limits, **cuts, **values, **settings})


def still(picture: Image.Image) -> dict[str, Any]:
    return {"type": "image", "image": picture}


def chunk(*sizes: tuple[int, int]) -> dict[str, Any]:
    return {"type": "video_chunk", "video_chunk": [image(*size, seed=seed) for seed, size in enumerate(sizes)]}


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("settings", [{}, {"in_patch_limit_video": 40}, {"in_patch_limit_each_frame": None}])
def test_kimi(install: Install, settings: dict[str, Any], normalize: bool, reasons: Reasons) -> None:
    processor = kimi_processor(install(kimi.HOOK), **settings)
    assert accelerate(processor) is processor
    media = [*map(still, PICTURES), chunk(*[(150, 90)] * 3), chunk((90, 120)), still(PICTURES[0])]
    for call in (media, media[:2], media[0], media[3]):
        got = processor.preprocess(call, "pt", normalize, normalize)
        assert same(got, original(type(processor), kimi.HOOK)(processor, call, "pt", normalize, normalize))
    assert (done(kimi.HOOK), reasons()) == (10, [])


def test_what_of_kimi_is_left(install: Install, reasons: Reasons) -> None:
    module = install(kimi.HOOK)
    theirs = original(module.KimiK25FusedVisionProcessor, kimi.HOOK)
    bright = kimi_processor(module, image_std=[0.25, 0.5, 0.5])
    for processor, call in ((kimi_processor(module), [chunk((90, 60), (60, 90))]), (bright, [still(PICTURES[0])])):
        assert same(processor.preprocess(call), theirs(processor, call))
    assert (done(kimi.HOOK), done(kimi.HOOK, "original")) == (0, 2)
    several, other = reasons()
    assert several.endswith("a video chunk has frames of several sizes")
    assert "the results for sample images differ" in other


def test_another_source_is_left_with_the_reason(reasons: Reasons) -> None:
    hook = replace(followed(internvl.IMAGES), digests=frozenset({"0123456789abcdef"}))
    module = importlib.import_module(hook.module)
    before = module.InternVLImageProcessor._images_to_pixel_values_lst
    hooks.install_hook(hook, module)
    assert module.InternVLImageProcessor._images_to_pixel_values_lst is before
    (reason,) = reasons()
    assert reason.startswith("InternVLImageProcessor: left to vLLM: its source is another than vlmres follows (digest ")
    assert str(parts.states()["InternVLImageProcessor"]) in reason


def test_a_class_that_is_gone_is_left(reasons: Reasons) -> None:
    module = importlib.import_module(internvl.IMAGES.module)
    hooks.install_hook(replace(internvl.IMAGES, cls="Gone", sources=("Gone._images_to_pixel_values_lst",)), module)
    assert "it has no Gone._images_to_pixel_values_lst whose source can be read" in reasons()[0]


def test_a_hook_is_installed_once(install: Install) -> None:
    first = install(internvl.IMAGES).InternVLImageProcessor._images_to_pixel_values_lst
    assert install(internvl.IMAGES).InternVLImageProcessor._images_to_pixel_values_lst is first
    assert first.__name__ == "_images_to_pixel_values_lst"


def test_a_class_that_computes_otherwise_is_not_followed(install: Install, reasons: Reasons) -> None:
    """The source is the known one, and something under it is not."""
    module: Any = install(internvl.IMAGES)
    one = module.dynamic_preprocess_internvl
    module.dynamic_preprocess_internvl = lambda *call: one(*call)[::-1]
    processor = internvl_processor(module)
    result = processor._images_to_pixel_values_lst(PICTURES)
    assert same(result, original(type(processor), internvl.IMAGES)(processor, PICTURES))
    assert (done(internvl.IMAGES), done(internvl.IMAGES, "original")) == (0, 3)
    assert "the results for sample images differ" in reasons()[0]


def test_shadow_mode_catches_a_recipe_that_is_wrong(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(internvl.IMAGES)
    processor = internvl_processor(module)
    processor._images_to_pixel_values_lst(PICTURES)
    tiles = chosen.tiles
    monkeypatch.setattr(internvl, "tiles", lambda *call: [values + 1e-6 for values in tiles(*call)])
    monkeypatch.setenv("VLMRES_VERIFY", "1")
    for _ in range(2):
        result = processor._images_to_pixel_values_lst(PICTURES)
        assert same(result, original(type(processor), internvl.IMAGES)(processor, PICTURES))
    assert counters.value(VERIFIED, result="different") == 1
    assert counters.value(FALLBACKS, reason="off") == 1


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_other_images_are_the_originals(install: Install, mode: str) -> None:
    module = install(internvl.IMAGES)
    processor = internvl_processor(module)
    pictures = [Image.new(mode, (90, 50))]
    try:
        expected = original(type(processor), internvl.IMAGES)(processor, pictures)
    except RuntimeError:
        with pytest.raises(RuntimeError):
            processor._images_to_pixel_values_lst(pictures)
    else:
        assert same(processor._images_to_pixel_values_lst(pictures), expected)
    assert done(internvl.IMAGES) == 0


def test_every_hook_has_a_digest() -> None:
    for hook in HOOKS:
        assert hook.digests
        assert all(len(digest) == 16 for digest in hook.digests)
    assert len({hook.part for hook in HOOKS}) == len(HOOKS)
