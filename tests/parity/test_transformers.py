"""Every recipe with a transformers reference, against both of its backends: keys, shapes, dtypes and all values."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vlmres
from tests.compare import assert_equal_batches
from tests.images import KINDS, REAL, image, random_sizes, real
from vlmres.verify import references as hf
from vlmres.verify import tokens

ARITHMETICS = ("torch", "pillow")

COMMON_SIZES = [
    (1, 1),
    (2, 3),
    (3, 2),
    (1, 3),
    (3, 1),
    (3, 3),
    (4, 4),
    (1, 40),
    (40, 1),
    (7, 190),
    (128, 16),
    (336, 336),
    (448, 448),
    (640, 480),
    (401, 300),
    (300, 401),
    (299, 1000),
    *random_sizes(6, 1600, seed=7, ratio=40),
]

# For the families whose many sizes test_many_sizes.py compares.
FEW_SIZES = [(1, 1), (3, 1), (128, 16), (448, 448), (640, 480), (401, 300), (37, 900), *random_sizes(3, 1400, seed=9)]

FAMILY_SIZES = {
    "aria": [(980, 490), (490, 981), (3, 1000), (1200, 405)],
    "aria-split": [(490, 490), (980, 490), (2000, 1000), (300, 1500)],
    "cohere2-vision": [(512, 512), (513, 512), (1536, 2048), (2100, 500)],
    "deepseek-vl": [(384, 384), (385, 384), (2, 300), (1000, 27)],
    "deepseek-vl-hybrid": [(1024, 768), (1027, 384)],
    "ernie-4.5-vl": [(42, 70), (70, 42), (14, 1000), (200, 1)],
    "gemma3": [(896, 896)],
    "gemma4": [(768, 768), (4000, 50), (50, 3000)],
    "glm-4v": [(27, 27), (1000, 14), (14, 27), (200, 1), (42, 70)],
    "glm-5-next": [(28, 28), (112, 112), (3000, 4000), (5, 900), (56, 113)],
    "got-ocr2": [(1024, 1024), (1025, 700)],
    "granite-docling": [(512, 512), (1024, 512), (3000, 200), (1240, 1754)],
    "hunyuan-vl": [(512, 512), (48, 80), (14, 1000), (200, 1)],
    "idefics2": [(980, 980), (981, 979), (1960, 300), (300, 1961), (378, 377)],
    "idefics3": [(364, 364), (1456, 1456), (1000, 364), (365, 1456), (2000, 30)],
    "kimi-k2.5": [(28, 28), (27, 29), (7169, 40), (1, 7200)],
    "lfm2-vl": [(724, 724), (725, 725), (1024, 512), (512, 1030), (3000, 180)],
    "llama4": [(336, 336), (337, 336), (672, 336), (1344, 1344), (2000, 300), (1500, 4500), (335, 1), (1000, 1001)],
    "llava-onevision": [(384, 384), (768, 384), (385, 384), (3000, 600), (1152, 1152)],
    "minicpm-v-4.6": [(448, 449), (896, 896), (1344, 448), (3000, 50), (50, 3100), (1500, 1500)],
    "minimax-m3-vl": [(672, 672), (14, 1000)],
    "mllama": [(560, 560), (561, 560), (1120, 560), (560, 1121), (1680, 200), (3, 1700), (1120, 1120), (900, 900)],
    "molmo2": [(112, 112), (112, 500), (378, 378), (379, 378), (644, 644), (1176, 645), (3000, 300), (113, 90)],
    "nemotron-omni": [(512, 512), (511, 513), (80, 64), (4000, 3000), (300, 20), (16, 1000)],
    "phi-4": [(448, 896), (449, 896), (450, 300), (2688, 2688), (2689, 2688), (5000, 900), (44, 1800)],
    "ovis2": [(448, 448), (449, 448), (1000, 500), (500, 1000), (900, 900), (1345, 1345), (2000, 100)],
    "paddleocr-vl": [(27, 27), (14, 1000), (392, 392), (200, 1), (1, 200)],
    "pixtral": [(1024, 1024), (1025, 1024), (1040, 700), (16, 16), (1500, 1000)],
    "siglip": [(224, 224), (225, 224)],
    "step3": [
        (728, 728),
        (729, 728),
        (700, 400),
        (1500, 300),
        (3025, 700),
        (300, 31),
        (200, 31),
        (124, 31),
        (40, 2000),
    ],
    "unlimited-ocr": [(640, 640), (641, 640), (1250, 1000), (2000, 1600), (1023, 2)],
    "llava-1.5": [(337, 336), (336, 341), (672, 336), (335, 335), (2, 60)],
    "llava-1.5-pad": [(337, 336), (334, 337), (1, 60), (255, 258)],
    "llava-next": [(672, 336), (336, 672), (672, 672), (1008, 336), (336, 1008), (1000, 999), (10, 600), (673, 337)],
    "internvl2": [(635, 635), (1000, 1000), (1200, 600), (1600, 800), (896, 448), (1344, 1344), (20, 300)],
    "deepseek-ocr-2": [
        (768, 768),
        (769, 768),
        (768, 1024),
        (1024, 1024),
        (1536, 768),
        (1500, 1000),
        (800, 20),
        (1023, 2),
    ],
    "qwen2-vl": [(56, 56), (28, 28), (42, 70), (70, 42), (1000, 14), (14, 1000), (200, 1), (1, 200), (644, 476)],
    "qwen3-vl": [(256, 256), (16, 16), (48, 80), (1000, 14), (200, 1), (640, 480)],
    "siglip2-naflex": [(256, 256), (224, 288), (1, 500), (700, 3), (1360, 48)],
}


def check(recipe: str, arithmetic: str, images: Any, overrides: dict[str, Any] | None = None, **settings: Any) -> None:
    """Compares one call."""
    proc = processor(vlmres.Recipe.load(recipe, **(overrides or {})), arithmetic)
    expected = hf.processor(recipe, arithmetic, **settings)(images, return_tensors="pt")
    assert_equal_batches(proc(images).torch(), expected, f"{recipe} {arithmetic}")


def processor(recipe: vlmres.Recipe, arithmetic: str) -> vlmres.Processor:
    """A processor of the reference's own type of values."""
    dtype: Any = hf.REFERENCES[recipe.name].dtype
    return vlmres.Processor(recipe, arithmetic=arithmetic, dtype=dtype)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("recipe", "arithmetic", "size"),
    [(*case, size) for case in hf.cases(hf.CORE) for size in COMMON_SIZES + FAMILY_SIZES[case[0]]],
)
def test_sizes(recipe: str, size: tuple[int, int], arithmetic: str) -> None:
    check(recipe, arithmetic, image(*size))


