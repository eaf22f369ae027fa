"""Opening and converting images, as vLLM does."""

import contextlib
from typing import Any

from PIL import Image, ImageOps


def open_image(fp: Any) -> Image.Image:
    return Image.open(fp, formats=("JPEG", "PNG", "WEBP"))


def normalize_image(image: Image.Image) -> Image.Image:
    with contextlib.suppress(Exception):
        image = ImageOps.exif_transpose(image)
    return image
