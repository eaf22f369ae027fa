"""What becomes of transparency, and of gray of 16 bits."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vlmres._core import VlmresError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Alpha = Literal["reference", "white", "drop", "reject"]
Gray16 = Literal["clip", "scale"]

Rule = Literal["white", "white_rgba", "drop", "none", "reject"]
"""A recipe's `convert`, or "reject": images with transparent pixels are refused."""

# Darker than this, and more transparent, a pixel is a dark one on a page that was to be seen.
_HALF = 128


class Rules(NamedTuple):
    """What becomes of the transparency of pixels that are passed, and of files."""

    pixels: Rule
    files: Rule


def rules(alpha: Alpha, convert: Any) -> Rules:
    """The rules of a recipe's `convert`.

    transformers drops what files have and composites what objects have; qwen-vl-utils does the same to both.
    """
    if alpha == "reference":
        return Rules(convert, "white_rgba" if convert == "white_rgba" else "drop")
    return Rules("none" if alpha == "reject" and convert == "none" else alpha, alpha)


class Hidden:
    """Remembers that dark pixels were transparent and no longer are, so that it can be said once."""

    def __init__(self, *, watching: bool) -> None:
        self.watching = watching
        """Whether it is still to be said."""
        self.found = False

    def look(self, rgba: NDArray[np.uint8]) -> None:
        """Looks at pixels whose alpha is dropped: (height, width, 4)."""
        if self.watching and not self.found:
            self.found = bool(np.any((rgba[..., 3] < _HALF) & (rgba[..., :3].max(axis=-1) < _HALF)))

    def tell(self, is_dark: bool) -> None:
        """Warns of what was found, here or by the compiled part, the first time."""
        if (self.found or is_dark) and self.watching:
            self.watching = False
            warnings.warn(
                "an image has transparent pixels that are dark without their transparency: a page may have become "
                'black, as it does in the reference. alpha="white" puts images on white, alpha="drop" says that this '
                "is meant",
                UserWarning,
                stacklevel=4,
            )


def refuse_transparent(lowest: int) -> None:
    """Refuses an image whose most transparent pixel has this alpha.

    Raises:
        VlmresError: It is not opaque.
    """
    if lowest < 255:
        raise VlmresError(f'an image has transparent pixels, the lowest alpha is {lowest} of 255 (alpha="reject")')
