"""Image files of every kind that is read, made in memory."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.images import image, pixels

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def encode(picture: Image.Image, form: str, **options: Any) -> bytes:
    """By Pillow."""
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def png_of(array: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels."""
    return encode(Image.fromarray(array), "PNG")


def by_pillow(data: bytes) -> NDArray[np.uint8]:
    """Pixels as transformers reads them: turned by EXIF, as RGB."""
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(array: NDArray[Any], colour: int, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG file of (height, width, samples) uint8 or uint16; Pillow writes neither deep colour nor Adam7."""
    height, width = array.shape[:2]
    big = array.astype(array.dtype.newbyteorder(">"))
    passes = [big[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [big]
    rows = b"".join(b"\0" + row.tobytes() for part in passes if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8 * array.dtype.itemsize, colour, 0, 0, int(interlaced))
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def exif(orientation: int) -> bytes:
    """EXIF data with an orientation alone."""
    data = Image.Exif()
    data[0x0112] = orientation
    return data.tobytes()


def deep(width: int, height: int, samples: int) -> NDArray[np.uint16]:
    """16-bit noise, some of it below 256."""
    rng = np.random.default_rng(3)
    high = rng.integers(0, 65536, (height, width, samples), dtype=np.uint16)
    high[: height // 2] >>= rng.integers(0, 16, high[: height // 2].shape, dtype=np.uint16)
    return high


def top_down_bmp(array: NDArray[np.uint8]) -> bytes:
    """A BMP file of negative height: rows from the top."""
    height, width = array.shape[:2]
    header = bytearray(encode(Image.fromarray(array), "BMP")[:54])
    struct.pack_into("<i", header, 22, -height)
    padding = bytes(-width * 3 % 4)
    return bytes(header) + b"".join(row[:, ::-1].tobytes() + padding for row in array)


def rgba_bmp(array: NDArray[np.uint8]) -> bytes:
    """A BMP file with an alpha field, which Pillow does not write: (height, width, 4)."""
    height, width = array.shape[:2]
    fields = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII4I", 56, width, -height, 1, 32, 3, array.nbytes, 0, 0, 0, 0, *fields)
    start = struct.pack("<2sIII", b"BM", 70 + array.nbytes, 0, 70)
    return start + header + array.tobytes()


def deep_tiff(array: NDArray[np.uint16]) -> bytes:
    """RGBA of 16 bits, not compressed, in one strip: Pillow does not write such files."""
    height, width, samples = array.shape
    pixels: bytes = array.astype("<u2").tobytes()
    tags = {256: width, 257: height, 259: 1, 262: 2, 273: 0, 277: samples, 278: height, 279: len(pixels), 338: 2}
    entries = {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()}
    after = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries[258] = struct.pack("<HHII", 258, 3, samples, after)
    entries[273] = struct.pack("<HHII", 273, 4, 1, after + 2 * samples)
    table = struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    depths = struct.pack("<H", 16) * int(samples)
    return b"II*\0" + struct.pack("<I", 8) + table + depths + pixels


def offset_gif() -> bytes:
    """A GIF file whose first frame covers the middle of its canvas alone."""
    data = bytearray(encode(Image.fromarray(pixels(10, 8)).quantize(30), "GIF"))
    struct.pack_into("<HH", data, 6, 20, 15)
    struct.pack_into("<HH", data, data.index(b",\0\0\0\0") + 1, 5, 4)
    return bytes(data)


def exact_files() -> dict[str, bytes]:
    """Files that are read as Pillow reads them, to the last bit."""
    rgb, rgba = image(45, 31), Image.fromarray(pixels(45, 31, channels=4))
    gray, palette = rgb.convert("L"), rgb.quantize(50)
    smooth = image(150, 93, "smooth")
    frames = [image(45, 31, "smooth", seed=index).quantize(60) for index in range(3)]
    return {
        "png-rgb": encode(rgb, "PNG"),
        "png-rgba": encode(rgba, "PNG"),
        "png-gray": encode(gray, "PNG"),
        "png-la": encode(rgba.convert("LA"), "PNG"),
        "png-1": encode(gray.convert("1"), "PNG"),
        "png-palette": encode(palette, "PNG"),
        "png-palette-4": encode(rgb.quantize(11), "PNG", bits=4),
        "png-palette-transparent": encode(palette, "PNG", transparency=3),
        "png-palette-alphas": encode(palette, "PNG", transparency=bytes(range(0, 250, 5))),
        "png-rgb-transparent": encode(rgb, "PNG", transparency=rgb.getpixel((3, 4))),
        "png-gray-transparent": encode(gray, "PNG", transparency=gray.getpixel((3, 4))),
        "png-gray16": png(deep(45, 31, 1), 0),
        "png-gray16-transparent": png(deep(45, 31, 1), 0, extra=chunk(b"tRNS", b"\0\7")),
        "png-rgb16-transparent": png(deep(45, 31, 3), 2, extra=chunk(b"tRNS", b"\0\7\0\1\0\2")),
        "png-animated": encode(rgb, "PNG", save_all=True, append_images=[image(45, 31, "smooth")]),
        "png-rgb16": png(deep(45, 31, 3), 2),
        "png-la16": png(deep(45, 31, 2), 4),
        "png-rgba16": png(deep(45, 31, 4), 6),
        "png-interlaced": png(pixels(45, 31), 2, interlaced=True),
        "png-interlaced-small": png(pixels(3, 2), 2, interlaced=True),
        "bmp-rgb": encode(rgb, "BMP"),
        "bmp-gray": encode(gray, "BMP"),
        "bmp-palette": encode(palette, "BMP"),
        "bmp-1": encode(gray.convert("1"), "BMP"),
        "bmp-rgba": encode(rgba, "BMP"),
        "bmp-alpha": rgba_bmp(pixels(45, 31, channels=4)),
        "bmp-top-down": top_down_bmp(pixels(45, 31)),
        "gif": encode(palette, "GIF"),
        "gif-animated": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "gif-gray": encode(gray, "GIF"),
        "gif-transparent": encode(palette, "GIF", transparency=3),
        "gif-offset": offset_gif(),
        "tiff-rgb": encode(rgb, "TIFF"),
        "tiff-gray": encode(gray, "TIFF"),
        "tiff-lzw": encode(rgb, "TIFF", compression="tiff_lzw"),
        "tiff-deflate": encode(gray, "TIFF", compression="tiff_adobe_deflate"),
        "tiff-packbits": encode(rgb, "TIFF", compression="packbits"),
        "tiff-rgba": encode(rgba, "TIFF"),
        "tiff-1": encode(gray.convert("1"), "TIFF"),
        "tiff-gray16": encode(Image.fromarray(deep(45, 31, 1)[..., 0]), "TIFF"),
        "tiff-cmyk": encode(rgb.convert("CMYK"), "TIFF"),
        "tiff-fax": encode(gray.convert("1"), "TIFF", compression="group4"),
        "tiff-pages": encode(rgb, "TIFF", save_all=True, append_images=[image(20, 20)]),
        "jpeg-gray": encode(smooth.convert("L"), "JPEG"),
        "jpeg-444": encode(smooth, "JPEG", subsampling=0, quality=90),
        "jpeg-422": encode(smooth, "JPEG", subsampling=1, quality=90),
        "jpeg-420": encode(smooth, "JPEG", subsampling=2, quality=90),
        "jpeg-progressive": encode(smooth, "JPEG", progressive=True, quality=85),
        "jpeg-cmyk": encode(smooth.convert("CMYK"), "JPEG", quality=95),
        "webp-animated": encode(rgb, "WEBP", save_all=True, append_images=[image(45, 31, "smooth")], lossless=True),
        "webp-lossless": encode(rgb, "WEBP", lossless=True),
        "webp-lossless-rgba": encode(rgba, "WEBP", lossless=True, exact=True),
    }


def lossy_files() -> dict[str, bytes]:
    """Files that may differ from Pillow by a few levels."""
    rgb = image(150, 93, "smooth")
    return {
        "webp-lossy": encode(rgb, "WEBP", quality=85),
    }
