"""Tables as CSV."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmres.lab.results import Results


def table_csv(results: Results) -> str:
    """A row for each candidate."""
    names = ["candidate", "recipe", "budget", "strategy", "tokens", "encoder_flops", "unique_patches", "lines"]
    for share in ("accuracy", "legible", "readable"):
        names += [share, f"{share}_low", f"{share}_high"]
    names += ["acv", "rcv", "accuracy_per_1000_tokens", "crowded_pages", "cropped", "pixels", "other"]
    rows = [
        [
            one.subject.label,
            one.subject.family,
            one.subject.budget,
            one.subject.strategy,
            round(one.tokens, 1),
            one.flops,
            None if one.unique is None else round(one.unique, 4),
            one.lines,
            *(round(value, 4) for share in (one.accuracy, one.legible, one.readable) for value in share),
            *(round(value, 2) for value in (*one.spread, one.per_token)),
            one.crowded,
            *(one.reasons.get(reason, 0) for reason in ("cropped", "pixels", "other")),
        ]
        for one in results.summaries()
    ]
    return _csv(names, rows)


def lines_csv(results: Results) -> str:
    """A row for each line and candidate."""
    names = ["page", "x0", "y0", "x1", "y1", "layout", "script", "truth_from", "truth", "x_height", "candidate"]
    names += ["effective_x_height", "reading", "accuracy", "legible", "why_not"]
    safe = results.safe_x_height()
    rows = []
    for subject in results.subjects:
        for outcome in results.outcomes(subject.label):
            page, line = results.measured[outcome.page], results.line(outcome)
            rows.append(
                [
                    page.name,
                    *(round(side, 1) for side in line.box),
                    page.layout,
                    line.script,
                    page.truth,
                    line.text,
                    round(line.x_height, 2),
                    subject.label,
                    round(outcome.x_height, 2),
                    outcome.reading,
                    round(outcome.accuracy, 4),
                    int(outcome.is_legible),
                    "" if outcome.is_legible else results.reason(outcome, safe),
                ]
            )
    return _csv(names, rows)


def _csv(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()
