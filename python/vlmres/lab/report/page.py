"""The HTML page put together."""

from __future__ import annotations

import importlib.resources
from html import escape
from typing import TYPE_CHECKING

from vlmres.lab.answer import answer, caution
from vlmres.lab.report.chart import chart, legend
from vlmres.lab.report.crops import shown, worst_lines
from vlmres.lab.report.tables import (
    against_table,
    equal_tokens,
    group_tables,
    heat_maps,
    main_table,
    what_to_set,
    worst_pages,
)
from vlmres.lab.results import NOT_MEASURED, TARGET
from vlmres.lab.score import LEGIBLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.lab.candidates import Candidate
    from vlmres.lab.pages import Page
    from vlmres.lab.results import Results, Summary

_NAMED = 20
_TRUTHS = {
    "known": "drawn by the lab",
    "layer": "a PDF's text layer, checked by the reader",
    "reader": "the reader itself at full size",
}


def html_page(results: Results, pages: Sequence[Page], candidates: Sequence[Candidate], against: Results | None) -> str:
    """The whole report."""
    style, script = (_resource(name) for name in ("style.css", "script.js"))
    if results.num_lines:
        summaries = results.summaries()
        body = _first_screen(results, summaries) + _rest(results, summaries, pages, candidates, against)
    else:
        body = f"<h1>Nothing was measured</h1><p>{escape(NOT_MEASURED)}</p>{_method(results)}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><title>Resolution lab</title>'
        f"<style>{style}</style></head><body><main>{body}</main><script>{script}</script></body></html>\n"
    )


def _resource(name: str) -> str:
    return importlib.resources.files("vlmres.lab.report").joinpath(name).read_text(encoding="utf-8")


def _first_screen(results: Results, summaries: Sequence[Summary]) -> str:
    threshold = results.legibility()
    facts = [
        (f"{len(results.measured):,}", "pages"),
        (f"{results.num_lines:,}", "lines"),
        (f"{len(summaries)}", "candidates"),
        (escape(results.settings.reader), "reader"),
    ]
    if threshold is not None:
        facts.append(
            (f"{threshold.x_height:.1f} px", f"x-height that it needs (right for {100 * threshold.right:.0f} %)")
        )
    figures = "".join(f"<li><b>{value}</b> {name}</li>" for value, name in facts)
    return (
        "<header><p class='kind'>vlmres lab: at what resolution should a model look?</p>"
        f"<h1>{_parted(answer(results, summaries))}</h1>"
        f"<p class='limits'><b>Not measured.</b> {escape(NOT_MEASURED)}</p>"
        f"<ul class='facts'>{figures}</ul></header>"
        f"<section><h2>Tokens against legible lines</h2>{chart(summaries)}{legend(summaries)}"
        f"<p>{escape(caution(results, summaries))}</p></section>"
    )


def _parted(sentence: str) -> str:
    """The first part of a sentence, and the rest in small."""
    first, semicolon, rest = sentence.partition(";")
    return f"{escape(first)}{semicolon}<span>{escape(rest)}</span>" if semicolon else escape(sentence)


def _rest(
    results: Results,
    summaries: Sequence[Summary],
    pages: Sequence[Page],
    candidates: Sequence[Candidate],
    against: Results | None,
) -> str:
    columns = shown(summaries)
    sections = [
        ("What to set, by recipe", _with_words(what_to_set(summaries), _SET)),
        (
            "All candidates",
            f"<button id='copy' type='button'>Copy the table</button>{main_table(summaries)}<p>{_COLUMNS}</p>",
        ),
        ("What changed", "" if against is None else against_table(results, against, summaries)),
        ("At equal tokens", equal_tokens(results, summaries)),
        (
            "The worst lines, as each encoder sees them",
            _with_words(
                worst_lines(results, summaries, pages, candidates),
                _SEEN,
            ),
        ),
        ("Where lines are lost, and why", _with_words(worst_pages(results, columns), _WHY)),
        ("By height, script and layout (legible lines, %)", group_tables(summaries)),
        ("By area and ratio (legible lines, %)", _with_words(heat_maps(summaries), _MAPS)),
        ("How it was measured", _method(results)),
    ]
    return "".join(f"<section><h2>{title}</h2>{content}</section>" for title, content in sections if content)


_SET = (
    f"For the model that you have: of what was tried the fewest tokens that keep {100 * TARGET:.0f} % of the lines "
    "legible. image is a path, a PIL image or (width, height)."
)
_SEEN = (
    "All pictures of a line have one scale; squares are the pixels that the encoder gets. The x-height is that of a "
    'small "x" in these pixels; below each picture is what the reader reads.'
)
_COLUMNS = (
    "\u25cf on the Pareto front: none keeps as much for fewer tokens. A line is legible where at least "
    f"{100 * LEGIBLE:.0f} % of its characters are read right; small figures are 95 % intervals, in which lines of one "
    "page count as alike. ACV and RCV: how much the accuracy varies over areas and over ratios (less is better). "
    "Crowded pages: there tokens may be the limit."
)
_WHY = (
    "Lost lines of how many. pixels: the x-height that the encoder gets is below what is safe for the reader. cropped: "
    "no view shows the line. other: it is large enough (contrast, noise, or the reader). crowded: by the capacity rule "
    "the page has more text than the tokens hold (for models other than DeepSeek-OCR an inference)."
)
_MAPS = "Columns: area in units of 384 x 384 pixels. Rows: width to height."


def _with_words(content: str, words: str) -> str:
    return f"<p>{words}</p>{content}" if content and "<tbody></tbody>" not in content else ""


def _thresholds(results: Results) -> list[str]:
    """What a reader needs, by script."""
    scripts = sorted({line.script for page in results.measured for line in page.lines})
    found = [(script, results.legibility(script)) for script in scripts]
    return [
        f"Effective x-height that {one.reader} needs, {script}: {one.x_height:.2f} px, right for {100 * one.right:.0f} "
        f"% of {one.lines:,} readings."
        for script, one in found
        if one is not None
    ]


def _method(results: Results) -> str:
    settings = results.settings
    truths = {page.truth for page in results.measured}
    unread = sum(page.unread for page in results.measured)
    items = [
        f"Reader: {settings.reader}. A reader needs fewer or more pixels than a model; the order of candidates depends "
        "on it far less than the shares do.",
        f"Truth: {'; '.join(_TRUTHS[truth] for truth in sorted(truths))}." if truths else "",
        *_thresholds(results),
        ""
        if (safe := results.safe_x_height()) is None
        else f"Nine lines in ten are legible from {safe:.1f} px on; what is lost below is said to be lost to pixels.",
        f"Lines that the reader does not read at full size are left out: {unread:,}.",
        f"Sample: {'all' if settings.lines is None else settings.lines} lines a page, seed {settings.seed}.",
        "Each line is cut out of the pixels that the engine makes for the encoder; of several views the best counts. "
        "Lines are read on known places, so a detector's misses do not count.",
        f"The answer asks for {100 * TARGET:.0f} % of lines.",
        *results.notes,
        *(f"Not measured: {name}: {why}" for name, why in list(results.failed.items())[:20]),
        f"{len(results.failed) - 20:,} more pages could not be measured (results.json)."
        if len(results.failed) > 20
        else "",
        *sorted({f"{one.family}: FLOPs of the encoder of {one.encoder}" for one in results.subjects if one.encoder}),
        f"vlmres {results.version}",
    ]
    return f"<ul class='method'>{''.join(f'<li>{escape(item)}</li>' for item in items if item)}</ul>"