@pytest.mark.parametrize(("recipe", "arithmetic"), hf.cases(sorted(set(hf.DISTINCT) - set(hf.CORE))))
def test_fewer_sizes(recipe: str, arithmetic: str) -> None:
    reference, proc = hf.processor(recipe, arithmetic), processor(vlmres.Recipe.load(recipe), arithmetic)
    for size in FEW_SIZES + FAMILY_SIZES[recipe]:
        picture = image(*size)
        expected = reference(picture, return_tensors="pt")
        assert_equal_batches(proc(picture).torch(), expected, f"{recipe} {arithmetic} {size}")


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("recipe", hf.CORE)
def test_real_images(recipe: str, name: str, arithmetic: str) -> None:
    check(recipe, arithmetic, real(name))


@pytest.mark.parametrize(("recipe", "arithmetic"), hf.cases(sorted(hf.REFERENCES)))
def test_mixed_batches(recipe: str, arithmetic: str) -> None:
    sizes = [(900, 600), (30, 44), (900, 600), (5, 5), (450, 1200), (128, 16), (768, 768), (1100, 333)]
    if recipe not in hf.CORE:
        sizes = sizes[1:6]
    check(recipe, arithmetic, [image(*size, kind, seed=3) for size, kind in zip(sizes, KINDS * 2, strict=False)])


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("recipe", hf.CORE)
def test_adversarial_pixels(recipe: str, kind: str, arithmetic: str) -> None:
    check(recipe, arithmetic, [image(531, 388, kind), image(811, 1290, kind)])


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", hf.CORE)
def test_numpy_results(recipe: str, arithmetic: str) -> None:
    images = [image(300, 200), image(800, 900)]
    batch = vlmres.Processor(recipe, arithmetic=arithmetic)(images)  # type: ignore[arg-type]
    reference = hf.processor(recipe, arithmetic)
    # transformers' torchvision classes return torch tensors only.
    tensors = reference(images, return_tensors="pt" if arithmetic == "torch" else "np")
    expected = {key: np.asarray(value) for key, value in tensors.items()}
    assert list(batch) == list(expected)
    for key, array in batch.items():
        assert array.dtype == expected[key].dtype, key
        np.testing.assert_array_equal(array, expected[key], err_msg=key, strict=True)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", ["deepseek-ocr-2", "internvl2", "llava-next"])
