"""Who is measured, and what each claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Arithmetic = Literal["pillow", "torch"]


@dataclass(frozen=True)
class Contestant:
    """A row of a table."""

    process: str
    """The process of `fleet` in which it runs."""
    function: str
    """"module:name" within `peers`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of that function."""
    equals: Arithmetic | None = None
    """Whose output it claims to equal bit for bit."""
    versus: str | None = "vlmres"
    """The contestant of vlmres that does the same, to whose time its own is a ratio."""
    part: bool = False
    """A part of the work alone, to see where the time goes: its output is not compared."""

    @property
    def ours(self) -> bool:
        """Whether it is vlmres itself."""
        return self.process.startswith("vlmres")


def _vlmres(arithmetic: Arithmetic, **options: Any) -> Contestant:
    return Contestant("vlmres", "with_vlmres:process", {"arithmetic": arithmetic, **options}, arithmetic, None)


def _transformers(process: str, arithmetic: Arithmetic, versus: str = "vlmres") -> Contestant:
    return Contestant(process, "with_transformers:process", {"arithmetic": arithmetic}, arithmetic, versus)


def _authors(arithmetic: Arithmetic, versus: str) -> Contestant:
    return Contestant("transformers", "with_transformers:deepseek_ocr", {"arithmetic": arithmetic}, arithmetic, versus)


def _resize(process: str, module: str, equals: Arithmetic | None = None, **options: Any) -> Contestant:
    versus = "vlmres.resize, torch's arithmetic" if equals == "torch" else "vlmres.resize"
    return Contestant(process, f"{module}:resize", options, equals, versus)


def _exact_resize(arithmetic: Arithmetic, process: str = "vlmres") -> Contestant:
    return Contestant(process, "with_vlmres:resize", {"arithmetic": arithmetic}, arithmetic, None)


def _part(process: str, function: str, **options: Any) -> Contestant:
    return Contestant(process, function, options, versus=None, part=True)


CONTESTANTS: Mapping[str, Contestant] = {
    "vlmres": _vlmres("torch"),
    "vlmres out=": _vlmres("torch", out=True),
    "vlmres, Pillow's arithmetic": _vlmres("pillow"),
    "transformers torchvision": _transformers("transformers", "torch"),
    "transformers torchvision, huge pages": _transformers("transformers, huge pages", "torch"),
    "transformers PIL": _transformers("transformers", "pillow", "vlmres, Pillow's arithmetic"),
    "hf-processors-rs": Contestant(
        "hf-processors-rs", "with_hf_processors:process", {"backend": "torchvision"}, "torch"
    ),
    "torch by hand": Contestant("torch", "with_torch:process"),
    "torch by hand, tuned": Contestant("torch, huge pages", "with_torch:tuned", {}, "torch", "vlmres out="),
    "OpenCV + numpy": Contestant("opencv", "with_opencv:process"),
    "kornia-rs + numpy": Contestant("kornia-rs", "with_kornia:process"),
    "Pillow-SIMD + numpy": Contestant("pillow-simd", "with_pillow:process", {"simd": True}),
    "authors' code, torchvision's resize": _authors("torch", "vlmres"),
    "authors' code, Pillow": _authors("pillow", "vlmres, Pillow's arithmetic"),
    "the resize alone, exact": _part("vlmres", "with_vlmres:resize", arithmetic="torch"),
    "memcpy of the output": _part("vlmres", "with_vlmres:memcpy"),
    "JPEG decode alone, vlmres": _part("vlmres", "with_vlmres:decode"),
    "JPEG decode alone, libjpeg-turbo": _part("libjpeg-turbo", "with_turbo:decode"),
    "JPEG decode alone, Pillow": _part("pillow", "with_pillow:decode"),
    # The resize alone.
    "vlmres.resize": _exact_resize("pillow"),
    "vlmres.resize, torch's arithmetic": _exact_resize("torch"),
    "vlmres.resize, AVX2": _exact_resize("pillow", "vlmres, AVX2"),
    "Pillow": _resize("pillow", "with_pillow", "pillow", simd=False),
    "Pillow-SIMD": _resize("pillow-simd", "with_pillow", simd=True),
    "torch uint8, planes": _resize("torch", "with_torch", "torch", layout="planes"),
    "torch uint8, channels last": _resize("torch", "with_torch", "torch", layout="channels-last"),
    "OpenCV INTER_AREA": _resize("opencv", "with_opencv", filter="area"),
    "OpenCV INTER_CUBIC": _resize("opencv", "with_opencv", filter="cubic"),
    "kornia-rs": _resize("kornia-rs", "with_kornia"),
}
