"""Every family of recipes on hundreds of random sizes, its views made small so that this is quick."""

import importlib
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from PIL import Image

import vlmres
from tests.compare import assert_equal_batches, of_partial_patches
from tests.images import KINDS, image
from tests.reference import ALIKE, RESTATEMENTS, authors, authors_vl, servers
from vlmres.verify import references as hf

Reference = Callable[[list[Image.Image]], Mapping[str, Any]]
Size = tuple[int, int]

COUNT = 300
PER_CALL = 8

EXTREMES: list[Size] = [(1, 1), (1, 2), (2, 1), (1, 3), (1, 200), (200, 1), (700, 700), (699, 700), (700, 4), (4, 700)]


class Family(NamedTuple):
    """What a recipe is made smaller by."""

    overrides: dict[str, Any]
    """Parameters; canvases need not be whole patches."""
    reference: Callable[[authors.Arithmetic], Reference]
    sides: tuple[int, int] = (1, 700)
    """The least and the most that random sides have."""
    ratio: float = math.inf
    """The reference refuses sizes above this aspect ratio."""
    random: int = COUNT
    """Random sizes."""


def transformers(recipe: str, **settings: Any) -> Callable[[authors.Arithmetic], Reference]:
    return lambda arithmetic: partial(hf.processor(recipe, arithmetic, **settings), return_tensors="pt")


def deepseek_ocr(mode: authors.Mode) -> Callable[[authors.Arithmetic], Reference]:
    return lambda arithmetic: lambda images: authors.deepseek_ocr(images, mode, arithmetic)


def square(side: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}


def sides(side: int) -> dict[str, int]:
    return {"height": side, "width": side}


PINPOINTS = [[56 * rows, 56 * cols] for rows, cols in [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]]
GRIDS = [[56 * rows, 56 * cols] for rows in range(1, 7) for cols in range(1, 7)]
CROP = {"shortest_edge": 56, "crop_width": 56, "crop_height": 56}

