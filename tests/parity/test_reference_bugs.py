"""Where references disagree, among themselves or with the authors: what vlmres does, and what selects another way."""

import importlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2 as torchvision

import vlmres
from tests.compare import assert_equal_batches
from tests.images import image, pixels, random_sizes
from vlmres.verify import references as hf


def counted(recipe: str, arithmetic: str, image_size: tuple[int, int], /, **settings: Any) -> Any:
    """The reference's own count of an image's patches or tiles."""
    return hf.processor(recipe, arithmetic, **settings).get_number_of_image_patches(image_size[1], image_size[0])


def test_deepseek_ocr_2_counts_tiles_by_what_is_made() -> None:
    """transformers' PIL class counts with the wrong tile and without the threshold."""
    assert vlmres.plan((600, 700), "deepseek-ocr-2").num_tiles == 1
    assert counted("deepseek-ocr-2", "torch", (600, 700)) == 1
    assert counted("deepseek-ocr-2", "pillow", (600, 700)) == 5


def test_deepseek_ocr_2_background_is_the_recipe_s() -> None:
    """transformers' torchvision class ignores the argument of a call, but not that of its constructor."""
    picture = image(100, 40)
    constructed = hf.processor("deepseek-ocr-2", "torch", background_color=[1, 2, 250])
    called = hf.processor("deepseek-ocr-2", "torch")(picture, background_color=[1, 2, 250], return_tensors="pt")
    recipe = vlmres.Recipe.load("deepseek-ocr-2", background_color=[1, 2, 250])
    got = vlmres.Processor(recipe, arithmetic="torch")(picture).torch()
    assert_equal_batches(got, constructed(picture, return_tensors="pt"))
    assert not torch.equal(got["pixel_values"], called["pixel_values"])


def test_ovis2_takes_rows_for_columns() -> None:
    """As transformers does; `transposed_grid=False` is the grid that its search, the authors', found."""
    module = importlib.import_module("transformers.models.ovis2.image_processing_ovis2")
    authors = vlmres.Recipe.load("ovis2", transposed_grid=False)
    assert vlmres.plan((1000, 500), "ovis2").grid == (3, 2)
    assert vlmres.plan((1000, 500), authors).grid == (2, 3)
    hf.processor("ovis2", "torch")  # so that its sum is that of Python 3.12
    for width, height in random_sizes(300, 3000, seed=12):
        rows, cols = module.get_min_tile_covering_grid((height, width), 448, 9, 0.9)
        assert vlmres.plan((width, height), authors).grid == (rows, cols)
        assert vlmres.plan((width, height), "ovis2").grid == (cols, rows)


def test_llava_next_reads_candidates_as_height_and_width() -> None:
    """As transformers does; the authors read the same list as (width, height), which swapped candidates select."""
    swapped = [[width, height] for height, width in vlmres.Recipe.load("llava-next").params["image_grid_pinpoints"]]
    recipe = vlmres.Recipe.load("llava-next", image_grid_pinpoints=swapped)
    assert vlmres.plan((100, 100), "llava-next").grid == (1, 2)
    assert vlmres.plan((100, 100), recipe).grid == (2, 1)
    assert vlmres.plan((1000, 300), recipe).grid == vlmres.plan((1000, 300), "llava-next").grid == (1, 3)


def test_llava_1_5_loses_borders_unless_it_pads() -> None:
    """transformers' checkpoints crop the centre; the paper pads, which is a recipe of its own."""
    array = np.full((100, 300, 3), 128, dtype=np.uint8)
    array[:, :50] = 255
    cropped, padded = (
        vlmres.Processor(name, dtype="uint8")(array)["pixel_values"].max() for name in ("llava-1.5", "llava-1.5-pad")
    )
    assert cropped < 200 < padded


def test_idefics3_counts_tokens_by_what_is_made() -> None:
    """transformers' count forgets the second resize, and differs where the longest edge is not whole tiles."""
    settings = {"size": {"longest_edge": 1000}, "max_image_size": {"longest_edge": 364}}
    recipe = vlmres.Recipe.load("idefics3", longest_edge=1000)
    reference = hf.processor("idefics3", "torch", **settings)
    differ = 0
    for size in random_sizes(400, 2000, seed=8, ratio=20):
        plan = vlmres.plan(size, recipe)
        differ += plan.num_tiles != max(1, counted("idefics3", "torch", size, **settings)[0])
        stock = vlmres.plan(size, "idefics3")
        assert stock.num_tiles == max(1, counted("idefics3", "torch", size)[0])
    assert differ > 0
    made = reference(image(500, 366), return_tensors="pt", return_row_col_info=True)
    assert (made["rows"], made["cols"]) == ([[3]], [[3]])
    assert vlmres.plan((500, 366), recipe).grid == (3, 3)


@pytest.mark.parametrize("arithmetic", ["torch", "pillow"])
def test_qwen_counts_patches_in_the_budget_that_it_was_given(arithmetic: str) -> None:
    """transformers' count ignores `size` in a call."""
    reference = hf.processor("qwen2-vl", arithmetic)
    size = {"shortest_edge": 3136, "longest_edge": 100352}
    made = reference(image(1000, 800), size=size, return_tensors="pt")["image_grid_thw"].prod()
    recipe = vlmres.Recipe.load("qwen2-vl", max_pixels=100352)
    assert vlmres.plan((1000, 800), recipe).num_patches == made
    assert reference.get_number_of_image_patches(800, 1000, {"size": size}) != made


