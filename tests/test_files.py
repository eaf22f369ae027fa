"""Files that Pillow reads in a way of its own: its pixels, its size and its orientation, or both refuse."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

import vlmres
from tests.files import chunk, encode, png
from tests.images import image, pixels

Files = Iterator[tuple[str, bytes]]


def reference(data: bytes) -> NDArray[np.uint8] | None:
    """As transformers' `load_image` reads a file; nothing where it is refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
        except (OSError, SyntaxError, ValueError, EOFError, KeyError, IndexError, struct.error):
            return None


def assert_as_pillow(name: str, data: bytes) -> bool:
    """Whether both read the file; fails where only one does, or where they read it differently."""
    wanted = reference(data)
    if wanted is None:
        with pytest.raises(vlmres.VlmresError):
            vlmres.resize(data, vlmres.image_size(data, decoder="native"), "nearest", decoder="native")
        return False
    size = vlmres.image_size(data, decoder="native")
    got = vlmres.resize(data, size, "nearest", decoder="native")
    assert got.shape == wanted.shape, name
    np.testing.assert_array_equal(got, wanted, err_msg=name)
    return True


# Orientation


def tiff_data(entries: list[tuple[int, int, int, bytes]], order: str = "<", magic: bytes = b"") -> bytes:
    """A TIFF's directory: tag, type, count and value."""
    head = magic or (b"II*\0" if order == "<" else b"MM\0*")
    data = head + struct.pack(order + "IH", 8, len(entries))
    place = 8 + 2 + 12 * len(entries) + 4
    beyond = b""
    for tag, kind, count, value in entries:
        if len(value) > 4:
            field = struct.pack(order + "I", place + len(beyond))
            beyond += value
        else:
            field = value.ljust(4, b"\0")
        data += struct.pack(order + "HHI", tag, kind, count) + field
    return data + bytes(4) + beyond


def exifs() -> Files:
    for order in "<>":
        for number in range(10):
            yield f"short {number} {order}", tiff_data([(274, 3, 1, struct.pack(order + "H", number))], order)
        yield f"long {order}", tiff_data([(274, 4, 1, struct.pack(order + "I", 6))], order)
        yield f"signed {order}", tiff_data([(274, 9, 1, struct.pack(order + "i", 6))], order)
        yield f"float {order}", tiff_data([(274, 11, 1, struct.pack(order + "f", 6))], order)
        yield f"double {order}", tiff_data([(274, 12, 1, struct.pack(order + "d", 6))], order)
        yield f"rational {order}", tiff_data([(274, 5, 1, struct.pack(order + "II", 6, 1))], order)
        yield f"two {order}", tiff_data([(274, 3, 2, struct.pack(order + "HH", 6, 3))], order)
        yield f"three {order}", tiff_data([(274, 3, 3, struct.pack(order + "HHH", 6, 3, 1))], order)
    yield "byte", tiff_data([(274, 1, 1, b"\6")])
    yield "text", tiff_data([(274, 2, 2, b"6\0")])
    yield "twice", tiff_data([(274, 3, 1, b"\6\0"), (274, 3, 1, b"\3\0")])
    yield "none", tiff_data([(305, 2, 2, b"x\0")])
    yield "after a cut text", tiff_data([(270, 2, 60, struct.pack("<I", 8)), (274, 3, 1, b"\6\0")])
    yield "other magic", tiff_data([(274, 3, 1, b"\6\0")], magic=b"II\0*")
    yield "order swapped", tiff_data([(274, 3, 1, b"\0\6")], ">", magic=b"MM*\0")
    yield "cut off", tiff_data([(274, 3, 1, b"\6\0"), (305, 2, 99, b"abcdef")])[:-4]


XMPS = [
    b'<x tiff:Orientation="6"/>',
    b"<tiff:Orientation>8</tiff:Orientation>",
    b"tiff:Orientation='6' tiff:Orientation=\"3\"",
    b"<x/>",
]
PICTURE = image(6, 4)


