"""The packed layout against the reference one, dtypes, and memory of the caller's."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vlmres
from tests.compare import assert_equal_batches, assert_equal_tensors
from tests.images import image

RECIPES = vlmres.recipes()
# By the layout of their values; all others have tiles.
MERGED = {
    name for name in RECIPES if name.startswith(("qwen", "glm", "ernie", "minimax", "dots", "nativeres", "ovis2.5"))
}
RASTER = {"hunyuan-vl", "kimi-k2.5", "kimi-vl", "nemotron-omni", "paddleocr-vl"}
FLAT = {"siglip2-naflex", "lfm2-vl", "gemma4", "molmo2"}
STRIP = {"minicpm-v-4.6"}
# Tiles of a sample or of an image in a row.
SAMPLE = {"granite-docling", "idefics2", "idefics3", "smolvlm"}
NESTED = {"llava-next", "llava-onevision", "mllama", "phi-3.5-vision", "phi-4"}
# What is resized as floats is no table of bytes.
FLOATS = {"mistral-common", "mistral-common-small-3", "nemotron-omni", "phi-3.5-vision", "phi-4", "step3-vl"}
# Tiles apart from the whole image.
LOCAL = {name for name in RECIPES if name.startswith(("deepseek-ocr", "unlimited", "step3"))}
VALUES = (
    "patches",
    "pixel_values",
    "image_pixel_values",
    "images_crop",
    "pixel_values_local",
    "images",
    "high_res_pixel_values",
)
# One recipe of each way in which values lie.
LAYOUTS = ["deepseek-ocr-2", "deepseek-ocr-gundam", "idefics2", "internvl2", "lfm2-vl", "llava-1.5", "llava-next"]
LAYOUTS += ["minicpm-v-4.6", "mllama", "molmo2", "nemotron-omni", "paddleocr-vl", "phi-4", "qwen2-vl"]
LAYOUTS += ["siglip2-naflex"]
DTYPES = ("float32", "bfloat16", "float16", "uint8")

IMAGES = [image(90, 61), image(701, 350, "smooth"), image(33, 260), image(900, 1300), image(701, 350)]


def processor(recipe: vlmres.Recipe | str, **options: Any) -> vlmres.Processor:
    return vlmres.Processor(recipe, **options)


def packed_canvases(batch: vlmres.Batch, patch: int) -> list[NDArray[Any]]:
    """Every segment as an image, by its patches' positions."""
    canvases = []
    for segment, (rows, cols) in enumerate(batch.grids):
        start, end = batch.cu_seqlens[segment : segment + 2]
        assert end - start == rows * cols
        canvas = np.empty((rows * patch, cols * patch, 3), dtype=batch.patches.dtype)
        seen = np.zeros((rows, cols), dtype=int)
        for values, (row, col) in zip(batch.patches[start:end], batch.positions[start:end], strict=True):
            canvas[row * patch : (row + 1) * patch, col * patch : (col + 1) * patch] = values.reshape(patch, patch, 3)
            seen[row, col] += 1
        assert (seen == 1).all()
        canvases.append(canvas)
    return canvases


