"""Recipes whose reference is authors' code, against restatements of it."""

import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image, ImageOps

import vlmres
from tests.checkpoints.published import LLAVA, PINPOINTS, model
from tests.compare import assert_equal_batches
from tests.images import KINDS, REAL, image, pixels, random_sizes, real
from tests.reference import authors, authors_vl
from vlmres.verify import references as hf

ARITHMETICS = get_args(authors.Arithmetic)

SIZES = [
    (1, 1),
    (512, 512),
    (640, 640),
    (641, 640),
    (640, 641),
    (1024, 1024),
    (1280, 1280),
    (1250, 1000),
    (1200, 960),
    (2000, 1600),
    (700, 20),
    (20, 300),
    (128, 16),
    (1000, 1001),
    *random_sizes(6, 2000, seed=21, ratio=30),
]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("mode", authors.MODES)
def test_deepseek_ocr(mode: str, arithmetic: authors.Arithmetic) -> None:
    proc = vlmres.Processor(f"deepseek-ocr-{mode}", arithmetic=arithmetic)
    for size in SIZES:
        picture = image(*size)
        expected = authors.deepseek_ocr([picture], authors.MODES[mode], arithmetic)
        assert_equal_batches(proc(picture).torch(), expected, f"{mode} {size}")
        assert proc.plan(size).num_tokens == authors.deepseek_ocr_tokens(*size, authors.MODES[mode])


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("mode", authors.MODES)
def test_deepseek_ocr_batches(mode: str, arithmetic: authors.Arithmetic) -> None:
    proc = vlmres.Processor(f"deepseek-ocr-{mode}", arithmetic=arithmetic)
    images = [image(w, h, kind) for (w, h), kind in zip([(900, 500), (64, 64), (333, 1111)], KINDS, strict=False)]
    assert_equal_batches(proc(images).torch(), authors.deepseek_ocr(images, authors.MODES[mode], arithmetic), mode)


@pytest.mark.parametrize("name", REAL)
def test_deepseek_ocr_real_images(name: str) -> None:
    for mode in ("tiny", "base", "gundam"):
        expected = authors.deepseek_ocr([real(name)], authors.MODES[mode], "pillow")
        assert_equal_batches(vlmres.Processor(f"deepseek-ocr-{mode}")(real(name)).torch(), expected, mode)


def test_deepseek_ocr_with_six_tiles() -> None:
    recipe = vlmres.Recipe.load("deepseek-ocr-gundam", max_tiles=6)
    for size in [(1920, 1080), (1080, 1920), (1200, 960)]:
        picture = image(*size)
        expected = authors.deepseek_ocr([picture], authors.MODES["gundam"], "pillow", most=6)
        assert_equal_batches(vlmres.Processor(recipe)(picture).torch(), expected, str(size))


def test_padding_starts_where_pillow_puts_it() -> None:
    """`round(d / 2)` puts the odd pixel before where d is 3 modulo 4, after where it is 1."""
    proc = vlmres.Processor("deepseek-ocr-base", dtype="uint8")
    seen = set()
    for height in range(480, 500):
        array = pixels(1024, height, "smooth")
        free = 1024 - height
        seen.add(free % 4)
        view = proc.plan((1024, height)).views[0]
        assert (view.resized, view.offset) == ((1024, height), (0, round(free * 0.5)))
        expected = np.asarray(ImageOps.pad(Image.fromarray(array), (1024, 1024), color=authors.GRAY))
        np.testing.assert_array_equal(proc(array)["pixel_values"][0].transpose(1, 2, 0), expected)
    assert seen == {0, 1, 2, 3}


def test_deepseek_ocr_drops_transparency() -> None:
    array = pixels(700, 300, channels=4)
    dropped = np.ascontiguousarray(array[..., :3])
    expected = authors.deepseek_ocr([Image.fromarray(dropped)], authors.MODES["gundam"], "pillow")
    assert_equal_batches(vlmres.Processor("deepseek-ocr-gundam")(Image.fromarray(array)).torch(), expected, "PIL")
    assert_equal_batches(vlmres.Processor("deepseek-ocr-gundam")(array).torch(), expected, "numpy")