def with_exif(exif: bytes) -> Files:
    """The picture with EXIF data in every format."""
    rgb = np.asarray(PICTURE)
    yield "jpeg", encode(PICTURE, "JPEG", exif=b"Exif\0\0" + exif)
    yield "jpeg twice", encode(PICTURE, "JPEG", exif=b"Exif\0\0Exif\0\0" + exif)
    yield "png", png(rgb, 2, extra=chunk(b"eXIf", exif))
    yield "png prefix", png(rgb, 2, extra=chunk(b"eXIf", b"Exif\0\0" + exif))
    after = png(rgb, 2)
    yield "png after", after[:-12] + chunk(b"eXIf", exif) + after[-12:]
    for key in (b"Raw profile type exif", b"exif"):
        hexadecimal = b"\nexif\n%8d\n" % len(exif) + (b"Exif\0\0" + exif).hex().encode() + b"\n"
        value = hexadecimal if key != b"exif" else b"Exif\0\0" + exif
        yield f"png text {key!r}", png(rgb, 2, extra=chunk(b"tEXt", key + b"\0" + value))
    packed = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexadecimal))
    yield "png packed text", png(rgb, 2, extra=packed)
    for prefix in (b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"):
        yield f"webp {len(prefix)}", webp_with(b"EXIF", prefix + exif)
    yield "webp odd place", webp_with(b"EXIF", exif, flags=0)


def webp_with(name: bytes, body: bytes, flags: int | None = None) -> bytes:
    """A lossless WebP with a chunk at its end."""
    plain = encode(PICTURE, "WEBP", lossless=True)[12:]
    flags = {b"EXIF": 8, b"XMP ": 4}[name] if flags is None else flags
    size = struct.pack("<I", 5)[:3] + struct.pack("<I", 3)[:3]
    extended = b"VP8X" + struct.pack("<IB3x", 10, flags) + size
    body = extended + plain + name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


@pytest.mark.parametrize("name", [name for name, _ in exifs()])
def test_exif_turns_as_in_pillow(name: str) -> None:
    exif = dict(exifs())[name]
    turned = 0
    for form, data in with_exif(exif):
        if reference(data) is None:
            continue  # Pillow fails on the EXIF data, which spoil no picture
        assert_as_pillow(form, data)
        turned += vlmres.image_size(data, decoder="native") == (4, 6)
    assert turned > 3 or not (name.startswith(("long", "two", "double", "float")))


def test_xmp_turns_where_exif_does_not() -> None:
    turned = 0
    for xmp in XMPS:
        rgb = np.asarray(PICTURE)
        for compressed in (b"\0\0", b"\1\0"):
            text = zlib.compress(xmp) if compressed[0] else xmp
            itxt = chunk(b"iTXt", b"XML:com.adobe.xmp\0" + compressed + b"\0\0" + text)
            assert_as_pillow("png", png(rgb, 2, extra=itxt))
            upright = chunk(b"eXIf", tiff_data([(274, 3, 1, b"\1\0")]))
            assert_as_pillow("png with exif", png(rgb, 2, extra=itxt + upright))
        assert_as_pillow("jpeg", encode(PICTURE, "JPEG", xmp=xmp))
        assert_as_pillow("webp", webp_with(b"XMP ", xmp))
        assert_as_pillow("tiff", encode(PICTURE, "TIFF", tiffinfo={700: xmp}))
        turned += vlmres.image_size(encode(PICTURE, "JPEG", xmp=xmp)) == (4, 6)
    assert turned == 2


# PNG


def test_png_chunks_that_pillow_forgives_and_refuses() -> None:
    rgb = png(np.asarray(PICTURE), 2)
    index = rgb.index(b"IDAT")
    data_crc = rgb[:-13] + bytes([rgb[-13] ^ 1]) + rgb[-12:]
    assert assert_as_pillow("checksum of pixels", data_crc)
    assert not assert_as_pillow("checksum of the header", rgb[:29] + bytes([rgb[29] ^ 1]) + rgb[30:])
    bad = chunk(b"tEXt", b"a\0b")
    assert not assert_as_pillow("checksum of a text", png(np.asarray(PICTURE), 2, extra=bad[:-1] + b"?"))
    for name in (b"gAMA", b"cHRM", b"sRGB", b"pHYs", b"acTL"):
        assert not assert_as_pillow("short", png(np.asarray(PICTURE), 2, extra=chunk(name, b"")))
    assert assert_as_pillow("unknown", png(np.asarray(PICTURE), 2, extra=chunk(b"ABCD", b"x")))
    assert not assert_as_pillow("no name", rgb[: index - 4] + struct.pack(">I", 0) + b"a-cd" + rgb[index - 4 :])
    # Cut anywhere before the checksum of the stream: Pillow refuses; after it, it does not care.
    end = len(rgb) - 12
    for cut in [*range(0, end - 9, 7), *range(end - 3, len(rgb))]:
        assert_as_pillow(f"cut at {cut}", rgb[:cut])


@pytest.mark.parametrize("length", [0, 1, 3, 5, 765, 767, 768, 770, 771, 900])
def test_png_palettes_of_any_length(length: int) -> None:
    indices = np.arange(16, dtype=np.uint8).reshape(2, 8, 1)
    palette = chunk(b"PLTE", bytes(range(256)) * 4)[: 8 + length]
    palette = chunk(b"PLTE", palette[8:])
    assert_as_pillow("palette", png(indices, 3, extra=palette))
    assert_as_pillow("two palettes", png(indices, 3, extra=palette + chunk(b"PLTE", bytes(30))))
    assert_as_pillow("no palette", png(indices, 3))


def test_png_of_every_filter() -> None:
    """Pillow writes them all, where rows ask for them."""
    rng = np.random.default_rng(0)
    for colour, samples, depth in [(0, 1, 8), (2, 3, 8), (4, 2, 8), (6, 4, 8), (0, 1, 16), (2, 3, 16), (6, 4, 16)]:
        width, height, step = 37, 10, samples * depth // 8
        rows = b"".join(bytes([y % 5]) + rng.bytes(width * step) for y in range(height))
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
        head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        parts = [zlib.compress(rows)[at : at + 100] for at in range(0, len(rows) + 100, 100)]
        data = head + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND", b"")
        assert assert_as_pillow(f"{colour} {depth}", data)
    assert not assert_as_pillow(
        "filter 5", head + chunk(b"IDAT", zlib.compress(b"\5" + rows[1:])) + chunk(b"IEND", b"")
    )
    wrong = zlib.compress(rows)
    assert not assert_as_pillow("sum", head + chunk(b"IDAT", wrong[:-1] + bytes([wrong[-1] ^ 1])) + chunk(b"IEND", b""))
    apart = [wrong[:-2], wrong[-2:-1] + b"?"]
    assert assert_as_pillow("sum apart", head + b"".join(chunk(b"IDAT", part) for part in apart) + chunk(b"IEND", b""))
    early = zlib.compress(rows[: 3 * (width * 8 + 1)])
    assert assert_as_pillow("early end", head + chunk(b"IDAT", early) + chunk(b"IEND", b""))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_png_of_few_bits(depth: int) -> None:
    for width in (1, 7, 8, 9, 30):
        for interlaced in (0, 1):
            if interlaced and width > 1:
                continue
            row = -(-width * depth // 8)
            rows = np.random.default_rng(width).bytes(5 * row)
            for colour in (0, 3):
                header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 5, depth, colour, 0, 0, 0))
                lines = b"".join(b"\0" + rows[y * row : (y + 1) * row] for y in range(5))
                body = chunk(b"PLTE", bytes(range(100, 145))) + chunk(b"IDAT", zlib.compress(lines))
                assert_as_pillow(f"{colour}", b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b""))


