"""The answer in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from vlmres.lab.results import CAPACITY, TARGET, by_family
from vlmres.legibility import Capacity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.lab.results import Results, Summary
    from vlmres.lab.statistics import Interval

_NAMED = 3


class Need(NamedTuple):
    """What a family of candidates needs."""

    family: str
    enough: Summary | None
    """Of those that keep enough lines legible, and whose tokens hold the text, the one with the fewest tokens."""
    most: Summary
    """The one that keeps the most."""


def needs(summaries: Sequence[Summary], target: float = TARGET) -> list[Need]:
    """What each family needs to keep this share of the lines legible: the fewest tokens first."""
    found = []
    for family, ones in by_family(summaries):
        enough = [one for one in ones if one.legible.mean >= target and one.readable.mean >= target]
        most = max(ones, key=lambda one: (one.readable.mean, -one.tokens))
        found.append(Need(family, enough[0] if enough else None, most))
    return sorted(found, key=lambda need: need.enough.tokens if need.enough else float("inf"))


def percent(share: Interval) -> str:
    """Such as "98 % (95 to 99)"."""
    return f"{_percent(share.mean)} % ({_percent(share.low)} to {_percent(share.high)})"


def _percent(share: float) -> str:
    value = 100 * share
    return f"{value:.1f}" if 99 <= value < 99.95 else f"{value:.0f}"


def answer(results: Results, summaries: Sequence[Summary], target: float = TARGET) -> str:
    """Which candidate keeps this share of the lines legible with the fewest tokens, and what others need for it."""
    reader = results.settings.reader
    lines = "the grid's lines" if all(page.name.startswith("grid/") for page in results.pages) else "your lines"
    first, *others = needs(summaries, target)
    if first.enough is None:
        nearest = max(summaries, key=lambda one: (one.readable.mean, -one.tokens))
        return (
            f"No candidate keeps {100 * target:.0f} % of {lines} legible to {reader}; {_named(nearest)} comes "
            f"nearest with {percent(nearest.legible)}."
        )
    said = f"{_named(first.enough)} keeps {percent(first.enough.legible)} of {lines} legible to {reader}"
    need = [f"{one.family} {one.enough.tokens:,.0f}" for one in others if one.enough is not None]
    less = [
        f"{one.family} keeps {100 * one.most.readable.mean:.0f} % at most, with {one.most.tokens:,.0f}"
        for one in others
        if one.enough is None
    ]
    more = [f"for {100 * target:.0f} % others need more: {_listed(need)}"] if need else []
    return "; ".join([said, *more, *less[:_NAMED]]) + "."


def _named(summary: Summary) -> str:
    return f"{summary.subject.family} at {summary.tokens:,.0f} tokens an image"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def caution(results: Results, summaries: Sequence[Summary]) -> str:
    """What the capacity rule says beside: pages that hold more text than their tokens, by DeepSeek-OCR's table."""
    crowded = [one for one in summaries if one.crowded]
    limit = Capacity().ratio(CAPACITY)
    if not crowded:
        return (
            f"No page has more than {limit:.1f} text tokens per visual token, up to which DeepSeek-OCR reads "
            f"{100 * CAPACITY:.0f} % right (for other models an inference)."
        )
    named = ", ".join(f"{one.subject.label} {one.crowded}" for one in sorted(crowded, key=lambda one: -one.crowded)[:5])
    return (
        f"Tokens may be the limit where pixels are not: pages with more than {limit:.1f} text tokens per visual token, "
        f"where DeepSeek-OCR reads less than {100 * CAPACITY:.0f} % (for other models an inference): {named}, of "
        f"{len(results.measured)}."
    )
