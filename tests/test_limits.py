"""What is too large or too small, each with an error that names it."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.images import EXAMPLES, pixels

THIN = np.broadcast_to(np.zeros((1, 1, 3), dtype=np.uint8), (1, 60_000, 3))


def test_a_thin_image_costs_nothing_but_itself() -> None:
    proc = vlmres.Processor("llava-1.5-pad")
    with pytest.raises(vlmres.PlanError, match=r"60000x60000.*268435456"):
        proc(THIN, input_data_format="channels_last")
    batch = proc([THIN, np.zeros((30, 40, 3), dtype=np.uint8)], errors="return")
    assert batch.indices == [1]
    assert isinstance(batch.errors[0], vlmres.PlanError)


def test_a_resize_without_memory_is_an_error() -> None:
    with pytest.raises(MemoryError, match=str(3 << 60)):
        vlmres.resize(np.zeros((5, 4, 3), dtype=np.uint8), (1 << 30, 1 << 30))


@pytest.mark.parametrize("size", [(2**70, 5), (5, -(2**70)), (2**31, 5)])
def test_sizes_beyond_all_bounds(size: tuple[int, int]) -> None:
    with pytest.raises(vlmres.PlanError, match=str(max(abs(side) for side in size))):
        vlmres.plan(size, "qwen2-vl")


def test_overrides_beyond_all_bounds() -> None:
    with pytest.raises(vlmres.RecipeError, match=f"max_pixels.*{2**70}"):
        vlmres.Recipe.load("qwen2-vl", max_pixels=2**70)


@pytest.mark.parametrize(
    ("recipe", "patch_size"),
    [("internvl2", 500), ("llava-1.5", 1000), ("llava-next", 400), ("deepseek-ocr-base", 1025)],
)
def test_a_tile_holds_a_patch(recipe: str, patch_size: int) -> None:
    with pytest.raises(vlmres.RecipeError, match=str(patch_size)):
        vlmres.Recipe.load(recipe, patch_size=patch_size)


def test_no_boxes_are_no_boxes() -> None:
    plan = vlmres.plan((640, 480), "qwen2-vl")
    assert plan.to_model([]).shape == (0, 4)
    assert plan.to_image(np.empty((0, 4))).shape == (0, 4)


def test_a_configuration_is_an_object(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps([1, 2]))
    with pytest.raises(vlmres.RecipeError, match=r"preprocessor_config\.json is not a JSON object"):
        vlmres.Recipe.from_pretrained(tmp_path)


def test_many_threads_are_not_made_for_nothing() -> None:
    picture = np.zeros((900, 700, 3), dtype=np.uint8)
    expected = vlmres.Processor("internvl2", num_threads=1)(picture)["pixel_values"]
    assert np.array_equal(vlmres.Processor("internvl2", num_threads=100_000)(picture)["pixel_values"], expected)


def test_bytes_that_are_read_are_bytes_of_decoding() -> None:
    """Those of a file that a call reads count, those that the caller holds do not."""
    path = EXAMPLES / "page.png"
    read = path.stat().st_size

    def run(image: Path | bytes, limit: int) -> vlmres.Batch:
        return vlmres.Processor("clip", max_decoded_bytes=limit, num_threads=1)(image)

    # A gray PNG: its pixels in RGB, three of its rows with their filters, and inflate's window.
    width, height = vlmres.image_size(path)
    decoded = width * height * 3 + (width + 1) * 3 + (128 << 10)
    expected = vlmres.Processor("clip")(path)["pixel_values"]
    assert np.array_equal(run(path, decoded + read)["pixel_values"], expected)
    assert np.array_equal(run(path.read_bytes(), decoded)["pixel_values"], expected)
    with pytest.raises(
        vlmres.DecodeError, match=rf"takes {decoded + read} bytes, .* {decoded + read - 1} \(max_decoded"
    ):
        run(path, decoded + read - 1)
    with pytest.raises(vlmres.DecodeError, match=rf"takes {decoded} bytes, .* {decoded - 1} \(max_decoded"):
        run(path.read_bytes(), decoded - 1)


def test_fewer_threads_decode_within_a_limit() -> None:
    files = [EXAMPLES / "page.png", EXAMPLES / "line.png", EXAMPLES / "photo.jpg"] * 3
    expected = vlmres.Processor("clip", num_threads=1)(files)["pixel_values"]
    largest = max(size.width * size.height * 6 for size in map(vlmres.image_size, files))
    limit = largest + sum(path.stat().st_size for path in files)
    limited = vlmres.Processor("clip", num_threads=3, max_decoded_bytes=limit)
    assert np.array_equal(limited(files)["pixel_values"], expected)


@pytest.mark.parametrize("layout", ["hf", "packed"])
def test_outputs_over_the_limit_are_their_images(layout: Any) -> None:
    small, large = pixels(60, 60), pixels(600, 500)
    proc = vlmres.Processor("qwen2-vl", layout)
    # The other arrays of a packed batch have a few values for each segment.
    counted = ("patches", "positions") if layout == "packed" else ("pixel_values", "image_grid_thw")
    one, other = (sum(batch[key].nbytes for key in counted) for batch in map(proc, (small, large)))
    limited = vlmres.Processor("qwen2-vl", layout, max_output_bytes=other - 1)
    batch = limited([small, large, small], errors="return")
    assert list(batch.errors) == [1]
    assert isinstance(batch.errors[1], vlmres.VlmresError)
    assert f"over the limit of {other - 1} (max_output_bytes)" in str(batch.errors[1])
    expected = proc([small, small])
    for key in expected:
        if key != "image_index":
            assert np.array_equal(batch[key], expected[key]), key
    with pytest.raises(vlmres.VlmresError, match=r"^image 1: the outputs take"):
        limited([small, large])
    # No image is to blame where each is within the limit.
    limited = vlmres.Processor("qwen2-vl", layout, max_output_bytes=one * 2)
    assert len(limited(small)) == len(expected)
    with pytest.raises(vlmres.VlmresError, match=r"^the outputs take"):
        limited([small] * 3, errors="return")


def test_masks_are_outputs() -> None:
    image = pixels(60, 60)
    expected = vlmres.Processor("idefics2", dtype="uint8")(image)
    values, mask = expected["pixel_values"].nbytes, expected["pixel_attention_mask"].nbytes
    assert mask > values
    assert len(vlmres.Processor("idefics2", dtype="uint8", max_output_bytes=values + mask)(image)) == len(expected)
    with pytest.raises(vlmres.VlmresError, match=f"at least {values + mask} bytes, over the limit of {mask}"):
        vlmres.Processor("idefics2", dtype="uint8", max_output_bytes=mask)(image)


def test_a_row_may_be_as_wide_as_an_image() -> None:
    """Pixels alone decide: a row of more bytes than a header may take."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width = 25_000_000
    header = struct.pack(">IIBBBBB", width, 1, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(width * 3 + 1), 1)
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    assert vlmres.image_size(file) == (width, 1)
    batch = vlmres.Processor("siglip", dtype="uint8")(file)
    assert not batch["pixel_values"].any()
    with pytest.raises(vlmres.DecodeError, match=f"{width} pixels, over the limit of {width - 1}"):
        vlmres.Processor("siglip", max_image_pixels=width - 1)(file)
