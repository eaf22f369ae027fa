"""PIL images whose file has not been decoded yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def unread(images: Iterable[Any]) -> list[Any]:
    """The images, those that wait for their pixels as the bytes of their files, which vlmres decodes as it goes."""
    return [getattr(image, "vlmres_file", None) or image for image in images]
