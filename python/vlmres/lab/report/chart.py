"""Tokens against legible lines, as SVG."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from vlmres.lab.results import by_family, pareto

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.lab.results import Summary

_WIDTH, _HEIGHT = 560, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 30, 46
COLOURS = 12
"""Families have the style's colours --c0 to --c11 in turn."""


def chart(summaries: Sequence[Summary]) -> str:
    """Points with their 95 % intervals, a line for each family, and the Pareto front."""
    tokens = [one.tokens for one in summaries]
    low, high = math.log2(min(tokens) * 0.8), math.log2(max(tokens) * 1.25)
    lowest = min(one.legible.low for one in summaries)
    floor = min(0.9, math.floor(lowest * 10) / 10)

    def x(value: float) -> float:
        return _LEFT + (math.log2(value) - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(share: float) -> float:
        return _TOP + (1 - share) / (1 - floor) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [*_axes(x, y, low, high, floor), _front(pareto(summaries), x, y)]
    for number, (_, found) in enumerate(by_family(summaries)):
        parts.append(_series(found, number % COLOURS, x, y))
    title = "Share of lines that are legible, against tokens an image"
    body = "".join(parts)
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>{body}</svg>"
    )


def _axes(x, y, low: float, high: float, floor: float) -> list[str]:  # type: ignore[no-untyped-def]
    parts = []
    steps = 10 if floor < 0.8 else 5 if floor < 0.9 else 2
    for percent in range(math.ceil(100 * floor / steps) * steps, 101, steps):
        at = y(percent / 100)
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{percent}</text>')
    for power in range(math.ceil(low), math.floor(high) + 1):
        at = x(2.0**power)
        parts.append(f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{2**power:,}</text>'
        )
    parts.append(
        f'<text class="tick" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">'
        "tokens an image (mean)</text>"
    )
    parts.append('<text class="tick" x="2" y="14">legible lines, %</text>')
    return parts


def _front(front: Sequence[Summary], x, y) -> str:  # type: ignore[no-untyped-def]
    """Steps: with so many tokens no candidate keeps more."""
    path = f"M{x(front[0].tokens):.1f},{y(front[0].legible.mean):.1f}"
    for one in front[1:]:
        path += f"H{x(one.tokens):.1f}V{y(one.legible.mean):.1f}"
    return f'<path class="front" d="{path}H{_WIDTH - _RIGHT}"/>'


def _series(found: Sequence[Summary], colour: int, x, y) -> str:  # type: ignore[no-untyped-def]
    places = [(x(one.tokens), y(one.legible.mean), one) for one in found]
    parts = [f'<g style="--colour:var(--c{colour})">']
    if len(places) > 1:
        points = " ".join(f"{across:.1f},{down:.1f}" for across, down, _ in places)
        parts.append(f'<polyline class="series" points="{points}"/>')
    for across, down, one in places:
        share = one.legible
        parts.append(
            f'<line class="whisker" x1="{across:.1f}" x2="{across:.1f}" '
            f'y1="{y(share.low):.1f}" y2="{y(share.high):.1f}"/>'
            f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4.5"><title>{escape(one.subject.label)}: '
            f"{one.tokens:,.0f} tokens, {100 * share.mean:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"
            "</title></circle>"
        )
    return "".join(parts) + "</g>"


def legend(summaries: Sequence[Summary]) -> str:
    """Which colour is whose."""
    items = [
        f'<li><i style="background:var(--c{number % COLOURS})"></i>{escape(family)}</li>'
        for number, (family, _) in enumerate(by_family(summaries))
    ]
    items.append('<li><b class="dash"></b>the most for so many tokens (Pareto front)</li>')
    return f'<ul class="legend">{"".join(items)}</ul>'
