"""What becomes of transparency, and of gray of 16 bits."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vlmres
from tests import files
from tests.compare import assert_equal_batches
from tests.images import image, pixels
from vlmres.verify import references as hf

RGBA = Image.fromarray(pixels(56, 56, channels=4))


def opaque_page(alpha: int = 0) -> Image.Image:
    """Black ink on a page that is transparent, and black below."""
    page = np.zeros((56, 56, 4), dtype=np.uint8)
    page[..., 3] = alpha
    page[20:30, 5:50, 3] = 255
    return Image.fromarray(page)


def transparent_files() -> dict[str, bytes]:
    palette = RGBA.convert("RGB").quantize(30)
    return {
        "PNG": files.encode(RGBA, "PNG"),
        "PNG gray": files.encode(RGBA.convert("LA"), "PNG"),
        "PNG palette": files.encode(palette, "PNG", transparency=bytes(range(0, 240, 8))),
        "PNG key": files.encode(palette, "PNG", transparency=3),
        "WebP": files.encode(RGBA, "WEBP", lossless=True, exact=True),
        "TIFF": files.encode(RGBA, "TIFF"),
        "TIFF gray": files.encode(RGBA.convert("LA"), "TIFF"),
        "GIF": files.encode(palette, "GIF", transparency=3),
        "AVIF": files.encode(RGBA, "AVIF"),
    }


FILES = transparent_files()
OPAQUE = {
    "JPEG": files.encode(image(56, 56), "JPEG"),
    "PNG": files.encode(image(56, 56), "PNG"),
    "TIFF": files.encode(image(56, 56), "TIFF"),
    "WebP": files.encode(image(56, 56), "WEBP", lossless=True),
    "AVIF": files.encode(image(56, 56), "AVIF"),
    "TIFF palette": files.encode(image(56, 56).quantize(30), "TIFF"),
}


def on_white(picture: Image.Image) -> NDArray[np.uint8]:
    white = Image.new("RGBA", picture.size, (255, 255, 255, 255))
    return np.asarray(Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB"))


def opened(data: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def identity(**settings: Any) -> vlmres.Processor:
    return vlmres.Processor(
        "llava-1.5", shortest_edge=56, crop_width=56, crop_height=56, arithmetic="pillow", **settings
    )


@pytest.mark.parametrize("decoder", ["auto", "pillow"])
@pytest.mark.parametrize("name", FILES)
def test_files_on_white(name: str, decoder: Any) -> None:
    got = identity(alpha="white", decoder=decoder)(FILES[name])
    assert_equal_batches(got.torch(), identity()(on_white(opened(FILES[name]))).torch())


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("name", FILES)
def test_files_without_alpha(name: str) -> None:
    got = identity(alpha="drop")(FILES[name])
    assert_equal_batches(got.torch(), identity()(np.asarray(opened(FILES[name]).convert("RGB"))).torch())


@pytest.mark.parametrize("alpha", ["white", "drop", "reject"])
@pytest.mark.parametrize("name", OPAQUE)
def test_opaque_files_are_the_same_by_every_rule(name: str, alpha: Any) -> None:
    assert_equal_batches(identity(alpha=alpha)(OPAQUE[name]).torch(), identity()(OPAQUE[name]).torch())


@pytest.mark.parametrize("name", FILES)
def test_transparent_files_are_refused(name: str) -> None:
    with pytest.raises(vlmres.DecodeError, match=r"transparent pixels, the lowest alpha is \d+ of 255"):
        identity(alpha="reject")(FILES[name])


def test_objects_by_every_rule() -> None:
    array = np.asarray(RGBA)
    white, dropped = identity()(on_white(RGBA)).torch(), identity()(np.ascontiguousarray(array[..., :3])).torch()
    for given in (RGBA, array, np.ascontiguousarray(array.transpose(2, 0, 1))):
        assert_equal_batches(identity(alpha="drop")(given).torch(), dropped)
        with pytest.raises(vlmres.VlmresError, match=r"image 0: .*lowest alpha is 0 of 255"):
            identity(alpha="reject")(given)
    assert_equal_batches(identity(alpha="white")(RGBA).torch(), white)
    assert_equal_batches(identity(alpha="white")(array).torch(), identity()(array).torch())
    solid = np.full((56, 56, 4), 255, dtype=np.uint8)
    for given in (solid, Image.fromarray(solid)):
        assert_equal_batches(identity(alpha="reject")(given).torch(), identity()(given).torch())


def test_reject_costs_the_image_alone() -> None:
    batch = identity(alpha="reject")([FILES["PNG"], OPAQUE["PNG"], RGBA, FILES["AVIF"]], errors="return")
    assert (batch.indices, sorted(batch.errors)) == ([1], [0, 2, 3])


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["PNG key", "GIF"])
def test_a_colour_key_of_a_file_is_white_where_the_reference_has_it_so(name: str, tmp_path: Path) -> None:
    """transformers' PIL backend composites what `load_image` leaves of it."""
    path = tmp_path / "image"
    path.write_bytes(FILES[name])
    expected = hf.processor("llava-1.5", "pillow", size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})(
        str(path), return_tensors="pt"
    )
    assert_equal_batches(identity(decoder="pillow")(path).torch(), expected)