FAMILIES: dict[str, Family] = {
    "llava-1.5": Family(CROP, transformers("llava-1.5", **square(56))),
    "llava-1.5-pad": Family(CROP, transformers("llava-1.5-pad", **square(56))),
    "llava-next": Family(
        {"image_size": 56, "image_grid_pinpoints": PINPOINTS},
        transformers("llava-next", image_grid_pinpoints=PINPOINTS, **square(56)),
    ),
    "internvl2": Family({"image_size": 56}, transformers("internvl2", size=sides(56))),
    "qwen2-vl": Family(
        {"min_pixels": 3136, "max_pixels": 100352},
        transformers("qwen2-vl", size={"shortest_edge": 3136, "longest_edge": 100352}),
        ratio=200,
    ),
    "qwen3-vl": Family(
        {"min_pixels": 4096, "max_pixels": 102400},
        transformers("qwen3-vl", size={"shortest_edge": 4096, "longest_edge": 102400}),
        ratio=200,
    ),
    "deepseek-ocr-2": Family(
        {"image_size": 128, "tile_size": 112},
        transformers("deepseek-ocr-2", size=sides(128), tile_size=112),
        ratio=255,
    ),
    "siglip2-naflex": Family({"max_num_patches": 64}, transformers("siglip2-naflex", max_num_patches=64)),
    "aria": Family({"image_size": 490}, transformers("aria", max_image_size=490), random=100),
    "aria-split": Family({}, transformers("aria-split"), random=20),
    "cohere2-vision": Family({"image_size": 48}, transformers("cohere2-vision", size=sides(48))),
    "deepseek-vl": Family({"image_size": 64}, transformers("deepseek-vl", size=sides(64))),
    "deepseek-vl-hybrid": Family(
        {"image_size": 48, "high_res_size": 129},
        transformers("deepseek-vl-hybrid", size=sides(48), high_res_size=sides(129)),
    ),
    "ernie-4.5-vl": Family(
        {"min_pixels": 3136, "max_pixels": 100352},
        transformers("ernie-4.5-vl", size={"shortest_edge": 3136, "longest_edge": 100352}),
        ratio=200,
    ),
    "gemma3": Family(
        {"image_width": 56, "image_height": 48, "do_pan_and_scan": True, "pan_and_scan_min_crop_size": 40},
        transformers(
            "gemma3",
            size={"width": 56, "height": 48},
            do_pan_and_scan=True,
            pan_and_scan_min_crop_size=40,
            pan_and_scan_max_num_crops=4,
            pan_and_scan_min_ratio_to_activate=1.2,
        ),
    ),
    "gemma4": Family({"max_soft_tokens": 70}, transformers("gemma4", max_soft_tokens=70), random=150),
    "glm-4v": Family(
        {"min_pixels": 6272, "max_pixels": 200704},
        transformers("glm-4v", size={"shortest_edge": 6272, "longest_edge": 200704}),
        ratio=200,
    ),
    "glm-5-next": Family(
        {"min_image_tokens": 9, "max_image_tokens": 120},
        transformers("glm-5-next", min_image_tokens=9, max_image_tokens=120),
    ),
    "got-ocr2": Family({"image_size": 64}, transformers("got-ocr2", size=sides(64))),
    "granite-docling": Family({"image_size": 32}, transformers("granite-docling", size=sides(32))),
    "hunyuan-vl": Family(
        {"min_pixels": 4096, "max_pixels": 102400},
        transformers("hunyuan-vl", size={"shortest_edge": 4096, "longest_edge": 102400}),
        ratio=200,
    ),
    "idefics2": Family(
        {"shortest_edge": 50, "longest_edge": 170, "do_image_splitting": True},
        transformers("idefics2", size={"shortest_edge": 50, "longest_edge": 170}, do_image_splitting=True),
        sides=(2, 700),
    ),
    "idefics3": Family(
        {"longest_edge": 230, "tile_size": 56},
        transformers("idefics3", size={"longest_edge": 230}, max_image_size={"longest_edge": 56}),
    ),
    "kimi-k2.5": Family(
        {"max_patches": 300, "max_side_patches": 24},
        transformers("kimi-k2.5", max_patches=300, size={"max_height": 24, "max_width": 24}),
    ),
    "lfm2-vl": Family({}, transformers("lfm2-vl"), sides=(1, 1500), random=40),
    "llama4": Family({"tile_size": 56}, transformers("llama4", size=sides(56))),
    "llava-onevision": Family(
        {"image_size": 56, "image_grid_pinpoints": GRIDS},
        transformers("llava-onevision", size=sides(56), image_grid_pinpoints=GRIDS),
    ),
    "minicpm-v-4.6": Family({"scale_resolution": 112}, transformers("minicpm-v-4.6", scale_resolution=112)),
    "minimax-m3-vl": Family(
        {"min_pixels": 3136, "max_pixels": 100352},
        transformers("minimax-m3-vl", size={"shortest_edge": 3136, "longest_edge": 100352}),
        ratio=200,
    ),
    "mllama": Family({"tile_size": 56}, transformers("mllama", size=sides(56))),
    "molmo2": Family({"max_tiles": 5}, transformers("molmo2", max_crops=5), random=40),
    "nemotron-omni": Family(
        {"min_patches": 16, "max_patches": 300},
        transformers("nemotron-omni", min_num_patches=16, max_num_patches=300),
        ratio=250,
    ),
    "phi-4": Family({"max_tiles": 6}, transformers("phi-4", dynamic_hd=6), ratio=40, random=12),
    "phi-3.5-vision": Family(
        {"max_tiles": 4},
        lambda arithmetic: partial(authors_vl.phi3_v, arithmetic=arithmetic, most=4),
        ratio=80,
        random=12,
    ),
    "ovis2.5": Family(
        {"min_pixels": 4096, "max_pixels": 102400},
        lambda arithmetic: partial(authors_vl.ovis2_5, arithmetic=arithmetic, low=4096, high=102400),
        ratio=90,
    ),
    "ovis2": Family({"image_size": 56}, transformers("ovis2", size=sides(56))),
    "paddleocr-vl": Family(
        {"min_pixels": 3136, "max_pixels": 100352},
        transformers("paddleocr-vl", size={"shortest_edge": 3136, "longest_edge": 100352}),
        ratio=200,
    ),
    "pixtral": Family(
        {"longest_edge": 200, "patch_size": 14, "merge_size": 2},
        transformers("pixtral", size={"longest_edge": 200}, patch_size={"height": 28, "width": 28}),
        ratio=200,
    ),
    "siglip": Family({"image_width": 56, "image_height": 48}, transformers("siglip", size={"width": 56, "height": 48})),
    "step3": Family(
        {"image_size": 70, "window_size": 42, "max_image_size": 300},
        transformers("step3", size=sides(70), patch_size=42, max_image_size=300),
    ),
    "unlimited-ocr": Family(
        {"image_size": 128, "tile_size": 64},
        transformers("unlimited-ocr", size=sides(128), tile_size=64),
        ratio=255,
    ),
    "deepseek-ocr-tiny": Family({"base_size": 128}, deepseek_ocr(authors.Mode(128, 128, False))),
    # The authors pad where the side is over 640.
    "deepseek-ocr-base": Family({"base_size": 656}, deepseek_ocr(authors.Mode(656, 656, False))),
    # Their threshold is 640 whatever the tile, hence the larger images.
    "deepseek-ocr-gundam": Family(
        {"base_size": 128, "tile_size": 64}, deepseek_ocr(authors.Mode(128, 64, True)), sides=(60, 1300), ratio=255
    ),
    "deepseek-ocr-gundam-m": Family(
        {"base_size": 192, "tile_size": 128}, deepseek_ocr(authors.Mode(192, 128, True)), sides=(60, 1300), ratio=383
    ),
    "deepseek-vl2": Family(
        {"image_size": 48, "candidate_resolutions": [[48 * cols, 48 * rows] for cols, rows in authors_vl.CANDIDATES]},
        lambda arithmetic: partial(authors_vl.deepseek_vl2, arithmetic=arithmetic, side=48),
        ratio=47,
    ),
    "open-clip": Family(CROP, lambda arithmetic: partial(authors.open_clip, arithmetic=arithmetic, side=56)),
    "nvlm-d": Family({"image_size": 56}, lambda arithmetic: partial(authors_vl.nvlm_d, arithmetic=arithmetic, side=56)),
    "kimi-vl": Family(
        {"max_patches": 300}, lambda arithmetic: partial(authors_vl.kimi_vl, arithmetic=arithmetic, limit=300)
    ),
    "mistral-common": Family(
        {"longest_edge": 200, "patch_size": 14, "merge_size": 2},
        lambda _: partial(servers.mistral_common, patch=14, merge=2, longest=200),
        random=100,
    ),
    "step3-vl": Family(
        {"image_size": 70, "small_size": 69, "window_size": 42, "max_image_size": 300},
        lambda arithmetic: partial(servers.step3_vl, arithmetic=arithmetic, small=70, side=42, longest=300),
        random=100,
    ),
    "nativeres-llava": Family(
        {"max_tokens": 128},
        lambda arithmetic: lambda images: authors.nativeres_llava(images, arithmetic, most=128),
        ratio=200,
    ),
    "qwen2.5-vl-utils": Family(
        {"max_pixels": 128 * 784},
        lambda arithmetic: lambda images: authors.qwen2_5_vl_utils(images, arithmetic, most=128),
        ratio=200,
    ),
    "qwen3-vl-utils": Family(
        {"max_pixels": 128 * 1024},
        lambda arithmetic: lambda images: authors.qwen3_vl_utils(images, arithmetic, most=128),
        ratio=200,
    ),
}


