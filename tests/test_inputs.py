"""What may be passed as an image, and what its pixels then are."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vlmres
from tests import files, images
from tests.compare import assert_equal_batches
from tests.images import EXAMPLES, REAL, image, pixels
from vlmres.verify import references as hf

ARITHMETICS = ("torch", "pillow")

EXACT = files.exact_files()
LOSSY = files.lossy_files()


def identity(side: int, arithmetic: str = "pillow", dtype: str = "float32", **overrides: Any) -> vlmres.Processor:
    """A processor that leaves square images of this side as they are, but for normalisation."""
    recipe = vlmres.Recipe.load("llava-1.5", shortest_edge=side, crop_width=side, crop_height=side, **overrides)
    return vlmres.Processor(recipe, arithmetic=arithmetic, dtype=dtype)  # type: ignore[arg-type]


def identity_reference(side: int, arithmetic: str) -> Any:
    return hf.processor(
        "llava-1.5", arithmetic, size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def decoded(data: Any) -> NDArray[np.uint8]:
    """A file's pixels: a resize to its own size is a copy."""
    return vlmres.resize(data, vlmres.image_size(data))


def pil_modes() -> dict[str, Image.Image]:
    rgb, rgba = image(40, 40), Image.fromarray(pixels(40, 40, channels=4))
    deep = Image.fromarray(files.deep(40, 40, 1)[..., 0])
    assert deep.mode == "I;16"

    def transparent(picture: Image.Image, value: Any) -> Image.Image:
        picture = picture.copy()
        picture.info["transparency"] = value
        return picture

    palette = rgb.quantize(60)
    return {
        "RGB": rgb,
        "L": rgb.convert("L"),
        "1": rgb.convert("1"),
        "P": palette,
        "P-index": transparent(palette, 5),
        "P-alphas": transparent(palette, bytes(range(0, 240, 4))),
        "PA": rgba.quantize(40, method=Image.Quantize.FASTOCTREE).convert("PA"),
        "LA": rgba.convert("LA"),
        "RGBA": rgba,
        "RGBa": rgba.convert("RGBa"),
        "RGBX": rgb.convert("RGBX"),
        "CMYK": rgb.convert("CMYK"),
        "YCbCr": rgb.convert("YCbCr"),
        "HSV": rgb.convert("HSV"),
        "I;16": deep,
        "I": deep.convert("I"),
        "F": rgb.convert("F"),
        "RGB-transparent": transparent(rgb, rgb.getpixel((3, 3))),
        "L-transparent": transparent(rgb.convert("L"), 7),
    }


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("mode", pil_modes())
def test_pil_modes(mode: str, arithmetic: str) -> None:
    picture = pil_modes()[mode]
    expected = identity_reference(40, arithmetic)(picture.copy(), return_tensors="pt")
    assert_equal_batches(identity(40, arithmetic)(picture).torch(), expected, mode)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("kind", ["PIL", "numpy", "torch"])
def test_every_colour_with_every_alpha(kind: str, arithmetic: str) -> None:
    levels = np.arange(256, dtype=np.uint8)
    array = np.empty((256, 256, 4), dtype=np.uint8)
    array[..., 0], array[..., 1], array[..., 2] = levels, levels[::-1], levels ^ 0x5A
    array[..., 3] = levels[:, None]
    given: Any = array
    if kind == "PIL":
        given = Image.fromarray(array)
    elif kind == "torch":
        given = torch.from_numpy(array.transpose(2, 0, 1).copy())
    expected = identity_reference(256, arithmetic)(given, return_tensors="pt")
    assert_equal_batches(identity(256, arithmetic)(given).torch(), expected, kind)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("tensor", [False, True])
def test_arrays_and_tensors(channels: int, first: bool, tensor: bool, arithmetic: str) -> None:
    array = pixels(61, 47, channels=channels)
    array = np.ascontiguousarray(array.transpose(2, 0, 1)) if first else array
    given = torch.from_numpy(array) if tensor else array
    expected = hf.processor("internvl2", arithmetic)([given], return_tensors="pt")
    assert_equal_batches(vlmres.Processor("internvl2", arithmetic=arithmetic)([given]).torch(), expected)  # type: ignore[arg-type]


def test_gray_without_a_channel_axis() -> None:
    """transformers refuses these."""
    array = pixels(61, 47, channels=1)
    proc = vlmres.Processor("internvl2")
    expected = proc([array]).torch()
    assert_equal_batches(proc([array[..., 0]]).torch(), expected)
    assert_equal_batches(proc(array[..., 0]).torch(), expected)
    assert_equal_batches(proc([torch.from_numpy(array[..., 0])]).torch(), expected)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("shape", [(3, 40, 3), (1, 30, 4), (4, 30, 1), (3, 3, 3), (4, 20, 3)])
