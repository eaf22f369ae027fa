"""Tables of the report."""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from vlmres.lab.answer import needs
from vlmres.lab.results import pareto
from vlmres.lab.statistics import AREAS, difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmres.lab.results import Results, Summary
    from vlmres.lab.statistics import Interval

_GROUPS = (("height", "Height"), ("script", "Script"), ("layout", "Layout"))
_RATIO_NAMES = ("1:5", "1:2.8", "1:1", "2.8:1", "5:1")
_WORST_PAGES = 20


def main_table(summaries: Sequence[Summary]) -> str:
    """What every candidate keeps and costs."""
    front = {one.subject.label for one in pareto(summaries)}
    flops = any(one.flops is not None for one in summaries)
    unique = any(one.unique is not None for one in summaries)
    head = ["candidate", "tokens", "legible lines, %", "accuracy, %", "accuracy per 1,000 tokens", "ACV", "RCV"]
    head += ["encoder, GFLOP"] * flops + ["unique patches, %"] * unique + ["crowded pages", "strategy"]
    rows = []
    for one in sorted(summaries, key=lambda summary: summary.tokens):
        mark = " ●" if one.subject.label in front else ""
        row = [
            f"{escape(one.subject.label)}{mark}",
            f"{one.tokens:,.0f}",
            _share(one.legible),
            _share(one.accuracy),
            f"{one.per_token:.0f}",
            _number(one.spread.acv),
            _number(one.spread.rcv),
        ]
        row += ["&ndash;" if one.flops is None else f"{one.flops / 1e9:,.0f}"] * flops
        row += ["&ndash;" if one.unique is None else f"{100 * one.unique:.0f}"] * unique
        rows.append([*row, str(one.crowded), one.subject.strategy])
    return _table(head, rows, name="main")


def what_to_set(summaries: Sequence[Summary]) -> str:
    """For each recipe the fewest tokens that are enough, and the line of Python that gives an image so many."""
    rows = []
    for need in needs(summaries):
        one = need.enough or need.most
        subject = one.subject
        name = f'"{subject.family}"'
        code = (
            f"vlmres.Recipe.load({name})"
            if subject.budget is None
            else f"vlmres.fit_budget([image], {name}, {subject.budget}).plans[0].recipe"
        )
        tokens = f"{one.tokens:,.0f}" + ("" if subject.budget is None else f" <small>of {subject.budget:,}</small>")
        said = f"<code>{escape(code)}</code>" if need.enough else "not enough at any budget that was tried"
        rows.append([escape(subject.family), tokens, _share(one.legible), said])
    return _table(["recipe", "tokens, of the budget", "legible lines, %", "what to set"], rows)


def equal_tokens(results: Results, summaries: Sequence[Summary]) -> str:
    """Candidates by budget, each beside the best of the same budget, line by line."""
    budgets = sorted({one.subject.budget for one in summaries if one.subject.budget is not None})
    rows = []
    for budget, above in zip(budgets, [0, *budgets], strict=False):
        found = [one for one in summaries if one.subject.budget == budget]
        found += [one for one in summaries if one.subject.budget is None and above < one.tokens <= budget]
        if len(found) < 2:
            continue
        best = max(found, key=lambda one: (one.legible.mean, -one.tokens))
        for one in sorted(found, key=lambda summary: -summary.legible.mean):
            gap = "the best" if one is best else _difference(_compared(results, results, one, best))
            rows.append([escape(one.subject.label), f"{budget:,}", f"{one.tokens:,.0f}", _share(one.legible), gap])
    return _table(["candidate", "budget", "tokens used", "legible lines, %", "against the best, points"], rows)


def _compared(results: Results, other: Results, one: Summary, best: Summary) -> Interval | None:
    """The difference in legible lines, line by line, where both have the same lines."""
    mine = {_place(results, outcome): outcome for outcome in results.outcomes(one.subject.label)}
    theirs = {_place(other, outcome): outcome for outcome in other.outcomes(best.subject.label)}
    common = sorted(mine.keys() & theirs.keys())
    if not common:
        return None
    gaps = [float(mine[place].is_legible) - float(theirs[place].is_legible) for place in common]
    names = sorted({place[0] for place in common})
    return difference(gaps, [names.index(place[0]) for place in common])


def _place(results: Results, outcome) -> tuple[str, tuple[float, ...]]:  # type: ignore[no-untyped-def]
    return results.measured[outcome.page].name, results.line(outcome).box


def group_tables(summaries: Sequence[Summary]) -> str:
    """Legible lines by x-height, script and layout, as far as there is more than one of each."""
    parts = []
    for key, title in _GROUPS:
        names = list(summaries[0].groups.get(key, {}))
        if len(names) < 2:
            continue
        rows = [
            [escape(one.subject.label), *(_heat(one.groups[key][name].mean) for name in names)]
            for one in sorted(summaries, key=lambda summary: summary.tokens)
        ]
        parts.append(f"<h3>{title}</h3>{_table(['candidate', *names], rows, kind='heat')}")
    return "".join(parts)


