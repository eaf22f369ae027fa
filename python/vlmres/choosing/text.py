"""An estimate of an image's text from its pixels, without recognition."""

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
    """The lines of text of one image; arrays have an entry for each line.

    The estimate recognises no characters. A letter is a piece of connected ink, and a line is a row of letters. The
    x-height is taken as 0.72 of the height of capitals and digits, and 0.5 of characters that fill squares (Han).
    Handwriting and vertical lines are not found, and text that is tilted by more than about three degrees only in part.
    """

    size: tuple[int, int]
    """(width, height) of the image."""
    boxes: NDArray[np.float32]
    """float32 (lines, 4): x0, y0, x1, y1 in pixels."""
    x_heights: NDArray[np.float32]
    """float32 (lines,): x-height in pixels."""
    characters: NDArray[np.float32]
    """float32 (lines,): estimated number of characters, without spaces."""
    is_dense: NDArray[np.bool_]
    """bool (lines,): whether the line's characters fill squares, as Han characters do."""
    evidence: float
    """How much the lines look like text, from 0 to 1."""

    def __bool__(self) -> bool:
        return len(self.x_heights) > 0

    @property
    def tokens(self) -> float:
        """Estimated number of language-model tokens in the text, by the rule of `vlmres.legibility.text_tokens`."""
        per = np.where(self.is_dense, legibility.PER_HAN, legibility.PER_LETTER)
        return float((self.characters * per).sum())

    def smallest(self, share: float = 0.05) -> float:
        """The x-height in pixels below which this share of the characters is."""
        order = np.argsort(self.x_heights, kind="stable")
        below = np.cumsum(self.characters[order])
        return float(self.x_heights[order[int(np.searchsorted(below, share * below[-1]))]])

    def effective(self, plan: Plan, share: float = 0.05) -> float:
        """The effective x-height in pixels, in the views of `plan`, below which this share of the characters is."""
        shown = legibility.effective_x_heights(plan, self.x_heights, self.boxes)
        order = np.argsort(shown, kind="stable")
        below = np.cumsum(self.characters[order])
        return float(shown[order[int(np.searchsorted(below, share * below[-1]))]])

    def legible(self, plan: Plan, x_height: float) -> float:
        """Share of the characters whose effective x-height, in the views of `plan`, is at least this many pixels."""
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
