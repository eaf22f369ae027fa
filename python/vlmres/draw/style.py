"""Colours, fonts and layout that all pictures share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from PIL import Image

Color: TypeAlias = "tuple[int, int, int, int]"

PAPER = (255, 255, 255)
INK = (28, 32, 38)
FAINT = (110, 116, 124)
TILE: Color = (255, 84, 0, 255)
WHOLE: Color = (0, 140, 120, 255)
IMAGE: Color = (140, 146, 154, 255)
PATCH: Color = (40, 120, 255, 70)
TOKEN: Color = (40, 120, 255, 150)
LOST: Color = (255, 255, 255, 190)

GAP = 24
FONT = 15
LINE = 20


def pillow() -> Any:
    """Pillow's `Image`.

    Raises:
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("drawing needs Pillow: pip install 'vlmres[cli]'") from error
    return Image


def by(size: Iterable[int]) -> str:
    """A size as text, such as 640x480."""
    return "x".join(map(str, size))


def font(size: int) -> Any:
    """Pillow's own font, at a size in pixels."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError):  # before Pillow 10.1, or built without FreeType
        return ImageFont.load_default()


def contact_sheet(pictures: Sequence[Image.Image], *, width: int = 1800) -> Image.Image:
    """Arranges pictures from left to right, in as many rows as they need.

    Args:
        pictures: Any number of pictures, at least one.
        width: Pixels of a row; a wider picture is scaled down.

    Returns:
        A new RGB picture.

    Raises:
        ValueError: There is no picture.
        ImportError: Pillow is not installed.
    """
    pil = pillow()
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    fitted = [_fit(picture, width) for picture in pictures]
    rows: list[list[Image.Image]] = [[]]
    for picture in fitted:
        if rows[-1] and sum(other.width for other in rows[-1]) + picture.width > width:
            rows.append([])
        rows[-1].append(picture)
    extent = max(sum(picture.width for picture in row) for row in rows)
    sheet: Image.Image = pil.new("RGB", (extent, sum(max(picture.height for picture in row) for row in rows)), PAPER)
    top = 0
    for row in rows:
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width
        top += max(picture.height for picture in row)
    return sheet


def _fit(picture: Image.Image, width: int) -> Image.Image:
    if picture.width <= width:
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))))