def test_no_image_has_tiles(recipe: str, arithmetic: str) -> None:
    check(recipe, arithmetic, [image(20, 20), image(40, 40), image(20, 20)])


SQUASHED = {"size": {"height": 392, "width": 392}}

OVERRIDES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("qwen2-vl", {"min_pixels": 200704}, {"size": {"shortest_edge": 200704, "longest_edge": 12845056}}),
    ("qwen2-vl", {"max_pixels": 100352}, {"size": {"shortest_edge": 3136, "longest_edge": 100352}}),
    ("qwen2-vl", {"min_pixels": 1, "max_pixels": 784}, {"size": {"shortest_edge": 1, "longest_edge": 784}}),
    ("qwen3-vl", {"patch_size": 12, "merge_size": 3}, {"patch_size": 12, "merge_size": 3}),
    ("qwen3-vl", {"merge_size": 1, "temporal_patch_size": 1}, {"merge_size": 1, "temporal_patch_size": 1}),
    ("qwen2-vl", {"temporal_patch_size": 3, "merge_size": 4}, {"temporal_patch_size": 3, "merge_size": 4}),
    ("internvl2", {"max_tiles": 6}, {"max_patches": 6}),
    ("internvl2", {"min_tiles": 4, "max_tiles": 9}, {"min_patches": 4, "max_patches": 9}),
    ("internvl2", {"image_size": 392}, SQUASHED),
    (
        "llava-1.5",
        {"shortest_edge": 224, "crop_width": 224, "crop_height": 224},
        {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}},
    ),
    (
        "llava-1.5",
        {"shortest_edge": 101, "crop_width": 224, "crop_height": 224},
        {"size": {"shortest_edge": 101}, "crop_size": {"height": 224, "width": 224}},
    ),
    (
        "llava-1.5",
        {"shortest_edge": 100, "crop_width": 131, "crop_height": 203},
        {"size": {"shortest_edge": 100}, "crop_size": {"height": 203, "width": 131}},
    ),
    (
        "llava-1.5-pad",
        {"shortest_edge": 97, "crop_width": 112, "crop_height": 112},
        {"size": {"shortest_edge": 97}, "crop_size": {"height": 112, "width": 112}},
    ),
    ("llava-1.5-pad", {"image_mean": [0.1, 0.5, 0.9]}, {"image_mean": [0.1, 0.5, 0.9]}),
    (
        "llava-next",
        {"image_size": 224, "image_grid_pinpoints": [[224, 448], [448, 448], [896, 224]]},
        {
            "size": {"shortest_edge": 224},
            "crop_size": {"height": 224, "width": 224},
            "image_grid_pinpoints": [[224, 448], [448, 448], [896, 224]],
        },
    ),
    ("llava-next", {"image_grid_pinpoints": [[336, 336]]}, {"image_grid_pinpoints": [[336, 336]]}),
    ("deepseek-ocr-2", {"max_tiles": 4, "tile_size": 512}, {"max_patches": 4, "tile_size": 512}),
    ("deepseek-ocr-2", {"background_color": [1, 2, 250]}, {"background_color": [1, 2, 250]}),
    ("deepseek-ocr-2", {"image_size": 640}, {"size": {"height": 640, "width": 640}}),
    ("siglip2-naflex", {"max_num_patches": 64}, {"max_num_patches": 64}),
    ("siglip2-naflex", {"max_num_patches": 1024, "patch_size": 14}, {"max_num_patches": 1024, "patch_size": 14}),
    *[
        (recipe, {"filter": name}, {"resample": hf.RESAMPLE[name]})
        for recipe in ("llava-1.5", "internvl2", "qwen2-vl", "siglip2-naflex", "deepseek-ocr-2", "llava-next")
        for name in ("nearest", "bilinear", "bicubic", "lanczos")
    ],
    *[
        (recipe, overrides, overrides)
        for recipe in ("llava-1.5", "qwen3-vl", "siglip2-naflex", "internvl2", "deepseek-ocr-2")
        for overrides in (
            {"do_normalize": False},
            {"do_rescale": False},
            {"rescale_factor": 1 / 127.5},
            {"do_normalize": False, "rescale_factor": 0.01},
            {"image_mean": [0.3, 0.2, 0.7], "image_std": [0.11, 2.5, 1.0]},
        )
    ],
]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize(
    ("recipe", "overrides", "settings"),
    OVERRIDES,
    ids=[
        f"{recipe}-{'-'.join(f'{key}={value}' for key, value in overrides.items())}"
        for recipe, overrides, _ in OVERRIDES
    ],
)
def test_overrides(recipe: str, overrides: dict[str, Any], settings: dict[str, Any], arithmetic: str) -> None:
    images = [image(400, 301), image(211, 350, "binary"), image(907, 333, "stripes")]
    check(recipe, arithmetic, images, overrides, **settings)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_centre_crop_of_every_small_size(arithmetic: str) -> None:
    """Odd differences go to opposite sides in the two backends."""
    for edge, crop in [(5, 8), (5, 9), (6, 9), (6, 6), (9, 6), (8, 5)]:
        # A recipe's canvas holds at least one patch, so these small ones have small patches.
        overrides = {"shortest_edge": edge, "crop_width": crop, "crop_height": crop + 1, "patch_size": 1}
        settings = {"size": {"shortest_edge": edge}, "crop_size": {"height": crop + 1, "width": crop}}
        proc = vlmres.Processor(vlmres.Recipe.load("llava-1.5", **overrides), arithmetic=arithmetic)  # type: ignore[arg-type]
        reference = hf.processor("llava-1.5", arithmetic, **settings)
        for size in [(w, h) for w in range(4, 12) for h in (4, 5, 6, 11)]:
            picture = image(*size)
            expected = reference(picture, return_tensors="pt")
            assert_equal_batches(proc(picture).torch(), expected, f"{size} to {edge}, {crop}x{crop + 1}")


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", hf.CORE)
def test_random_batches(recipe: str, arithmetic: str) -> None:
    proc, reference = vlmres.Processor(recipe, arithmetic=arithmetic), hf.processor(recipe, arithmetic)  # type: ignore[arg-type]
    sizes = random_sizes(12, 1200, seed=hf.CORE.index(recipe), ratio=60)
    for start in range(0, len(sizes), 4):
        images: list[Image.Image] = [image(*size, seed=start) for size in sizes[start : start + 4]]
        expected = reference(images, return_tensors="pt")
        assert_equal_batches(proc(images).torch(), expected, f"{recipe} {sizes[start : start + 4]}")


