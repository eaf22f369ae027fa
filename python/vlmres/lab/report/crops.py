"""Lines as they are and as each encoder sees them, at one scale."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from vlmres.lab.results import pareto
from vlmres.lab.seen import Seen, crop, grown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.lab.candidates import Candidate
    from vlmres.lab.pages import Page
    from vlmres.lab.readers import Pixels
    from vlmres.lab.results import Outcome, Results, Summary

_LINES = 6
_SHOWN = 6
# Screen pixels a pixel of the image, where the line is not too long for that.
_ZOOM, _MOST_WIDTH = 3.0, 620


def shown(summaries: Sequence[Summary]) -> list[Summary]:
    """The candidates that pictures show: the Pareto front, then one more of each family, by tokens."""
    chosen = pareto(summaries)[-_SHOWN:]
    for one in sorted(summaries, key=lambda summary: -summary.legible.mean):
        if len(chosen) < _SHOWN and all(one.subject.family != other.subject.family for other in chosen):
            chosen.append(one)
    return sorted(chosen, key=lambda one: one.tokens)


def worst_lines(
    results: Results, summaries: Sequence[Summary], pages: Sequence[Page], candidates: Sequence[Candidate]
) -> str:
    """Pictures of the lines that are read the worst, and of those on which candidates differ the most."""
    opened = {page.name: page for page in pages}
    planned = {candidate.label: candidate for candidate in candidates}
    columns = [one for one in shown(summaries) if one.subject.label in planned]
    parts = []
    for number, at in _worst(results, columns):
        page, line = results.measured[number], results.measured[number].lines[at]
        if page.name not in opened:
            continue
        pixels = opened[page.name].open().pixels
        height, width = pixels.shape[:2]
        box = grown(line.box, (width, height))
        size = _on_screen(box[2] - box[0], box[3] - box[1])
        figures = [
            _figure("the image itself", f"x-height {line.x_height:.1f} px", line.text, crop(pixels, box), size, True)
        ]
        for summary in columns:
            label = summary.subject.label
            view = page.views[label]
            glimpses = Seen(pixels, planned[label].plan((width, height))).glimpses(line.box)
            read = view.accuracies[at] >= 0.9
            note = f"{view.tokens:,} tokens, x-height {view.x_heights[at]:.1f} px"
            seen = glimpses[0].pixels if glimpses else np.full((2, 2, 3), 127, np.uint8)
            text = view.readings[at] if glimpses else "not in any view"
            figures.append(_figure(label, note, text, seen, size, read))
        parts.append(f'<article class="line"><h3>{escape(_short(page.name))}</h3>{"".join(figures)}</article>')
    return "".join(parts)


def _worst(results: Results, columns: Sequence[Summary]) -> list[tuple[int, int]]:
    """Lines by page and number, one of a page as long as there are others."""
    outcomes: dict[tuple[int, int], list[float]] = {}
    for summary in columns:
        one: Outcome
        for one in results.outcomes(summary.subject.label):
            outcomes.setdefault((one.page, one.line), []).append(one.accuracy)
    failing = {place: found for place, found in outcomes.items() if min(found) < 0.9}
    by_mean = sorted(failing, key=lambda place: (np.mean(failing[place]), place))
    by_spread = sorted(failing, key=lambda place: (-np.std(failing[place]), place))
    chosen: list[tuple[int, int]] = []
    for order, most in ((by_spread, _LINES // 2), (by_mean, _LINES), (by_mean, _LINES)):
        for place in order:
            fresh = all(place[0] != other[0] for other in chosen) or (order is by_mean and len(chosen) >= len(failing))
            if len(chosen) < most and fresh:
                chosen.append(place)
    return chosen


def _on_screen(width: float, height: float) -> tuple[int, int]:
    zoom = min(_ZOOM, _MOST_WIDTH / width)
    return max(1, round(width * zoom)), max(1, round(height * zoom))


def _figure(label: str, note: str, text: str, pixels: Pixels, size: tuple[int, int], read: bool) -> str:
    mark = "read" if read else "lost"
    return (
        f'<figure class="{mark}"><img src="{_data(pixels)}" width="{size[0]}" height="{size[1]}" '
        f'style="aspect-ratio:{size[0]}/{size[1]}" alt="{escape(label)}">'
        f"<figcaption><b>{escape(label)}</b> <span>{escape(note)}</span><q>{escape(text) or '&nbsp;'}</q></figcaption>"
        "</figure>"
    )


def _data(pixels: Pixels) -> str:
    """A PNG of the encoder's own pixels; the browser enlarges them as squares."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"…{name[-58:]}"
