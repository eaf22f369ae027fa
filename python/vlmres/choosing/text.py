"""The text of an image, as far as its pixels tell without being read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres import legibility
from vlmres._core import text_lines
from vlmres.documents import Page
from vlmres.inputs import Loader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres._core import Plan, Source


@dataclass(frozen=True, eq=False)
class PageText:
    """Lines of text of one image; arrays have an entry for each.

    The estimate recognises nothing. Letters are found as connected ink, text as letters in line; capitals and digits
    count as small letters of 0.72 of their height, characters that fill squares (Han) of 0.4. It sees neither
    handwriting nor vertical lines, and text that leans more than about three degrees only in part.
    """

    size: tuple[int, int]
    """(width, height) of the image."""
    boxes: NDArray[np.float32]
    """float32 (lines, 4): x0, y0, x1, y1 in pixels."""
    x_heights: NDArray[np.float32]
    """float32 (lines,): height of an "x" in pixels."""
    characters: NDArray[np.float32]
    """float32 (lines,): about how many characters a line has, spaces not counted."""
    is_dense: NDArray[np.bool_]
    """bool (lines,): lines whose characters fill squares."""
    evidence: float
    """How much the lines look like text, from 0 to 1."""

    def __bool__(self) -> bool:
        return len(self.x_heights) > 0

    @property
    def tokens(self) -> float:
        """About how many tokens of a language model the text has, as `vlmres.legibility.text_tokens` counts."""
        per = np.where(self.is_dense, legibility.PER_HAN, legibility.PER_LETTER)
        return float((self.characters * per).sum())

    def smallest(self, share: float = 0.05) -> float:
        """The x-height in pixels under which `share` of the characters are."""
        order = np.argsort(self.x_heights, kind="stable")
        below = np.cumsum(self.characters[order])
        return float(self.x_heights[order[int(np.searchsorted(below, share * below[-1]))]])

    def effective(self, plan: Plan, share: float = 0.05) -> float:
        """The x-height in pixels of what `plan` shows, under which `share` of the characters are."""
        shown = legibility.effective_x_heights(plan, self.x_heights, self.boxes)
        order = np.argsort(shown, kind="stable")
        below = np.cumsum(self.characters[order])
        return float(shown[order[int(np.searchsorted(below, share * below[-1]))]])

    def legible(self, plan: Plan, x_height: float) -> float:
        """Share of the characters that `plan` shows with an x-height of at least this many pixels."""
        shown = legibility.effective_x_heights(plan, self.x_heights, self.boxes)
        return float(self.characters[shown >= x_height].sum() / self.characters.sum())


def read_text(image: Any) -> PageText:
    """Estimates the text of one image.

    Args:
        image: Anything that a `Processor` takes as an image, or a page of a `Document`.

    Raises:
        VlmresError: The image cannot be used.
        OSError: The file cannot be read.
    """
    if isinstance(image, Page):
        image = image.draw()
    return text_of(Loader("white").source(image))


def text_of(source: Source) -> PageText:
    """Estimates the text of decoded pixels."""
    lines = text_lines(source)
    weight = float(lines[:, 5].sum())
    return PageText(
        size=(source.size[0], source.size[1]),
        boxes=lines[:, :4],
        x_heights=lines[:, 4],
        characters=lines[:, 5],
        is_dense=lines[:, 6] > 0,
        evidence=float(lines[:, 5] @ lines[:, 7]) / weight if weight else 0.0,
    )
