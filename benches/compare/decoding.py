"""Decoding alone, format by format: vlmres beside Pillow and OpenCV, in one process, one thread, from bytes to RGB."""

from __future__ import annotations

import io
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from benches.compare.fleet import ROOT
from numpy.typing import NDArray
from PIL import Image

from vlmres._core import Source

PHOTO = ROOT / "python" / "vlmres" / "samples" / "photo.jpg"
SIZES = ((1920, 1080), (4000, 3000))
ROUNDS = 7

Decode = Callable[[bytes], Any]


def files(width: int, height: int) -> Iterator[tuple[str, bytes]]:
    """Files of a photograph and of what becomes of it in few colours, as Pillow writes them."""
    photo = Image.open(PHOTO).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    gray = photo.convert("L")
    alpha = photo.copy()
    alpha.putalpha(gray)
    flat = photo.quantize(64, dither=Image.Dither.NONE)
    page = gray.point(lambda value: 255 * (value > 128)).convert("1", dither=Image.Dither.NONE)
    yield "PNG, RGB", _encode(photo, "PNG")
    yield "PNG, RGBA", _encode(alpha, "PNG")
    yield "PNG, palette", _encode(flat, "PNG")
    yield "PNG, gray", _encode(gray, "PNG")
    yield "PNG, 1 bit", _encode(page, "PNG")
    yield "WebP, lossy", _encode(photo, "WEBP", quality=80)
    yield "WebP, lossy with alpha", _encode(alpha, "WEBP", quality=80)
    yield "WebP, lossless", _encode(photo, "WEBP", lossless=True, quality=20, method=1)
    yield "GIF, photograph", _encode(photo.quantize(256), "GIF")
    yield "GIF, 64 colours", _encode(flat, "GIF")
    yield "BMP, 24 bits", _encode(photo, "BMP")
    yield "BMP, 8 bits", _encode(flat, "BMP")
    yield "TIFF", _encode(photo, "TIFF")
    yield "TIFF, deflate", _encode(photo, "TIFF", compression="tiff_adobe_deflate")
    yield "TIFF, LZW", _encode(photo, "TIFF", compression="tiff_lzw")
    yield "TIFF, LZW with predictor", _encode(photo, "TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    yield "TIFF, PackBits", _encode(photo, "TIFF", compression="packbits")
    yield "TIFF, JPEG", _encode(photo, "TIFF", compression="jpeg", quality=90)
    yield "TIFF, Group 4", _encode(page, "TIFF", compression="group4")
    yield "JPEG", _encode(photo, "JPEG", quality=90)
    yield "JPEG, progressive", _encode(photo, "JPEG", quality=90, progressive=True)


def _encode(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _with_pillow(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def _with_opencv() -> Decode | None:
    try:
        import cv2
    except ImportError:
        return None
    cv2.setNumThreads(1)

    def decode(data: bytes) -> Any:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    return decode


def decoders() -> Mapping[str, Decode]:
    """By library; OpenCV where it is installed."""
    found: dict[str, Decode] = {"vlmres": Source.decode, "Pillow": _with_pillow}
    opencv = _with_opencv()
    return found | ({"OpenCV": opencv} if opencv else {})


def times(data: bytes, contestants: Mapping[str, Decode], rounds: int) -> dict[str, float | None]:
    """Median milliseconds of CPU by library, in turns; None of one that does not read the file.

    Raises:
        ValueError: vlmres does not have Pillow's pixels.
    """
    ours: NDArray[np.uint8] = Source.decode(data).to_array()
    if not np.array_equal(ours, np.asarray(_with_pillow(data))):
        raise ValueError("vlmres does not have Pillow's pixels")
    ready = {name: decode for name, decode in contestants.items() if decode(data) is not None}
    taken: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(rounds):
        for name, decode in ready.items():
            start = time.process_time()
            decode(data)
            taken[name].append(time.process_time() - start)
    return {name: statistics.median(taken[name]) * 1000 if name in taken else None for name in contestants}


def report(sizes: tuple[tuple[int, int], ...] = SIZES, rounds: int = ROUNDS) -> str:
    """A Markdown table: milliseconds, and how many times as long as vlmres the others take."""
    contestants = decoders()
    cells: dict[str, list[str]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for size in sizes:
            for name, data in files(*size):
                found = times(data, contestants, rounds)
                row = cells.setdefault(name, [])
                row += [_cell(found["vlmres"], None)]
                row += [_cell(found[other], found["vlmres"]) for other in contestants if other != "vlmres"]
    headings = [f"{width}x{height}: {name}" for width, height in sizes for name in contestants]
    lines = [f"| ms | {' | '.join(headings)} |", "|---" * (len(headings) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(row)} |" for name, row in cells.items())])


def _cell(milliseconds: float | None, ours: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.1f}" + (f", {milliseconds / ours:.2f}x" if ours else "")
