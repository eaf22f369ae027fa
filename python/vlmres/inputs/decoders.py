"""Which decoder reads a file: the compiled part, or Pillow for formats that it does not read.

Pillow may open only the formats of `FORMATS`, which it decodes in the process with libraries made for untrusted files.
Formats for which Pillow starts a program, such as EPS, are not among them.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from vlmres.inputs.pil import has_transparency, on_white, opaque, pil_source, scaled_gray

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmres._core import Source
    from vlmres.inputs.alpha import Gray16, Hidden, Rule

Decoder = Literal["auto", "native", "pillow"]

# Pillow's names of formats. HEIF is pillow-heif's, if the program has registered it.
FORMATS = (
    "AVIF",
    "BMP",
    "CUR",
    "DDS",
    "DIB",
    "GIF",
    "HEIF",
    "ICNS",
    "ICO",
    "JPEG",
    "JPEG2000",
    "MPO",
    "MSP",
    "PCX",
    "PNG",
    "PPM",
    "PSD",
    "QOI",
    "SGI",
    "SUN",
    "TGA",
    "TIFF",
    "WEBP",
    "XBM",
    "XPM",
)

# Formats that the compiled part reads, though not every variant of them.
_NATIVE = ("BMP", "GIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP")

# Bytes per pixel while Pillow decodes: four of its own, four each for turning and converting, and the decoder's planes.
_PIXEL_BYTES = 20

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)

_INSTALL = "Pillow reads more formats: pip install 'vlmres[files]'"

# First bytes of formats that Pillow may not open here, or cannot.
_OTHERS = (
    (b"%PDF-", "it is a PDF document"),
    (b"%!PS", "it is PostScript, which only a program of its own can draw"),
    (b"SIMPLE  =", "it is FITS"),
    (b"\xff\x0a", "it is JPEG XL"),
    (b"\0\0\0\x0cJXL ", "it is JPEG XL"),
    (b"version https://git-lfs", "it is a pointer of Git LFS: fetch the file itself"),
    (b"<", "it is XML or HTML, perhaps an SVG drawing or the page of an error"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heif", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


@dataclass(frozen=True)
class PillowDecoder:
    """Reads headers and pixels with Pillow, as transformers loads a file. It is thread-safe.

    Args:
        rule: How transparency is converted.
        key: Whether a colour that the file declares transparent becomes white, as in transformers' PIL backend.
        gray16: How 16-bit gray is converted.
        hidden: Warns of transparency that is dropped.
        max_pixels: Most pixels of an image, checked by its header; None for Pillow's own limit.
    """

    rule: Rule
    key: bool
    gray16: Gray16
    hidden: Hidden
    max_pixels: int | None

    def header(
        self, encoded: bytes | os.PathLike[str], may_leave: bool
    ) -> tuple[tuple[int, int], tuple[int, int], int] | None:
        """The size as stored, the size after EXIF orientation, and the bytes that decoding takes.

        None for an image that the compiled part should read, if that is allowed and no rule needs Pillow.
        """
        with _opened(encoded) as image:
            if may_leave and image.format in _NATIVE and not self._concerns(image):
                return None
            stored = image.size
            pixels = stored[0] * stored[1]
            if self.max_pixels is not None and pixels > self.max_pixels:
                # Pillow decodes a whole PNG to find its EXIF data.
                return stored, stored, pixels
            if image.format == "TIFF":
                # Pillow has turned its size already.
                stored = (image.tag_v2[256], image.tag_v2[257])
                orientation = image.tag_v2.get(_ORIENTATION, 1)
            else:
                orientation = image.getexif().get(_ORIENTATION, 1)
            seen = stored[::-1] if orientation in _TURNED else stored
            return stored, seen, pixels * _PIXEL_BYTES

    def decode(self, encoded: bytes | os.PathLike[str]) -> Source:
        """The pixels: turned by their EXIF orientation, without transparency."""
        from PIL import Image, ImageOps

        with _opened(encoded) as opened:
            image = ImageOps.exif_transpose(opened)
            if self.gray16 == "scale":
                image = scaled_gray(image, Image)
            if self.key and image.info.get("transparency") is not None:
                rgb = image.convert("RGB")
                if rgb.info.get("transparency") is not None:
                    return pil_source(on_white(rgb, Image))
            return pil_source(opaque(image, self.rule, self.hidden, Image).convert("RGB"))

    def _concerns(self, image: Any) -> bool:
        if self.gray16 == "scale" and image.mode.startswith("I;16"):
            return True
        return self.rule != "drop" and has_transparency(image) and (self.rule != "white_rgba" or image.mode == "RGBA")


@contextlib.contextmanager
def _opened(encoded: bytes | os.PathLike[str]) -> Iterator[Any]:
    """An image that Pillow has read the header of."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        raise ValueError(_INSTALL) from None
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    # Given a path, Pillow would map the file. It then turns TIFF pixels wrongly, and the file may be truncated
    # meanwhile.
    with io.BytesIO(encoded) if isinstance(encoded, bytes) else open(encoded, "rb") as file:  # noqa: PTH123
        try:
            image = Image.open(file, formats=formats)
        except UnidentifiedImageError:
            file.seek(0)
            raise ValueError(_unknown(file.read(32))) from None
        with image:
            yield image


def _unknown(start: bytes) -> str:
    """The reason, for a message, why Pillow does not read a file with these first bytes."""
    if start[4:8] == b"ftyp" and start[8:12] in _HEIF_BRANDS and "HEIF" not in _registered():
        return "it is HEIF: pip install pillow-heif, and call pillow_heif.register_heif_opener()"
    if start[4:8] == b"ftyp" and start[8:12] in (b"avif", b"avis") and "AVIF" not in _registered():
        return "it is AVIF, which Pillow reads from version 11.3 on"
    for beginning, what in _OTHERS:
        if start.startswith(beginning):
            return what
    return "Pillow does not read it either"


def _registered() -> Any:
    return sys.modules["PIL.Image"].OPEN
