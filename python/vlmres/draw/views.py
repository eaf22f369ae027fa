"""What one encoder sees of one image: its views side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmres._core import Plan, Recipe, View
from vlmres.arithmetic import resolve_backend
from vlmres.draw.canvases import as_bytes, canvases
from vlmres.draw.style import (
    FAINT,
    FONT,
    GAP,
    IMAGE,
    INK,
    LINE,
    LOST,
    PAPER,
    PATCH,
    TILE,
    TOKEN,
    WHOLE,
    Color,
    by,
    font,
    pillow,
)
from vlmres.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

    from vlmres.batch import Batch

# Lines closer than this hide the pixels between them.
_MIN_PATCH = 8
_MIN_TOKEN = 5
_MAX_ZOOM = 4


class _Panel(NamedTuple):
    picture: Image.Image
    caption: tuple[str, str]


def draw(
    image: Any,
    recipe: Recipe | str | Processor | Plan,
    *,
    max_size: tuple[int, int] = (1600, 1000),
    grid: bool = True,
    source: bool = True,
) -> Image.Image:
    """Draws what the encoder sees of an image: the canvas of every view, with the engine's pixels.

    Borders of tiles are bold, borders of tokens medium, borders of patches thin. Borders that would hide the pixels are
    left out. All views have the same scale.

    Args:
        image: Anything that a `Processor` takes, one image.
        recipe: A recipe, the name of one, a processor (for its recipe and arithmetic) or a plan (for its recipe).
        max_size: Most (width, height) of the picture in pixels, without captions. Small views are enlarged up to four
            times within half of that.
        grid: Whether to draw borders.
        source: Whether to draw the image itself first, with the parts that no view sees faded.

    Returns:
        A new RGB picture.

    Raises:
        VlmresError: The image cannot be used, or the plan is for another size.
        ImportError: Pillow is not installed.
    """
    pillow()
    processor = _processor(recipe)
    loaded = processor.loader.source(image)
    pixels = loaded.to_array(resolve_backend(processor.arithmetic)[0])
    plan = processor.plan(loaded.size)
    if isinstance(recipe, Plan) and recipe.size != plan.size:
        raise ValueError(f"the plan is of an image of {by(recipe.size)} pixels, the image has {by(plan.size)}")
    seen = canvases(processor(pixels, input_data_format="channels_last"))
    room = (max_size[0] * 3 // 4 if source else max_size[0], max_size[1])
    panels = _panels(seen, plan, room, grid=grid)
    if source:
        tallest = max(panel.picture.height for panel in panels)
        panels.insert(0, _source_panel(pixels, plan, (max_size[0] - room[0] - GAP, max(tallest, max_size[1] // 4))))
    return _compose(panels, _title(plan))


def draw_batch(batch: Batch, image: int = 0, *, max_size: tuple[int, int] = (1600, 1000)) -> Image.Image:
    """Draws what the encoder sees of an image of a batch, from the batch's values, normalised or not.

    Args:
        batch: A batch of images with `layout="packed"`, whose arrays are numpy arrays.
        image: Index of the image in the call.
        max_size: As of `draw`.

    Returns:
        A new RGB picture.

    Raises:
        ValueError: The batch is of another kind, or the image is not in it.
        ImportError: Pillow is not installed.
    """
    pillow()
    seen = canvases(as_bytes(batch), image)
    plan = batch.plans[image]
    assert plan is not None  # as `canvases` has checked
    return _compose(_panels(seen, plan, max_size, grid=True), _title(plan))


def _panels(seen: Sequence[NDArray[np.uint8]], plan: Plan, room: tuple[int, int], *, grid: bool) -> list[_Panel]:
    scale = _scale(seen, room)
    stride = plan.recipe.token_stride if grid else 0
    return [
        _Panel(_draw_view(canvas, view, scale, stride), _caption(view))
        for canvas, view in zip(seen, plan.views, strict=True)
    ]


def _title(plan: Plan) -> tuple[str, str]:
    total = f"{by(plan.size)} image: {plan.num_patches:,} patches, {plan.num_tokens:,} tokens"
    return f"{plan.recipe.name} ({plan.recipe.strategy})", total


def _processor(recipe: Recipe | str | Processor | Plan) -> Processor:
    if isinstance(recipe, Processor):
        return Processor(
            recipe.recipe,
            "packed",
            "uint8",
            recipe.arithmetic,
            recipe.num_threads,
            max_image_pixels=recipe.max_image_pixels,
            max_file_bytes=recipe.max_file_bytes,
            max_decoded_bytes=recipe.max_decoded_bytes,
            max_output_bytes=recipe.max_output_bytes,
        )
    return Processor(recipe.recipe if isinstance(recipe, Plan) else recipe, "packed", "uint8")


def _caption(view: View) -> tuple[str, str]:
    tiles = view.tiles.rows * view.tiles.cols
    rows = f"{view.tiles.rows} row{'s' * (view.tiles.rows > 1)}"
    cut = f": {tiles} tiles of {by(view.tile_size)} in {rows}" if tiles > 1 else ""
    return f"{view.role} {by(view.canvas)}{cut}", f"{view.num_patches:,} patches, {view.num_tokens:,} tokens"


def _scale(images: Sequence[NDArray[np.uint8]], room: tuple[int, int]) -> float:
    """One scale for images side by side within (width, height) pixels."""
    width = room[0] - GAP * (len(images) - 1)
    scale = min(width / sum(image.shape[1] for image in images), room[1] / max(image.shape[0] for image in images))
    return min(scale, 1.0) if scale < 4 else float(min(_MAX_ZOOM, int(scale / 2)))


def _resized(pixels: NDArray[np.uint8], scale: float) -> Image.Image:
    pil = pillow()
    picture: Image.Image = pil.fromarray(pixels)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Pixels are enlarged to squares, so that the picture adds no interpolation of its own.
    resized: Image.Image = picture.resize(size, pil.Resampling.NEAREST if scale >= 1 else pil.Resampling.BOX)
    return resized


def _draw_view(canvas: NDArray[np.uint8], view: View, scale: float, stride: int) -> Image.Image:
    from PIL import Image, ImageDraw

    picture = _resized(canvas, scale)
    if stride == 0:
        return picture
    overlay = Image.new("RGBA", picture.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(overlay)
    rows, cols = view.tiles
    patch = view.tile_size.width / view.patches.cols
    if patch * scale >= _MIN_PATCH:
        _lines(pen, picture.size, patch * scale, PATCH)
    if stride > 1 and patch * stride * scale >= _MIN_TOKEN:
        _lines(pen, picture.size, patch * stride * scale, TOKEN)
    color = TILE if rows * cols > 1 else WHOLE
    for row in range(rows):
        for col in range(cols):
            width, height = view.tile_size
            left, top = col * (width - view.overlap), row * (height - view.overlap)
            left, top, right, bottom = (round(at * scale) for at in (left, top, left + width, top + height))
            pen.rectangle((left, top, right - 1, bottom - 1), outline=color, width=2)
    return Image.alpha_composite(picture.convert("RGBA"), overlay).convert("RGB")


def _lines(pen: ImageDraw.ImageDraw, size: tuple[int, int], step: float, color: Color) -> None:
    width, height = size
    for index in range(1, math.ceil(width / step)):
        pen.line((round(index * step), 0, round(index * step), height), fill=color)
    for index in range(1, math.ceil(height / step)):
        pen.line((0, round(index * step), width, round(index * step)), fill=color)


def _source_panel(pixels: NDArray[np.uint8], plan: Plan, room: tuple[int, int]) -> _Panel:
    from PIL import Image, ImageDraw

    scale = min(_scale([pixels], room), 1.0)
    picture = _resized(pixels, scale)
    cropped = any(min(view.offset) < 0 for view in plan.views)
    lost = Image.new("RGBA", picture.size, LOST)
    pen = ImageDraw.Draw(lost)
    for index, view in enumerate(plan.views):
        seen = plan.to_image([0, 0, *view.canvas], "pixels", view=index) * scale
        left, top, right, bottom = np.clip(np.rint(seen), 0, [*picture.size, *picture.size]).astype(int).tolist()
        if right > left and bottom > top:
            pen.rectangle((left, top, right - 1, bottom - 1), fill=(0, 0, 0, 0))
    pen.rectangle((0, 0, picture.width - 1, picture.height - 1), outline=IMAGE)
    drawn = Image.alpha_composite(picture.convert("RGBA"), lost).convert("RGB")
    return _Panel(drawn, (f"image {by(plan.size)}", "pale: cropped away" if cropped else ""))


def _compose(panels: list[_Panel], title: tuple[str, str]) -> Image.Image:
    from PIL import Image, ImageDraw

    large, small = font(FONT + 3), font(FONT - 2)
    widths = [
        max(panel.picture.width, *(math.ceil(small.getlength(line)) for line in panel.caption)) for panel in panels
    ]
    head = math.ceil(large.getlength(title[0])) + GAP // 2
    width = max(sum(widths) + GAP * (len(widths) - 1), head + math.ceil(small.getlength(title[1])))
    top = GAP + LINE + GAP // 2
    body = top + max(panel.picture.height for panel in panels)
    sheet = Image.new("RGB", (width + 2 * GAP, body + GAP // 3 + 2 * LINE + GAP // 2), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((GAP, top - GAP // 2), title[0], fill=INK, font=large, anchor="ls")
    pen.text((GAP + head, top - GAP // 2), title[1], fill=FAINT, font=small, anchor="ls")
    left = GAP
    for (picture, caption), taken in zip(panels, widths, strict=True):
        sheet.paste(picture, (left, top))
        under = top + picture.height + GAP // 3
        pen.text((left, under), caption[0], fill=INK, font=small)
        pen.text((left, under + LINE), caption[1], fill=FAINT, font=small)
        left += taken + GAP
    return sheet
