"""The two limits of text in an image: pixels (the effective x-height) and tokens (the capacity).

The x-height is the height of a lower-case "x" without its line spacing. Scaled as a view scales the image it is the
effective x-height, and one threshold on it tells most of what a reader can read. How much text a visual token can carry
is another limit: DeepSeek-OCR's published precision depends on text tokens per visual token alone.

This module needs numpy alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

    from vlmres._core import Plan

PIXELS_PER_TEXT_TOKEN = 11.4
"""Pixels that running text takes for a text token, in squared x-heights: measured on rendered English pages."""

DEEPSEEK_OCR: tuple[tuple[float, float], ...] = (
    *((10.5, 96.5), (11.8, 93.8), (13.2, 83.8), (15.1, 85.9), (16.5, 79.3), (17.7, 76.4), (19.7, 59.1)),
    *((6.7, 98.5), (7.5, 97.3), (8.5, 96.8), (9.7, 96.8), (10.6, 91.5), (11.3, 89.8), (12.6, 87.1)),
)
"""Points (text tokens per visual token, precision in percent): DeepSeek-OCR, arXiv:2510.18234, Table 2; the 100 English
pages of Fox, with 64 visual tokens and with 100."""


@dataclass(frozen=True)
class Legibility:
    """From which effective x-height on a reader reads a line."""

    reader: str
    x_height: float
    """The threshold in pixels that is right for the most lines."""
    right: float
    """The share of lines that it predicts rightly."""
    lines: int
    """How many lines it was fitted to."""


READERS: dict[str, Legibility] = {
    "pp-ocrv4": Legibility("pp-ocrv4", 2.8, 0.965, 1540),
    "pp-ocrv6": Legibility("pp-ocrv6", 2.46, 0.951, 3360),
}
"""Thresholds of readers on rendered English: pp-ocrv4 on lines of 14 px, pp-ocrv6 on the Latin lines of the grid of
docs/lab.md. A run of the lab fits its own."""


@dataclass(frozen=True)
class Capacity:
    """Precision against text tokens per visual token: 1 / (1 + exp(slope * ratio - offset)).

    The default is fitted to DeepSeek-OCR (`DEEPSEEK_OCR`); for any other model it is an inference.
    """

    slope: float = 0.270
    offset: float = 5.67

    def precision(self, ratio: float) -> float:
        """Share of the text that is read right at so many text tokens per visual token."""
        return 1 / (1 + math.exp(min(self.slope * ratio - self.offset, 700.0)))

    def ratio(self, precision: float) -> float:
        """Text tokens per visual token up to which the precision is at least this.

        Raises:
            ValueError: It is not between 0 and 1.
        """
        if not 0 < precision < 1:
            raise ValueError(f"precision must be between 0 and 1, got {precision}")
        return (self.offset - math.log(precision / (1 - precision))) / self.slope


def capacity(ratio: float) -> float:
    """The precision that DeepSeek-OCR's table gives at so many text tokens per visual token."""
    return Capacity().precision(ratio)


def fit_capacity(points: Iterable[tuple[float, float]] = DEEPSEEK_OCR) -> Capacity:
    """The curve through (text tokens per visual token, precision in percent): least squares of the logit.

    Raises:
        ValueError: There are fewer than two points, or a precision is not between 0 and 100.
    """
    ratios, precisions = np.array(list(points), dtype=np.float64).reshape(-1, 2).T
    if len(ratios) < 2 or not ((precisions > 0) & (precisions < 100)).all():
        raise ValueError("a curve needs at least two points with a precision between 0 and 100 percent")
    slope, offset = np.polyfit(ratios, np.log(precisions / (100 - precisions)), 1)
    return Capacity(float(-slope), float(offset))


# Pixels of a box that a view may miss.
_SLACK = 1.0


def scales(plan: Plan, box: ArrayLike | None = None) -> list[float]:
    """By how much each view scales the image, in the direction that it scales less; 0 where it does not see the box.

    Args:
        plan: Of the image.
        box: (x0, y0, x1, y1) in source pixels. By default views count that see the whole image, whose thin edges a
            crop may lose.
    """
    width, height = plan.size
    whole = (0.0, 0.0, float(width), float(height))
    # At the edge of a crop half a letter is no letter; of a whole image a few lost pixels are none.
    slack = 0.02 * max(width, height) if box is None else _SLACK
    found = _scales(plan, np.asarray([whole if box is None else box], dtype=np.float64), slack)
    return [float(scale) for scale in found[0]]


