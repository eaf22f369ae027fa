"""Pillow, and in a process of its own Pillow-SIMD, which has the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import PIL
from benches.compare.peers.by_hand import with_resize
from benches.compare.work import Work, pil
from PIL import Image


def _check(simd: bool) -> None:
    if simd != ("post" in PIL.__version__):
        raise ImportError(
            f"{'Pillow-SIMD' if simd else 'Pillow'} is not installed: {PIL.__file__} is {PIL.__version__}"
        )


def process(work: Work, images: list[Any], simd: bool) -> Callable[[], Any]:
    """Qwen2-VL by hand."""
    _check(simd)
    return with_resize(work, images, lambda image, to: np.asarray(pil(image).resize(to, Image.Resampling.BICUBIC)))


def resize(work: Work, images: list[Any], simd: bool) -> Callable[[], Any]:
    """The resize alone: the image is Pillow's own before, and its result after."""
    _check(simd)
    image = pil(images[0])
    return lambda: image.resize(work.to, Image.Resampling.BICUBIC)


def decode(_work: Work, images: list[Any]) -> Callable[[], Any]:
    """The decoding of a JPEG file alone."""
    _check(simd=False)
    return lambda: pil(images[0])
