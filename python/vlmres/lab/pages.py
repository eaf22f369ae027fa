"""The lab's input: pages and their lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmres.lab.readers import Box, Pixels

Script = Literal["latin", "han"]


@dataclass(frozen=True)
class Line:
    """A piece of a line of text."""

    box: Box
    """(x0, y0, x1, y1) around its letters, in pixels of the page."""
    text: str
    """Its text; empty if it is unknown."""
    x_height: float
    """Height of an "x" in pixels of the page; of Han 0.55 of a character's."""
    script: Script = "latin"


@dataclass(frozen=True)
class Content:
    """A page that is open."""

    pixels: Pixels
    """uint8 of shape (height, width, 3)."""
    lines: list[Line] = field(default_factory=list)
    """Known lines; none for a page without text of its own, on which the reader finds lines."""
    text: str | None = None
    """All text of the page, if known."""


@dataclass(frozen=True)
class Page:
    """An image, or a page of a document, opened when it is measured."""

    name: str
    open: Callable[[], Content]
    identity: str
    """A key that changes with the page's content; results are stored under it."""
    layout: str = "image"
    """The kind of page: "document" or "image"; in the grid "text", "photograph", "table" or "chart"."""


def digest(*parts: str | bytes) -> str:
    """A name for some content."""
    made = hashlib.blake2b(digest_size=12)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        made.update(len(raw).to_bytes(8, "little") + raw)
    return made.hexdigest()


def script_of(text: str) -> Script:
    """Of most of its characters."""
    from vlmres.legibility import is_han

    letters = [letter for letter in text if not letter.isspace()]
    return "han" if 2 * sum(map(is_han, letters)) > len(letters) else "latin"
