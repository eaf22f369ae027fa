"""JPEG files against Pillow's decode, live: the same pixels where it decodes, a refusal where it refuses."""

import io
import itertools
import random
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile

import vlmres
from tests import files
from tests.images import EXAMPLES, image, real
from vlmres._core import Source

KINDS = ("4:4:4", "4:2:2", "4:2:0", "4:1:1", "L", "CMYK", "RGB")
SCANS = ("baseline", "optimised", "progressive")
# Sampling factors, horizontal and vertical in a byte, of the first two components; the third's are 1 by 1. Pillow's
# encoder does not make them: data of other factors is relabelled, which is as good for a decoder.
FACTORS = (
    (0x12, 0x11),
    (0x21, 0x11),
    (0x22, 0x21),
    (0x22, 0x12),
    (0x41, 0x11),
    (0x14, 0x11),
    (0x42, 0x11),
    (0x31, 0x11),
)


@pytest.fixture(autouse=True)
def room_to_encode(monkeypatch: pytest.MonkeyPatch) -> None:
    # Pillow's encoder fails on small noisy images otherwise.
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 20)


def photo(width: int, height: int) -> Image.Image:
    return real("photo.jpg").resize((width, height), Image.Resampling.BICUBIC)


def encode(picture: Image.Image, kind: str, scans: str = "baseline", *, quality: int = 85, restart: int = 0) -> bytes:
    """A JPEG of a subsampling, or of a colour space without one; with a restart marker after every `restart` units."""
    options: dict[str, object] = {"keep_rgb": True} if kind == "RGB" else {}
    if kind in ("L", "CMYK"):
        picture = picture.convert(kind)
    elif kind != "RGB":
        options["subsampling"] = kind
    return files.encode(
        picture,
        "JPEG",
        quality=quality,
        optimize=scans == "optimised",
        progressive=scans == "progressive",
        restart_marker_blocks=restart,
        **options,
    )


def by_pillow(data: bytes) -> NDArray[np.uint8] | None:
    """Pillow's pixels; None where it refuses."""
    try:
        with Image.open(io.BytesIO(data)) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, SyntaxError):
        return None


def decoded(data: bytes) -> NDArray[np.uint8] | None:
    """The pixels; None for an error."""
    try:
        return Source.decode(data).to_array()
    except vlmres.VlmresError:
        return None


def frame(data: bytes) -> int:
    """Where the frame header's marker stands."""
    return next(at for marker in (b"\xff\xc0", b"\xff\xc2") if (at := data.find(marker)) > 0)


def relabelled(data: bytes, factors: tuple[int, int]) -> bytes:
    changed = bytearray(data)
    at = frame(data)
    changed[at + 11], changed[at + 14] = factors
    return bytes(changed)


def segment_before_frame(data: bytes, segment: bytes) -> bytes:
    return data[:2] + segment + data[2:]


def exif(orientation: int) -> bytes:
    """A segment that says how the image is to be turned."""
    data = files.exif(orientation)
    return b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data