@pytest.mark.filterwarnings("error")
def test_a_page_that_becomes_black_is_told_once() -> None:
    page = opaque_page()
    gray = files.encode(page.convert("LA"), "PNG")
    for data in (page, np.asarray(page), files.encode(page, "AVIF", quality=100), files.encode(page, "PNG"), gray):
        proc = identity(convert="drop")
        with pytest.warns(UserWarning, match=r"may have become black.*alpha=\"white\""):
            proc(data)
        proc(data)
        for alpha in ("white", "drop"):
            identity(alpha=alpha)(data)
        identity()(Image.fromarray(pixels(56, 56)))


def pages(below: int, alpha: int) -> dict[str, bytes]:
    """Files of black ink on a page of such gray and alpha, which vlmres reads alone."""
    page = np.full((57, 53, 4), below, dtype=np.uint8)
    page[..., 3] = alpha
    page[20:30, 5:50] = (0, 0, 0, 255)
    rgba, gray = Image.fromarray(page), np.ascontiguousarray(page[..., 2:])
    # The page is index 1; ink is index 2, which is nearly opaque: otherwise the page would be a key.
    indices = Image.fromarray((page[..., 3] == 255) * np.uint8(alpha < 255) + np.uint8(1))
    indices.putpalette([9, 9, 9, *[below] * 3, 0, 0, 0])
    alphas, key = bytes((255, alpha, 250)), {"transparency": 1} if alpha < 255 else {}
    return {
        "PNG RGBA interlaced": files.png(page, 6, interlaced=True),
        "PNG LA interlaced": files.png(gray, 4, interlaced=True),
        "PNG RGBA 16": files.png(page.astype(np.uint16) << 8, 6),
        "PNG LA 16": files.png(gray.astype(np.uint16) << 8, 4),
        "PNG RGBA 16 interlaced": files.png(page.astype(np.uint16) << 8, 6, interlaced=True),
        "PNG alphas": files.encode(indices, "PNG", transparency=alphas, bits=8),
        "PNG alphas of 2 bits": files.encode(indices, "PNG", transparency=alphas, bits=2),
        "PNG key": files.encode(indices, "PNG", **key),
        "GIF": files.encode(indices, "GIF", optimize=False, **key),
        "WebP": files.encode(rgba, "WEBP", lossless=True, exact=True),
        "WebP lossy": files.encode(rgba, "WEBP", exact=True),
        "TIFF": files.encode(rgba, "TIFF"),
        "TIFF LZW": files.encode(rgba, "TIFF", compression="tiff_lzw"),
        "TIFF RGBA 16": files.deep_tiff((page.astype(np.uint16) << 8).astype(np.uint16)),
        "TIFF gray": files.encode(rgba.convert("LA"), "TIFF"),
        "BMP": files.rgba_bmp(page),
    }


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", pages(0, 0))
def test_a_page_that_becomes_black_is_told_of_each_native_format(name: str) -> None:
    proc = identity(convert="drop", decoder="native")
    for below, alpha in ((255, 0), (0, 255), (140, 0)):
        proc(pages(below, alpha)[name])
    with pytest.warns(UserWarning, match="may have become black"):
        proc(pages(0, 0)[name])


