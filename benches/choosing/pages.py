"""Pages of many kinds, drawn from a seed: each with phrases whose places are known."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from vlmres.lab.grid.texts import HAN, LATIN

SIZE = (1240, 1754)
SAMPLES = Path(__file__).parents[2] / "python" / "vlmres" / "samples"
WORDS = LATIN.split()
# Fonts by what tables call them: file, and the number in a collection. None of them was looked at while the estimate's
# constants were set; but Liberation's widths are those of Arial, Times and Courier, as of most documents.
FONTS = {
    "Liberation Sans": ("LiberationSans-Regular.ttf", 0),
    "Liberation Sans Narrow": ("LiberationSansNarrow-Regular.ttf", 0),
    "Open Sans Light": ("OpenSans-Light.ttf", 0),
    "Carlito": ("Carlito-Regular.ttf", 0),
    "Liberation Sans Bold": ("LiberationSans-Bold.ttf", 0),
    "Liberation Serif": ("LiberationSerif-Regular.ttf", 0),
    "Liberation Serif Italic": ("LiberationSerif-Italic.ttf", 0),
    "EB Garamond": ("EBGaramond12-Regular.otf", 0),
    "Liberation Mono": ("LiberationMono-Regular.ttf", 0),
    "Noto Sans CJK SC": ("NotoSansCJK-Regular.ttc", 2),
    "Noto Serif CJK SC": ("NotoSerifCJK-Regular.ttc", 2),
}

Box = tuple[float, float, float, float]
Find = Callable[[str, int], ImageFont.FreeTypeFont]


@dataclass
class Page:
    """A page with some of its phrases."""

    kind: str
    name: str
    picture: Image.Image
    phrases: list[tuple[str, Box]] = field(default_factory=list)


@dataclass
class Look:
    """Colours, and the words that are set."""

    ink: str = "#141414"
    paper: str = "white"
    words: tuple[str, ...] = tuple(WORDS)
    join: str = " "


HAN_LOOK = Look(words=tuple(HAN), join="")


def finder(folders: list[Path]) -> Find:
    """Fonts by name and size, from folders.

    Raises:
        FileNotFoundError: (when called) A font is in none of them.
    """
    files = {path.name: path for folder in folders for path in sorted(folder.rglob("*.[to]t[fc]"))}

    def find(name: str, em: int) -> ImageFont.FreeTypeFont:
        file, number = FONTS[name]
        if file not in files:
            raise FileNotFoundError(f"{name}: no {file} in {', '.join(map(str, folders))}")
        return ImageFont.truetype(str(files[file]), em, index=number, layout_engine=ImageFont.Layout.BASIC)

    return find


def draw(find: Find, seed: int) -> Iterator[Page]:
    """All pages. A page is the same whatever others are drawn."""
    latin = {
        "sans": ("Liberation Sans", "Liberation Sans Narrow", "Open Sans Light", "Carlito", "Liberation Sans Bold"),
        "serif": ("Liberation Serif", "Liberation Serif Italic", "EB Garamond"),
        "monospaced": ("Liberation Mono",),
    }
    for kind, names in latin.items():
        for name in names:
            for em in (13, 20, 33):
                yield _page(kind, name, em, find, seed)
    for name in ("Noto Sans CJK SC", "Noto Serif CJK SC"):
        for em in (16, 25, 42):
            yield _page("Han", name, em, find, seed, HAN_LOOK)
    for em in (17, 28):
        yield _two("Han and Latin", (("Noto Sans CJK SC", em, HAN_LOOK), ("Liberation Serif", em, Look())), find, seed)
    for em in (11, 15):
        both = (("Liberation Serif", 3 * em, Look()), ("Liberation Serif", em, Look()))
        yield _two("small print below large", both, find, seed)
    for name, em in (("Liberation Sans", 22), ("Liberation Serif", 34), ("Liberation Serif", 60)):
        yield _page("few lines", name, em, find, seed, most=4)
    yield from _scans(find, seed)
    dark = (Look("#dcdcdc", "#16181d"), Look("#9fe8a0", "#000000"), Look("#8a93a6", "#1e2430"))
    for look, em in zip(dark * 2, (14, 16, 18, 24, 27, 30), strict=True):
        yield _page("dark mode", "Liberation Sans", em, find, seed, look)
    for look, em in ((Look("#8a8a8a"), 15), (Look("#a08c64", "#efe3c8"), 20), (Look("#b0b0b0"), 28)):
        yield _page("pale ink", "Liberation Serif", em, find, seed, look)
    for em in (13, 19, 28):
        yield _table(find, em, seed)
    for em, size in ((28, (1080, 2400)), (42, (1080, 2400)), (36, (1920, 1080))):
        yield _screen(find, em, size, seed)
    for file in ("photo.jpg", "photo-portrait.jpg"):
        for em in (18, 30, 48):
            yield _caption(find, file, em, seed)


def _page(
    kind: str, font: str, em: int, find: Find, seed: int, look: Look | None = None, most: int | None = None
) -> Page:
    """A page that is filled with lines, or has so many."""
    look = look or Look()
    name = f"{font} {em} px" + (f", {look.ink} on {look.paper}" if kind == "dark mode" or kind == "pale ink" else "")
    page = Page(kind, name, Image.new("RGB", SIZE, look.paper))
    _fill(page, find(font, em), look, (90, 90, SIZE[0] - 90, SIZE[1] - 90), _random(seed, kind, name), most)
    return page


def _two(kind: str, parts: tuple[tuple[str, int, Look], ...], find: Find, seed: int) -> Page:
    """A page whose halves are set in two ways."""
    name = " and ".join(f"{font} {em} px" for font, em, _ in parts)
    page, random_ = Page(kind, name, Image.new("RGB", SIZE, "white")), _random(seed, kind, name)
    for half, (font, em, look) in enumerate(parts):
        top = 90 + half * (SIZE[1] // 2 - 60)
        _fill(page, find(font, em), look, (90, top, SIZE[0] - 90, top + SIZE[1] // 2 - 120), random_)
    return page


def _scans(find: Find, seed: int) -> Iterator[Page]:
    """Paper that is darker to one side, blur, the sensor's noise, and JPEG."""
    for font, em, noise, blur, quality in (
        ("Liberation Serif", 18, 8, 0.6, 75),
        ("Liberation Serif", 24, 18, 0.8, 50),
        ("Liberation Sans", 20, 12, 0.8, 30),
        ("Liberation Sans", 32, 30, 1.0, 60),
        ("Liberation Mono", 26, 18, 1.2, 40),
        ("EB Garamond", 36, 24, 1.0, 50),
    ):
        page = _page("scan with noise", font, em, find, seed, Look("#2a2a2a", "#f2efe6"))
        page.name += f", noise {noise}, blur {blur}, JPEG {quality}"
        pixels = np.asarray(page.picture.filter(ImageFilter.GaussianBlur(blur)), dtype=float)
        pixels *= np.linspace(1.0, 0.8, SIZE[0])[None, :, None]
        pixels += np.random.default_rng((seed, em, noise)).normal(0, noise, (*pixels.shape[:2], 1))
        file = io.BytesIO()
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
        page.picture = Image.open(file).convert("RGB")
        yield page