def reference_canvases(batch: vlmres.Batch, recipe: vlmres.Recipe) -> list[NDArray[Any]]:
    """The segments of a batch in the reference's layout, in the order of the packed one."""
    patch, name = recipe.params["patch_size"], recipe.name
    plans = [plan for plan in batch.plans if plan is not None]
    segments = [view for plan in plans for view in plan.views for _ in range(view.tiles.rows * view.tiles.cols)]
    values = batch[next(key for key in ("images", "image_pixel_values", "pixel_values") if key in batch)]
    canvases: list[NDArray[Any]] = []
    if name in MERGED | RASTER:
        merge, frames, start = recipe.params["merge_size"], recipe.params.get("temporal_patch_size", 1), 0
        merge = merge if name in MERGED else 1
        for rows, cols in (view.patches for view in segments):
            part = values[start : start + rows * cols]
            start += rows * cols
            blocks = part.reshape(rows // merge, cols // merge, merge, merge, 3, frames, patch, patch)
            for frame in range(1, frames):
                np.testing.assert_array_equal(blocks[..., frame, :, :], blocks[..., 0, :, :])
            canvases.append(blocks[..., 0, :, :].transpose(0, 2, 5, 1, 3, 6, 4).reshape(rows * patch, cols * patch, 3))
        assert start == len(values)
    elif name in FLAT:
        for padded, view in zip(values, segments, strict=True):
            rows, cols = view.patches
            assert not padded[rows * cols :].any()
            blocks = padded[: rows * cols].reshape(rows, cols, patch, patch, 3)
            canvases.append(blocks.transpose(0, 2, 1, 3, 4).reshape(rows * patch, cols * patch, 3))
    elif name in STRIP:
        start = 0
        for rows, cols in (view.patches for view in segments):
            part = values[0, :, :, start : start + rows * cols * patch].reshape(3, patch, rows, cols, patch)
            start += rows * cols * patch
            canvases.append(part.transpose(2, 1, 3, 4, 0).reshape(rows * patch, cols * patch, 3))
    else:
        canvases = [tile.transpose(1, 2, 0) for tile in reference_tiles(batch, values, plans, name)]
    return canvases


def reference_tiles(
    batch: vlmres.Batch, values: NDArray[Any], plans: list[vlmres.Plan], name: str
) -> list[NDArray[Any]]:
    """The tiles of a batch in the order of the plans' views."""
    if name in SAMPLE:
        return list(values[0])
    if name in NESTED:
        values = values[0] if name == "mllama" else values
        for plan, nested in zip(plans, values, strict=True):
            assert not nested[plan.num_tiles :].any()
        return [tile for plan, nested in zip(plans, values, strict=True) for tile in nested[: plan.num_tiles]]
    if name == "deepseek-vl-hybrid":
        return [tile for pair in zip(values, batch["high_res_pixel_values"], strict=True) for tile in pair]
    if name in LOCAL:
        local = iter(batch.get("images_crop", batch.get("pixel_values_local", np.empty(0))))
        views, tiles = iter(values), []
        for plan in plans:
            tiles += [next(local) for _ in range(plan.num_tiles - 1)]
            tiles.append(next(views))
        return tiles
    return list(values)


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("name", RECIPES)
def test_packed_holds_the_same_pixels(name: str, dtype: str) -> None:
    recipe = processor(name).recipe
    packed = processor(name, layout="packed", dtype=dtype)(IMAGES)
    expected = reference_canvases(processor(name, dtype=dtype)(IMAGES), recipe)
    got = packed_canvases(packed, recipe.params["patch_size"])
    assert len(got) == len(expected)
    for index, (canvas, reference) in enumerate(zip(got, expected, strict=True)):
        height, width = canvas.shape[:2]
        np.testing.assert_array_equal(canvas, reference[:height, :width], err_msg=f"segment {index}", strict=True)


@pytest.mark.parametrize("name", RECIPES)
def test_packed_segments(name: str) -> None:
    batch = processor(name, layout="packed", dtype="uint8")(IMAGES)
    plans = [plan for plan in batch.plans if plan is not None]
    assert list(batch) == ["patches", "cu_seqlens", "grids", "image_index", "positions"]
    assert {batch[key].dtype for key in ("cu_seqlens", "grids", "image_index", "positions")} == {np.dtype(np.int32)}
    expected = [index for index, plan in enumerate(plans) for _ in range(plan.num_tiles)]
    assert batch.image_index.tolist() == expected
    grids = [
        tuple(view.patches) for plan in plans for view in plan.views for _ in range(view.tiles.rows * view.tiles.cols)
    ]
    assert [tuple(grid) for grid in batch.grids.tolist()] == grids
    assert batch.cu_seqlens[0] == 0
    assert np.diff(batch.cu_seqlens).tolist() == [rows * cols for rows, cols in grids]
    assert batch.max_seqlen == max(rows * cols for rows, cols in grids)
    merge = plans[0].recipe.params["merge_size"] if name in MERGED else 1
    start = 0
    for rows, cols in grids:
        blocks = np.indices((rows, cols)).transpose(1, 2, 0).reshape(rows // merge, merge, cols // merge, merge, 2)
        order = blocks.transpose(0, 2, 1, 3, 4).reshape(-1, 2)
        np.testing.assert_array_equal(batch.positions[start : start + len(order)], order)
        start += len(order)
    assert start == len(batch.patches) == len(batch.positions)


@pytest.mark.parametrize("name", RECIPES)
def test_arrays_are_attributes(name: str) -> None:
    for layout in ("hf", "packed"):
        batch = processor(name, layout=layout, dtype="uint8")(IMAGES[0])
        for key, array in batch.items():
            assert getattr(batch, key) is array
            assert key in dir(batch)
    assert "to" in dir(batch)


def test_a_batch_stays_as_it_is() -> None:
    batch = processor("qwen2-vl")(IMAGES[0])
    for name in ("pixel_values", "patches"):
        with pytest.raises(AttributeError, match=rf"^{name} cannot be set: .*dict\(batch\)"):
            setattr(batch, name, 1)
    assert batch.pixel_values is batch["pixel_values"]
    assert pickle.loads(pickle.dumps(batch)).keys() == batch.keys()


def test_attributes_that_a_batch_has_not() -> None:
    batch = processor("qwen2-vl")(IMAGES[0])
    with pytest.raises(AttributeError, match=r'^patches is part of layout="packed".*pixel_values, image_grid_thw'):
        _ = batch.patches
    with pytest.raises(AttributeError, match=r"^pixel_value is neither a key nor an attribute; .* pixel_values"):
        _ = batch.pixel_value
    with pytest.raises(KeyError, match="pixel_values"):
        batch["patches"]
    assert not hasattr(batch, "times")
    assert len(batch) == 2
    assert batch.nbytes == sum(array.nbytes for array in batch.values())
    assert "1 images" in repr(batch)


@pytest.mark.parametrize("layout", ["hf", "packed"])
def test_batches_are_copied_and_pickled(layout: str) -> None:
    batch = processor("qwen2-vl", layout=layout, dtype="bfloat16")([IMAGES[0], b"no image"], errors="return")
    for again in (copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))):
        assert_equal_batches(again.torch(), batch.torch())
        assert (again.plans, list(again.errors), again.dtype) == (batch.plans, [1], "bfloat16")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["hf", "packed"])