# The colour key


def keyed() -> Files:
    """Files with one transparent colour or index."""
    palette = PICTURE.quantize(7)
    gray, bilevel = PICTURE.convert("L"), PICTURE.convert("1")
    deep = np.array([[[0], [7], [263]], [[256], [9], [7]]], dtype=np.uint16)
    yield "gif", encode(palette, "GIF", transparency=3)
    yield "gif gray", encode(gray, "GIF", transparency=int(np.asarray(gray)[0, 0]))
    yield "png palette", encode(palette, "PNG", transparency=2)
    yield "png palette alphas", encode(palette, "PNG", transparency=b"\xff\0\x80")
    yield "png rgb", encode(PICTURE, "PNG", transparency=PICTURE.getpixel((1, 1)))
    yield "png gray", encode(gray, "PNG", transparency=gray.getpixel((1, 1)))
    yield "png black", encode(bilevel, "PNG", transparency=0)
    yield "png white", encode(bilevel, "PNG", transparency=255)
    for value in (0, 7, 256):
        yield f"png deep gray {value}", png(deep, 0, extra=chunk(b"tRNS", struct.pack(">H", value)))
    colour = np.array([[[1, 2, 3], [0x101, 0x202, 0x303]]], dtype=np.uint16)
    yield "png deep", png(colour, 2, extra=chunk(b"tRNS", struct.pack(">3H", 0, 0, 0)))
    yield "png plain", encode(PICTURE, "PNG")
    yield "png rgba", encode(Image.fromarray(pixels(6, 4, channels=4)), "PNG")