def sizes(family: Family) -> list[Size]:
    """Extremes and as many different random sizes as asked for, sides log-uniform, none that the reference refuses."""
    rng = np.random.default_rng(41)
    least, most = np.log(family.sides)
    extremes = [size for size in EXTREMES if family.sides[0] > 2 or min(size) >= family.sides[0]]
    found = dict.fromkeys(size for size in extremes if max(size) <= family.ratio * min(size))
    least_count = len(found) + family.random
    while len(found) < least_count:
        width, height = (round(math.exp(side)) for side in rng.uniform(least, most, 2))
        if max(width, height) <= family.ratio * min(width, height):
            found[width, height] = None
    return list(found)


FLOATS = {"phi-3.5-vision", "step3-vl", *(name for name, reference in hf.REFERENCES.items() if reference.floats)}
CASES = [
    (name, arithmetic)
    for name in FAMILIES
    if hf.rounds_as_known() or name not in FLOATS
    for arithmetic in (hf.REFERENCES[name].backends if name in hf.REFERENCES else get_args(authors.Arithmetic))
]


def test_every_recipe_has_a_reference() -> None:
    """A class of transformers, or a function that restates the authors' code, and neither stands for no recipe."""
    assert set(hf.REFERENCES) | set(RESTATEMENTS) == set(vlmres.recipes())
    assert not set(hf.REFERENCES) & set(RESTATEMENTS)
    for name in RESTATEMENTS.values():
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


def test_no_family_is_missing() -> None:
    assert set(FAMILIES) >= {*hf.DISTINCT, *RESTATEMENTS} - ALIKE


@pytest.mark.parametrize(("name", "arithmetic"), CASES)
def test_many_sizes(name: str, arithmetic: authors.Arithmetic) -> None:
    family = FAMILIES[name]
    dtype: Any = hf.REFERENCES[name].dtype if name in hf.REFERENCES else "float32"
    processor = vlmres.Processor(of_partial_patches(name, **family.overrides), arithmetic=arithmetic, dtype=dtype)
    reference = family.reference(arithmetic)
    chosen = sizes(family)
    compared = set()
    for start in range(0, len(chosen), PER_CALL):
        batch = chosen[start : start + PER_CALL]
        images = [image(*size, KINDS[index % len(KINDS)]) for index, size in enumerate(batch, start)]
        assert_equal_batches(processor(images).torch(), reference(images), f"{name} {arithmetic} {batch}")
        compared.update(batch)
    assert len(compared) >= family.random
