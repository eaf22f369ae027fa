"""Every family of recipes on hundreds of random sizes, its views made small so that this is quick."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest
from PIL import Image

import vlmres
from tests.compare import assert_equal_batches
from tests.images import KINDS, image
from tests.reference import authors
from vlmres.verify import references as hf

Reference = Callable[[list[Image.Image]], Mapping[str, Any]]
Size = tuple[int, int]

COUNT = 300
PER_CALL = 8

EXTREMES: list[Size] = [(1, 1), (1, 2), (2, 1), (1, 3), (1, 200), (200, 1), (700, 700), (699, 700), (700, 4), (4, 700)]


class Family(NamedTuple):
    """What a recipe is made smaller by."""

    overrides: dict[str, Any]
    reference: Callable[[authors.Arithmetic], Reference]
    sides: tuple[int, int] = (1, 700)
    """The least and the most that random sides have."""
    ratio: float = math.inf
    """The reference refuses sizes above this aspect ratio."""


def transformers(recipe: str, **settings: Any) -> Callable[[authors.Arithmetic], Reference]:
    return lambda arithmetic: partial(hf.processor(recipe, arithmetic, **settings), return_tensors="pt")


def deepseek_ocr(mode: authors.Mode) -> Callable[[authors.Arithmetic], Reference]:
    return lambda arithmetic: lambda images: authors.deepseek_ocr(images, mode, arithmetic)


def square(side: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}


PINPOINTS = [[56 * rows, 56 * cols] for rows, cols in [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]]
CROP = {"shortest_edge": 56, "crop_width": 56, "crop_height": 56}

FAMILIES: dict[str, Family] = {
    "llava-1.5": Family(CROP, transformers("llava-1.5", **square(56))),
    "llava-1.5-pad": Family(CROP, transformers("llava-1.5-pad", **square(56))),
    "llava-next": Family(
        {"image_size": 56, "image_grid_pinpoints": PINPOINTS},
        transformers("llava-next", image_grid_pinpoints=PINPOINTS, **square(56)),
    ),
    "internvl2": Family({"image_size": 56}, transformers("internvl2", size={"height": 56, "width": 56})),
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
        transformers("deepseek-ocr-2", size={"height": 128, "width": 128}, tile_size=112),
        ratio=255,
    ),
    "siglip2-naflex": Family({"max_num_patches": 64}, transformers("siglip2-naflex", max_num_patches=64)),
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
    "nativeres-llava": Family(
        {"max_tokens": 128},
        lambda arithmetic: lambda images: authors.nativeres_llava(images, arithmetic, most=128),
        ratio=200,
    ),
}


def sizes(family: Family) -> list[Size]:
    """Extremes and as many different random sizes as asked for, sides log-uniform, none that the reference refuses."""
    rng = np.random.default_rng(41)
    least, most = np.log(family.sides)
    found = dict.fromkeys(EXTREMES)
    while len(found) < len(EXTREMES) + COUNT:
        width, height = (round(math.exp(side)) for side in rng.uniform(least, most, 2))
        if max(width, height) <= family.ratio * min(width, height):
            found[width, height] = None
    return list(found)


@pytest.mark.parametrize("arithmetic", get_args(authors.Arithmetic))
@pytest.mark.parametrize("name", FAMILIES)
def test_many_sizes(name: str, arithmetic: authors.Arithmetic) -> None:
    family = FAMILIES[name]
    processor = vlmres.Processor(vlmres.Recipe.load(name, **family.overrides), arithmetic=arithmetic)
    reference = family.reference(arithmetic)
    chosen = sizes(family)
    compared = set()
    for start in range(0, len(chosen), PER_CALL):
        batch = chosen[start : start + PER_CALL]
        images = [image(*size, KINDS[index % len(KINDS)]) for index, size in enumerate(batch, start)]
        assert_equal_batches(processor(images).torch(), reference(images), f"{name} {arithmetic} {batch}")
        compared.update(batch)
    assert len(compared) >= 300
