"""Prints the tables of docs/choose.md.

    python -m benches.choosing --fonts ~/fonts --photographs pictures/*.jpg

It takes the fonts of `benches.choosing.pages.FONTS`, from the system (Debian: fonts-liberation,
fonts-liberation-sans-narrow, fonts-noto-cjk, fonts-open-sans, fonts-crosextra-carlito, fonts-ebgaramond) and from
`--fonts`; a font that is missing stops it. Compared are the choice, an oracle (the fewest tokens at which a page is
readable), and always the largest budget.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benches.choosing.judge import RECIPES, Verdict, judge
from benches.choosing.pages import draw, finder
from PIL import Image

import vlmres
from vlmres.lab import load_reader


def main() -> None:
    """Draws, chooses, reads and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reader", default="pp-ocrv6")
    parser.add_argument("--fonts", type=Path, nargs="*", default=[], help="folders of fonts, beside the system's")
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], help="files without text")
    parser.add_argument("--kinds", nargs="*", help="only these kinds of pages")
    parser.add_argument("--phrases", type=int, default=8, help="phrases of a page that are read")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true", help="print every page")
    given = parser.parse_args()
    reader = load_reader(given.reader)
    verdicts: dict[str, list[Verdict]] = {}
    unread = []
    for page in draw(finder([Path("/usr/share/fonts"), *given.fonts]), given.seed):
        if given.kinds and page.kind not in given.kinds:
            continue
        verdict = judge(page, reader, given.phrases)
        if verdict is None:
            unread.append(f"{page.kind}, {page.name}")
            continue
        verdicts.setdefault(page.kind, []).append(verdict)
        if given.verbose:
            print(describe(verdict), flush=True)
    print(table(verdicts))
    for what in unread:
        print(f"not read at full size: {what}")
    print("\n" + failures([one for several in verdicts.values() for one in several]))
    if given.photographs:
        print(photographs(given.photographs))


def table(verdicts: dict[str, list[Verdict]]) -> str:
    """A row for each kind, and one for all."""
    lines = [
        "| pages | how many | readable as chosen | tokens chosen | oracle | always the most |",
        "|---|---|---|---|---|---|",
    ]
    everything = [one for several in verdicts.values() for one in several]
    for kind, several in [*verdicts.items(), ("**all**", everything)]:
        sums = (sum(getattr(one, what) for one in several) for what in ("oracle", "most"))
        cells = [sum(one.readable for one in several), sum(one.choice.num_tokens for one in several), *sums]
        lines.append(f"| {kind} | {len(several)} | {' | '.join(f'{cell:,}' for cell in cells)} |")
    return "\n".join(lines)


def failures(verdicts: list[Verdict]) -> str:
    """Pages that the choice made unreadable, and those for which it took four times what the oracle takes."""
    lines = ["| page | chosen, tokens | of full size, % | oracle, tokens | confidence |", "|---|---|---|---|---|"]
    for one in verdicts:
        if not one.readable or one.choice.num_tokens >= 4 * one.oracle:
            lines.append(
                f"| {one.page.kind}: {one.page.name} | {one.choice.num_tokens:,} | {100 * one.kept:.0f} | "
                f"{one.oracle:,} | {one.choice.confidence:.2f} |"
            )
    return "\n".join(lines)


def photographs(files: list[Path]) -> str:
    """How many photographs get the default, and which do not."""
    wrong = []
    for path in files:
        with Image.open(path) as picture:
            choice = vlmres.choose(picture.convert("RGB"), RECIPES)
        if choice.texts[0]:
            wrong.append(f"{path.name} ({choice.num_tokens:,} tokens, confidence {choice.confidence:.2f})")
    return f"photographs: {len(files) - len(wrong)} of {len(files)} get the default; not {', '.join(wrong) or 'none'}"


def describe(one: Verdict) -> str:
    """One page in a line, with the estimate's x-height."""
    text = one.choice.texts[0]
    found = f"x-height {text.smallest():.1f} and {text.smallest(0.5):.1f}, {len(text.x_heights)} lines" if text else "-"
    return (
        f"{one.page.kind}: {one.page.name}: {one.choice.num_tokens} kept {one.kept:.2f} of {one.full:.2f}, "
        f"oracle {one.oracle}; {found}"
    )


if __name__ == "__main__":
    main()
