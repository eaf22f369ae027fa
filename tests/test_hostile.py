"""Untrusted bytes: never a crash, always a result or an error that says which image it is about."""

import io
import json
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vlmres
from tests import files
from tests.compare import assert_equal_batches
from tests.images import image

FILES = {**files.exact_files(), **files.lossy_files()}

PROCESSOR = vlmres.Processor(vlmres.Recipe.load("llava-1.5", shortest_edge=32, crop_width=32, crop_height=32))


def survives(data: bytes) -> bool:
    """Whether the bytes are read; anything but vlmres' errors and a result is a failure."""
    read = True
    for attempt in (
        lambda: PROCESSOR(data),
        lambda: vlmres.image_size(data),
        lambda: vlmres.image_size(data, exif=False),
    ):
        try:
            attempt()
        except vlmres.VlmresError:
            read = False
    return read


@pytest.mark.parametrize("name", FILES)
def test_truncated(name: str) -> None:
    data = FILES[name]
    assert survives(data)
    rng = np.random.default_rng(0)
    cuts = {0, 1, 2, 4, 8, 16, 24, 33, len(data) // 2, len(data) - 1, *rng.integers(0, len(data), 30).tolist()}
    for cut in sorted(cuts):
        survives(data[:cut])


@pytest.mark.parametrize("name", FILES)
def test_missing_pixels_are_an_error(name: str) -> None:
    """As they are to Pillow: half an image must not become training data."""
    with pytest.raises(vlmres.DecodeError):
        PROCESSOR(FILES[name][: len(FILES[name]) // 2])


@pytest.mark.parametrize("name", FILES)
def test_flipped_bytes(name: str) -> None:
    rng = np.random.default_rng(list(name.encode()))
    for _ in range(25):
        broken = bytearray(FILES[name])
        for _ in range(int(rng.integers(1, 6))):
            # Headers matter more than pixels.
            end = len(broken) if rng.random() < 0.5 else min(len(broken), 120)
            broken[int(rng.integers(0, end))] = int(rng.integers(0, 256))
        survives(bytes(broken))


@pytest.mark.parametrize("name", FILES)
def test_spliced_files(name: str) -> None:
    data = FILES[name]
    others = list(FILES.values())
    rng = np.random.default_rng(list(name.encode()))
    for _ in range(6):
        other = others[int(rng.integers(0, len(others)))]
        survives(data[: int(rng.integers(0, len(data)))] + other[int(rng.integers(0, len(other))) :])
        survives(data + other)


def huge_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = files.chunk(b"IHDR", header) + files.chunk(b"IDAT", zlib.compress(bytes(1000))) + files.chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def huge_bmp(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 1054, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(1000)
    )


def huge_gif(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02L\x01\x00;"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame


def huge_tiff(width: int, height: int) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, height), (279, 1000)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + bytes(1004)


HUGE: dict[str, Callable[[int, int], bytes]] = {"png": huge_png, "bmp": huge_bmp, "gif": huge_gif, "tiff": huge_tiff}


@pytest.mark.parametrize("form", HUGE)
def test_huge_headers_are_refused(form: str) -> None:
    data = HUGE[form](60000, 60000)
    start = time.perf_counter()
    with pytest.raises(vlmres.DecodeError, match=r"60000x60000 has 3600000000 pixels, over the limit of 178956970"):
        PROCESSOR(data)
    assert vlmres.image_size(data) == (60000, 60000)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("form", ["png", "bmp", "tiff"])
def test_huge_headers_take_little_memory(form: str, tmp_path: Path) -> None:
    """Refused by the limit, or for want of data just under it."""
    for index, (width, height) in enumerate([(60000, 60000), (13000, 13000)]):
        (tmp_path / f"{index}").write_bytes(HUGE[form](width, height))
    script = """
import json, resource, sys, vlmres
proc = vlmres.Processor("llava-1.5", num_threads=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
messages = []
for name in "01":
    try:
        proc(f"{sys.argv[1]}/{name}")
        messages.append("")
    except vlmres.DecodeError as error:
        messages.append(str(error))
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, messages]))
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    kilobytes, messages = json.loads(done.stdout)
    assert "limit" in messages[0]
    assert messages[1], "an image without its pixels was read"
    assert kilobytes < 100_000


@pytest.mark.parametrize("sides", [(0, 5), (5, 0), (0, 0)])
@pytest.mark.parametrize("form", ["png", "bmp", "gif", "tiff"])
def test_zero_sides(form: str, sides: tuple[int, int]) -> None:
    assert not survives(HUGE[form](*sides))


def test_max_image_pixels() -> None:
    data = files.encode(image(40, 30), "PNG")

    def limited(limit: int) -> vlmres.Processor:
        return vlmres.Processor("llava-1.5", max_image_pixels=limit)

    limited(1200)(data)
    with pytest.raises(vlmres.DecodeError, match=r"image 1: .*40x30.*1200.*1199"):
        limited(1199)([image(500, 500), data])
    # The limit is for files; pixels in memory are there already.
    limited(1)(image(500, 500))


def test_one_bad_image_in_a_batch() -> None:
    good = [image(50, 40), files.encode(image(30, 90), "PNG"), image(64, 64)]
    proc = vlmres.Processor("qwen2-vl")
    bad = [good[0], b"not an image", good[1], np.zeros((4, 4, 3), dtype=np.float32), good[2], image(1000, 2)]
    with pytest.raises(vlmres.DecodeError, match=r"^image 1: cannot decode"):
        proc(bad)
    with pytest.raises(vlmres.VlmresError, match=r"^image 2: .*float32"):
        proc([good[0], good[1], bad[3], bad[1]])
    with pytest.raises(vlmres.PlanError, match=r"^image 1: .*1000x2"):
        proc([good[0], bad[5], bad[1]])
    batch = proc(bad, errors="return")
    assert sorted(batch.errors) == [1, 3, 5]
    assert isinstance(batch.errors[1], vlmres.DecodeError)
    assert [type(batch.errors[index]) for index in (3, 5)] == [vlmres.VlmresError, vlmres.PlanError]
    assert batch.indices == [0, 2, 4]
    assert [plan is None for plan in batch.plans] == [False, True, False, True, False, True]
    assert len(batch.num_tokens) == 3
    assert_equal_batches(batch.torch(), proc(good).torch())


def test_only_bad_images() -> None:
    batch = vlmres.Processor("qwen2-vl")([b"", "/nowhere.png"], errors="return")
    assert len(batch) == 0
    assert batch.plans == [None, None]
    assert isinstance(batch.errors[0], vlmres.DecodeError)
    assert isinstance(batch.errors[1], FileNotFoundError)
    with pytest.raises(ValueError, match="ignore"):
        vlmres.Processor("qwen2-vl")([b""], errors="ignore")  # type: ignore[arg-type]


def test_missing_files(tmp_path: Path) -> None:
    missing = tmp_path / "missing.png"
    with pytest.raises(FileNotFoundError, match="image 1: ") as caught:
        PROCESSOR([image(5, 5), missing])
    assert caught.value.filename == str(missing)
    with pytest.raises(FileNotFoundError) as caught:
        vlmres.image_size(missing)
    assert caught.value.filename == str(missing)


def test_directories(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="image 0"):
        PROCESSOR(tmp_path)
    with pytest.raises(IsADirectoryError):
        vlmres.image_size(tmp_path)


@pytest.mark.parametrize("name", ["", "\0", "a\0b.png", "x" * 5000])
def test_impossible_paths(name: str) -> None:
    with pytest.raises((OSError, ValueError)):
        PROCESSOR(name)
    with pytest.raises((OSError, ValueError)):
        vlmres.image_size(name)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\xff" * 1000,
        b"<svg></svg>",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM",
        b"II*\0",
        b"RIFF\0\0\0\0WEBP",
    ],
)
def test_bytes_that_are_no_image(data: bytes) -> None:
    with pytest.raises(vlmres.DecodeError, match=r"^image 0: cannot decode"):
        PROCESSOR(data)
    with pytest.raises(vlmres.DecodeError):
        vlmres.image_size(data)


def test_beginnings_that_others_read() -> None:
    """A PDF without an object, and a PPM without a pixel, which has a size as in Pillow."""
    with pytest.raises(vlmres.DecodeError, match=r"^image 0: a document of 9 bytes: not a PDF"):
        PROCESSOR(b"%PDF-1.7\n")
    with pytest.raises(vlmres.DecodeError, match=r"cannot decode"):
        vlmres.image_size(b"%PDF-1.7\n")
    with pytest.raises(vlmres.DecodeError, match=r"^image 0: cannot decode"):
        PROCESSOR(b"P6 3 3 255\n")
    assert vlmres.image_size(b"P6 3 3 255\n") == (3, 3)


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(vlmres.DecodeError, match="image 0"):
        PROCESSOR(path)


def test_messages_do_not_hold_the_bytes() -> None:
    with pytest.raises(vlmres.DecodeError) as caught:
        PROCESSOR(b"\x89PNG\r\n\x1a\n" + bytes(100_000))
    assert len(str(caught.value)) < 500


def _tiff(tag: int, count: int) -> bytes:
    """A gray TIFF of 8x8 pixels, of which one more tag has text of `count` bytes."""
    entries = [(256, 3, 1, 8), (257, 3, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 8), (279, 4, 1, 64)]
    entries = sorted([*(entry for entry in entries if entry[0] != tag), (tag, 2, count, 8)])
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(80)


def test_a_decoder_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Of a TIFF with text for a number, longer than the file: the tag is passed over, as in Pillow."""
    for count in (5000, 0xFFFFFFF0):
        data = _tiff(258, count)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert vlmres.image_size(data) == (8, 8)
        np.testing.assert_array_equal(vlmres.resize(data, (8, 8), "nearest"), reference)
    assert vlmres.image_size(_tiff(305, 0xFFFFFFF0)) == (8, 8)
    assert capfd.readouterr() == ("", "")
