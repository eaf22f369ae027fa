"""Pictures of what an encoder sees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmres._core import Plan, Recipe, View
from vlmres.arithmetic import resolve_backend
from vlmres.processor import Processor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image, ImageDraw

    from vlmres.batch import Batch

_Color = tuple[int, int, int, int]

_PAPER = (255, 255, 255)
_INK = (28, 32, 38)
_FAINT = (110, 116, 124)
_TILE: _Color = (255, 84, 0, 255)
_GLOBAL: _Color = (0, 140, 120, 255)
_IMAGE: _Color = (140, 146, 154, 255)
_PATCH: _Color = (40, 120, 255, 70)
_TOKEN: _Color = (40, 120, 255, 150)
_LOST: _Color = (255, 255, 255, 190)

_GAP = 24
_FONT = 15
_LINE = 20
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
    """Draws what the encoder sees of an image: every view's canvas, from the pixels that the engine makes.

    Borders of tiles are bold, those of patches thin, those of the cells that become one token stronger; lines that
    would hide the pixels are left out. All views have one scale.

    Args:
        image: Anything that a `Processor` takes, one image.
        recipe: A recipe, the name of one, a processor (for its recipe and arithmetic) or a plan (for its recipe).
        max_size: (width, height) in pixels that the picture fits into, captions aside. Small views are enlarged up to
            four times within half of it.
        grid: Whether to draw borders.
        source: Whether the image itself comes first, the parts that no view sees paled.

    Returns:
        A new RGB picture.

    Raises:
        VlmresError: The image cannot be used, or a plan is not of its size.
        ImportError: Pillow is not installed.
    """
    _pillow()
    processor = _processor(recipe)
    loaded = processor.loader.source(image)
    pixels = loaded.to_array(resolve_backend(processor.arithmetic)[0])
    plan = processor.plan(loaded.size)
    if isinstance(recipe, Plan) and recipe.size != plan.size:
        raise ValueError(f"the plan is of an image of {_by(recipe.size)} pixels, the image has {_by(plan.size)}")
    seen = canvases(processor(pixels, input_data_format="channels_last"))
    stride = plan.recipe.token_stride if grid else 0
    room = (max_size[0] * 3 // 4 if source else max_size[0], max_size[1])
    scale = _scale(seen, room)
    panels = [
        _Panel(_draw_view(canvas, view, scale, stride), _caption(view))
        for canvas, view in zip(seen, plan.views, strict=True)
    ]
    if source:
        tallest = max(panel.picture.height for panel in panels)
        panels.insert(0, _source_panel(pixels, plan, (max_size[0] - room[0] - _GAP, max(tallest, max_size[1] // 4))))
    total = f"{_by(plan.size)} image: {plan.num_patches:,} patches, {plan.num_tokens:,} tokens"
    return _compose(panels, (f"{plan.recipe.name} ({plan.recipe.strategy})", total))


def canvases(batch: Batch, image: int = 0) -> list[NDArray[np.uint8]]:
    """The canvases of an image's views, put together again from packed patches.

    Args:
        batch: Made with `layout="packed"`, `dtype="uint8"`.
        image: Index of the image in the call.

    Returns:
        uint8 of shape (height, width, 3) for every view of the image's plan, padding included.

    Raises:
        ValueError: The batch has another layout or dtype, or the image is not in it.
    """
    if "patches" not in batch or batch.dtype != "uint8":
        raise ValueError(f'canvases needs a batch of layout="packed", dtype="uint8", got {batch!r}')
    plan = batch.plans[image]
    if plan is None:
        raise ValueError(f"image {image} is not in the batch: {batch.errors[image]}")
    segments = iter(np.flatnonzero(batch.image_index == image).tolist())
    result = []
    for view in plan.views:
        width, height = (side - view.overlap for side in view.tile_size)
        canvas = np.zeros((*view.canvas[::-1], 3), dtype=np.uint8)
        for row in range(view.tiles.rows):
            for col in range(view.tiles.cols):
                tile = _segment(batch, next(segments))
                canvas[row * height :, col * width :][: tile.shape[0], : tile.shape[1]] = tile
        result.append(canvas)
    return result


def contact_sheet(pictures: Sequence[Image.Image], *, width: int = 1800) -> Image.Image:
    """Pictures left to right, in as many rows as they need.

    Args:
        pictures: Any number of pictures, at least one.
        width: Pixels of a row; a wider picture is scaled down.

    Returns:
        A new RGB picture.

    Raises:
        ValueError: There is no picture.
        ImportError: Pillow is not installed.
    """
    pil = _pillow()
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture")
    fitted = [_fit(picture, width) for picture in pictures]
    rows: list[list[Image.Image]] = [[]]
    for picture in fitted:
        if rows[-1] and sum(other.width for other in rows[-1]) + picture.width > width:
            rows.append([])
        rows[-1].append(picture)
    extent = max(sum(picture.width for picture in row) for row in rows)
    sheet: Image.Image = pil.new("RGB", (extent, sum(max(picture.height for picture in row) for row in rows)), _PAPER)
    top = 0
    for row in rows:
        left = 0
        for picture in row:
            sheet.paste(picture, (left, top))
            left += picture.width
        top += max(picture.height for picture in row)
    return sheet


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("drawing needs Pillow: pip install 'vlmres[cli]'") from error
    return Image


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


def _segment(batch: Batch, segment: int) -> NDArray[np.uint8]:
    start, stop = batch.cu_seqlens[segment : segment + 2].tolist()
    rows, cols = batch.grids[segment].tolist()
    patches = batch.patches[start:stop]
    size = math.isqrt(patches.shape[1] // 3)
    cells = np.zeros((rows, cols, size, size, 3), dtype=np.uint8)
    cells[tuple(batch.positions[start:stop].T)] = patches.reshape(-1, size, size, 3)
    return cells.swapaxes(1, 2).reshape(rows * size, cols * size, 3)


def _by(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


def _caption(view: View) -> tuple[str, str]:
    tiles = view.tiles.rows * view.tiles.cols
    rows = f"{view.tiles.rows} row{'s' * (view.tiles.rows > 1)}"
    cut = f": {tiles} tiles of {_by(view.tile_size)} in {rows}" if tiles > 1 else ""
    return f"{view.role} {_by(view.canvas)}{cut}", f"{view.num_patches:,} patches, {view.num_tokens:,} tokens"


def _scale(images: Sequence[NDArray[np.uint8]], room: tuple[int, int]) -> float:
    """One scale for images side by side in (width, height) pixels."""
    width = room[0] - _GAP * (len(images) - 1)
    scale = min(width / sum(image.shape[1] for image in images), room[1] / max(image.shape[0] for image in images))
    return min(scale, 1.0) if scale < 4 else float(min(_MAX_ZOOM, int(scale / 2)))


def _resized(pixels: NDArray[np.uint8], scale: float) -> Image.Image:
    pil = _pillow()
    picture: Image.Image = pil.fromarray(pixels)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # Enlarged pixels stay squares, so that nobody takes the picture's interpolation for the encoder's.
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
        _lines(pen, picture.size, patch * scale, _PATCH)
    if stride > 1 and patch * stride * scale >= _MIN_TOKEN:
        _lines(pen, picture.size, patch * stride * scale, _TOKEN)
    color = _TILE if rows * cols > 1 else _GLOBAL
    for row in range(rows):
        for col in range(cols):
            width, height = view.tile_size
            left, top = col * (width - view.overlap), row * (height - view.overlap)
            left, top, right, bottom = (round(at * scale) for at in (left, top, left + width, top + height))
            pen.rectangle((left, top, right - 1, bottom - 1), outline=color, width=2)
    return Image.alpha_composite(picture.convert("RGBA"), overlay).convert("RGB")


def _lines(pen: ImageDraw.ImageDraw, size: tuple[int, int], step: float, color: _Color) -> None:
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
    lost = Image.new("RGBA", picture.size, _LOST)
    pen = ImageDraw.Draw(lost)
    for index, view in enumerate(plan.views):
        seen = plan.to_image([0, 0, *view.canvas], "pixels", view=index) * scale
        left, top, right, bottom = np.clip(np.rint(seen), 0, [*picture.size, *picture.size]).astype(int).tolist()
        if right > left and bottom > top:
            pen.rectangle((left, top, right - 1, bottom - 1), fill=(0, 0, 0, 0))
    pen.rectangle((0, 0, picture.width - 1, picture.height - 1), outline=_IMAGE)
    drawn = Image.alpha_composite(picture.convert("RGBA"), lost).convert("RGB")
    return _Panel(drawn, (f"image {_by(plan.size)}", "pale: cropped away" if cropped else ""))


def _font(size: int) -> Any:
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=size)
    except (TypeError, ImportError):  # before Pillow 10.1, or built without FreeType
        return ImageFont.load_default()


def _compose(panels: list[_Panel], title: tuple[str, str]) -> Image.Image:
    from PIL import Image, ImageDraw

    large, small = _font(_FONT + 3), _font(_FONT - 2)
    widths = [
        max(panel.picture.width, *(math.ceil(small.getlength(line)) for line in panel.caption)) for panel in panels
    ]
    head = math.ceil(large.getlength(title[0])) + _GAP // 2
    width = max(sum(widths) + _GAP * (len(widths) - 1), head + math.ceil(small.getlength(title[1])))
    top = _GAP + _LINE + _GAP // 2
    body = top + max(panel.picture.height for panel in panels)
    sheet = Image.new("RGB", (width + 2 * _GAP, body + _GAP // 3 + 2 * _LINE + _GAP // 2), _PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_GAP, top - _GAP // 2), title[0], fill=_INK, font=large, anchor="ls")
    pen.text((_GAP + head, top - _GAP // 2), title[1], fill=_FAINT, font=small, anchor="ls")
    left = _GAP
    for (picture, caption), taken in zip(panels, widths, strict=True):
        sheet.paste(picture, (left, top))
        under = top + picture.height + _GAP // 3
        pen.text((left, under), caption[0], fill=_INK, font=small)
        pen.text((left, under + _LINE), caption[1], fill=_FAINT, font=small)
        left += taken + _GAP
    return sheet


def _fit(picture: Image.Image, width: int) -> Image.Image:
    if picture.width <= width:
        return picture
    return picture.resize((width, max(1, round(picture.height * width / picture.width))))
