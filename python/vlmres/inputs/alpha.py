"""How transparency and 16-bit gray are converted."""

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

# A pixel that is darker than this and more transparent is probably text on a transparent page.
_HALF = 128


class Rules(NamedTuple):
    """How transparency is converted, in pixels that the caller passes and in files."""

    pixels: Rule
    files: Rule


def rules(alpha: Alpha, convert: Any) -> Rules:
    """The rules that follow from a recipe's `convert`.

    transformers drops the transparency of files and composites that of objects; qwen-vl-utils treats both alike.
    """
    if alpha == "reference":
        return Rules(convert, "white_rgba" if convert == "white_rgba" else "drop")
    return Rules("none" if alpha == "reject" and convert == "none" else alpha, alpha)


class Hidden:
    """Remembers that transparency of dark pixels was dropped, to warn of it once."""

    def __init__(self, *, watching: bool) -> None:
        self.watching = watching
        """Whether the warning may still be given."""
        self.found = False

    def look(self, rgba: NDArray[np.uint8]) -> None:
        """Examines pixels, uint8 (height, width, 4), whose alpha is dropped."""
        if self.watching and not self.found:
            self.found = bool(np.any((rgba[..., 3] < _HALF) & (rgba[..., :3].max(axis=-1) < _HALF)))

    def tell(self, is_dark: bool) -> None:
        """Warns, the first time, if such pixels were found here or by the compiled part."""
        if (self.found or is_dark) and self.watching:
            self.watching = False
            warnings.warn(
                "an image has transparent pixels that are dark without their transparency: a page may have become "
                'black, as in the reference. Pass alpha="white" to composite images on white, or alpha="drop" to '
                "silence this warning",
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