def _scales(plan: Plan, boxes: NDArray[np.float64], slack: float) -> NDArray[np.float64]:
    """Of each box (boxes, 4) the scale of each view: (boxes, views)."""
    width, height = map(float, plan.size)
    found = np.zeros((len(boxes), len(plan.views)))
    for index, view in enumerate(plan.views):
        x0, y0, x1, y1 = plan.to_model([0.0, 0.0, width, height], "pixels", view=index)
        seen = plan.to_image([0.0, 0.0, *map(float, view.canvas)], "pixels", view=index)
        inside = (boxes[:, :2] >= seen[:2] - slack).all(axis=1) & (boxes[:, 2:] <= seen[2:] + slack).all(axis=1)
        found[inside, index] = min((x1 - x0) / width, (y1 - y0) / height)
    return found


def effective_x_height(plan: Plan, x_height: float, box: ArrayLike | None = None) -> float:
    """The x-height in pixels of the view that shows it largest; 0 where no view sees the box.

    Args:
        plan: Of the image.
        x_height: In pixels of the image.
        box: (x0, y0, x1, y1) in source pixels of the text, as of `scales`.
    """
    return x_height * max(scales(plan, box))


def effective_x_heights(plan: Plan, x_heights: ArrayLike, boxes: ArrayLike) -> NDArray[np.float64]:
    """`effective_x_height` of many lines: float64 (lines,), from x-heights (lines,) and boxes (lines, 4)."""
    found = _scales(plan, np.asarray(boxes, dtype=np.float64).reshape(-1, 4), _SLACK)
    return np.asarray(np.asarray(x_heights, dtype=np.float64) * found.max(axis=1), dtype=np.float64)


def fit_legibility(reader: str, x_heights: ArrayLike, legible: ArrayLike) -> Legibility:
    """The threshold that predicts the most lines rightly; of several the middle.

    Args:
        reader: Whose outcomes they are.
        x_heights: Effective x-heights in pixels of shape (lines,).
        legible: bool of shape (lines,): which lines it could read.

    Raises:
        ValueError: There are no lines, or the shapes differ.
    """
    sizes = np.asarray(x_heights, dtype=np.float64)
    read: NDArray[np.bool_] = np.asarray(legible, dtype=bool)
    if sizes.ndim != 1 or sizes.shape != read.shape or not len(sizes):
        raise ValueError(f"x_heights and legible must be alike and not empty, got {sizes.shape} and {read.shape}")
    order = np.argsort(sizes, kind="stable")
    sizes, read = sizes[order], read[order]
    # Lines from `cut` on are said to be legible; between equal sizes there is no cut.
    right = np.concatenate([[0], np.cumsum(~read)]) + np.concatenate([np.cumsum(read[::-1])[::-1], [0]])
    cuts = np.flatnonzero(np.concatenate([[True], sizes[1:] > sizes[:-1], [True]]))
    best = cuts[right[cuts] == right[cuts].max()]
    cut = int(best[len(best) // 2])
    below, above = sizes[max(cut - 1, 0)], sizes[min(cut, len(sizes) - 1)]
    return Legibility(reader, float((below + above) / 2), float(right[cut] / len(sizes)), len(sizes))


# Text tokens a character, by the tables of BPE vocabularies of DeepSeek's and Qwen's kind: running English has 4.5
# letters a token, and a Han character is a little more than half a token.
PER_LETTER = 0.22
PER_HAN = 0.6


def text_tokens(text: str | Sequence[str]) -> float:
    """An estimate of how many tokens of a language model a text has: 0.22 a letter, 0.6 a Han or kana character."""
    whole = text if isinstance(text, str) else "".join(text)
    letters = [letter for letter in whole if not letter.isspace()]
    han = sum(is_han(letter) for letter in letters)
    return PER_HAN * han + PER_LETTER * (len(letters) - han)


def is_han(letter: str) -> bool:
    """Whether a character is Han, kana or Hangul: one that fills a square."""
    code = ord(letter)
    return (
        0x2E80 <= code <= 0x9FFF or 0xAC00 <= code <= 0xD7AF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF
    )


def dense_ratio(x_height: float, token_pixels: float) -> float:
    """Text tokens per visual token of running text that fills its image.

    Args:
        x_height: Effective, in pixels.
        token_pixels: Pixels under one visual token: 28 x 28 in Qwen2-VL and InternVL2, 64 x 64 in DeepSeek-OCR.
    """
    return token_pixels / (PIXELS_PER_TEXT_TOKEN * x_height**2)
