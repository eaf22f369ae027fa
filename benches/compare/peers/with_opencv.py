"""OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import cv2
import numpy as np
from benches.compare.peers.by_hand import with_resize
from benches.compare.work import Work, array


def process(work: Work, images: list[Any]) -> Callable[[], Any]:
    """Qwen2-VL by hand: INTER_AREA where the image shrinks, INTER_CUBIC where it grows."""
    cv2.setNumThreads(work.threads)

    def scale(image: Any, to: tuple[int, int]) -> Any:
        if isinstance(image, bytes):
            image = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR_RGB)
        pixels = array(image)
        shrinks = to[0] * to[1] < pixels.shape[0] * pixels.shape[1]
        return cv2.resize(pixels, to, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)

    return with_resize(work, images, scale)


def resize(work: Work, images: list[Any], filter: Literal["area", "cubic"]) -> Callable[[], Any]:
    """The resize alone. Its bicubic filter does not widen where the image shrinks: it aliases."""
    cv2.setNumThreads(work.threads)
    interpolation = {"area": cv2.INTER_AREA, "cubic": cv2.INTER_CUBIC}[filter]
    return lambda: cv2.resize(images[0], work.to, interpolation=interpolation)
