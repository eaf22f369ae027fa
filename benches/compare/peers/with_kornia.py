"""kornia-rs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kornia_rs
import numpy as np
from benches.compare.peers.by_hand import with_resize
from benches.compare.work import Work, array


def _resize(pixels: Any, to: tuple[int, int]) -> Any:
    return kornia_rs.imgproc.resize(pixels, (to[1], to[0]), "bicubic", antialias=True)


def process(work: Work, images: list[Any]) -> Callable[[], Any]:
    """Qwen2-VL by hand."""

    def scale(image: Any, to: tuple[int, int]) -> Any:
        if isinstance(image, bytes):
            return _resize(kornia_rs.io.decode_image_jpegturbo(image, "rgb"), to)
        return _resize(array(image), to)

    return with_resize(work, images, scale)


def resize(work: Work, images: list[Any]) -> Callable[[], Any]:
    """The resize alone."""
    pixels = np.ascontiguousarray(images[0])
    return lambda: _resize(pixels, work.to)