@pytest.mark.parametrize("scans", SCANS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_equals_pillow(kind: str, scans: str) -> None:
    rng = random.Random(f"{kind} {scans}")
    sizes = [(1, 1), (2, 1), (1, 40), (3, 100), (100, 2), (8, 8), (16, 16), (17, 33)]
    sizes += [(rng.randint(1, 300), rng.randint(1, 300)) for _ in range(12)]
    for (width, height), quality in zip(sizes, itertools.cycle([1, 30, 75, 90, 100]), strict=False):
        for picture in (photo(width, height), image(width, height, rng.choice(["noise", "binary", "smooth"]))):
            data = encode(picture, kind, scans, quality=quality, restart=rng.choice([0, 0, 1, 3, 50]))
            expected = by_pillow(data)
            assert expected is not None
            got = decoded(data)
            np.testing.assert_array_equal(got, expected, strict=True, err_msg=f"{width}x{height} quality {quality}")
            assert vlmres.image_size(data) == (width, height)


@pytest.mark.parametrize("name", ["photo.jpg", "photo-portrait.jpg"])
def test_real_files(name: str) -> None:
    data = (EXAMPLES / name).read_bytes()
    np.testing.assert_array_equal(decoded(data), real(name), strict=True)


def test_large_files_equal_pillow() -> None:
    for kind, scans in itertools.product(("4:4:4", "4:2:0"), ("baseline", "progressive")):
        data = encode(photo(2003, 1501), kind, scans, quality=95)
        assert len(data) > 4 << 16  # several of the pieces that Pillow reads
        np.testing.assert_array_equal(decoded(data), by_pillow(data), strict=True)


@pytest.mark.parametrize("factors", FACTORS)
@pytest.mark.parametrize("scans", SCANS)
def test_other_sampling_factors(scans: str, factors: tuple[int, int]) -> None:
    for width, height in [(64, 64), (37, 91), (5, 3), (130, 17)]:
        data = relabelled(encode(photo(width, height), "4:4:4", scans), factors)
        expected, got = by_pillow(data), decoded(data)
        assert (expected is None) == (got is None)
        if expected is not None:
            np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("transform", [0, 1, 2, 7])
@pytest.mark.parametrize("kind", ["4:4:4", "CMYK"])
@pytest.mark.parametrize("jfif", [True, False])
def test_adobe_transforms(transform: int, kind: str, jfif: bool) -> None:
    data = encode(photo(70, 50), kind)
    for marker in (b"\xff\xe0", b"\xff\xee"):
        at = data.find(marker)
        if at > 0 and not (jfif and marker == b"\xff\xe0"):
            data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
    data = segment_before_frame(data, adobe)
    np.testing.assert_array_equal(decoded(data), by_pillow(data), strict=True)


def test_tables_may_be_missing_or_come_first() -> None:
    data = encode(photo(90, 60), "4:2:0")
    start = data.find(b"\xff\xc4")
    without = data
    while (at := without.find(b"\xff\xc4")) > 0:
        without = without[:at] + without[at + 2 + int.from_bytes(without[at + 2 : at + 4], "big") :]
    # Motion JPEG: Pillow writes the standard's tables, which are those assumed.
    np.testing.assert_array_equal(decoded(without), by_pillow(data), strict=True)
    tables = b"\xff\xd8" + data[start : start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")] + b"\xff\xd9"
    # A stream of tables alone before the image is libjpeg's business, not Pillow's.
    expected, got = by_pillow(tables + data), decoded(tables + data)
    assert (expected is None) == (got is None)


@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "L", "CMYK"])
def test_progressive_files_without_their_last_scans(kind: str) -> None:
    for size in [(200, 151), (97, 64), (30, 30), (9, 70)]:
        data = encode(photo(*size), kind, "progressive", quality=60)
        scans = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xda"]
        for at in scans[1:]:
            shortened = data[:at] + b"\xff\xd9"
            np.testing.assert_array_equal(decoded(shortened), by_pillow(shortened), strict=True)
            middle = data[: at + 60] + b"\xff\xd9"
            np.testing.assert_array_equal(decoded(middle), by_pillow(middle), strict=True)


