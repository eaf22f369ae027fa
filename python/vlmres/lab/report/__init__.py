"""The report: one HTML file that needs nothing beside it, with JSON and CSV for machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vlmres.lab.report.page import html_page
from vlmres.lab.report.sheets import lines_csv, table_csv

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from vlmres.lab.candidates import Candidate
    from vlmres.lab.pages import Page
    from vlmres.lab.results import Results


def write_report(
    results: Results,
    folder: str | os.PathLike[str],
    *,
    pages: Sequence[Page] = (),
    candidates: Sequence[Candidate] = (),
    against: Results | None = None,
) -> Path:
    """Writes `index.html`, `results.json`, `table.csv` and `lines.csv`.

    Args:
        results: Of `run`.
        folder: Where; made if it is not there.
        pages: Those of the run, to show the worst lines as each encoder sees them.
        candidates: Those of the run, for the same.
        against: Results to compare with.

    Returns:
        The path of `index.html`.

    Raises:
        OSError: It cannot be written.
    """
    to = Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    (to / "results.json").write_text(json.dumps(results.to_json(), ensure_ascii=False, indent=1), encoding="utf-8")
    (to / "table.csv").write_text(table_csv(results), encoding="utf-8")
    (to / "lines.csv").write_text(lines_csv(results), encoding="utf-8")
    index = to / "index.html"
    index.write_text(html_page(results, pages, candidates, against), encoding="utf-8")
    return index