@pytest.mark.filterwarnings("ignore:The channel dimension is ambiguous")
def test_ambiguous_shapes(shape: tuple[int, int, int], arithmetic: str) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    proc, reference = vlmres.Processor("internvl2", arithmetic=arithmetic), hf.processor("internvl2", arithmetic)  # type: ignore[arg-type]
    channels_first = proc(array, input_data_format="channels_first")
    expected = reference(array, input_data_format="channels_first", return_tensors="pt")
    assert_equal_batches(channels_first.torch(), expected, "channels_first")
    with pytest.raises(
        vlmres.VlmresError, match=r"image 0: shape \(.* may be channels first or last.*input_data_format"
    ):
        proc(array)
    expected = reference(array, input_data_format="channels_last", return_tensors="pt")
    assert_equal_batches(proc(array, input_data_format="channels_last").torch(), expected, "channels_last")


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", ["internvl2", "qwen2-vl", "deepseek-ocr-base"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_strides(recipe: str, channels: int, arithmetic: str) -> None:
    base = pixels(120, 90, channels=channels)
    planar = np.ascontiguousarray(base.transpose(2, 0, 1))
    views: dict[str, NDArray[np.uint8]] = {
        "flipped": base[::-1],
        "mirrored": base[:, ::-1],
        "turned": base.transpose(1, 0, 2),
        "sliced": base[5:80:3, 2:110:2],
        "fortran": np.asfortranarray(base),
        "planar": planar.transpose(1, 2, 0),
        "channels-first": planar,
        "channels-first-sliced": planar[:, ::-2, 3:],
        "broadcast-row": np.broadcast_to(base[:1], base.shape),
        "broadcast-pixel": np.broadcast_to(base[:1, :1], base.shape),
        "read-only": np.frombuffer(base.tobytes(), dtype=np.uint8).reshape(base.shape),
        "window": np.lib.stride_tricks.as_strided(
            base, (80, 80, channels), (channels * 121, channels, 1), writeable=False
        )[:70],
    }
    if channels > 1:
        views["reversed-channels"] = base[..., ::-1]
    proc = vlmres.Processor(recipe, arithmetic=arithmetic)  # type: ignore[arg-type]
    for what, view in views.items():
        expected = proc(np.ascontiguousarray(view)).torch()
        assert_equal_batches(proc(view).torch(), expected, what)
        if what != "read-only" and all(stride >= 0 for stride in view.strides) and view.flags.writeable:
            assert_equal_batches(proc(torch.from_numpy(view)).torch(), expected, f"torch {what}")


def test_tensor_views() -> None:
    tensor = torch.from_numpy(pixels(64, 50).transpose(2, 0, 1).copy())
    proc = vlmres.Processor("qwen2-vl")
    for view in (tensor.permute(1, 2, 0), tensor[:, ::2, 5:], tensor.expand(3, 50, 64), tensor[:1].expand(3, -1, -1)):
        assert_equal_batches(proc(view).torch(), proc(view.contiguous()).torch())


def test_one_many_and_stacked() -> None:
    proc = vlmres.Processor("qwen2-vl")
    arrays = [pixels(60, 50, seed=seed) for seed in range(3)]
    expected = proc(arrays).torch()
    assert_equal_batches(proc(tuple(arrays)).torch(), expected)
    assert_equal_batches(proc(np.stack(arrays)).torch(), expected)
    assert_equal_batches(proc(torch.from_numpy(np.stack(arrays).transpose(0, 3, 1, 2).copy())).torch(), expected)
    assert_equal_batches(proc([Image.fromarray(arrays[0]), arrays[1], torch.from_numpy(arrays[2])]).torch(), expected)
    assert_equal_batches(proc(arrays[1]).torch(), proc([arrays[1]]).torch())


@pytest.mark.parametrize("name", REAL)
def test_ways_to_pass_a_file(name: str) -> None:
    path = EXAMPLES / name
    data = path.read_bytes()
    proc = vlmres.Processor("llava-1.5")
    expected = proc(str(path)).torch()
    ways: list[Any] = [path, os.fspath(path), data, bytearray(data), memoryview(data)]
    for way in ways:
        assert_equal_batches(proc(way).torch(), expected, type(way).__name__)
        assert_equal_batches(proc([way]).torch(), expected, type(way).__name__)
    with Image.open(path) as opened:
        size = opened.size
    for header in (path, str(path), data):
        assert vlmres.image_size(header) == size