@pytest.mark.skipif(not hf.rounds_as_known(), reason="torch's floats round otherwise")
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_phi_3_5(arithmetic: authors.Arithmetic) -> None:
    proc = vlmres.Processor("phi-3.5-vision", arithmetic=arithmetic)
    for size in [(1, 1), (336, 336), (640, 480), (480, 641), (2000, 300), (20, 1000), (1344, 1344), (401, 300)]:
        expected = authors_vl.phi3_v([image(*size)], arithmetic)
        assert_equal_batches(proc(image(*size)).torch(), expected, f"{size} {arithmetic}")
        assert proc.plan(size).num_tokens == int(expected["num_img_tokens"])


SIMPLE: dict[str, Callable[[list[Image.Image], authors.Arithmetic], Any]] = {
    "deepseek-vl2": authors_vl.deepseek_vl2,
    "nvlm-d": authors_vl.nvlm_d,
    "kimi-vl": authors_vl.kimi_vl,
    "ovis2.5": authors_vl.ovis2_5,
}


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", SIMPLE)
def test_others(name: str, arithmetic: authors.Arithmetic) -> None:
    proc = vlmres.Processor(name, arithmetic=arithmetic)
    for start in range(0, len(SIZES), 4):
        images = [image(*size) for size in SIZES[start : start + 4]]
        assert_equal_batches(proc(images).torch(), SIMPLE[name](images, arithmetic), f"{name} {arithmetic}")


def test_tokens_of_others() -> None:
    for size in [*SIZES, *random_sizes(30, 3000, seed=2, ratio=20)]:
        assert vlmres.plan(size, "deepseek-vl2").num_tokens == authors_vl.deepseek_vl2_tokens(*size), size
        tiles = math.prod(authors.closest_grid(*size, 448, 1, 6))
        views = tiles + (tiles > 1)
        assert vlmres.plan(size, "nvlm-d").num_tokens == 257 * views + 2, size
        plan = vlmres.plan(size, "kimi-vl")
        assert plan.num_tokens == math.prod(plan.grid) // 4, size
        width, height = authors_vl.ovis2_5_size(*size, 448**2, 1344 * 1792)
        plan = vlmres.plan(size, "ovis2.5")
        assert plan.views[0].canvas == (width, height), size
        assert plan.num_tokens == width * height // 1024 + 2, size


