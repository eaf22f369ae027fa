"""libjpeg-turbo, by simplejpeg."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simplejpeg
from benches.compare.work import Work


def decode(_work: Work, images: list[Any]) -> Callable[[], Any]:
    """The decoding of a JPEG file alone, into memory kept."""
    memory = simplejpeg.decode_jpeg(images[0])
    return lambda: simplejpeg.decode_jpeg(images[0], buffer=memory)
