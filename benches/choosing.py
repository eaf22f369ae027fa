"""How `vlmres.choose` does on pages, with a reader as the judge.

    python -m benches.choosing --fonts Roboto-Regular.ttf SourceSerifPro-Regular.otf --han NotoSansCJKtc-Regular.otf

The estimate's constants were set with DejaVu, and Roboto, Lato and Source Serif were looked at: others are held out.
Each page is read at every budget of one recipe, as its encoder sees it, by the reader of the lab on lines whose
places are known. A page is readable at a budget where the reader has 95 % of what it has at full size. Compared are
the choice, an oracle (the fewest tokens at which the page is readable, or the most where it never is) and always the
most. It prints the table of docs/choose.md.
"""

from __future__ import annotations

import argparse
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import vlmres
from vlmres.lab import load_reader
from vlmres.lab.seen import Seen, crop

TOKENS = (64, 128, 256, 512, 1024, 2048, 4096)
RECIPES = [vlmres.Recipe.load("qwen3-vl", min_pixels=4096, max_pixels=tokens * 1024) for tokens in TOKENS]
SIZE = (1240, 1754)
LATIN = Path("LICENSE")
# The beginning of the Thousand Character Classic.
HAN = (
    "天地玄黄宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜金生麗水玉出崑岡劍號巨闕珠稱夜光果珍李柰菜重芥薑海鹹河淡"
    "鱗潛羽翔龍師火帝鳥官人皇始制文字乃服衣裳推位讓國有虞陶唐弔民伐罪周發殷湯坐朝問道垂拱平章愛育黎首臣伏戎羌遐邇一體率賓歸王"
)


@dataclass
class Case:
    """A page with its lines."""

    name: str
    picture: Image.Image
    lines: list[tuple[str, tuple[float, float, float, float]]]


def page(font_file: Path, size: int, words: list[str], join: str, ink: str, paper: str) -> Case:
    """A page that is filled with lines."""
    font = ImageFont.truetype(str(font_file), size)
    picture = Image.new("RGB", SIZE, paper)
    pen = ImageDraw.Draw(picture)
    lines, top, at = [], 90, 0
    while top + 2 * size < SIZE[1] - 90:
        text = ""
        while font.getlength(text + join + words[at % len(words)]) < SIZE[0] - 180:
            text = f"{text}{join}{words[at % len(words)]}".strip()
            at += 1
        pen.text((90, top), text, fill=ink, font=font)
        x0, y0, x1, y1 = pen.textbbox((90, top), text, font=font)
        lines.append((text, (float(x0), float(y0), float(x1), float(y1))))
        top += round(1.5 * size)
    return Case(f"{font_file.stem} {size}", picture, lines)


def cases(fonts: list[Path], han: Path | None) -> list[Case]:
    """Pages of all kinds, three sizes each."""
    draw = random.Random(7)
    words = re.findall(r"\S+", LATIN.read_text(encoding="utf-8"))
    found = []
    for font in fonts:
        for size in (14, 22, 40):
            start = draw.randrange(len(words) // 2)
            found.append(page(font, size, words[start:], " ", "#141414", "white"))
    if han is not None:
        for size in (16, 26, 44):
            characters = draw.sample(HAN, len(HAN))
            found.append(page(han, size, characters, "", "#141414", "white"))
    scan, dark = (
        page(fonts[-1], size, words, " ", *colours)
        for size, colours in ((24, ("#2a2a2a", "#f2efe6")), (20, ("#dcdcdc", "#16181d")))
    )
    noise = np.random.default_rng(0).normal(0, 18, (*SIZE[::-1], 1))
    blurred = np.asarray(scan.picture.filter(ImageFilter.GaussianBlur(0.8)), dtype=float)
    scan.picture = Image.fromarray(np.clip(blurred + noise, 0, 255).astype(np.uint8))
    scan.name, dark.name = f"scan with noise, {scan.name}", f"dark mode, {dark.name}"
    return [*found, scan, dark]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", default="pp-ocrv6")
    parser.add_argument("--fonts", type=Path, nargs="+", required=True)
    parser.add_argument("--han", type=Path)
    parser.add_argument("--photographs", type=Path, nargs="*", default=[])
    parser.add_argument("--lines", type=int, default=4, help="lines of a page that are read")
    given = parser.parse_args()
    reader = load_reader(given.reader)
    print("| page | chosen, tokens | read of full size, % | oracle, tokens | confidence |\n|---|---|---|---|---|")
    totals, readable, count = np.zeros(3, int), 0, 0
    for case in cases(given.fonts, given.han):
        pixels = np.asarray(case.picture)
        step = max(1, len(case.lines) // given.lines)
        lines = case.lines[step // 2 :: step][: given.lines]
        best = score(reader.read([crop(pixels, box) for _, box in lines]), lines)
        choice = vlmres.choose(case.picture, RECIPES)
        kept, tokens = [], []
        for recipe in RECIPES:
            plan = vlmres.plan(SIZE, recipe)
            seen = Seen(pixels, plan)
            found = score(reader.read([seen.glimpses(box)[0].pixels for _, box in lines]), lines)
            kept.append(found / max(best, 1e-9))
            tokens.append(plan.num_tokens)
            if found >= 0.995 * best and plan.num_tokens >= choice.num_tokens:
                break
        enough = [at for at, share in enumerate(kept) if share >= 0.95]
        oracle = tokens[enough[0]] if enough else tokens[-1]
        share = kept[tokens.index(choice.num_tokens)]
        totals += (choice.num_tokens, oracle, vlmres.plan(SIZE, RECIPES[-1]).num_tokens)
        readable, count = readable + (share >= 0.95), count + 1
        mark = "" if share >= 0.95 else " **fails**"
        print(
            f"| {case.name} | {choice.num_tokens:,} | {100 * share:.0f}{mark} | {oracle:,} | {choice.confidence:.2f} |",
            flush=True,
        )
    print(f"| **{readable} of {count} readable** | {totals[0]:,} | | {totals[1]:,}; always the most {totals[2]:,} | |")
    for path in given.photographs:
        choice = vlmres.choose(path, RECIPES)
        why = choice.reason.split(":")[0]
        print(f"| {path.name}, a photograph | {choice.num_tokens:,} | {why} | | {choice.confidence:.2f} |")


def score(texts: list[str], lines: list[tuple[str, tuple[float, float, float, float]]]) -> float:
    """1 minus the character error rate, spaces not counted."""
    errors = sum(
        distance(text.replace(" ", ""), truth.replace(" ", "")) for text, (truth, _) in zip(texts, lines, strict=True)
    )
    return max(0.0, 1 - errors / sum(len(truth.replace(" ", "")) for truth, _ in lines))


def distance(one: str, other: str) -> int:
    """Insertions, deletions and replacements from one text to another."""
    row = np.arange(len(other) + 1)
    for at, letter in enumerate(one, 1):
        above, row = row, row.copy()
        row[0] = at
        for column, wanted in enumerate(other, 1):
            row[column] = min(above[column] + 1, row[column - 1] + 1, above[column - 1] + (letter != wanted))
    return int(row[-1])


if __name__ == "__main__":
    main()
