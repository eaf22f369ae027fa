"""JPEG files whose rows are made while they are resized, or by several threads: the bits of their decoded pixels."""

import random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import vlmres
from tests import files
from tests.images import real

# Rows as they are, columns before rows with Pillow's arithmetic, and both passes alone and together.
SIZES = ((280, 196), (280, 201), (300, 196), (301, 199), (90, 700), (700, 90), (61, 29))
KINDS: dict[str, dict[str, Any]] = {
    "4:2:0": {"subsampling": "4:2:0"},
    "4:2:2": {"subsampling": "4:2:2", "restart_marker_blocks": 3},
    "4:4:4": {"subsampling": "4:4:4"},
    "progressive": {"progressive": True},
}


def photo(size: tuple[int, int]) -> Image.Image:
    return real("photo.jpg").resize(size, Image.Resampling.BICUBIC)


def same(processor: vlmres.Processor, data: bytes) -> None:
    """A file becomes what its pixels as Pillow decodes them become."""
    found, expected = processor(data), processor(files.by_pillow(data))
    assert list(found) == list(expected)
    for key in expected:
        np.testing.assert_array_equal(np.asarray(found[key]), np.asarray(expected[key]), strict=True)


@pytest.mark.parametrize("arithmetic", ["torch", "pillow"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_of_resizing_reads_rows_as_they_come(kind: str, arithmetic: Any) -> None:
    budgets: dict[str, Any] = {"max_pixels": 280 * 196, "min_pixels": 28 * 28}
    processor = vlmres.Processor(
        "qwen2-vl", layout="packed", dtype="uint8", arithmetic=arithmetic, num_threads=1, **budgets
    )
    for size in SIZES:
        same(processor, files.encode(photo(size), "JPEG", **KINDS[kind]))


@pytest.mark.parametrize("name", vlmres.recipes())
def test_every_recipe(name: str) -> None:
    same(vlmres.Processor(name, num_threads=1), files.encode(photo((330, 250)), "JPEG"))


def test_scaled_rows_are_those_of_a_scaled_image() -> None:
    data = files.encode(photo((900, 700)), "JPEG")
    budgets: dict[str, Any] = {"max_pixels": 28 * 28 * 20, "min_pixels": 28 * 28}
    one, many = (vlmres.Processor("qwen2-vl", decode="scaled", num_threads=count, **budgets) for count in (1, 4))
    np.testing.assert_array_equal(pixels(one, data), pixels(many, data))


def test_a_file_that_is_read_twice() -> None:
    """Several bytes of 0xff before a zero are found out at the end of the data."""
    data = files.encode(photo((160, 120)), "JPEG", quality=95)
    at = data.find(b"\xff\0", len(data) // 2)
    same(vlmres.Processor("qwen2-vl", num_threads=1), data[:at] + b"\xff" + data[at:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_ends_early_leaves_nothing(kind: str) -> None:
    good = files.encode(photo((300, 200)), "JPEG", **KINDS[kind])
    bad = files.encode(photo((200, 300)), "JPEG", **KINDS[kind])
    processor = vlmres.Processor("qwen2-vl", num_threads=1)
    with pytest.raises(vlmres.VlmresError, match=f"image 1: .* ends after {len(bad) // 2} bytes"):
        processor([good, bad[: len(bad) // 2], good])
    batch = processor([good, bad[: len(bad) // 2], good], errors="return")
    assert list(batch.errors) == [1]
    expected = processor([good, good])
    for key in expected:
        np.testing.assert_array_equal(np.asarray(batch[key]), np.asarray(expected[key]), strict=True)


def pixels(processor: vlmres.Processor, data: bytes) -> NDArray[np.float32] | str:
    """Pixel values, or what is wrong."""
    try:
        return np.asarray(processor(data)["pixel_values"])
    except vlmres.VlmresError as error:
        return str(error)


@pytest.mark.parametrize("subsampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_threads_share_a_file_with_restart_markers(subsampling: str) -> None:
    """Intervals of rows, of parts of them, and such that few rows begin with one."""
    one, many = (vlmres.Processor("qwen2-vl", num_threads=count) for count in (1, 3))
    picture = photo((797, 811))
    for option in ({"restart_marker_rows": 1}, {"restart_marker_rows": 3}, {"restart_marker_blocks": 1}):
        data = files.encode(picture, "JPEG", subsampling=subsampling, **option)
        same(many, data)
        for seed in range(12):
            damaged = damage(data, random.Random(seed))
            np.testing.assert_array_equal(pixels(many, damaged), pixels(one, damaged))


def damage(data: bytes, rng: random.Random) -> bytes:
    """Data with another marker, without one, with one more, or with other bytes."""
    start = data.find(b"\xff\xda") + 14
    markers = [at for at in range(start, len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] < 0xD8]
    at, how = rng.choice(markers), rng.randrange(4)
    if how == 0:
        return data[: at + 1] + bytes([0xD0 + rng.randrange(8)]) + data[at + 2 :]
    if how == 1:
        return data[:at] + data[at + 2 :]
    if how == 2:
        return data[:at] + data[at : at + 2] + data[at:]
    return data[: at + 2] + bytes(rng.choice([0, 0xFF, 0x5A]) for _ in range(3)) + data[at + 5 :]
