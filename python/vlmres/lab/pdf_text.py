"""The text layer of a PDF page: lines by pdfium's boxes of characters."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmres.lab.ink import HAN_X_HEIGHT, MOST_RATIO
from vlmres.lab.pages import Line, script_of
from vlmres.legibility import is_han

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmres.lab.readers import Box

# Letters as high as an "x", and what other letters are to it.
_X_LETTERS = frozenset("acemnorsuvwxz")
_CAPITAL = 0.72
# Parts of a character's height: a character is on another line from so much below or above on, and in another column
# or cell after so wide a gap.
_OTHER_LINE = 0.6
_OTHER_COLUMN = 2.0


class _Letter(NamedTuple):
    text: str
    box: Box
    """Of its ink, in pixels."""


def read_layer(page: Any, size: tuple[int, int]) -> tuple[list[Line], str]:
    """Pieces of lines and all of the text of a page.

    Args:
        page: A `pypdfium2.PdfPage`.
        size: (width, height) in pixels that it is drawn in.
    """
    text_page = page.get_textpage()
    try:
        words = list(_words(_letters(page, text_page, size)))
        text = text_page.get_text_range() if text_page.count_chars() else ""
    finally:
        text_page.close()
    return [line for piece in _pieces(words) if (line := _line(piece)) is not None], text


def _letters(page: Any, text_page: Any, size: tuple[int, int]) -> Iterator[_Letter | None]:
    """Characters with their boxes; None for a space or where a line ends."""
    import pypdfium2.raw as raw

    to_pixels = _Transform(page, size)
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    for index in range(text_page.count_chars()):
        text = chr(raw.FPDFText_GetUnicode(text_page, index))
        if text.isspace() or not text.isprintable():
            yield None
            continue
        raw.FPDFText_GetCharBox(text_page, index, left, right, bottom, top)
        box = to_pixels((left.value, bottom.value, right.value, top.value))
        if box[2] > box[0] and box[3] > box[1]:
            yield _Letter(text, box)


class _Transform:
    """From points of a page, upwards from its lower left corner, to pixels of the drawn page."""

    def __init__(self, page: Any, size: tuple[int, int]) -> None:
        x0, y0, x1, y1 = page.get_cropbox()
        mx0, my0, mx1, my1 = page.get_mediabox()
        self._box = max(x0, mx0), max(y0, my0), min(x1, mx1), min(y1, my1)
        self._turned = page.get_rotation()
        self._size = size

    def __call__(self, box: Box) -> Box:
        x0, y0, x1, y1 = self._box
        left, bottom = (box[0] - x0) / (x1 - x0), (box[1] - y0) / (y1 - y0)
        right, top = (box[2] - x0) / (x1 - x0), (box[3] - y0) / (y1 - y0)
        across, down = {
            0: ((left, right), (1 - top, 1 - bottom)),
            90: ((bottom, top), (left, right)),
            180: ((1 - right, 1 - left), (bottom, top)),
            270: ((1 - top, 1 - bottom), (1 - right, 1 - left)),
        }[self._turned]
        width, height = self._size
        return across[0] * width, down[0] * height, across[1] * width, down[1] * height


def _words(letters: Iterator[_Letter | None]) -> Iterator[list[_Letter]]:
    """Letters that belong together. Han has no spaces: each of its characters is a word."""
    word: list[_Letter] = []
    for letter in letters:
        ends = letter is None or is_han(letter.text) or (bool(word) and not _follows(word[-1], letter, 1.0))
        if ends and word:
            yield word
            word = []
        if letter is not None:
            word.append(letter)
            if is_han(letter.text):
                yield word
                word = []
    if word:
        yield word


def _follows(before: _Letter, letter: _Letter, gap: float) -> bool:
    """Whether a letter is on the same line, no further than so many heights to the right."""
    height = max(before.box[3] - before.box[1], letter.box[3] - letter.box[1])
    middle, other = (before.box[1] + before.box[3]) / 2, (letter.box[1] + letter.box[3]) / 2
    between = letter.box[0] - before.box[2]
    return abs(middle - other) < _OTHER_LINE * height and -0.5 * height < between < gap * height


def _pieces(words: list[list[_Letter]]) -> Iterator[list[list[_Letter]]]:
    """Words of a line, as many as are no longer than a piece may be."""
    piece: list[list[_Letter]] = []
    for word in words:
        if piece:
            box = _around([*piece, word])
            too_long = box[2] - box[0] > MOST_RATIO * (box[3] - box[1])
            if too_long or not _follows(piece[-1][-1], word[0], _OTHER_COLUMN):
                yield piece
                piece = []
        piece.append(word)
    if piece:
        yield piece


def _around(words: list[list[_Letter]]) -> Box:
    boxes = np.array([letter.box for word in words for letter in word])
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _line(words: list[list[_Letter]]) -> Line | None:
    """A piece as a line; None of a single letter, as letters are to each other that do not run from left to right."""
    box = _around(words)
    letters = [letter for word in words for letter in word]
    if len(letters) < 2 or box[2] - box[0] <= box[3] - box[1]:
        return None
    text = "".join(letter.text for letter in letters)
    heights = np.array([letter.box[3] - letter.box[1] for letter in letters])
    script = script_of(text)
    small = heights[[letter.text in _X_LETTERS for letter in letters]]
    if script == "han":
        x_height = HAN_X_HEIGHT * float(np.percentile(heights, 75))
    else:
        x_height = float(np.median(small)) if len(small) else _CAPITAL * float(np.percentile(heights, 75))
    spaced = " ".join("".join(letter.text for letter in word) for word in words)
    return Line(box, text if script == "han" else spaced, x_height, script)