NATIVE_SIZES = [
    (1, 1),
    (28, 28),
    (14, 1000),
    (1000, 14),
    (13, 40),
    (640, 480),
    (1260, 1260),
    (1300, 1400),
    (200, 1),
    (3000, 2500),
    *random_sizes(12, 2500, seed=31, ratio=100),
]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("size", NATIVE_SIZES)
def test_nativeres_llava(size: tuple[int, int], arithmetic: authors.Arithmetic) -> None:
    picture = image(*size)
    batch = vlmres.Processor("nativeres-llava", arithmetic=arithmetic)(picture)
    assert_equal_batches(batch.torch(), authors.nativeres_llava([picture], arithmetic), str(size))
    assert batch.num_tokens == [int(batch["image_grid_thw"].prod()) // 4]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_nativeres_llava_batches(arithmetic: authors.Arithmetic) -> None:
    images = [image(90, 500), real("photo.jpg"), image(90, 500), image(2000, 1700, "stripes"), real("page.png")]
    recipe = vlmres.Recipe.load("nativeres-llava", min_tokens=64, max_tokens=4096)
    batch = vlmres.Processor(recipe, arithmetic=arithmetic)(images)
    assert_equal_batches(batch.torch(), authors.nativeres_llava(images, arithmetic, 64, 4096), arithmetic)


def torchvision_transform(edge: int | tuple[int, int], crop: int | None, mean: float, std: float) -> Any:
    """What open_clip and timm compose of torchvision's transforms."""
    from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize, ToTensor

    crops = [] if crop is None else [CenterCrop(crop)]
    return Compose([Resize(edge, InterpolationMode.BICUBIC), *crops, ToTensor(), Normalize([mean] * 3, [std] * 3)])


@pytest.mark.parametrize(
    "size", [(640, 480), (481, 640), (224, 227), (229, 224), (90, 60), (1001, 224), *random_sizes(8, 900, seed=4)]
)
def test_open_clip_and_timm(size: tuple[int, int]) -> None:
    picture = image(*size)
    statistics = {"mean": [0.4] * 3, "std": [0.3] * 3}
    vision: dict[str, Any] = {"image_size": 224, "patch_size": 32}
    open_clip: dict[str, Any] = {
        "model_cfg": {"vision_cfg": vision},
        "preprocess_cfg": {**statistics, "interpolation": "bicubic"},
    }
    transform = torchvision_transform(224, 224, 0.4, 0.3)
    recipe = vlmres.Recipe.from_pretrained(open_clip)
    assert (recipe.name, vlmres.plan(size, recipe).num_tokens) == ("open-clip", 49)
    got = vlmres.Processor(recipe)(picture)["pixel_values"][0]
    assert np.array_equal(got, transform(picture).numpy())

    cfg = {
        **statistics,
        "input_size": [3, 224, 224],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
    }
    timm: dict[str, Any] = {"architecture": "vit_base_patch16_224", "num_classes": 0, "pretrained_cfg": cfg}
    recipe = vlmres.Recipe.from_pretrained(timm)
    assert (recipe.name, vlmres.plan(size, recipe).num_tokens) == ("open-clip", 196)
    got = vlmres.Processor(recipe)(picture)["pixel_values"][0]
    assert np.array_equal(got, torchvision_transform(256, 224, 0.4, 0.3)(picture).numpy())

    squashed = {**timm, "pretrained_cfg": {**cfg, "crop_mode": "squash", "crop_pct": 1.0}}
    vision = {"image_size": 224, "timm_model_name": "vit_base_patch16_siglip_224"}
    siglip = {
        "model_cfg": {"vision_cfg": vision},
        "preprocess_cfg": {**open_clip["preprocess_cfg"], "resize_mode": "squash"},
    }
    for config in (squashed, siglip):
        recipe = vlmres.Recipe.from_pretrained(config)
        assert (recipe.name, vlmres.plan(size, recipe).num_tokens) == ("siglip", 196)
        got = vlmres.Processor(recipe)(picture)["pixel_values"][0]
        assert np.array_equal(got, torchvision_transform((224, 224), None, 0.4, 0.3)(picture).numpy())


def test_llava_next_with_the_authors_order_of_canvases() -> None:
    """They read (width, height), so that ties go another way."""
    theirs = vlmres.Processor("llava-next", arithmetic="pillow", width_first=True)
    differ = 0
    for size in [(336, 336), (1, 1), (100, 100), (300, 300), *random_sizes(20, 400, seed=6, ratio=3)]:
        picture = image(*size)
        (expected,) = authors.llava([picture], "anyres", [(width, height) for width, height in PINPOINTS])
        np.testing.assert_array_equal(theirs(picture)["pixel_values"][0], expected.numpy())
        differ += theirs.plan(size).views[1].tiles != vlmres.plan(size, "llava-next").views[1].tiles
    assert differ > 3


@pytest.mark.parametrize("arithmetic", [None, "torch"])
@pytest.mark.parametrize("ratio", ["square", "pad", "anyres"])
def test_llava_folders_of_the_authors(ratio: str, arithmetic: authors.Arithmetic | None) -> None:
    """By default in Pillow's arithmetic, as their code."""
    settings = {"image_aspect_ratio": ratio, "image_grid_pinpoints": PINPOINTS, "mm_patch_merge_type": "spatial_unpad"}
    recipe = vlmres.Recipe.from_pretrained({**model("llava", "LlavaLlamaForCausalLM", **LLAVA), **settings})
    proc = vlmres.Processor(recipe, arithmetic=arithmetic)
    equal = []
    for size in [(336, 336), (1, 1), (640, 480), (337, 900), *random_sizes(12, 1500, seed=5, ratio=8)]:
        picture = image(*size)
        (expected,) = authors.llava([picture], ratio, [(width, height) for width, height in PINPOINTS])
        equal.append(np.array_equal(proc(picture)["pixel_values"][0], expected.numpy()))
    assert all(equal) if arithmetic is None else not all(equal)