TOKEN_SIZES = [(1, 1), (448, 448), (640, 480), (1000, 1000), (2000, 37), *random_sizes(40, 3000, seed=5, ratio=150)]


@pytest.mark.parametrize("recipe", sorted(tokens.TOKEN_REFERENCES))
def test_token_counts(recipe: str) -> None:
    got = vlmres.plan_many(TOKEN_SIZES, recipe, errors="return")
    sizes = [size for index, size in enumerate(TOKEN_SIZES) if index not in got.errors]
    assert len(sizes) >= len(TOKEN_SIZES) - 1
    counter = tokens.processor_of(recipe)
    sizes = [size for size in sizes if tokens.reliable(counter, size)]
    expected = tokens.count(counter, sizes)
    assert vlmres.plan_many(sizes, recipe).num_tokens.tolist() == expected


def test_tokens_where_llava_onevision_begins_to_interpolate() -> None:
    """Over 1.1 times the side of nine tiles of 27 x 27 tokens: 81 x 98 are just below, 81 x 100 above."""
    sizes = [(round(1146 * columns / 81), 1146) for columns in range(95, 104)]
    sizes += [(height, width) for width, height in sizes]
    expected = tokens.count(tokens.processor_of("llava-onevision"), sizes)
    assert vlmres.plan_many(sizes, "llava-onevision").num_tokens.tolist() == expected
    assert 729 + 81 * (98 + 1) in expected
    assert 729 + 81 * (100 + 1) not in expected