def test_a_colour_key_is_white_where_the_reference_composites_it() -> None:
    """transformers' PIL backend composites what `load_image` leaves in `info`; its torchvision backend drops it."""
    image_utils = pytest.importorskip("transformers.image_utils")
    transforms = pytest.importorskip("transformers.image_transforms")
    changed = 0
    for name, data in keyed():
        assert_as_pillow(name, data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = image_utils.load_image(Image.open(io.BytesIO(data)))
            composited = transforms.convert_to_rgb(loaded, return_numpy=True)
        for arithmetic in ("pillow", "torch"):
            processor = vlmres.Processor("qwen2-vl", arithmetic=arithmetic)
            wanted = composited if arithmetic == "pillow" else np.asarray(loaded)
            got = processor([data])["pixel_values"]
            np.testing.assert_array_equal(
                got, processor([Image.fromarray(wanted)])["pixel_values"], err_msg=f"{name} {arithmetic}"
            )
        changed += bool((composited != np.asarray(loaded)).any())
    assert changed >= 6


def test_a_recipe_that_drops_alpha_keeps_the_colour_key() -> None:
    data = encode(PICTURE.quantize(7), "GIF", transparency=3)
    processor = vlmres.Processor(vlmres.Recipe.load("qwen2-vl", convert="drop"), arithmetic="pillow")
    wanted = vlmres.resize(data, (6, 4), "nearest")
    np.testing.assert_array_equal(
        processor([data])["pixel_values"], processor([Image.fromarray(wanted)])["pixel_values"]
    )


# GIF


def gif_parts() -> tuple[bytes, bytes]:
    """A GIF's bytes before its frame, and the frame."""
    data = encode(Image.fromarray(pixels(6, 4)).quantize(9), "GIF")
    at = data.index(b",\0\0\0\0\6\0\4\0")
    return data[:at], data[at:]


def test_gif_blocks_that_pillow_passes_over() -> None:
    head, frame = gif_parts()
    blocks = {
        "unknown": b"!\x55\1a\0",
        "short control": b"!\xf9\3\0\0\0\0",
        "shorter control": b"!\xf9\2\0\0\0",
        "cut control": b"!\xf9\3\1\0\0\0",
        "long control": b"!\xf9\6\1\0\0\2\0\0\0",
        "empty control": b"!\xf9\0",
        "zeros": bytes(3),
        "letters": b"abc",
        "comment": b"!\xfe\3abc\2de\0",
        "empty comment": b"!\xfe\0",
        "netscape": b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0",
        "empty netscape": b"!\xff\x0bNETSCAPE2.0\0",
        "end": b";",
    }
    for name, block in blocks.items():
        assert_as_pillow(name, head + block + frame)
        assert_as_pillow(f"{name} twice", head + block * 2 + frame)
    for cut in range(0, len(head + frame), 5):
        assert_as_pillow(f"cut at {cut}", (head + frame)[:cut])


@pytest.mark.parametrize("screen", [(0, 0), (3, 2), (6, 4), (20, 2), (9, 30)])
def test_gif_screens_of_any_size(screen: tuple[int, int]) -> None:
    head, frame = gif_parts()
    head = head[:6] + struct.pack("<HH", *screen) + head[10:]
    for place in ((0, 0), (2, 1)):
        moved = frame[:1] + struct.pack("<HH", *place) + frame[5:]
        for control in (b"", b"!\xf9\4\1\0\0\5\0"):
            assert assert_as_pillow(f"{screen} {place}", head + control + moved)


def test_gif_codes() -> None:
    head, frame = gif_parts()
    for bits in range(13):
        assert_as_pillow(f"{bits} bits", head + frame[:10] + bytes([bits]) + frame[11:])
    rng = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(frame)
        damaged[rng.integers(11, len(frame))] ^= 1 << rng.integers(8)
        assert_as_pillow("flip", head + bytes(damaged))
    no_palette = head[:10] + b"\0" + head[11:13]
    assert assert_as_pillow("no palette", no_palette + frame)
    assert_as_pillow("interlaced", head + frame[:9] + bytes([frame[9] | 0x40]) + frame[10:])
    big = encode(image(300, 211, "smooth").quantize(256), "GIF", interlace=0)
    noise = encode(Image.fromarray(pixels(300, 211)).quantize(256), "GIF", interlace=1)
    assert assert_as_pillow("smooth", big)
    assert assert_as_pillow("noise", noise)


# BMP


def bmp(width: int, height: int, bits: int, body: bytes, *, compression: int = 0, **options: Any) -> bytes:
    """A BMP file; `palette`, `colours`, `extra` header bytes and `offset` as given."""
    palette: bytes = options.get("palette", b"")
    extra: bytes = options.get("extra", b"")
    colours = options.get("colours", 0)
    length = 40 + len(extra)
    place = options.get("offset", 14 + length + len(palette))
    header = struct.pack("<IiiHHIIiiII", length, width, height, 1, bits, compression, len(body), 0, 0, colours, 0)
    return (
        b"BM"
        + struct.pack("<IHHI", 14 + length + len(palette) + len(body), 0, 0, place)
        + header
        + extra
        + palette
        + body
    )


def test_bmp_of_every_layout() -> None:
    rng = np.random.default_rng(2)
    colours = rng.bytes(4 * 256)
    grays = b"".join(bytes([index] * 3 + [0]) for index in range(256))
    for height in (5, -5):
        for bits in (1, 4, 8, 16, 24, 32):
            row = (13 * bits + 31) // 32 * 4
            palette = colours[: 4 << bits] if bits <= 8 else b""
            assert assert_as_pillow(f"{bits} bits", bmp(13, height, bits, rng.bytes(row * 5), palette=palette))
        assert assert_as_pillow("grays", bmp(13, height, 8, rng.bytes(80), palette=grays))
        black = bmp(13, height, 1, rng.bytes(20), palette=b"\0\0\0\0\xff\xff\xff\0")
        assert assert_as_pillow("black and white", black)
    masks = [
        (16, 0xF800, 0x7E0, 0x1F, 0),
        (16, 0x7C00, 0x3E0, 0x1F, 0),
        (16, 0xF00, 0xF0, 0xF, 0),
        (32, 0xFF0000, 0xFF00, 0xFF, 0),
        (32, 0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (32, 0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (32, 0xFF, 0xFF00, 0xFF0000, 0),
        (32, 0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (32, 0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        (32, 0, 0, 0, 0),
        (24, 0xFF0000, 0xFF00, 0xFF, 0),
        (8, 0xFF, 0xFF, 0xFF, 0),
    ]
    for bits, *fields in masks:
        body = rng.bytes((13 * bits + 31) // 32 * 4 * 5)
        palette = colours if bits == 8 else b""
        for extra in (struct.pack("<4I", *fields), struct.pack("<4I", *fields) + bytes(52)):
            assert_as_pillow(
                f"fields {bits} {fields}", bmp(13, 5, bits, body, compression=3, extra=extra, palette=palette)
            )
        in_front = struct.pack("<3I", *fields[:3])
        assert_as_pillow("fields in front", bmp(13, 5, bits, body, compression=3, palette=in_front))
    for cut in range(0, len(black), 9):
        assert_as_pillow(f"cut at {cut}", black[:cut])


def test_bmp_palettes_and_offsets() -> None:
    body, colours = bytes(range(64)), bytes(range(256)) * 4
    for count in (1, 2, 5, 200, 256, 257, 300):
        data = bmp(8, 8, 8, body, palette=(colours * 2)[: 4 * count], colours=count)
        assert_as_pillow(f"{count} colours", data)
        assert_as_pillow(
            f"{count} colours in the palette", bmp(8, 8, 8, body, palette=colours, colours=count, offset=54)
        )
    core = (
        b"BM" + struct.pack("<IHHI", 0, 0, 0, 26 + 48) + struct.pack("<IHHHH", 12, 8, 4, 1, 4) + bytes(range(48)) + body
    )
    assert assert_as_pillow("core", core)


@pytest.mark.parametrize("four", [False, True])
def test_bmp_run_lengths(four: bool) -> None:
    colours = np.random.default_rng(3).bytes(1024)
    bits, compression = (4, 2) if four else (8, 1)
    streams = {
        "short line": b"\2\5\0\0" + b"\6\7\0\0" * 3 + b"\0\1",
        "no ends of lines": b"\6\x17" * 4,
        "long run": b"\xff\x21\0\0" * 4,
        "absolute": b"\0\5\1\2\3\4\5\0\1\x44\0\0" + b"\6\x11\0\0" * 3 + b"\0\1",
        "absolute odd": b"\0\3\x12\x34\x56\0\3\x11\0\0" + b"\6\x11\0\0" * 3 + b"\0\1",
        "skip": b"\2\5\0\2\1\1\2\6\0\0" + b"\6\7\0\0" * 3,
        "skip beyond": b"\0\2\xff\xff",
        "too early": b"\2\5\0\1",
        "cut off": b"\6\7\0\5\1",
        "nothing": b"",
    }
    for name, stream in streams.items():
        for height in (4, -4):
            data = bmp(6, height, bits, stream, compression=compression, palette=colours[: 4 << bits])
            assert_as_pillow(f"{name} {height}", data)
    rng = np.random.default_rng(4)
    for _ in range(60):
        stream = rng.integers(0, 9, 60, dtype=np.uint8).tobytes()
        assert_as_pillow("noise", bmp(6, 4, bits, stream, compression=compression, palette=colours[: 4 << bits]))


# TIFF


def tiff(
    array: NDArray[Any],
    photometric: int,
    *,
    order: Literal["<", ">"] = "<",
    rows: int = 3,
    pack: Callable[[bytes], bytes] | None = None,
    **tags: Any,
) -> bytes:
    """A TIFF file of (height, rows' bytes or words) in strips; tags by number, as t338=(2,)."""
    height = array.shape[0]
    raw = [array[y : y + rows].astype(array.dtype.newbyteorder(order)).tobytes() for y in range(0, height, rows)]
    strips = [pack(strip) if pack else strip for strip in raw]
    values = {256: (tags.pop("width"),), 257: (height,), 259: (1,), 262: (photometric,), 278: (rows,)}
    values |= {int(name[1:]): value for name, value in tags.items()}
    places = len(strips)
    entries = {tag: (3, value) for tag, value in values.items()} | {
        273: (4, (0,) * places),
        279: (4, tuple(map(len, strips))),
    }
    for _ in range(2):
        built = [
            (tag, kind, len(value), b"".join(struct.pack(order + ("H" if kind == 3 else "I"), part) for part in value))
            for tag, (kind, value) in sorted(entries.items())
        ]
        head = tiff_data(built, order)
        starts = np.cumsum([len(head), *map(len, strips)])[:-1].tolist()
        entries[273] = (4, tuple(starts))
    return head + b"".join(strips)


def difference(count: int, words: bool, order: Literal["<", ">"]) -> Callable[[bytes], bytes]:
    """Deflate after the horizontal predictor, of rows of 13 pixels."""

    def pack(strip: bytes) -> bytes:
        kind = np.dtype(np.uint16 if words else np.uint8).newbyteorder(order)
        rows = np.frombuffer(strip, kind).reshape(-1, 13, count)
        less = rows.astype(np.int64)
        less[:, 1:] -= rows[:, :-1].astype(np.int64)
        return zlib.compress((less % (1 << 8 * kind.itemsize)).astype(kind).tobytes())

    return pack


LAYOUTS = [
    (0, 8, 1, ()),
    (1, 8, 1, ()),
    (1, 8, 2, (0,)),
    (1, 8, 2, (2,)),
    (2, 8, 3, ()),
    (2, 8, 4, ()),
    (2, 8, 4, (0,)),
    (2, 8, 4, (1,)),
    (2, 8, 4, (2,)),
    (2, 8, 4, (999,)),
    (2, 8, 5, (0, 0)),
    (2, 8, 5, (1, 0)),
    (2, 8, 6, (2, 0, 0)),
    (3, 8, 1, ()),
    (3, 8, 2, (2,)),
    (5, 8, 4, ()),
    (5, 8, 5, (0,)),
    (5, 8, 6, (0, 0)),
    (1, 16, 1, ()),
    (2, 16, 3, ()),
    (2, 16, 4, ()),
    (2, 16, 4, (0,)),
    (2, 16, 4, (1,)),
    (2, 16, 4, (2,)),
    (5, 16, 4, ()),
]


@pytest.mark.parametrize(("photometric", "depth", "count", "extra"), LAYOUTS)
@pytest.mark.parametrize("order", "<>")
def test_tiff_samples(
    photometric: int, depth: int, count: int, extra: tuple[int, ...], order: Literal["<", ">"]
) -> None:
    words = depth == 16
    array = np.random.default_rng(5).integers(0, 1 << depth, (10, 13 * count)).astype(np.uint16 if words else np.uint8)
    if count == 1 and words:
        array[:5] = array[:5] // 256
    tags: dict[str, Any] = {"t258": (depth,) * count, "t277": (count,), "order": order, "width": 13}
    if extra:
        tags["t338"] = extra
    if photometric == 3:
        tags["t320"] = tuple(np.random.default_rng(6).integers(0, 65536, 768).tolist())
    assert assert_as_pillow("plain", tiff(array, photometric, **tags))
    assert assert_as_pillow("one strip", tiff(array, photometric, rows=10, **tags))
    if words and count == 1 and order == ">":
        # Pillow takes the bytes for those of the other order; that is left to it.
        with pytest.raises(vlmres.VlmresError, match="not read natively"):
            vlmres.resize(tiff(array, photometric, t259=(8,), pack=zlib.compress, **tags), (13, 10), decoder="native")
        return
    tags["t259"] = (8,)
    assert assert_as_pillow("packed", tiff(array, photometric, pack=zlib.compress, **tags))
    assert assert_as_pillow(
        "predicted", tiff(array, photometric, pack=difference(count, words, order), t317=(2,), **tags)
    )


def backwards(strip: bytes) -> bytes:
    """Deflated, with the bits of bytes in the other order."""
    return zlib.compress(strip).translate(bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256)))


@pytest.mark.parametrize("photometric", [0, 1, 3])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_tiff_of_few_bits_in_both_orders(photometric: int, depth: int) -> None:
    array = np.random.default_rng(7).integers(0, 256, (10, -(-13 * depth // 8))).astype(np.uint8)
    tags: dict[str, Any] = {"t258": (depth,), "width": 13}
    if photometric == 3:
        tags["t320"] = tuple(np.random.default_rng(6).integers(0, 65536, 3 << depth).tolist())
    for fill in (1, 2):
        # Pillow has no code for some that are not packed.
        assert assert_as_pillow("plain", tiff(array, photometric, t266=(fill,), **tags)) or fill == 2
        pack = zlib.compress if fill == 1 else backwards
        assert assert_as_pillow("packed", tiff(array, photometric, t266=(fill,), t259=(8,), pack=pack, **tags))


def test_tiff_as_pillow_writes_it() -> None:
    smooth, noise = image(301, 203, "smooth"), image(301, 203)
    rgba = Image.fromarray(pixels(57, 40, channels=4))
    cmyk = Image.fromarray(pixels(57, 40, channels=4), "CMYK")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        for picture in (smooth, noise, rgba, cmyk, smooth.convert("L"), smooth.quantize(99), smooth.convert("1")):
            for big in (False, True):
                assert assert_as_pillow(compression, encode(picture, "TIFF", compression=compression, big_tiff=big))
        tiled = encode(smooth, "TIFF", compression=compression, tiffinfo={317: 2})
        assert assert_as_pillow("predicted", tiled)
    for picture in (smooth, smooth.convert("L"), smooth.convert("YCbCr")):
        assert assert_as_pillow("jpeg", encode(picture, "TIFF", compression="jpeg", quality=60))
        assert assert_as_pillow("jpeg strips", encode(picture, "TIFF", compression="jpeg", strip_size=20000))
    for number in range(1, 9):
        assert assert_as_pillow("turned", encode(PICTURE, "TIFF", tiffinfo={274: number}))


def test_tiff_fax() -> None:
    """Every length of a run, and lines that differ from those above in every way."""
    rng = np.random.default_rng(8)
    lines = [rng.integers(0, 2, 2700) < 1, np.zeros(2700, bool), np.ones(2700, bool)]
    for start in range(0, 2700, 53):
        line = np.zeros(2700, bool)
        line[start : start + start % 97 * 28 + 1] = True
        lines += [line, np.roll(line, start % 9 - 4), ~line]
    for length in range(0, 70, 3):
        lines.append(np.arange(2700) // (length + 1) % 2 == 0)
    page = Image.fromarray(np.array(lines))
    for photometric in (0, 1):
        assert assert_as_pillow("page", encode(page, "TIFF", compression="group4", tiffinfo={262: photometric}))
    for width in (1, 7, 8, 9, 33):
        dots = Image.fromarray(rng.integers(0, 2, (9, width)) < 1)
        assert assert_as_pillow("narrow", encode(dots, "TIFF", compression="group4"))


@pytest.mark.parametrize("compression", ["group3", "zstd"])
def test_what_is_not_native_says_so(compression: str) -> None:
    data = encode(PICTURE.convert("1") if compression == "group3" else PICTURE, "TIFF", compression=compression)
    with pytest.raises(vlmres.DecodeError, match=r"a TIFF with .* is not read natively.*Pillow"):
        vlmres.image_size(data, decoder="native")
    with pytest.raises(vlmres.DecodeError, match="is not read natively"):
        vlmres.image_size(encode(PICTURE, "AVIF"), decoder="native")


def test_damaged_tiffs_are_read_alike_or_left_to_pillow() -> None:
    rng = np.random.default_rng(9)
    page, smooth = image(301, 203, "smooth").convert("1"), image(90, 60, "smooth")
    for compression, picture in [("group4", page), ("tiff_lzw", smooth), ("packbits", smooth), ("raw", smooth)]:
        data = encode(picture, "TIFF", compression=compression)
        for _ in range(40):
            damaged = bytearray(data)
            damaged[rng.integers(8, len(data))] ^= 1 << rng.integers(8)
            try:
                vlmres.resize(bytes(damaged), vlmres.image_size(bytes(damaged), decoder="native"), decoder="native")
            except vlmres.VlmresError:
                continue
            assert_as_pillow(compression, bytes(damaged))


# WebP


def test_webp_frames_and_cuts() -> None:
    flat = Image.new("RGB", (8, 8), (255, 200, 9))
    rgba = [Image.fromarray(pixels(30, 20, channels=4, seed=seed)) for seed in range(2)]
    stills = {
        "lossy": encode(image(150, 93, "smooth"), "WEBP", quality=85),
        "noise": encode(image(61, 47), "WEBP", quality=20),
        "alpha": encode(rgba[0], "WEBP", quality=85),
        "lossless alpha": encode(rgba[0], "WEBP", lossless=True),
        "animated": encode(
            flat, "WEBP", save_all=True, append_images=[flat.rotate(90), Image.new("RGB", (8, 8))], lossless=True
        ),
        "animated alpha": encode(rgba[0], "WEBP", save_all=True, append_images=rgba[1:]),
    }
    for name, data in stills.items():
        assert assert_as_pillow(name, data)
        for cut in (20, 40, len(data) // 2, len(data) - 30, len(data) - 2, len(data) - 1):
            assert_as_pillow(f"{name} cut", data[:cut])
        assert_as_pillow("longer", data + b"abc")
        if b"ANMF" in data:
            at = data.index(b"ANMF") + 8 + 15
            assert assert_as_pillow("blended", data[:at] + bytes([data[at] & ~2]) + data[at + 1 :])
            moved = bytearray(data)
            moved[24:30] = struct.pack("<I", 39)[:3] + struct.pack("<I", 29)[:3]
            moved[at - 15 : at - 12] = b"\2\0\0"
            assert assert_as_pillow("on a larger canvas", bytes(moved))
    rng = np.random.default_rng(10)
    for _ in range(60):
        damaged = bytearray(stills["lossy"])
        damaged[rng.integers(30, len(damaged))] ^= 1 << rng.integers(8)
        assert_as_pillow("flip", bytes(damaged))


def test_png_text_is_read_as_pillow_writes_it() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMPS[0].decode(), zip=True)
    data = encode(PICTURE, "PNG", pnginfo=info)
    assert vlmres.image_size(data) == (4, 6)
    assert vlmres.image_size(data, exif=False) == (6, 4)
    assert_as_pillow("xmp", data)


def refused_by_all(data: bytes) -> None:
    decoders: tuple[Literal["auto", "native", "pillow"], ...] = ("auto", "native", "pillow")
    for decoder in decoders:
        with pytest.raises(vlmres.DecodeError):
            vlmres.resize(data, (40, 30), "nearest", decoder=decoder)


def test_deflate_of_tiff_with_a_wrong_checksum_is_refused() -> None:
    """libtiff looks at the checksum behind a strip's last pixel."""
    data = bytearray(encode(image(40, 30), "TIFF", compression="tiff_adobe_deflate"))
    opened: Any = Image.open(io.BytesIO(data))
    place, length = opened.tag_v2[273][0], opened.tag_v2[279][0]
    assert vlmres.resize(bytes(data), (40, 30), "nearest", decoder="native").shape == (30, 40, 3)
    for at in (place + length - 1, place + length // 2):
        damaged = bytearray(data)
        damaged[at] ^= 4
        assert reference(bytes(damaged)) is None
        refused_by_all(bytes(damaged))


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_tags_of_compressed_tiff_that_libtiff_refuses(compression: str) -> None:
    data = encode(image(40, 30), "TIFF", compression=compression)
    (start,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, start)
    places = {struct.unpack_from("<H", data, start + 2 + 12 * row)[0]: start + 2 + 12 * row for row in range(count)}
    for tag, at, bit in ((278, 3, 4), (278, 2, 32), (278, 5, 128), (284, 3, 128), (284, 7, 64), (284, 8, 2)):
        damaged = bytearray(data)
        damaged[places[tag] + at] ^= bit
        assert reference(bytes(damaged)) is None
        refused_by_all(bytes(damaged))
