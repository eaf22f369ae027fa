"""What a reader reads of a page at each budget, beside what was chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benches.choosing.pages import Box, Page

import vlmres
from vlmres.choosing import Choice
from vlmres.lab import Reader
from vlmres.lab.score import accuracy
from vlmres.lab.seen import Seen, crop, grown

# Budgets half a power of two apart.
TOKENS = tuple(round(64 * 2 ** (step / 2)) for step in range(13))
RECIPES = [vlmres.Recipe.load("qwen3-vl", min_pixels=4096, max_pixels=tokens * 1024) for tokens in TOKENS]
KEPT = 0.95
"""A page is readable where the reader has this share of what it has at full size."""
# Of which a reader has less at full size, a page says nothing about budgets.
_LEAST = 0.6


@dataclass
class Verdict:
    """One page."""

    page: Page
    choice: Choice
    full: float
    """Accuracy at full size, from 0 to 1."""
    kept: float
    """Share of it at the choice."""
    oracle: int
    """The fewest tokens at which the page is readable; the most where it never is."""
    most: int
    """Tokens of the largest budget."""

    @property
    def readable(self) -> bool:
        """Whether the choice keeps enough."""
        return self.kept >= KEPT


def judge(page: Page, reader: Reader, phrases: int) -> Verdict | None:
    """Reads some phrases of a page at full size and at each budget; None where the reader cannot at full size."""
    pixels = np.asarray(page.picture)
    at = np.linspace(0, len(page.phrases) - 1, min(phrases, len(page.phrases))).round().astype(int)
    chosen = [page.phrases[index] for index in dict.fromkeys(at.tolist())]
    size = page.picture.size
    full = _read(reader, [crop(pixels, grown(box, size)) for _, box in chosen], chosen)
    if full < _LEAST:
        return None
    choice = vlmres.choose(page.picture, RECIPES)
    kept: dict[int, float] = {}
    for recipe in RECIPES:
        seen = Seen(pixels, vlmres.plan(size, recipe))
        tokens = seen.plan.num_tokens
        if tokens in kept:
            continue
        kept[tokens] = _read(reader, [seen.glimpses(box)[0].pixels for _, box in chosen], chosen) / full
        # Past what was chosen, and read as at full size: larger budgets change nothing.
        if tokens >= choice.num_tokens and kept[tokens] >= 0.995:
            break
    most = vlmres.plan(size, RECIPES[-1]).num_tokens
    enough = [tokens for tokens, share in kept.items() if share >= KEPT]
    return Verdict(page, choice, full, kept[choice.num_tokens], min(enough, default=most), most)


def _read(reader: Reader, pictures: list[np.ndarray], phrases: list[tuple[str, Box]]) -> float:
    """Accuracy by characters."""
    letters = [len(text.replace(" ", "")) for text, _ in phrases]
    right = [accuracy(read, text) for read, (text, _) in zip(reader.read(pictures), phrases, strict=True)]
    return float(np.average(right, weights=letters))