@pytest.mark.parametrize("scans", SCANS)
def test_truncated_files(scans: str) -> None:
    data = encode(photo(120, 80), "4:2:0", scans)
    cuts = {*range(len(data) - 40, len(data)), *random.Random(1).sample(range(len(data)), 100)}
    for cut in sorted(cuts):
        expected, got = by_pillow(data[:cut]), decoded(data[:cut])
        assert (expected is None) == (got is None), cut
        if expected is not None:
            np.testing.assert_array_equal(got, expected, strict=True)
    with pytest.raises(vlmres.DecodeError, match=rf"ends after {len(data) // 2} bytes"):
        vlmres.Processor("llava-1.5")(data[: len(data) // 2])


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage: flipped bits, changed, missing and repeated bytes, markers out of nowhere, an early end."""
    changed = bytearray(data)
    at = rng.randrange(len(changed))
    match rng.randrange(8):
        case 0:
            changed[at] ^= 1 << rng.randrange(8)
        case 1:
            for _ in range(rng.randint(2, 12)):
                changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        case 2:
            changed[rng.randrange(min(640, len(changed)))] = rng.randrange(256)
        case 3:
            del changed[at : at + rng.randint(1, 20)]
        case 4:
            changed[at:at] = changed[at : at + rng.randint(1, 60)]
        case 5:
            changed[at : at + 20] = bytes(20)
        case 6:
            changed[at:at] = bytes([0xFF, rng.choice([0, 1, 0xC4, 0xD0, 0xD3, 0xD9, 0xDA, 0xDB, 0xFF])])
        case _:
            changed[at:] = b"\xff\xd9" + (b"" if rng.random() < 0.5 else changed[at:])
    return bytes(changed)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("seed", range(8))
def test_damaged_files_are_decoded_or_refused_as_pillow_does(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = {"decoded": 0, "refused": 0}
    for _ in range(100):
        picture = photo(rng.randint(1, 120), rng.randint(1, 120))
        data = encode(
            picture, rng.choice(KINDS), rng.choice(SCANS), quality=rng.choice([30, 85]), restart=rng.choice([0, 0, 2])
        )
        data = mutate(data, rng)
        expected, got = by_pillow(data), decoded(data)
        assert (expected is None) == (got is None)
        if expected is not None:
            np.testing.assert_array_equal(got, expected, strict=True)
        outcomes["refused" if expected is None else "decoded"] += 1
    assert min(outcomes.values()) > 10


def ending_at(data: bytes, end: int) -> bytes:
    """The file with comments before its frame that move the end of its scan there."""
    more = end - (len(data) - 2)
    sizes = [60_000] * ((more - 4) // 60_000)
    sizes.append(more - sum(sizes))
    comments = b"".join(b"\xff\xfe" + (size - 2).to_bytes(2, "big") + bytes(size - 4) for size in sizes)
    return segment_before_frame(data, comments)


@pytest.mark.parametrize("restart", [0, 3])
def test_what_follows_a_scan_counts_as_far_as_pillow_has_read(restart: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces of 64 KiB: where a scan ends with a piece, the next may never be looked at."""
    data = encode(photo(60, 40), "4:2:0", restart=restart)
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 1 << 16)  # Pillow's own, which says how much it reads at once
    tails = [b"\xff\xd9", b"\xff\xc0", b"\xff\xff\xff\xd9", b"\xff\x02", bytes(30) + b"\xff\xc0", b""]
    outcomes = set()
    for before in range(-20, 21):
        moved = ending_at(data, (2 << 16) + before)[:-2]
        for tail in tails:
            damaged = moved + tail + bytes(4)
            expected, got = by_pillow(damaged), decoded(damaged)
            assert (expected is None) == (got is None), (before, tail)
            if expected is not None:
                np.testing.assert_array_equal(got, expected, strict=True)
            outcomes.add((tail, expected is None))
    assert {(tails[4], True), (tails[4], False)} <= outcomes


@pytest.mark.parametrize("scans", SCANS)
def test_fill_bytes_within_data(scans: str) -> None:
    """Several bytes of 0xff before a zero are one of the data; libjpeg's fast path leaves its traces of them."""
    data = encode(photo(160, 120), "4:2:0", scans, quality=95)
    start = data.find(b"\xff\xda")
    stuffed = [at for at in range(start, len(data) - 1) if data[at : at + 2] == b"\xff\0"]
    for at in stuffed[:: max(1, len(stuffed) // 12)]:
        for more in (1, 2, 9):
            filled = data[:at] + b"\xff" * more + data[at:]
            np.testing.assert_array_equal(decoded(filled), by_pillow(filled), strict=True)
            both = filled[: at + 500] + b"\xff\xd9"
            expected, got = by_pillow(both), decoded(both)
            assert (expected is None) == (got is None)
            if expected is not None:
                np.testing.assert_array_equal(got, expected, strict=True)


@pytest.mark.parametrize("length", range(6))
def test_segments_of_impossible_lengths_are_read_as_pillow_does(length: int) -> None:
    """Before the second scan, where libjpeg alone reads them."""
    data = encode(photo(40, 30), "4:2:0", "progressive")
    second = data.find(b"\xff\xda", data.find(b"\xff\xda") + 2)
    outcomes = set()
    for code in range(0xC0, 0xFF):
        for fill in (b"\0", b"\1", b"\x21"):
            segment = bytes([0xFF, code, 0, length]) + fill * max(length - 2, 0)
            damaged = data[:second] + segment + data[second:]
            expected, got = by_pillow(damaged), decoded(damaged)
            assert (expected is None) == (got is None), hex(code)
            if expected is not None:
                np.testing.assert_array_equal(got, expected, strict=True)
            outcomes.add(expected is None)
    assert outcomes == {False, True}


def test_what_is_refused_says_why() -> None:
    data = encode(photo(40, 30), "4:2:0")
    at = frame(data)

    def error(changes: dict[int, int]) -> str:
        changed = bytearray(data)
        for place, value in changes.items():
            changed[at + place] = value
        with pytest.raises(vlmres.DecodeError) as caught:
            Source.decode(bytes(changed))
        return str(caught.value)

    assert "not of 8 bits" in error({4: 12})
    assert "lossless" in error({1: 0xC3})
    assert "arithmetic coding" in error({1: 0xC9})
    assert "components" in error({9: 2})
    assert "sampling" in error({11: 0x51})


def test_scans_are_bounded() -> None:
    data = encode(photo(40, 30), "L", "progressive")
    first = data.find(b"\xff\xda")
    second = data.find(b"\xff\xda", first + 2)
    many = data[:second] + data[first:second] * 600 + b"\xff\xd9"
    with pytest.raises(vlmres.DecodeError, match="500 scans"):
        Source.decode(many)


def test_a_huge_header_is_refused_before_decoding() -> None:
    data = bytearray(encode(photo(40, 30), "4:2:0"))
    at = frame(bytes(data))
    data[at + 5 : at + 9] = struct.pack(">HH", 60000, 60000)
    with pytest.raises(vlmres.VlmresError, match=r"60000x60000"):
        vlmres.Processor("llava-1.5")(bytes(data))


# A recipe of each kind of single view: a resize alone, padded, cropped, resized in floating point, one tile of several.
TURNED: dict[str, dict[str, Any]] = {
    "qwen2-vl": {"max_pixels": 200_000},
    "llava-1.5": {},
    "siglip2-naflex": {},
    "clip": {},
    "deepseek-vl": {},
    "molmo2": {},
    "internvl2": {"max_tiles": 1},
}


@pytest.mark.parametrize("arithmetic", ["torch", "pillow", "pillow-12"])
@pytest.mark.parametrize("name", TURNED)
def test_turned_files_give_what_their_turned_pixels_do(name: str, arithmetic: Any) -> None:
    processor = vlmres.Processor(name, arithmetic=arithmetic, dtype="uint8", **TURNED[name])
    kinds = itertools.cycle(itertools.product(("4:2:0", "L", "CMYK"), SCANS))
    for size in ((900, 500), (61, 803), (40, 30)):
        picture = photo(*size)
        for orientation, (kind, scans) in zip(range(1, 9), kinds, strict=False):
            data = segment_before_frame(encode(picture, kind, scans), exif(orientation))
            expected = processor(files.by_pillow(data))
            for key, values in processor(data).items():
                np.testing.assert_array_equal(values, expected[key], f"{key}, {size}, {orientation}")


def test_damaged_files_are_turned_as_what_is_decoded_of_them() -> None:
    rng, processor = random.Random(19), vlmres.Processor("qwen2-vl", dtype="uint8")
    outcomes = []
    for scans in SCANS * 20:
        data = segment_before_frame(encode(photo(160, 120), "4:2:0", scans), exif(6))
        damaged = mutate(data, rng)
        expected = decoded(damaged)
        outcomes.append(expected is not None)
        if expected is None:
            with pytest.raises(vlmres.VlmresError):
                processor(damaged)
        else:
            np.testing.assert_array_equal(processor(damaged)["pixel_values"], processor(expected)["pixel_values"])
    assert set(outcomes) == {False, True}


# A recipe of each kind of view, with what lets small images show what it does; the last cuts the image itself.
SCALED: dict[str, dict[str, Any]] = {
    "llava-1.5": {},
    "internvl2": {},
    "qwen2-vl": {"max_pixels": 200_000},
    "deepseek-ocr-gundam": {},
    "siglip2-naflex": {},
    "nativeres-llava": {},
    "idefics2": {"do_image_splitting": True},
}


def processor(name: str, **options: Any) -> vlmres.Processor:
    return vlmres.Processor(name, dtype="uint8", **options, **SCALED[name])


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "L"])
def test_scaled_decoding_is_close_and_changes_no_plan(name: str, kind: str) -> None:
    for size in [(2400, 1600), (999, 1777), (640, 480)]:
        data = encode(photo(*size), kind, quality=90)
        exact, scaled = processor(name)(data), processor(name, decode="scaled")(data)
        assert scaled.plans == exact.plans
        assert list(scaled.keys()) == list(exact.keys())
        for key in exact:
            a, b = np.asarray(exact[key]), np.asarray(scaled[key])
            assert (a.shape, a.dtype) == (b.shape, b.dtype)
            if a.dtype == np.uint8:
                assert np.abs(a.astype(np.int16) - b).mean() < 3
            else:
                np.testing.assert_array_equal(a, b)


def test_scaled_decoding_turns_by_exif() -> None:
    data = files.encode(photo(1200, 900), "JPEG", exif=files.exif(6))
    exact, scaled = (processor("llava-1.5", decode=decode)(data)["pixel_values"] for decode in ("exact", "scaled"))
    assert np.abs(exact.astype(np.int16) - scaled).mean() < 3


def test_scaled_decoding_leaves_other_files_alone() -> None:
    data = files.encode(photo(900, 900), "PNG")
    exact, scaled = (processor("llava-1.5", decode=decode)(data)["pixel_values"] for decode in ("exact", "scaled"))
    np.testing.assert_array_equal(exact, scaled)


def test_the_way_of_decoding_is_checked() -> None:
    with pytest.raises(ValueError, match=r"decode must be .*'fast'"):
        vlmres.Processor("llava-1.5", decode="fast")  # type: ignore[arg-type]