def _table(find: Find, em: int, seed: int) -> Page:
    """Cells between rules: words in one column, figures in others."""
    page = Page("table", f"Liberation Sans {em} px", Image.new("RGB", SIZE, "white"))
    random_, font, pen = _random(seed, "table", em), find("Liberation Sans", em), ImageDraw.Draw(page.picture)
    lefts, step = (80, 80 + 16 * em, 80 + 26 * em, 80 + 36 * em), 2 * em
    for row, top in enumerate(range(100, min(SIZE[1] - 120, 100 + 30 * step), step)):
        pen.line((70, top, SIZE[0] - 70, top), fill="#909090", width=1 + (row < 2))
        for column, left in enumerate(lefts):
            text = f"{random_.randrange(1_000, 99_999):,}.{random_.randrange(10, 99)}"
            if column == 0:
                text = " ".join(random_.sample(WORDS, 2))
            if left + font.getlength(text) < SIZE[0] - 80:
                _put(page, pen, (left, top + em // 2), text, font, "#141414", keep=True)
    return page


def _screen(find: Find, em: int, size: tuple[int, int], seed: int) -> Page:
    """A heading, panels on gray, and a dark bar with buttons, as on a telephone or in a browser."""
    page = Page("screen", f"Liberation Sans {em} px on {size[0]}x{size[1]}", Image.new("RGB", size, "#eef0f3"))
    random_, pen = _random(seed, "screen", em, size), ImageDraw.Draw(page.picture)
    font, heading = find("Liberation Sans", em), find("Liberation Sans Bold", 2 * em)
    pen.rectangle((0, 0, size[0], 3 * em), fill="#2b4a7d")
    _put(page, pen, (em, em // 2), " ".join(random_.sample(WORDS, 2)), heading, "white", keep=False)
    top = 4 * em
    while top + 9 * em < size[1]:
        pen.rounded_rectangle((em, top, size[0] - em, top + 8 * em), radius=em, fill="white")
        _fill(page, font, Look(), (2 * em, top + em, size[0] - 2 * em, top + 7 * em), random_)
        top += 9 * em
    return page


def _caption(find: Find, file: str, em: int, seed: int) -> Page:
    """A photograph with lines over it, white with a dark edge."""
    with Image.open(SAMPLES / file) as photograph:
        page = Page("text over a photograph", f"{file}, Liberation Sans Bold {em} px", photograph.convert("RGB"))
    random_, font, pen = _random(seed, file, em), find("Liberation Sans Bold", em), ImageDraw.Draw(page.picture)
    for row in range(4):
        text = " ".join(random_.sample(WORDS, 4))
        if 40 + font.getlength(text) < page.picture.width:
            top = page.picture.height - (5 - row) * round(1.4 * em)
            _put(page, pen, (30, top), text, font, "white", keep=True, stroke=max(1, em // 14))
    return page


def _fill(
    page: Page,
    font: ImageFont.FreeTypeFont,
    look: Look,
    frame: tuple[int, int, int, int],
    random_: random.Random,
    most: int | None = None,
) -> None:
    """Lines from top to bottom; one phrase of each is known."""
    pen, em = ImageDraw.Draw(page.picture), round(font.size)
    at, top, count = random_.randrange(len(look.words)), frame[1], 0
    while top + 1.3 * em < frame[3] and count != most:
        words: list[str] = []
        while font.getlength(look.join.join([*words, look.words[at % len(look.words)]])) < frame[2] - frame[0]:
            words.append(look.words[at % len(look.words)])
            at += 1
        pen.text((frame[0], top), look.join.join(words), fill=look.ink, font=font)
        length = min(len(words), 3 if look.join else 8)
        start = random_.randrange(len(words) - length + 1)
        before = look.join.join([*words[:start], ""]) if look.join else "".join(words[:start])
        _know(page, font, (frame[0] + font.getlength(before), top), look.join.join(words[start : start + length]))
        top += round(1.5 * em)
        count += 1


def _put(
    page: Page,
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    font: ImageFont.FreeTypeFont,
    ink: str,
    *,
    keep: bool,
    stroke: int = 0,
) -> None:
    pen.text(at, text, fill=ink, font=font, stroke_width=stroke, stroke_fill="#101010")
    if keep:
        _know(page, font, at, text)


def _know(page: Page, font: ImageFont.FreeTypeFont, at: tuple[float, float], text: str) -> None:
    x0, y0, x1, y1 = font.getbbox(text)
    page.phrases.append((text, (at[0] + x0, at[1] + y0, at[0] + x1, at[1] + y1)))


def _random(*parts: object) -> random.Random:
    return random.Random(" ".join(map(str, parts)))
