"""What is measured: every table with its rows and columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from benches.compare.contestants import CONTESTANTS, Arithmetic
from benches.compare.work import Output, Size, Source, Work


@dataclass(frozen=True)
class Table:
    """Contestants that do the same work, a column for each job."""

    title: str
    columns: Mapping[str, Work]
    """Jobs by heading."""
    rows: tuple[str, ...]
    """Names of contestants; those whose output is compared with are among them."""

    nearest: Arithmetic = "torch"
    """The arithmetic that contestants which claim nothing are compared with."""

    def reference(self, arithmetic: Arithmetic) -> str:
        """The contestant that is no part of vlmres and whose output is the truth of an arithmetic."""
        return next(name for name in self.rows if CONTESTANTS[name].equals == arithmetic and not CONTESTANTS[name].ours)


SMALL, SQUARE, HD, PHONE, PHOTO = (640, 480), (1024, 1024), (1920, 1080), (1500, 4500), (4032, 3024)
SIZES = (SMALL, SQUARE, HD, PHONE, PHOTO)
FEW = (SMALL, HD, PHOTO)
CAP = {"max_pixels": 1280 * 28 * 28}

_OURS = ("vlmres", "vlmres out=")
_TRANSFORMERS = ("transformers torchvision", "transformers PIL")
_BOTH = (*_OURS, "vlmres, Pillow's arithmetic", *_TRANSFORMERS)
_HAND = (
    "hf-processors-rs",
    "torch by hand",
    "torch by hand, tuned",
    "OpenCV + numpy",
    "kornia-rs + numpy",
    "Pillow-SIMD + numpy",
)
_PARTS = ("the resize alone, exact", "memcpy of the output")
_DECODES = ("JPEG decode alone, vlmres", "JPEG decode alone, libjpeg-turbo", "JPEG decode alone, Pillow")


def _columns(
    recipe: str,
    sizes: tuple[Size, ...],
    source: Source = "array",
    output: Output = "float32",
    threads: int = 1,
    overrides: Mapping[str, int] = MappingProxyType({}),
) -> dict[str, Work]:
    return {
        f"{width}x{height}": Work(recipe, ((width, height),), source, output, dict(overrides), threads=threads)
        for width, height in sizes
    }


def _mixed() -> tuple[Size, ...]:
    """32 sizes between 300 and 2000, the same every time."""
    draw = np.random.default_rng(32)
    return tuple((int(width), int(height)) for width, height in draw.integers(300, 2001, (32, 2)))


def _batch(output: Output) -> dict[str, Work]:
    return {
        f"{count} thread{'s' * (count > 1)}": Work("qwen2-vl", _mixed(), output=output, overrides=CAP, threads=count)
        for count in (1, 2)
    }


def _resizes() -> dict[str, Work]:
    pairs = ((PHOTO, (1288, 966)), (HD, (1288, 728)))
    return {f"{a[0]}x{a[1]} to {b[0]}x{b[1]}": Work("resize", (a,), to=b) for a, b in pairs}


_LARGE = {
    "qwen3-vl 4032x3024": Work("qwen3-vl", (PHOTO,)),
    "qwen2-vl, at most 16384 tokens, 1500x4500": Work("qwen2-vl", (PHONE,), overrides={"max_pixels": 16384 * 28 * 28}),
}
_QWEN = "Qwen2-VL, at most 1280 tokens"

TABLES: Mapping[str, Table] = {
    "qwen2-vl": Table(
        f"{_QWEN}, from arrays, float32",
        _columns("qwen2-vl", SIZES, overrides=CAP),
        (*_BOTH, *_HAND, *_PARTS),
    ),
    "qwen2-vl-threads": Table(
        f"{_QWEN}, from arrays, float32, two threads",
        _columns("qwen2-vl", FEW, threads=2, overrides=CAP),
        (*_BOTH, *_HAND, *_PARTS),
    ),
    "qwen2-vl-pil": Table(
        f"{_QWEN}, from PIL images, float32",
        _columns("qwen2-vl", FEW, "pil", overrides=CAP),
        (*_BOTH, *_HAND),
    ),
    "qwen2-vl-jpeg": Table(
        f"{_QWEN}, from JPEG files in memory (4:2:0, quality 90), float32",
        _columns("qwen2-vl", FEW, "jpeg", overrides=CAP),
        (*_BOTH, *_HAND, *_DECODES),
    ),
    "qwen2-vl-jpeg-uint8": Table(
        f"{_QWEN}, from JPEG files in memory, uint8 (vlmres: packed)",
        _columns("qwen2-vl", SIZES, "jpeg", "uint8", overrides=CAP),
        (*_OURS, "transformers torchvision", *_DECODES),
    ),
    "qwen2-vl-bfloat16": Table(
        f"{_QWEN}, from arrays, bfloat16",
        _columns("qwen2-vl", FEW, output="bfloat16", overrides=CAP),
        (*_OURS, "transformers torchvision", "torch by hand", "torch by hand, tuned", *_PARTS),
    ),
    "qwen2-vl-uint8": Table(
        f"{_QWEN}, from arrays, uint8 (vlmres and torch tuned: packed; others: twice, as the model's layout has it)",
        _columns("qwen2-vl", SIZES, output="uint8", overrides=CAP),
        (
            *_OURS,
            "transformers torchvision",
            "torch by hand",
            "torch by hand, tuned",
            "OpenCV + numpy",
            "Pillow-SIMD + numpy",
            *_PARTS,
        ),
    ),
    "internvl2": Table("InternVL2, from arrays, float32", _columns("internvl2", SIZES), (*_BOTH, _PARTS[1])),
    "llava-1.5": Table(
        "LLaVA-1.5, from arrays, float32", _columns("llava-1.5", SIZES), (*_BOTH, "hf-processors-rs", _PARTS[1])
    ),
    "deepseek-ocr": Table(
        "DeepSeek-OCR Gundam, from arrays, float32",
        _columns("deepseek-ocr-gundam", (PHOTO,)),
        (
            *_OURS,
            "vlmres, Pillow's arithmetic",
            "authors' code, torchvision's resize",
            "authors' code, Pillow",
        ),
    ),
    "batch": Table(
        f"{_QWEN}, 32 photographs between 300x300 and 2000x2000 in one call, float32",
        _batch("float32"),
        (*_OURS, "transformers torchvision", "transformers torchvision, huge pages", "hf-processors-rs"),
    ),
    "batch-uint8": Table(
        "The same batch, uint8 (vlmres: packed)",
        _batch("uint8"),
        (*_OURS, "transformers torchvision", "transformers torchvision, huge pages"),
    ),
    "large": Table(
        "Large outputs, from arrays, float32",
        _LARGE,
        (
            *_OURS,
            "transformers torchvision",
            "transformers torchvision, huge pages",
            "hf-processors-rs",
            "torch by hand, tuned",
            "memcpy of the output",
        ),
    ),
    "resize": Table(
        "The resize alone, bicubic, bytes to bytes",
        _resizes(),
        (
            "vlmres.resize",
            "vlmres.resize, torch's arithmetic",
            "vlmres.resize, AVX2",
            "Pillow",
            "Pillow-SIMD",
            "torch uint8, planes",
            "torch uint8, channels last",
            "OpenCV INTER_AREA",
            "OpenCV INTER_CUBIC",
            "kornia-rs",
        ),
        nearest="pillow",
    ),
}