@pytest.mark.skipif(not hf.rounds_as_known(), reason="torch's floats round otherwise")
def test_molmo2_with_one_thread() -> None:
    """torch has another kernel then, and ties round to other bytes."""
    sizes, threads = [(700, 700), (699, 700), (641, 480), (1, 1)], torch.get_num_threads()
    several = vlmres.Processor("molmo2")([image(*size, "smooth") for size in sizes]).torch()
    try:
        torch.set_num_threads(1)
        expected = hf.processor("molmo2", "torch")([image(*size, "smooth") for size in sizes], return_tensors="pt")
    finally:
        torch.set_num_threads(threads)
    one = vlmres.Processor(vlmres.Recipe.load("molmo2", one_thread=True))
    assert_equal_batches(one([image(*size, "smooth") for size in sizes]).torch(), expected, "one thread")
    assert not several["pixel_values"].equal(expected["pixel_values"])


TAGS = {
    name: f"<{name}>"
    for name in (
        "image_token",
        "image_start_token",
        "image_end_token",
        "image_thumbnail_token",
        "slice_start_token",
        "slice_end_token",
    )
}
WRITTEN: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]] = [
    ("deepseek-vl", "deepseek_vl", "DeepseekVLProcessor", {"num_image_tokens": 576, **TAGS}, {}),
    ("deepseek-vl-hybrid", "deepseek_vl_hybrid", "DeepseekVLHybridProcessor", {"num_image_tokens": 576, **TAGS}, {}),
    (
        "lfm2-vl",
        "lfm2_vl",
        "Lfm2VlProcessor",
        TAGS,
        {
            "use_image_special_tokens": True,
            "tile_size": 512,
            "encoder_patch_size": 16,
            "downsample_factor": 2,
            "return_row_col_info": True,
        },
    ),
    ("llama4", "llama4", "Llama4Processor", {"patch_size": 14, "downsample_ratio": 4}, {}),
    ("minicpm-v-4.6", "minicpmv4_6", "MiniCPMV4_6Processor", {"slice_mode": True, **TAGS}, {"image_token_divisor": 16}),
    ("mllama", "mllama", "MllamaProcessor", TAGS, {}),
    ("ovis2", "ovis2", "Ovis2Processor", {"image_seq_length": 256}, {}),
    ("nemotron-omni", "nemotron_h_omni", "NemotronH_Omni_Reasoning_V3Processor", TAGS, {}),
    ("phi-4", "phi4_multimodal", "Phi4MultimodalProcessor", TAGS, {}),
    (
        "step3",
        "step3p7",
        "Step3p7Processor",
        {"image_feature_placeholder": "<image>" * 169, "patch_feature_placeholder": "<image>" * 81},
        {},
    ),
    (
        "unlimited-ocr",
        "unlimited_ocr",
        "UnlimitedOcrProcessor",
        {"patch_size": 16, "downsample_ratio": 4, **TAGS},
        {},
    ),
]


@pytest.mark.parametrize(
    ("recipe", "module", "name", "attributes", "settings"), WRITTEN, ids=[case[0] for case in WRITTEN]
)
def test_tokens_of_the_text(
    recipe: str, module: str, name: str, attributes: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Of the processors that do not count tokens but write them."""
    reference = tokens.TokenReference(module, name, attributes)
    stub = tokens.light_processor(reference, hf.processor(recipe, "torch"))
    for size in [(640, 480), (300, 300), (1000, 2000), (2100, 300), (1, 30), (1600, 1500)]:
        rows = {"return_row_col_info": True} if recipe == "lfm2-vl" else {}
        inputs = stub.image_processor([image(*size)], return_tensors="pt", **rows)
        text = stub.replace_image_token(inputs, 0, **settings)
        assert vlmres.plan(size, recipe).num_tokens == len(tokens.Words()(text)["input_ids"]), size


def test_token_counts_of_deepseek_ocr_2() -> None:
    attributes = {"image_token": "x", "patch_size": 16, "downsample_ratio": 4}
    reference = tokens.TokenReference("deepseek_ocr2", "DeepseekOcr2Processor", attributes)
    stub = tokens.light_processor(reference, hf.processor("deepseek-ocr-2", "torch"))
    for size in TOKEN_SIZES:
        plan = vlmres.plan(size, "deepseek-ocr-2")
        tiles = stub.image_processor.get_number_of_image_patches(size[1], size[0])
        assert plan.num_tiles == tiles
        text = stub.replace_image_token({"num_local_patches": [tiles - 1]}, 0)
        assert plan.num_tokens == len(text), size