def heat_maps(summaries: Sequence[Summary]) -> str:
    """A table by ratio and area for every candidate; nothing where few cells have images."""
    filled = sum(value is not None for row in summaries[0].heat for value in row)
    if filled < 6:
        return ""
    parts = []
    for one in sorted(summaries, key=lambda summary: summary.tokens):
        head = "".join(f"<th>{area:g}</th>" for area in AREAS)
        rows = "".join(
            f"<tr><th>{name}</th>{''.join(_heat_cell(value) for value in row)}</tr>"
            for name, row in zip(_RATIO_NAMES, one.heat, strict=True)
        )
        spread = f"ACV {_number(one.spread.acv)}, RCV {_number(one.spread.rcv)}"
        parts.append(
            f'<figure class="map"><figcaption><b>{escape(one.subject.label)}</b> <span>{spread}</span></figcaption>'
            f'<table class="heat"><tr><th></th>{head}</tr>{rows}</table></figure>'
        )
    return f'<div class="maps">{"".join(parts)}</div>'


def worst_pages(results: Results, columns: Sequence[Summary]) -> str:
    """Pages on which lines are lost, how many of how many, and why; and pages that are crowded."""
    safe = results.safe_x_height()
    lost: dict[tuple[int, str], Counter[str]] = {}
    for summary in columns:
        for outcome in results.outcomes(summary.subject.label):
            if not outcome.is_legible:
                place = (outcome.page, summary.subject.label)
                lost.setdefault(place, Counter())[results.reason(outcome, safe)] += 1
    labels = [summary.subject.label for summary in columns]
    rows = []
    for number, page in enumerate(results.measured):
        reasons = [lost.get((number, label), Counter()) for label in labels]
        crowded = [results.is_crowded(page, label) for label in labels]
        if not any(reasons) and not any(crowded):
            continue
        cells = [
            _lost(found, len(page.lines), is_crowded, results.ratio(page, label))
            for found, is_crowded, label in zip(reasons, crowded, labels, strict=True)
        ]
        name = f"<span title={_quoted(page.name)}>{escape(page.name[-48:])}</span>"
        worst = sum(found.total() for found in reasons), sum(crowded)
        rows.append((worst, [name, f"{page.size[0]}&times;{page.size[1]}", *cells]))
    rows.sort(key=lambda row: row[0], reverse=True)
    more = f"<p>{len(rows) - _WORST_PAGES:,} more are in lines.csv.</p>" if len(rows) > _WORST_PAGES else ""
    return _table(["page", "size", *map(escape, labels)], [cells for _, cells in rows[:_WORST_PAGES]]) + more


def _lost(reasons: Counter[str], lines: int, is_crowded: bool, ratio: float) -> str:
    why = [*sorted(reasons), *["crowded"] * is_crowded]
    count = f"{reasons.total()} of {lines}" if reasons else "&ndash;"
    said = f" <small>{', '.join(why)}</small>" if why else ""
    return f'<span title="{ratio:.1f} text tokens per visual token">{count}{said}</span>'


def against_table(results: Results, other: Results, summaries: Sequence[Summary]) -> str:
    """What changed from another report, by candidate; line by line where both have the same lines."""
    theirs = {one.subject.label: one for one in other.summaries()}
    rows = []
    for one in sorted(summaries, key=lambda summary: summary.tokens):
        if (before := theirs.get(one.subject.label)) is None:
            continue
        gap = _compared(results, other, one, before)
        change = "other lines" if gap is None else _difference(gap)
        rows.append(
            [
                escape(one.subject.label),
                f"{before.tokens:,.0f}",
                f"{one.tokens:,.0f}",
                _share(before.legible),
                _share(one.legible),
                change,
            ]
        )
    said = f"Before: {other.num_lines:,} lines, reader {escape(other.settings.reader)}, vlmres {escape(other.version)}."
    head = ["candidate", "tokens before", "tokens now", "legible before, %", "legible now, %", "same lines, points"]
    return f"<p>{said}</p>{_table(head, rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "", name: str = "") -> str:
    top = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    named = f'class="{kind}"' + (f' id="{name}"' if name else "")
    return f'<div class="wide"><table {named}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def _share(share: Interval) -> str:
    return f"<b>{100 * share.mean:.1f}</b> <small>{100 * share.low:.0f}&ndash;{100 * share.high:.0f}</small>"


def _difference(gap: Interval | None) -> str:
    if gap is None:
        return "&ndash;"
    text = f"{100 * gap.mean:+.1f} <small>{100 * gap.low:+.1f} to {100 * gap.high:+.1f}</small>"
    return f"<b>{text}</b>" if gap.low > 0 or gap.high < 0 else text


def _number(value: float) -> str:
    return "&ndash;" if math.isnan(value) else f"{value:.1f}"


def _heat(share: float) -> str:
    return _heat_cell(None if np.isnan(share) else share)


def _heat_cell(share: float | None) -> str:
    if share is None:
        return "<td></td>"
    return f'<td style="--share:{100 * share:.0f}%">{100 * share:.0f}</td>'


def _quoted(text: str) -> str:
    return f'"{escape(text, quote=True)}"'