def test_to_gives_a_new_batch_of_tensors(layout: str, dtype: str) -> None:
    batch = processor("qwen2-vl", layout=layout, dtype=dtype)([IMAGES[0], b"no image", IMAGES[1]], errors="return")
    moved = batch.to("cpu")
    assert moved is not batch
    assert all(isinstance(array, np.ndarray) for array in batch.values())
    assert all(isinstance(tensor, torch.Tensor) for tensor in moved.values())
    assert_equal_batches(dict(moved), batch.torch())
    assert_equal_batches(moved.to("cpu").torch(), batch.torch())
    assert (moved.plans, moved.errors, moved.indices) == (batch.plans, batch.errors, [0, 2])
    assert (moved.num_tokens, moved.nbytes, moved.dtype) == (batch.num_tokens, batch.nbytes, dtype)
    assert repr(moved) == repr(batch)
    if layout == "packed":
        assert moved.max_seqlen == batch.max_seqlen
    else:
        # As a model is called.
        assert set({**moved}) == {"pixel_values", "image_grid_thw"}
    meta = batch.to("meta")
    assert {tensor.device.type for tensor in meta.values()} == {"meta"}


@pytest.mark.parametrize("layout", ["hf", "packed"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("arithmetic", ["pillow", "torch"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_half_precision_is_torchs_rounding(name: str, arithmetic: str, dtype: str, layout: str) -> None:
    images = IMAGES[:3]
    full = processor(name, arithmetic=arithmetic, layout=layout)(images).torch()
    half = processor(name, arithmetic=arithmetic, layout=layout, dtype=dtype)(images).torch()
    rounded = {key: value.to(getattr(torch, dtype)) if key in VALUES else value for key, value in full.items()}
    assert_equal_batches(half, rounded, name)


def test_half_precision_of_unusual_values() -> None:
    """Subnormal and large values, and infinity in float16."""
    for overrides in (
        {"image_std": [1e-4, 1e-6, 3e-5]},
        {"image_std": [1e5, 1e7, 3e9]},
        {"do_normalize": False, "rescale_factor": 1e-9},
    ):
        recipe = vlmres.Recipe.load("llava-1.5", **overrides)
        full = processor(recipe)(IMAGES[1]).torch()["pixel_values"]
        for dtype in ("bfloat16", "float16"):
            half = processor(recipe, dtype=dtype)(IMAGES[1]).torch()["pixel_values"]
            assert_equal_tensors(half, full.to(getattr(torch, dtype)), f"{overrides} {dtype}")


def test_uint8_is_the_resized_image() -> None:
    picture = image(701, 350)
    expected = np.asarray(picture.resize((512, 512), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    np.testing.assert_array_equal(processor("deepseek-ocr-tiny", dtype="uint8")(picture)["pixel_values"][0], expected)


@pytest.mark.parametrize("name", sorted(FLOATS))
def test_bytes_are_the_nearest_to_floats(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    raw = processor(recipe, dtype="uint8", layout="packed")(IMAGES[:3]).patches.reshape(-1, 3)
    got = processor(recipe, layout="packed")(IMAGES[:3]).patches.reshape(-1, 3)
    levels = (got * recipe.params["image_std"] + recipe.params["image_mean"]) / recipe.params["rescale_factor"]
    assert np.abs(np.clip(levels, 0, 255) - raw).max() < 0.501
    assert (levels.min() < -0.5 and levels.max() > 255.5) or name != "nemotron-omni"


@pytest.mark.parametrize("name", sorted(set(RECIPES) - FLOATS))
def test_floats_are_the_normalised_bytes(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    raw = processor(name, arithmetic="pillow", dtype="uint8", layout="packed")(IMAGES[:3]).patches.reshape(-1, 3)
    got = processor(name, arithmetic="pillow", layout="packed")(IMAGES[:3]).patches.reshape(-1, 3)
    mean, std = (np.array(recipe.params[key], dtype=np.float32) for key in ("image_mean", "image_std"))
    if name == "llama4":
        low = (
            torch.from_numpy(raw).bfloat16() * recipe.params["rescale_factor"] - torch.from_numpy(mean).bfloat16()
        ) / (torch.from_numpy(std).bfloat16())
        np.testing.assert_array_equal(got, low.float().numpy(), strict=True)
        return
    if "ToTensor" in recipe.reference:
        scaled = raw.astype(np.float32) / np.float32(255)
    else:
        scaled = (raw.astype(np.float64) * recipe.params["rescale_factor"]).astype(np.float32)
    np.testing.assert_array_equal(got, (scaled - mean) / std, strict=True)


def buffers(batch: vlmres.Batch, fill: int, dtype: Any = None) -> dict[str, NDArray[Any]]:
    """Arrays like a batch's values, every byte set to `fill`."""
    made = {}
    for key in VALUES:
        if key in batch:
            shape, kind = batch[key].shape, np.dtype(dtype or batch[key].dtype)
            made[key] = np.full(int(np.prod(shape)) * kind.itemsize, fill, dtype=np.uint8).view(kind).reshape(shape)
    return made


@pytest.mark.parametrize("layout", ["hf", "packed"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYOUTS)
def test_out_is_filled(name: str, dtype: str, layout: str) -> None:
    proc = processor(name, dtype=dtype, layout=layout)
    expected = proc(IMAGES)
    for fill in (0x00, 0xA5, 0xFF):
        out = buffers(expected, fill)
        got = proc(IMAGES, out=out)
        for key, array in out.items():
            assert got[key] is array
        assert list(got) == list(expected)
        for key, array in got.items():
            assert array.tobytes() == expected[key].tobytes(), f"{key} filled with {fill}"


@pytest.mark.parametrize("layout", ["hf", "packed"])
@pytest.mark.parametrize("name", ["deepseek-ocr-tiny", "deepseek-ocr-gundam"])
def test_out_is_filled_where_there_are_no_tiles(name: str, layout: str) -> None:
    proc = processor(name, layout=layout)
    expected = proc(IMAGES[0])
    got = proc(IMAGES[0], out=buffers(expected, 0xA5))
    assert_equal_batches(got.torch(), expected.torch())


def test_out_may_be_one_array() -> None:
    proc = processor("llava-1.5")
    out = np.full((5, 3, 336, 336), np.nan, dtype=np.float32)
    assert proc(IMAGES, out=out)["pixel_values"] is out
    assert_equal_batches(proc(IMAGES).torch(), {"pixel_values": torch.from_numpy(out)})
    with pytest.raises(ValueError, match="pixel_values, pixel_values_local"):
        processor("deepseek-ocr-2")(IMAGES, out=out)


@pytest.mark.parametrize("storage", [torch.int16, torch.uint16])
def test_bfloat16_into_torch_memory(storage: torch.dtype) -> None:
    proc = processor("llava-1.5", dtype="bfloat16")
    tensor = torch.full((5, 3, 336, 336), torch.nan, dtype=torch.bfloat16)
    batch = proc(IMAGES, out=tensor.view(storage).numpy())
    assert_equal_tensors(tensor, proc(IMAGES).torch()["pixel_values"], "given")
    assert batch.torch()["pixel_values"].data_ptr() == tensor.data_ptr()


def test_torch_shares_memory() -> None:
    for dtype in DTYPES:
        batch = processor("qwen2-vl", dtype=dtype)(IMAGES[0])
        for key, tensor in batch.torch().items():
            assert tensor.data_ptr() == batch[key].ctypes.data
        assert batch.torch()["pixel_values"].dtype == getattr(torch, dtype)
        assert batch.torch("cpu")["pixel_values"].device.type == "cpu"


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def misaligned(array: NDArray[Any]) -> NDArray[Any]:
    raw = np.full(array.nbytes + 1, 0xA5, dtype=np.uint8)
    return raw[1:].view(array.dtype).reshape(array.shape)


def strided(array: NDArray[Any]) -> NDArray[Any]:
    return np.full((*array.shape[:-1], array.shape[-1] * 2), 7, dtype=array.dtype)[..., ::2]


BAD: dict[str, tuple[Callable[[NDArray[Any]], Any], str]] = {
    "short": (lambda array: array[:-1], "shape"),
    "long": (lambda array: np.concatenate([array, array[:1]]), "shape"),
    "flat": (lambda array: array.reshape(-1), "shape"),
    "double": (lambda array: np.full(array.shape, 7, dtype=np.float64), "float64"),
    "integer": (lambda array: np.full(array.shape, 7, dtype=np.int32), "int32"),
    "big-endian": (lambda array: array.astype(">f4"), "float32"),
    "fortran": (np.asfortranarray, "contiguous"),
    "strided": (strided, "contiguous"),
    "reversed": (lambda array: array[..., ::-1], "contiguous"),
    "read-only": (read_only, "writable"),
    "misaligned": (misaligned, "aligned"),
    "list": (lambda array: array.tolist(), "numpy array"),
    "double tensor": (lambda array: torch.from_numpy(array).double(), "float64"),
    "strided tensor": (lambda array: torch.from_numpy(strided(array)), "contiguous"),
    "tensor on another device": (lambda array: torch.from_numpy(array).to("meta"), "on the CPU"),
    "void": (lambda array: array.view("V4"), "dtype float32"),
}


def snapshot(out: dict[str, Any]) -> dict[str, bytes]:
    return {
        key: (array.numpy() if isinstance(array, torch.Tensor) else np.array(array)).tobytes()
        for key, array in out.items()
        if not getattr(array, "is_meta", False)
    }


@pytest.mark.parametrize("how", BAD)
@pytest.mark.parametrize("key", ["pixel_values", "pixel_values_local"])
def test_a_bad_out_is_refused_and_left_alone(key: str, how: str) -> None:
    spoil, message = BAD[how]
    proc = processor("deepseek-ocr-2")
    images = [image(800, 30)]
    out: dict[str, Any] = buffers(proc(images), 0x11)
    out[key] = spoil(out[key])
    before = snapshot(out)
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        proc(images, out=out)
    assert key in str(caught.value)
    assert snapshot(out) == before


def test_keys_of_out() -> None:
    proc = processor("deepseek-ocr-2")
    images = [image(800, 30)]
    out = buffers(proc(images), 0x11)
    before = {key: array.tobytes() for key, array in out.items()}
    for given in ({"pixel_values": out["pixel_values"]}, {**out, "extra": out["pixel_values"]}, {}):
        with pytest.raises(ValueError, match="exactly the keys pixel_values, pixel_values_local"):
            proc(images, out=given)
    assert {key: array.tobytes() for key, array in out.items()} == before


def test_out_must_not_overlap_an_image() -> None:
    proc = processor("llava-1.5", dtype="uint8")
    memory = np.full(3 * 336 * 336 + 600, 9, dtype=np.uint8)
    out = memory[: 3 * 336 * 336].reshape(1, 3, 336, 336)
    source = memory[-900:].reshape(10, 30, 3)
    with pytest.raises(vlmres.VlmresError, match="shares memory"):
        proc(source, out=out)
    assert (memory == 9).all()
    proc(source[4:], out=out)
    with pytest.raises(vlmres.VlmresError, match="shares memory"):
        proc(out[0], out=out)


def test_outputs_must_not_overlap() -> None:
    proc = processor("deepseek-ocr-2", dtype="uint8")
    picture = image(800, 30)
    shapes = {key: array.shape for key, array in buffers(proc(picture), 0).items()}
    memory = np.full(sum(int(np.prod(shape)) for shape in shapes.values()), 9, dtype=np.uint8)
    out = {key: memory[: int(np.prod(shape))].reshape(shape) for key, shape in shapes.items()}
    with pytest.raises(vlmres.VlmresError, match="shares memory"):
        proc(picture, out=out)
    assert (memory == 9).all()


def test_out_with_images_left_out() -> None:
    proc = processor("llava-1.5")
    out = np.full((2, 3, 336, 336), np.nan, dtype=np.float32)
    batch = proc([IMAGES[0], b"no image", IMAGES[1]], out=out, errors="return")
    assert batch.indices == [0, 2]
    assert_equal_batches(batch.torch(), proc([IMAGES[0], IMAGES[1]]).torch())
    packed = processor("internvl2", layout="packed")([b"", IMAGES[0], b"no image", IMAGES[1]], errors="return")
    assert sorted(set(packed.image_index.tolist())) == [1, 3]
    assert len(packed.num_tokens) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "nchw"}, "nchw"),
        ({"dtype": "float64"}, "float64"),
        ({"arithmetic": "pillow-10"}, "pillow-10"),
        ({"num_threads": 0}, "num_threads"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vlmres.Processor("qwen2-vl", **options)


def test_filters_that_torch_lacks() -> None:
    for name in ("box", "hamming"):
        with pytest.raises(vlmres.RecipeError, match=f'filter {name} does not exist in arithmetic "torch"'):
            vlmres.Recipe.load("qwen2-vl", filter=name)
        recipe = vlmres.Recipe.load("qwen2-vl", filter=name, arithmetic="pillow")
        assert processor(recipe)(IMAGES[0])["pixel_values"].dtype == np.float32
        with pytest.raises(vlmres.RecipeError, match=name):
            vlmres.Processor(recipe, arithmetic="torch")


def test_layouts_of_one_pixel() -> None:
    for name in RECIPES:
        for layout in ("hf", "packed"):
            batch = processor(name, layout=layout)(image(1, 1))
            assert all(np.isfinite(array).all() for array in batch.values())


QWEN = vlmres.Processor("qwen2-vl")
IMAGE, TEXT = 9, 1


def ids(*counts: int) -> list[int]:
    """A sequence with this many image tokens in each place."""
    return [token for count in counts for token in [TEXT, *[IMAGE] * count, TEXT]]


def test_token_ids_that_fit() -> None:
    batch = QWEN([image(56, 56), image(112, 56), image(56, 84)])
    assert batch.num_tokens == [4, 8, 6]
    for given in (ids(4, 8, 6), np.array(ids(4, 8, 6)), torch.tensor([ids(4, 8, 6)]), [ids(4, 8), ids(6)]):
        batch.verify(given, IMAGE)
    batch.verify([ids(12), ids(6)], IMAGE)  # two images without a word between them
    batch.verify([IMAGE if token == IMAGE else 7 for token in ids(4, 8, 6)], (IMAGE,))
    vlmres.Processor("internvl2")(image(60, 60)).verify([5, *[IMAGE] * 256, 6], {IMAGE, 5, 6})


def test_token_ids_that_do_not_fit() -> None:
    batch = QWEN([image(56, 56), b"no image", image(112, 56)], errors="return")
    with pytest.raises(ValueError, match="image 2: its plan has 8 tokens, input_ids have 7"):
        batch.verify(ids(4, 7), IMAGE)
    with pytest.raises(ValueError, match="image 0: its plan has 4 tokens, input_ids have 5"):
        batch.verify([ids(5), ids(7)], IMAGE)
    with pytest.raises(ValueError, match="plans of 2 images have 12 tokens, input_ids have 4 in 1 places"):
        batch.verify(torch.tensor(ids(4)), IMAGE)
    with pytest.raises(ValueError, match="input_ids have 0 in 0 places"):
        batch.verify(ids(4, 8), TEXT + 1)
