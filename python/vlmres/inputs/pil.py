"""PIL images as the compiled part reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import Source
from vlmres.inputs.alpha import refuse_transparent

if TYPE_CHECKING:
    from vlmres.inputs.alpha import Hidden, Rule

# Modes whose conversion to RGB only repeats or drops bytes.
READ_IN_PLACE = ("RGB", "L", "RGBA", "RGBX")

# Pillow's default block size, less the room that alignment may take.
_BLOCK = 16 * 1024 * 1024 - 4096


def has_transparency(image: Any) -> bool:
    """Whether an image may have transparent pixels: it has an alpha band or a transparent colour."""
    return "A" in image.getbands() or image.info.get("transparency") is not None


def on_white(image: Any, pil: Any) -> Any:
    """The image composited on white, in Pillow's arithmetic."""
    image = image.convert("RGBA")
    return pil.alpha_composite(pil.new("RGBA", image.size, (255, 255, 255, 255)), image)


def opaque(image: Any, rule: Rule, hidden: Hidden, pil: Any) -> Any:
    """The image without its transparency."""
    if not has_transparency(image):
        return image
    if rule == "white" or (rule == "white_rgba" and image.mode == "RGBA"):
        return on_white(image, pil)
    if rule == "reject":
        refuse_transparent(image.convert("RGBA").getextrema()[3][0])
    elif hidden.watching:
        hidden.look(np.asarray(image.convert("RGBA")))
    return image


def scaled_gray(image: Any, pil: Any) -> Any:
    """16-bit gray reduced to its high byte; any other image unchanged."""
    return pil.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode.startswith("I;16") else image


def pil_source(image: Any) -> Source:
    """A PIL image as the compiled part reads it: in place, if its pixels lie in one block of memory.

    A larger one is copied block by block, which Pillow does several times faster than it makes an array.
    """
    if not hasattr(image, "__arrow_c_array__"):  # Pillow before 11.2.1
        return Source.from_array(np.asarray(image.convert("RGB")), False, False)
    image.load()
    try:
        return Source.from_pil(image)
    except ValueError:
        width, height = image.size
        rows = max(1, _BLOCK // (width * 4))
        bands = (image.crop((0, y, width, min(y + rows, height))) for y in range(0, height, rows))
        try:
            return Source.from_pil_bands(image.size, bands)
        except ValueError:  # blocks are smaller than by default
            return Source.from_array(np.asarray(image.convert("RGB")), False, False)