class Elsewhere:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


def test_any_path_like() -> None:
    path = Elsewhere(EXAMPLES / "line.png")
    assert vlmres.image_size(path) == (128, 16)
    assert vlmres.Processor("llava-1.5")([path]).plans[0] is not None


@pytest.mark.parametrize("recipe", ["siglip2-naflex"])
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_siglip2_refuses_what_is_not_rgb(recipe: str, arithmetic: str) -> None:
    proc = vlmres.Processor(recipe, arithmetic=arithmetic)  # type: ignore[arg-type]
    for mode in ("L", "RGBA", "LA", "P", "CMYK", "1"):
        with pytest.raises(vlmres.VlmresError, match=rf"image 0: .*RGB.* mode {mode}"):
            proc(pil_modes()[mode])
    for channels in (1, 4):
        with pytest.raises(vlmres.VlmresError, match=f"{channels} channels"):
            proc(pixels(30, 40, channels=channels))
    with pytest.raises(vlmres.VlmresError, match="1 channels"):
        proc(pixels(30, 40, channels=1)[..., 0])
    white = vlmres.Processor(vlmres.Recipe.load(recipe, convert="white"), arithmetic=arithmetic)  # type: ignore[arg-type]
    assert white(pil_modes()["L"])["pixel_values"].shape == (1, 256, 768)


def test_dropped_alpha() -> None:
    array = pixels(40, 40, channels=4)
    expected = identity(40)(np.ascontiguousarray(array[..., :3])).torch()
    proc = identity(40, convert="drop")
    for given in (array, Image.fromarray(array), torch.from_numpy(array)):
        assert_equal_batches(proc(given).torch(), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((8, 8, 3), dtype=np.float32), "uint8, got float32"),
        (np.zeros((8, 8, 3), dtype=np.int8), "uint8, got int8"),
        (np.zeros((8, 8, 3), dtype=np.uint16), "uint8, got uint16"),
        (np.zeros((8, 8, 3), dtype=bool), "uint8, got bool"),
        (torch.zeros((3, 8, 8)), "uint8, got torch.float32"),
        (torch.zeros((3, 8, 8), dtype=torch.uint8, device="meta"), "CPU"),
        (np.zeros(8, dtype=np.uint16), "uint8, got uint16"),
        (np.zeros(8, dtype=np.uint8), "cannot decode"),
        (np.zeros((1, 1, 8, 8, 3), dtype=np.uint8), "2 or 3 dimensions"),
        (np.zeros((8, 8, 2), dtype=np.uint8), "1, 3 or 4 channels"),
        (np.zeros((5, 8, 8), dtype=np.uint8), "1, 3 or 4 channels"),
        (np.zeros((0, 8, 3), dtype=np.uint8), "8x0"),
        (np.zeros((8, 0, 3), dtype=np.uint8), "0x8"),
        (np.zeros((8, 8, 0), dtype=np.uint8), "1, 3 or 4 channels"),
        (np.zeros((0, 0), dtype=np.uint8), "0x0"),
        ("https://example.org/cat.png", "fetch=True"),
        ("http://example.org/cat.png", "fetch=True"),
        (b"", "cannot decode"),
        (b"hello, world", "cannot decode"),
    ],
)
def test_refusals(given: Any, message: str) -> None:
    with pytest.raises(vlmres.VlmresError, match=f"image 0: .*{message}"):
        vlmres.Processor("internvl2")([given])


@pytest.mark.parametrize("given", [None, 5, {"a": 1}, object(), Image])
def test_things_that_are_no_images(given: Any) -> None:
    with pytest.raises(TypeError, match="image 0: "):
        vlmres.Processor("internvl2")([given])


def test_nothing_is_not_a_batch() -> None:
    nothing: list[Any] = [[], (), np.zeros((0, 8, 8, 3), dtype=np.uint8)]
    for empty in nothing:
        with pytest.raises(ValueError, match="empty"):
            vlmres.Processor("internvl2")(empty)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