def test_pixtral_counts_single_rows() -> None:
    """transformers counts from an array's shape, and takes a single row of pixels for an image of one channel."""
    module = importlib.import_module("transformers.models.pixtral.image_processing_pixtral")
    counted = module.get_resize_output_image_size(np.zeros((1, 40, 3)), size=1024, patch_size=16)
    made = hf.processor("pixtral", "torch")(image(40, 1), return_tensors="pt")["image_sizes"]
    assert counted == (48, 16)
    assert made.tolist() == [[16, 48]]
    assert vlmres.plan((40, 1), "pixtral").views[0].canvas == (48, 16)


def test_pixtral_counts_three_rows_for_channels() -> None:
    module = importlib.import_module("transformers.models.pixtral.image_processing_pixtral")
    assert module.get_resize_output_image_size(np.zeros((3, 58, 3)), size=1024, patch_size=16) == (64, 16)
    assert vlmres.plan((58, 3), "pixtral").views[0].canvas == (64, 16)


def test_gemma4_s_torch_class_has_the_other_nearest() -> None:
    """It gives 0 to torchvision, whose "nearest" that is; other classes, and recipes, have "nearest-exact"."""
    picture = image(100, 90)
    recipe = vlmres.Recipe.load("gemma4", filter="nearest")
    for arithmetic, equal in (("torch", False), ("pillow", True)):
        expected = hf.processor("gemma4", arithmetic, resample=0)(picture, return_tensors="pt")["pixel_values"]
        got = vlmres.Processor(recipe, arithmetic=arithmetic)(picture).torch()["pixel_values"]  # type: ignore[arg-type]
        assert torch.equal(got, expected) == equal
        if not equal:
            exact = hf.processor("gemma4", arithmetic, resample=torchvision.InterpolationMode.NEAREST_EXACT)
            assert torch.equal(got, exact(picture, return_tensors="pt")["pixel_values"])


def test_aria_tells_one_number_of_crops() -> None:
    """As transformers does, the most of the batch; plans have each image's own."""
    images = [image(490, 980), image(1900, 900)]
    batch = vlmres.Processor("aria-split")(images)
    assert batch["num_crops"].shape == ()
    assert batch["num_crops"] == max(plan.num_tiles for plan in batch.plans if plan)
    assert len({plan.num_tiles for plan in batch.plans if plan}) == 2


def test_kimi_s_padding_exceeds_its_budget() -> None:
    """As transformers does: the budget holds before padding."""
    plan = vlmres.plan((3000, 4000), "kimi-k2.5")
    assert plan.num_patches == counted("kimi-k2.5", "torch", (3000, 4000)) == 16800
    assert plan.recipe.params["max_patches"] == 16384


@pytest.mark.parametrize("name", ["siglip2-naflex", "lfm2-vl", "deepseek-vl", "deepseek-vl-hybrid"])
def test_what_is_not_converted_is_refused(name: str) -> None:
    """transformers has no colour rule here and fails later; `convert="white"` converts."""
    gray = Image.fromarray(pixels(64, 48, channels=1)[..., 0])
    with pytest.raises(vlmres.VlmresError, match="RGB"):
        vlmres.Processor(name)(gray)
    assert vlmres.Processor(vlmres.Recipe.load(name, convert="white"))(gray)["pixel_values"].size


def test_llama4_normalises_in_bfloat16() -> None:
    """In float32 the values are those bfloat16 ones, not better ones."""
    picture = image(500, 300)
    reference = hf.processor("llama4", "torch")(picture, return_tensors="pt")["pixel_values"]
    got = vlmres.Processor("llama4")(picture).torch()["pixel_values"]
    assert got.dtype == torch.float32
    assert torch.equal(got, reference.float())
    with pytest.raises(TypeError, match="float tensor"):
        hf.processor("llama4", "torch", do_rescale=False)(picture)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("Gemma3ImageProcessor", {"do_resize": False}),
        ("MiniCPMV4_6ImageProcessor", {"do_resize": False}),
        ("Lfm2VlImageProcessor", {"do_pad": False}),
        ("Llama4ImageProcessor", {"resize_to_max_canvas": True}),
        ("MllamaImageProcessor", {"do_pad": False}),
        ("AriaImageProcessor", {"max_image_size": 980, "split_image": True}),
        ("GraniteDoclingImageProcessor", {"fine_route": True}),
        ("DeepseekVLHybridImageProcessor", {"image_mean": [0.5] * 3, "high_res_image_mean": [0.4] * 3}),
    ],
)
def test_settings_on_which_references_break_are_refused(name: str, config: dict[str, Any]) -> None:
    """Or which recipes do not follow."""
    with pytest.raises(vlmres.RecipeError, match=next(iter(config)) if len(config) == 1 else "split_image|high_res"):
        vlmres.Recipe.from_pretrained({"image_processor_type": name, **config})


def test_glm_counts_two_frames() -> None:
    """An image may take half of `max_pixels`, because a patch holds two frames of it."""
    plan = vlmres.plan((4000, 3000), "glm-4v")
    canvas = plan.views[0].canvas
    assert math.prod(canvas) * 2 <= 11760000 < math.prod((4000, 3000))
    assert plan.num_patches == counted("glm-4v", "torch", (4000, 3000))
