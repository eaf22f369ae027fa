"""The resolution lab: how legible text stays under a strategy and a budget, measured with a reader.

    >>> from vlmres import lab
    >>> pages, wrong = lab.open_pages(["scans"])  # doctest: +SKIP
    >>> candidates = [lab.Candidate(vlmres.Recipe.load("qwen3-vl"), budget) for budget in (256, 1024)]  # doctest: +SKIP
    >>> results = lab.run(pages, candidates, lab.load_reader("pp-ocrv6"))  # doctest: +SKIP
    >>> lab.write_report(results, "report")  # doctest: +SKIP

It makes no claim about vision-language models, which it does not run. `vlmres.legibility` has the two limits that it
uses, legibility and capacity.
"""

from vlmres.lab.candidates import Candidate, with_budgets
from vlmres.lab.grid import grid_pages
from vlmres.lab.measure import ReaderError
from vlmres.lab.pages import Content, Line, Page
from vlmres.lab.readers import FunctionReader, Reader, load_reader
from vlmres.lab.report import write_report
from vlmres.lab.results import Results, Summary
from vlmres.lab.run import run
from vlmres.lab.sources import open_pages

__all__ = [
    "Candidate",
    "Content",
    "FunctionReader",
    "Line",
    "Page",
    "Reader",
    "ReaderError",
    "Results",
    "Summary",
    "grid_pages",
    "load_reader",
    "open_pages",
    "run",
    "with_budgets",
    "write_report",
]
