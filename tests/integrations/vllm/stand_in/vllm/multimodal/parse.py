"""Requests to images, as vLLM parses them."""

from typing import Any

from PIL import Image

from .image import normalize_image


def parsed(items: list[Any]) -> list[Any]:
    return [normalize_image(item) if isinstance(item, Image.Image) else item for item in items]
