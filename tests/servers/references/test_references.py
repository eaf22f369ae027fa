"""Recipes beside the packages that servers and authors run, live: `make test-servers`."""

import os
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.images import image, random_sizes

EXTREMES = [
    (1, 1),
    (1, 2000),
    (2000, 1),
    (3, 5),
    (16, 16),
    (15, 17),
    (1024, 1024),
    (1540, 1540),
    (1087, 35),
    (4000, 3000),
]


@pytest.mark.skipif(os.environ.get("OPENCV_IPP") != "disabled", reason="OpenCV was imported with IPP")
@pytest.mark.parametrize(
    ("name", "config"), [("mistral-common", (16, 1024, 1)), ("mistral-common-small-3", (14, 1540, 2))]
)
def test_mistral_common(name: str, config: tuple[int, int, int]) -> None:
    module: Any = pytest.importorskip("mistral_common.tokens.tokenizers.image", reason="run make test-servers")
    chunk: Any = pytest.importorskip("mistral_common.protocol.instruct.chunk")
    encode = module.ImageEncoder(module.ImageConfig(*config), module.SpecialImageIDs(1, 2, 3))
    processor = vlmres.Processor(name)
    for index, size in enumerate([*EXTREMES, *random_sizes(60, 2000, seed=7, ratio=400)]):
        picture = image(*size).convert(("RGB", "RGB", "L", "LA", "RGBA")[index % 5])
        expected, got = encode(chunk.ImageChunk(image=picture)), processor(picture)
        np.testing.assert_array_equal(got["pixel_values"][0], expected.image, err_msg=str(size))
        assert got.num_tokens == [len(expected.tokens)]


def test_llava_authors_order_of_canvases() -> None:
    utils: Any = pytest.importorskip("llava.mm_utils", reason="run make test-servers")
    pinpoints = [(336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008)]
    recipe = vlmres.Recipe.load("llava-next", width_first=True)
    for size in [(1, 1), (336, 336), (100, 300), *random_sizes(300, 2000, seed=8, ratio=20)]:
        width, height = utils.select_best_resolution(size, pinpoints)
        tiles = vlmres.plan(size, recipe).views[1].tiles
        assert (tiles.cols * 336, tiles.rows * 336) == (width, height), size


def test_step3() -> None:
    step3: Any = pytest.importorskip("vllm.transformers_utils.processors.step3_vl", reason="run make test-servers")
    theirs, processor = step3.Step3VLImageProcessor(), vlmres.Processor("step3-vl")
    sizes = [(1, 1), (20, 300), (400, 800), (728, 728), (729, 500), (727, 727), (3100, 900), (504, 1200)]
    for size in [*sizes, *random_sizes(25, 2500, seed=9, ratio=20)]:
        expected, got = theirs(image(*size), return_tensors="pt"), processor(image(*size))
        np.testing.assert_array_equal(got["pixel_values"], expected["pixel_values"].numpy(), err_msg=str(size))
        assert got["num_local_patches"].tolist() == list(expected["num_patches"]), size
        if got["num_local_patches"][0]:
            windows = expected["patch_pixel_values"].numpy()
            np.testing.assert_array_equal(got["pixel_values_local"], windows, err_msg=str(size))
            assert got["patch_newline_masks"][0].tolist() == expected["patch_newline_mask"].tolist()


def test_qwen_vl_utils_sizes() -> None:
    vision: Any = pytest.importorskip("qwen_vl_utils.vision_process", reason="run make test-servers")
    recipe = vlmres.Recipe.load("nativeres-llava", max_tokens=16384)
    for width, height in random_sizes(2000, 4000, seed=10, ratio=190):
        rows, cols = vision.smart_resize(height, width, factor=28, min_pixels=4 * 784, max_pixels=16384 * 784)
        canvas = vlmres.plan((width, height), recipe).views[0].canvas
        assert (canvas.height, canvas.width) == (rows, cols), (width, height)