def test_exact_files(name: str) -> None:
    data = EXACT[name]
    expected = files.by_pillow(data)
    np.testing.assert_array_equal(decoded(data), expected, strict=True)
    assert vlmres.image_size(data) == (expected.shape[1], expected.shape[0])


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_files(name: str) -> None:
    data = LOSSY[name]
    expected = files.by_pillow(data)
    got = decoded(data)
    assert got.shape == expected.shape
    difference = np.abs(got.astype(np.int16) - expected)
    # Levels at one value, and on average.
    assert difference.max() <= 4, f"{name}: {difference.max()}"
    assert difference.mean() <= 0.5, f"{name}: {difference.mean()}"
    assert vlmres.image_size(data) == (150, 93)


ORIENTABLE = ("JPEG", "PNG", "WEBP", "TIFF")


def oriented(form: str, orientation: int) -> bytes:
    exactness: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    if form == "TIFF":
        return files.encode(image(37, 22, "smooth"), form, tiffinfo={274: orientation})
    return files.encode(image(37, 22, "smooth"), form, exif=files.exif(orientation), **exactness.get(form, {}))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ORIENTABLE)
def test_files_are_turned_by_exif(form: str, orientation: int) -> None:
    data = oriented(form, orientation)
    expected = files.by_pillow(data)
    turned = orientation >= 5
    assert expected.shape[:2] == ((37, 22) if turned else (22, 37))
    assert vlmres.image_size(data, exif=False) == (37, 22)
    assert vlmres.image_size(data) == ((22, 37) if turned else (37, 22))
    np.testing.assert_array_equal(decoded(data), expected, strict=True)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_pil_objects_are_not_turned(arithmetic: str) -> None:
    with Image.open(io.BytesIO(oriented("PNG", 6))) as opened:
        proc = vlmres.Processor("qwen2-vl", arithmetic=arithmetic)  # type: ignore[arg-type]
        batch = proc(opened)
        assert batch.plans[0] is not None
        assert batch.plans[0].size == (37, 22)
        assert_equal_batches(batch.torch(), proc(image(37, 22, "smooth")).torch())
        assert_equal_batches(batch.torch(), hf.processor("qwen2-vl", arithmetic)(opened, return_tensors="pt"))


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_unknown_orientations_do_nothing(orientation: int) -> None:
    data = oriented("PNG", orientation)
    np.testing.assert_array_equal(decoded(data), np.asarray(image(37, 22, "smooth")))


def test_files_lose_their_transparency() -> None:
    array = pixels(40, 40, channels=4)
    data = files.encode(Image.fromarray(array), "PNG")
    expected = identity(40)(np.ascontiguousarray(array[..., :3])).torch()
    assert_equal_batches(identity(40)(data).torch(), expected)


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "wrong.jpg"
    path.write_bytes(EXACT["png-rgb"])
    np.testing.assert_array_equal(decoded(path), files.by_pillow(EXACT["png-rgb"]))


def test_the_input_is_not_changed() -> None:
    array = pixels(300, 200)
    before = array.copy()
    for layout in ("hf", "packed"):
        vlmres.Processor("internvl2", layout=layout)(array)
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK"])
@pytest.mark.parametrize("size", [(1, 1), (16, 3), (2100, 2100), (60_000, 110)])
def test_pil_images_of_any_number_of_blocks(size: tuple[int, int], mode: str) -> None:
    """Pillow keeps large images in several blocks of memory, which have no address in common."""
    picture = images.image(*size).convert(mode)
    to = (size[0] // 30 + 1, size[1] // 30 + 1)
    expected = np.asarray(picture.convert("RGB").resize(to, Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(vlmres.resize(picture, to), expected)


def test_pil_images_in_small_blocks() -> None:
    core: Any = Image.core  # type: ignore[attr-defined]
    size = core.get_block_size()
    try:
        core.set_block_size(4096 * 4)
        picture = images.image(700, 900)
    finally:
        core.set_block_size(size)
    expected = np.asarray(picture.resize((70, 90), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(vlmres.resize(picture, (70, 90)), expected)


def test_views_of_channels_are_read_in_place() -> None:
    """Interleavings that kernels read without a copy: RGBX, BGR, gray, and one channel of three."""
    rgb = images.pixels(93, 71)
    rgbx = np.concatenate([rgb, images.pixels(93, 71, channels=1)], axis=2)
    expected = vlmres.resize(rgb, (40, 30))
    np.testing.assert_array_equal(vlmres.resize(rgbx[..., :3], (40, 30)), expected)
    np.testing.assert_array_equal(vlmres.resize(rgb[..., ::-1].copy()[..., ::-1], (40, 30)), expected)
    green = vlmres.resize(rgb[..., 1], (40, 30))
    np.testing.assert_array_equal(green, np.repeat(expected[..., 1:2], 3, axis=2))