@pytest.mark.filterwarnings("error")
def test_a_key_that_is_put_on_white_is_not_told() -> None:
    for name in ("PNG key", "GIF"):
        identity(decoder="native")(pages(0, 0)[name])


@pytest.mark.filterwarnings("error")
def test_what_was_decoded_before_is_not_told() -> None:
    with pytest.warns(UserWarning, match="may have become black"):
        identity(convert="drop", num_threads=1)(pages(0, 0)["WebP"])
    vlmres.resize(pages(0, 0)["TIFF"], (30, 30))
    identity(convert="drop", num_threads=1)(pages(255, 0)["TIFF"])


@pytest.mark.filterwarnings("error")
def test_nothing_is_told_of_images_that_stay_as_they_are() -> None:
    light = np.full((56, 56, 4), 255, dtype=np.uint8)
    light[:9, :9, 3] = 0
    proc = identity(convert="drop", decoder="pillow")
    for data in (light, Image.fromarray(light), opaque_page(255), files.encode(Image.fromarray(light), "PNG")):
        proc(data)


def test_gray_of_16_bits_is_clipped_or_scaled() -> None:
    deep = files.deep(56, 56, 1)[..., 0]
    picture = Image.fromarray(deep)
    scaled = (deep >> 8).astype(np.uint8)
    clipped = np.minimum(deep, 255).astype(np.uint8)
    for given in (picture, files.encode(picture, "PNG"), files.encode(picture, "TIFF")):
        assert_equal_batches(identity()(given).torch(), identity()(clipped).torch())
        assert_equal_batches(identity(gray16="scale")(given).torch(), identity()(scaled).torch())


@pytest.mark.parametrize("settings", [{"alpha": "white"}, {"alpha": "reject"}, {"gray16": "scale"}])
def test_native_alone_has_no_rule_of_its_own(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match='decoder="native" excludes'):
        vlmres.Processor("llava-1.5", decoder="native", **settings)


@pytest.mark.parametrize("settings", [{"alpha": "black"}, {"gray16": "round"}])
def test_unknown_rules_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(settings))} must be one of"):
        vlmres.Processor("llava-1.5", **settings)


def qwen_pictures() -> dict[str, Any]:
    # Of a size that is resized: else transformers finds the colour key that qwen-vl-utils has left.
    rgba = Image.fromarray(pixels(90, 61, channels=4))
    palette = rgba.convert("RGB").quantize(30)
    keyed = palette.copy()
    keyed.info["transparency"] = 3
    return {"RGBA": rgba, "LA": rgba.convert("LA"), "P": palette, "P key": keyed, "L": rgba.convert("L")}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", qwen_pictures())
def test_nativeres_llava_composites_rgba_alone(name: str, tmp_path: Path) -> None:
    """The live qwen-vl-utils."""
    utils = pytest.importorskip("qwen_vl_utils.vision_process")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    cls: Any = Qwen2VLImageProcessorPil
    reference = cls(size={"shortest_edge": 4 * 784, "longest_edge": 2048 * 784}, patch_size=14, merge_size=2)
    picture = qwen_pictures()[name]
    proc = vlmres.Processor("nativeres-llava", arithmetic="pillow")
    expected = reference([utils.fetch_image({"image": picture})], return_tensors="pt")
    assert_equal_batches(proc(picture).torch(), expected)
    for form in ("PNG", "GIF", "AVIF"):
        path = tmp_path / f"image.{form}"
        picture.save(path, form)
        expected = reference([utils.fetch_image({"image": str(path)})], return_tensors="pt")
        assert_equal_batches(proc(path).torch(), expected, form)


def test_warnings_can_be_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="become black"):
            identity(convert="drop")(opaque_page())
