"""The built-in grid: rendered pages of 7 areas and 5 ratios, as RC-Bench has them (arXiv:2506.12776)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from vlmres.lab.grid.fonts import find_font
from vlmres.lab.pages import Page, digest
from vlmres.lab.statistics import AREAS, RATIOS, cell_size

if TYPE_CHECKING:
    from vlmres.lab.grid.draw import Kind
    from vlmres.lab.grid.fonts import Style

HEIGHTS = (9, 14)
"""Sizes of the text in pixels an em; a page has both."""

# Each cell has a page of each.
_KINDS: tuple[tuple[Kind, Style], ...] = (
    ("text", "serif"),
    ("photograph", "sans"),
    ("table", "sans"),
    ("chart", "sans"),
    ("text", "han"),
)


def grid_pages(
    seed: int = 0, heights: tuple[int, ...] = HEIGHTS, *, lines: int = 4, columns: tuple[int, ...] | None = None
) -> tuple[list[Page], list[str]]:
    """The pages of the grid: text on white, on a photograph, in a table and in a chart; Latin, and Han on white.

    Args:
        seed: Of the words, their places, and the pictures behind them.
        heights: Of the text, in pixels an em.
        lines: Of each page.
        columns: Areas by number, from 0; by default all seven.

    Returns:
        The pages, and what is missing: styles for which the system has no font.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
        ValueError: The system has no font at all.
    """
    from vlmres.lab.grid.draw import draw_page

    found = {style: find_font(style) for _, style in _KINDS}
    missing = [f"{style}: no font of the system is known" for style, font in found.items() if font is None]
    if len(missing) == len(found):
        raise ValueError("the grid needs a font; install DejaVu, Noto or Liberation (Debian: apt install fonts-dejavu)")
    pages = []
    for column in range(len(AREAS)) if columns is None else columns:
        for row in range(len(RATIOS)):
            for kind, style in _KINDS:
                if (font := found[style]) is None:
                    continue
                size = cell_size(row, column)
                opened = functools.partial(draw_page, size, kind, style, font, heights, lines, seed)
                name = f"grid/{size[0]}x{size[1]}-{kind}-{style}"
                identity = digest(name, font.path.name, font.path.read_bytes(), str((heights, lines, seed)))
                pages.append(Page(name, opened, identity, kind))
    return pages, missing
