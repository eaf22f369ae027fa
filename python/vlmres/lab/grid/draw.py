"""Pages of the grid, drawn with Pillow from a seed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres.lab.grid.texts import HAN, LATIN
from vlmres.lab.ink import HAN_X_HEIGHT
from vlmres.lab.pages import Content, Line, Script, digest

if TYPE_CHECKING:
    from PIL import ImageDraw

    from vlmres.lab.grid.fonts import Font, Style
    from vlmres.lab.readers import Box, Pixels

Kind = Literal["text", "photograph", "table", "chart"]

_INK = (20, 20, 24)
_RULE = (150, 154, 160)
_BARS = ((66, 103, 178), (214, 120, 60), (90, 150, 90), (150, 90, 150))
_MOST_WORDS = 4


def draw_page(
    size: tuple[int, int], kind: Kind, style: Style, font: Font, heights: tuple[int, ...], lines: int, seed: int
) -> Content:
    """A page with so many lines, at places that the seed decides.

    Args:
        size: (width, height) in pixels.
        kind: What is on it beside the lines.
        style: Of its text.
        font: Of its text.
        heights: Of the lines in turn, in pixels an em.
        lines: The most; fewer where the page is too small.
        seed: Decides everything else.
    """
    from PIL import Image, ImageDraw

    name = digest(f"{size} {kind} {style} {heights} {lines} {seed}")
    rng = random.Random(name)
    if kind == "photograph":
        picture = Image.fromarray(_photograph(size, int(name[:8], 16)))
    else:
        picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    slots = _slots(size, lines, max(heights), rng)
    if kind == "chart":
        _draw_bars(pen, size, slots, rng)
    if kind == "table":
        _draw_rules(pen, size, slots)
    script: Script = "han" if style.startswith("han") else "latin"
    drawn = []
    for number, slot in enumerate(slots):
        em = heights[number % len(heights)]
        drawn.append(_draw_line(pen, slot, _font(font, em), em, script, kind, rng))
    return Content(np.asarray(picture), [line for line in drawn if line is not None])


def _font(font: Font, em: int) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(str(font.path), em, index=font.number, layout_engine=ImageFont.Layout.BASIC)


def _slots(size: tuple[int, int], count: int, em: int, rng: random.Random) -> list[Box]:
    """Places for lines that do not overlap, spread over the page in rows and columns."""
    width, height = size
    wide = 11 * em
    columns = max(1, min(width // wide, round((count * width / height) ** 0.5) or 1))
    rows = max(1, min(height // (2 * em), -(-count // columns)))
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    slots = []
    for row, column in rng.sample(cells, min(count, len(cells))):
        left, top = column * width / columns, row * height / rows
        across, down = min(wide, width / columns), 2.0 * em
        x = left + rng.random() * max(0.0, width / columns - across)
        y = top + rng.random() * max(0.0, height / rows - down)
        slots.append((x, y, x + across, y + down))
    return slots


def _draw_line(
    pen: ImageDraw.ImageDraw, slot: Box, font: Any, em: int, script: Script, kind: Kind, rng: random.Random
) -> Line | None:
    """Words from the text, or figures, as many as the slot holds."""
    room = slot[2] - slot[0] - 4
    text = _figures(rng) if kind in ("table", "chart") and rng.random() < 0.5 else _words(script, font, room, rng)
    left, top = round(slot[0]) + 2, round(slot[1] + em / 4)
    box = pen.textbbox((left, top), text, font=font)
    if not text or box[2] > slot[2] or box[3] > slot[3]:
        return None
    if kind == "photograph":
        pen.text((left, top), text, font=font, fill="white", stroke_width=max(1, em // 12), stroke_fill=(0, 0, 0))
    else:
        pen.text((left, top), text, font=font, fill=_INK)
    if script == "han":
        x_height = HAN_X_HEIGHT * em
    else:
        x = font.getbbox("x")
        x_height = float(x[3] - x[1])
    return Line((float(box[0]), float(box[1]), float(box[2]), float(box[3])), text, x_height, script)


def _words(script: Script, font: Any, room: float, rng: random.Random) -> str:
    if script == "han":
        start = rng.randrange(len(HAN) - 12)
        text = HAN[start : start + 12].strip("。、")
        while text and font.getlength(text) > room:
            text = text[:-1]
        return text
    words = LATIN.split()
    start = rng.randrange(len(words) - _MOST_WORDS)
    for count in range(_MOST_WORDS, 0, -1):
        text = " ".join(words[start : start + count])
        if font.getlength(text) <= room:
            return text
    return ""


def _figures(rng: random.Random) -> str:
    return rng.choice(
        (
            f"{rng.randrange(1_000, 99_999):,}.{rng.randrange(10, 99)}",
            f"{rng.randrange(1, 29):02}.{rng.randrange(1, 13):02}.{rng.randrange(1990, 2030)}",
            f"Total {rng.randrange(100, 9999):,}",
            f"{rng.choice('ABCDEFGH')}{rng.choice('KLMNPRST')}-{rng.randrange(1000, 9999)}",
        )
    )


def _draw_rules(pen: ImageDraw.ImageDraw, size: tuple[int, int], slots: list[Box]) -> None:
    """Rules of a table around the slots, and from edge to edge between them."""
    for x0, y0, x1, y1 in slots:
        for y in (y0 - 1, y1 + 1):
            if all(y < other[1] or y > other[3] for other in slots):
                pen.line((0, round(y), size[0], round(y)), fill=_RULE)
        pen.rectangle((round(x0) - 1, round(y0) - 1, round(x1) + 1, round(y1) + 1), outline=_RULE)


def _draw_bars(pen: ImageDraw.ImageDraw, size: tuple[int, int], slots: list[Box], rng: random.Random) -> None:
    """Bars on an axis, none of them under a line."""
    width, height = size
    bars = max(4, width // 60)
    step = width / bars
    for number in range(bars):
        left, right = (number + 0.15) * step, (number + 0.85) * step
        top = height * (0.25 + 0.7 * rng.random())
        under = [slot for slot in slots if slot[0] < right + 2 and slot[2] > left - 2]
        top = max([top, *(slot[3] + 2 for slot in under)])
        if top < height - 1:
            pen.rectangle((round(left), round(top), round(right), height - 1), fill=_BARS[number % len(_BARS)])
    pen.line((0, height - 1, width, height - 1), fill=_INK)


def _photograph(size: tuple[int, int], seed: int) -> Pixels:
    """Colours that vary as in a photograph: the longer a wave, the larger."""
    from PIL import Image

    rng = np.random.default_rng(seed)
    small = (max(2, size[0] // 3), max(2, size[1] // 3))
    total = np.zeros((small[1], small[0], 3), dtype=np.float32)
    for octave in range(1, 8):
        cells = tuple(max(2, side >> (8 - octave)) for side in small)
        for channel in range(3):
            noise = rng.normal(size=cells[::-1]).astype(np.float32)
            layer = Image.fromarray(noise).resize(small, Image.Resampling.BICUBIC)
            total[..., channel] += np.asarray(layer) / octave
    mixed = 0.7 * total.mean(axis=2, keepdims=True) + 0.3 * total
    low, high = np.percentile(mixed, (2, 98))
    levels = np.clip((mixed - low) / (high - low) * 200 + 20, 0, 255).astype(np.uint8)
    enlarged = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)).astype(np.int16)
    grain = rng.integers(-6, 7, size=(size[1], size[0], 1), dtype=np.int16)
    pixels: Pixels = np.clip(enlarged + grain, 0, 255).astype(np.uint8)
    return pixels
