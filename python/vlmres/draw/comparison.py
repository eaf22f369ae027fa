"""One line of text as each recipe's encoder sees it, all enlarged to the same size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmres import legibility
from vlmres._core import Recipe
from vlmres.choosing.text import PageText, text_of
from vlmres.draw.canvases import canvases
from vlmres.draw.style import FAINT, IMAGE, INK, LOST, PAPER, TILE, WHOLE, by, font, pillow
from vlmres.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

    from vlmres._core import Plan

Box = tuple[float, float, float, float]

_EDGE = 28
_SPACE = 14
# Pixels of a strip: the width of all strips, and the x-height to which letters are enlarged.
_STRIP = 940
_X_HEIGHT = 17.0
# Pixels of the map beside a strip, and of the column of names.
_MAP = (92, 92)
_NAMES = 220
# Height of a strip above and below the middle of its line, in x-heights.
_LINE = 1.6
# A line fills at least this share of its strip.
_FULL = 0.75
# Rows of the hatching where a view has no pixels of the image.
_HATCH = 8


class _Strip(NamedTuple):
    pixels: NDArray[np.uint8]
    name: str
    detail: str
    note: str
    plan: Plan | None


def compare(
    images: Sequence[Any],
    recipes: Sequence[Recipe | str | Processor],
    *,
    boxes: Sequence[Box | None] | None = None,
    names: Sequence[str] | None = None,
    maps: bool = True,
) -> Image.Image:
    """Draws a part of each image as it is, and below it as each recipe's encoder sees it, enlarged to the same size.

    Every strip shows the same part at the same scale, so only detail differs: each pixel that the encoder gets is a
    square in the strip. The view that shows the part largest is drawn. A small map beside each strip shows the whole
    image with the borders of tiles; areas that a crop removes are faded.

    Args:
        images: One image or more, as a `Processor` takes them.
        recipes: Recipes, names or processors.
        boxes: The part to show of each image, (x0, y0, x1, y1) in pixels. By default, and for None, a line of the
            image's smallest text, as `vlmres.choosing.read_text` finds it, or the middle if there is no text.
        names: Captions of the images.
        maps: Whether to draw the maps.

    Returns:
        A new RGB picture.

    Raises:
        VlmresError: An image cannot be used.
        ValueError: There are no images or recipes, a box lies outside of its image, or the lists differ in length.
        ImportError: Pillow is not installed.
    """
    pil = pillow()
    if not images or not recipes:
        raise ValueError("a comparison needs an image and a recipe")
    parts = [None] * len(images) if boxes is None else list(boxes)
    called = [f"image {index}" for index in range(len(images))] if names is None else list(names)
    if not len(images) == len(parts) == len(called):
        raise ValueError(f"{len(images)} images, {len(parts)} boxes and {len(called)} names")
    blocks = [
        _block(image, recipes, box, name, maps=maps) for image, box, name in zip(images, parts, called, strict=True)
    ]
    height = sum(block.height for block in blocks)
    sheet: Image.Image = pil.new("RGB", (blocks[0].width, height), PAPER)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    return sheet


def _block(
    image: Any, recipes: Sequence[Recipe | str | Processor], box: Box | None, name: str, *, maps: bool
) -> Image.Image:
    processors = [Processor(one.recipe if isinstance(one, Processor) else one, "packed", "uint8") for one in recipes]
    source = processors[0].loader.source(image)
    pixels = source.to_array()
    text = text_of(source)
    part, x_height = _part(text, box)
    scale = _STRIP / (part[2] - part[0])
    shape = (max(1, round((part[3] - part[1]) * scale)), _STRIP)
    small = "" if x_height is None else f"x-height {x_height:.0f} px"
    strips = [_Strip(_look(pixels, part, shape, None, None), name, by(text.size), small, None)]
    for processor in processors:
        batch = processor(pixels, input_data_format="channels_last")
        plan = batch.plans[0]
        assert plan is not None
        seen = _of_view(plan, canvases(batch), part, shape)
        note = "" if x_height is None else _said(legibility.effective_x_height(plan, x_height, part))
        tokens = f"{plan.num_tokens:,} tokens"
        strips.append(_Strip(seen, plan.recipe.name, f"{plan.recipe.strategy}, {tokens}", note, plan))
    return _compose(strips, pixels, part, maps=maps)


def _said(x_height: float) -> str:
    return f"x-height {x_height:.1f} px" if x_height else "not all in view"


def _part(text: PageText, box: Box | None) -> tuple[Box, float | None]:
    """The part to show, inside the image and as wide as a strip, and the x-height of its text."""
    width, height = text.size
    if box is not None:
        x0, y0, x1, y1 = box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise ValueError(f"box {box} is not within an image of {by(text.size)}")
        inside = (text.boxes[:, 1] < y1) & (text.boxes[:, 3] > y0) & (text.boxes[:, 0] < x1) & (text.boxes[:, 2] > x0)
        return (x0, y0, x1, y1), float(np.median(text.x_heights[inside])) if inside.any() else None
    if not text:
        side = min(width, 8 * height) / 3
        x, y = width / 2, height / 2
        return (x - side / 2, y - side / 10, x + side / 2, y + side / 10), None
    # The smallest text whose line fills a strip; else the longest line.
    spans = (text.boxes[:, 2] - text.boxes[:, 0]) / text.x_heights * (_X_HEIGHT / _STRIP)
    lines = np.flatnonzero(spans >= min(_FULL, float(spans.max())))
    line = int(lines[np.argmin(text.x_heights[lines])])
    x_height = float(text.x_heights[line])
    x0, y0, x1, y1 = map(float, text.boxes[line])
    middle = (y0 + y1) / 2
    wide = min(_STRIP / _X_HEIGHT * x_height, float(width))
    left = min(max(0.0, x0 - x_height), width - wide)
    above, below = middle - _LINE * x_height, middle + _LINE * x_height
    return (left, max(0.0, above), left + wide, min(float(height), below)), x_height


def _of_view(plan: Plan, seen: Sequence[NDArray[np.uint8]], part: Box, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """The part in the view that shows it largest; if none shows all of it, in the one that shows most of it."""
    scales = legibility.scales(plan, part)
    if not any(scales):
        shown = [_overlap(plan, index, part) for index in range(len(seen))]
        index = int(np.argmax(shown))
    else:
        index = int(np.argmax(scales))
    return _look(seen[index], part, shape, plan, index)


def _overlap(plan: Plan, view: int, part: Box) -> float:
    x0, y0, x1, y1 = plan.to_image([0.0, 0.0, *map(float, plan.views[view].canvas)], "pixels", view=view)
    return float(max(0.0, min(x1, part[2]) - max(x0, part[0])) * max(0.0, min(y1, part[3]) - max(y0, part[1])))


def _look(
    canvas: NDArray[np.uint8], part: Box, shape: tuple[int, int], plan: Plan | None, view: int | None
) -> NDArray[np.uint8]:
    """A part of the image on a canvas, each pixel drawn as a square; hatched where the canvas has no pixels."""
    rows, cols = shape
    across = part[0] + (np.arange(cols) + 0.5) * (part[2] - part[0]) / cols
    down = part[1] + (np.arange(rows) + 0.5) * (part[3] - part[1]) / rows
    if plan is not None:
        across = plan.to_model(np.stack([across, np.zeros(cols)], axis=1), "pixels", view=view)[:, 0]
        down = plan.to_model(np.stack([np.zeros(rows), down], axis=1), "pixels", view=view)[:, 1]
    x, y = np.floor(across).astype(int), np.floor(down).astype(int)
    height, width = canvas.shape[:2]
    found: NDArray[np.uint8] = canvas[np.clip(y, 0, height - 1)[:, None], np.clip(x, 0, width - 1)[None, :]].copy()
    lost = ((y < 0) | (y >= height))[:, None] | ((x < 0) | (x >= width))[None, :]
    hatch = (np.arange(rows)[:, None] + np.arange(cols)[None, :]) % _HATCH < 2
    found[lost] = 246
    found[lost & hatch] = 214
    return found


def _compose(strips: Sequence[_Strip], pixels: NDArray[np.uint8], part: Box, *, maps: bool) -> Image.Image:
    from PIL import Image, ImageDraw

    bold, plain = font(16), font(13)
    shown = Image.fromarray(pixels)
    fit = min(_MAP[0] / shown.width, _MAP[1] / shown.height)
    small = shown.resize((max(1, round(shown.width * fit)), max(1, round(shown.height * fit))), Image.Resampling.BOX)
    column = _MAP[0] + _SPACE if maps else 0
    row = max(strips[0].pixels.shape[0], 52, small.height if maps else 0)
    width = 2 * _EDGE + _NAMES + column + _STRIP
    block = Image.new("RGB", (width, 2 * _EDGE + len(strips) * row + (len(strips) - 1) * _SPACE), PAPER)
    pen = ImageDraw.Draw(block)
    top = _EDGE
    for strip in strips:
        middle = top + row // 2
        for line, (words, kind, fill) in enumerate(
            ((strip.name, bold, INK), (strip.detail, plain, FAINT), (strip.note, plain, INK))
        ):
            pen.text((_EDGE, middle + (line - 1) * 18), words, fill=fill, font=kind, anchor="lm")
        if maps:
            left = _EDGE + _NAMES
            drawn = _map(small, fit, strip.plan, part)
            block.paste(drawn, (left + (_MAP[0] - drawn.width) // 2, middle - drawn.height // 2))
        left = _EDGE + _NAMES + column
        height = strip.pixels.shape[0]
        block.paste(Image.fromarray(strip.pixels), (left, middle - height // 2))
        pen.rectangle(
            (left - 1, middle - height // 2 - 1, left + _STRIP, middle - height // 2 + height), outline=(222, 224, 228)
        )
        top += row + _SPACE
    return block


def _map(small: Image.Image, fit: float, plan: Plan | None, part: Box) -> Image.Image:
    """The map: the whole image with borders of tiles, cropped areas faded; for the original image, the part to show."""
    from PIL import Image, ImageDraw

    drawn = small.convert("RGBA")
    if plan is None:
        pen = ImageDraw.Draw(drawn)
        pen.rectangle((0, 0, drawn.width - 1, drawn.height - 1), outline=IMAGE)
        x0, y0, x1, y1 = (at * fit for at in part)
        pen.rectangle((x0 - 1, y0 - 2, x1, y1 + 1), outline=TILE, width=2)
        return drawn.convert("RGB")
    lost = Image.new("RGBA", drawn.size, LOST)
    pen = ImageDraw.Draw(lost)
    for index, view in enumerate(plan.views):
        edges = plan.to_image([0.0, 0.0, *map(float, view.canvas)], "pixels", view=index) * fit
        x0, y0, x1, y1 = np.clip(edges, 0, [*drawn.size, *drawn.size]).tolist()
        if x1 > x0 and y1 > y0:
            pen.rectangle((x0, y0, x1, y1), fill=(0, 0, 0, 0))
    drawn = Image.alpha_composite(drawn, lost)
    _borders(ImageDraw.Draw(drawn), plan, fit, drawn.size)
    return drawn.convert("RGB")


def _borders(pen: ImageDraw.ImageDraw, plan: Plan, fit: float, size: tuple[int, int]) -> None:
    for index, view in enumerate(plan.views):
        tiles = view.tiles.rows * view.tiles.cols
        for tile in range(tiles):
            corner = [0.0, 0.0, *map(float, view.tile_size)]
            x0, y0, x1, y1 = (plan.to_image(corner, "pixels", view=index, tile=tile) * fit).tolist()
            edges = (max(0, x0), max(0, y0), min(size[0] - 1, x1), min(size[1] - 1, y1))
            if edges[2] > edges[0] and edges[3] > edges[1]:
                pen.rectangle(edges, outline=TILE if tiles > 1 else WHOLE)
