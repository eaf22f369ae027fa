"""Lines of bars that a few lines of numpy read, in place of text and a recogniser."""

import numpy as np

from vlmres.lab import Content, FunctionReader, Line, Page
from vlmres.lab.pages import digest
from vlmres.lab.readers import Box, Pixels

CELLS = 12


def draw_bars(pixels: Pixels, left: int, top: int, bar: int, word: str) -> Line:
    """A line of bars of this width on white: an "a" is black, a "b" white; the first and the last are "a"."""
    assert len(word) == CELLS
    assert word[0] == word[-1] == "a"
    height = 4 * bar
    for at, letter in enumerate(word):
        if letter == "a":
            pixels[top : top + height, left + at * bar : left + (at + 1) * bar] = 0
    return Line((left, top, left + CELLS * bar, top + height), word, float(bar))


def read_bars(lines: list[Pixels]) -> list[str]:
    """The words; blurred bars are read as they look."""
    return [_read(line) for line in lines]


def _read(line: Pixels) -> str:
    mask = line.mean(axis=2) < 128
    columns = np.flatnonzero(mask.any(axis=0))
    if not len(columns):
        return ""
    rows = np.flatnonzero(mask.any(axis=1))
    left, right = columns[0], columns[-1] + 1
    gray = line[rows[0] : rows[-1] + 1, left:right].mean(axis=(0, 2))
    middles = ((np.arange(CELLS) + 0.5) / CELLS * (right - left)).astype(int)
    return "".join("a" if gray[at] < 128 else "b" for at in middles)


class Bars(FunctionReader):
    """Reads bars, and finds lines of them."""

    def __init__(self) -> None:
        super().__init__(read_bars, "bars", finder=self)

    def find(self, page: Pixels) -> list[Box]:
        """Rows with ink that touch."""
        inked = np.asarray(page.max(axis=2) < 128)
        rows = np.flatnonzero(inked.any(axis=1))
        boxes: list[Box] = []
        if not len(rows):
            return boxes
        for block in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1):
            columns = np.flatnonzero(inked[block].any(axis=0))
            boxes.append((float(columns[0]), float(block[0]), float(columns[-1] + 1), float(block[-1] + 1)))
        return boxes


def bars_page(name: str, size: tuple[int, int], bars: tuple[int, ...], *, known: bool = True, seed: int = 0) -> Page:
    """A page with a line for each width of bars."""

    def opened() -> Content:
        rng = np.random.default_rng((seed, *size))
        pixels = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
        lines, top = [], 8
        for bar in bars:
            word = "a" + "".join(rng.permutation(list("aaabbbbbbb"))) + "a"
            lines.append(draw_bars(pixels, 8 + int(rng.integers(0, 8)), top, bar, word))
            top += 4 * bar + 12
        return Content(pixels, lines if known else [])

    return Page(name, opened, digest(name, str((size, bars, known, seed))), "text")
