"""Outcomes put together: what each candidate keeps, what it costs, where it fails and why."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import build_info
from vlmres.lab.measure import Measured
from vlmres.lab.score import LEGIBLE
from vlmres.lab.statistics import Interval, Spread, heat_map, interval, safe_from, spread
from vlmres.legibility import Capacity, Legibility, fit_legibility

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from vlmres.lab.candidates import Candidate
    from vlmres.lab.pages import Line

FORMAT = 1
TARGET = 0.95
"""The share of lines that an answer asks for."""
CAPACITY = 0.9
"""The precision of the capacity rule from which on a page is said to be readable."""

NOT_MEASURED = (
    "Printed lines of text alone are measured: not charts, objects, handwriting, layout or reasoning, and no "
    "vision-language model was run."
)

# Lower bounds of x-heights in pixels of the image.
_HEIGHTS = ((0.0, "x-height below 6 px"), (6.0, "6 to 9 px"), (9.0, "9 to 14 px"), (14.0, "14 px and more"))
# A threshold of fewer lines says little.
_LEAST_FITTED = 30

Reason = Literal["cropped", "pixels", "other"]


@dataclass(frozen=True)
class Settings:
    """What a run was asked for."""

    reader: str
    lines: int | None
    pages: int | None
    seed: int


@dataclass(frozen=True)
class Subject:
    """A candidate, as results keep it."""

    label: str
    family: str
    budget: int | None
    strategy: str
    encoder: str | None
    """The checkpoint whose encoder is counted."""


@dataclass(frozen=True)
class Outcome:
    """What became of a line with one candidate."""

    page: int
    line: int
    label: str
    accuracy: float
    x_height: float
    """Effective, in pixels."""
    reading: str

    @property
    def is_legible(self) -> bool:
        """Whether enough of it was read right."""
        return self.accuracy >= LEGIBLE


@dataclass(frozen=True)
class Summary:
    """One candidate over all lines."""

    subject: Subject
    lines: int
    accuracy: Interval
    legible: Interval
    readable: Interval
    """Legible, on a page whose text the tokens hold by the capacity rule."""
    spread: Spread
    heat: list[list[float | None]]
    """Share of legible lines by ratio and area."""
    tokens: float
    """Mean of the pages."""
    flops: float | None
    unique: float | None
    groups: dict[str, dict[str, Interval]]
    """Share of legible lines by x-height, script and layout."""
    reasons: dict[str, int]
    """Why lines are not legible."""
    crowded: int
    """Pages whose text the tokens do not hold by the capacity rule."""

    @property
    def per_token(self) -> float:
        """Percent of accuracy per 1,000 tokens."""
        return 100_000 * self.accuracy.mean / self.tokens


@dataclass
class Results:
    """A run's outcomes."""

    subjects: list[Subject]
    settings: Settings
    pages: list[Measured]
    notes: list[str] = field(default_factory=list)
    version: str = field(default_factory=lambda: str(build_info()["version"]))

    @staticmethod
    def of(pages: list[Measured], candidates: Sequence[Candidate], settings: Settings, notes: list[str]) -> Results:
        """Of measured pages."""
        from vlmres.lab.flops import encoder_of

        subjects = [
            Subject(one.label, one.family, one.budget, one.recipe.strategy, encoder_of(one.recipe.name))
            for one in candidates
        ]
        kept, said = _distinct(subjects, [page for page in pages if page.failed is None])
        return Results(kept, settings, pages, [*notes, *said])

    @property
    def measured(self) -> list[Measured]:
        """The pages with lines."""
        return [page for page in self.pages if page.failed is None]

    @property
    def num_lines(self) -> int:
        """Lines of all pages."""
        return sum(len(page.lines) for page in self.measured)

    @property
    def failed(self) -> dict[str, str]:
        """Pages on which nothing was measured, and why."""
        return {page.name: page.failed for page in self.pages if page.failed is not None}

    def line(self, outcome: Outcome) -> Line:
        """The line of an outcome."""
        return self.measured[outcome.page].lines[outcome.line]

    def outcomes(self, label: str) -> list[Outcome]:
        """Of one candidate, for every line."""
        return [
            Outcome(number, at, label, view.accuracies[at], view.x_heights[at], view.readings[at])
            for number, page in enumerate(self.measured)
            for view in [page.views[label]]
            for at in range(len(page.lines))
        ]

    def legibility(self, script: str | None = None) -> Legibility | None:
        """The reader's threshold, fitted to all outcomes, or to those of a script; None of too few lines."""
        sizes, legible = self._readings(script)
        if len(sizes) < _LEAST_FITTED or len(set(legible)) < 2:
            return None
        return fit_legibility(self.settings.reader, sizes, legible)

    def safe_x_height(self) -> float | None:
        """From which effective x-height on nine lines in ten are legible; None of too few lines."""
        sizes, legible = self._readings(None)
        return safe_from(sizes, legible) if len(sizes) >= _LEAST_FITTED else None

    def _readings(self, script: str | None) -> tuple[list[float], list[bool]]:
        found = [
            outcome
            for subject in self.subjects
            for outcome in self.outcomes(subject.label)
            if script is None or self.line(outcome).script == script
        ]
        return [outcome.x_height for outcome in found], [outcome.is_legible for outcome in found]

    def reason(self, outcome: Outcome, safe: float | None) -> Reason:
        """Why a line is not legible: no view shows it, too few pixels, or another (contrast, noise, the reader).

        Args:
            outcome: Of the line.
            safe: Of `safe_x_height`.
        """
        if outcome.x_height == 0:
            return "cropped"
        return "pixels" if safe is None or outcome.x_height < safe else "other"

    def ratio(self, page: Measured, label: str) -> float:
        """Text tokens per visual token."""
        return page.text_tokens / max(1, page.views[label].visual_tokens)

    def is_crowded(self, page: Measured, label: str) -> bool:
        """Whether the page has more text than its tokens hold by the capacity rule."""
        return Capacity().precision(self.ratio(page, label)) < CAPACITY

    def summaries(self) -> list[Summary]:
        """Of every candidate, in their order; none where no line was measured."""
        safe = self.safe_x_height()
        return [self._summary(subject, safe) for subject in self.subjects] if self.num_lines else []

    def _summary(self, subject: Subject, safe: float | None) -> Summary:
        outcomes = self.outcomes(subject.label)
        pages = self.measured
        number = np.array([outcome.page for outcome in outcomes])
        accuracy = np.array([outcome.accuracy for outcome in outcomes])
        legible = accuracy >= LEGIBLE
        holds = np.array([not self.is_crowded(page, subject.label) for page in pages])
        sizes = [pages[outcome.page].size for outcome in outcomes]
        reasons: dict[str, int] = defaultdict(int)
        for outcome in outcomes:
            if not outcome.is_legible:
                reasons[self.reason(outcome, safe)] += 1
        views = [page.views[subject.label] for page in pages]
        flops = [view.flops for view in views if view.flops is not None]
        unique = [view.unique for view in views if view.unique is not None]
        return Summary(
            subject,
            len(outcomes),
            interval(accuracy, number),
            interval(legible, number),
            interval(legible & holds[number], number),
            spread(heat_map(sizes, accuracy)),
            [[None if math.isnan(value) else float(value) for value in row] for row in heat_map(sizes, legible)],
            float(np.mean([view.tokens for view in views])),
            float(np.mean(flops)) if flops else None,
            float(np.mean(unique)) if unique else None,
            self._groups(outcomes, legible, number),
            dict(reasons),
            int((~holds).sum()),
        )

    def _groups(
        self, outcomes: list[Outcome], legible: NDArray[np.bool_], number: NDArray[np.int64]
    ) -> dict[str, dict[str, Interval]]:
        names: dict[str, Callable[[Outcome], str]] = {
            "height": lambda outcome: _height(self.line(outcome).x_height),
            "script": lambda outcome: self.line(outcome).script,
            "layout": lambda outcome: self.measured[outcome.page].layout,
        }
        groups: dict[str, dict[str, Interval]] = {}
        for name, of in names.items():
            found = np.array([of(outcome) for outcome in outcomes])
            order = [text for _, text in _HEIGHTS if text in found] if name == "height" else sorted(set(found.tolist()))
            groups[name] = {one: interval(legible[found == one], number[found == one]) for one in order}
        return groups

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the table."""
        return {
            "format": FORMAT,
            "vlmres": self.version,
            "not_measured": NOT_MEASURED,
            "settings": asdict(self.settings),
            "subjects": [asdict(subject) for subject in self.subjects],
            "notes": self.notes,
            "legibility": None if (fitted := self.legibility()) is None else asdict(fitted),
            "safe_x_height": self.safe_x_height(),
            "table": [_plain(summary) for summary in self.summaries()],
            "pages": [page.to_json() for page in self.pages],
        }

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Results:
        """Results of a report's folder, or of its `results.json`.

        Raises:
            ValueError: It is none, or of another format.
            OSError: It cannot be read.
        """
        file = Path(path)
        file = file / "results.json" if file.is_dir() else file
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ValueError(f"{file}: results of format {found['format']}, this version reads {FORMAT}")
            subjects = [Subject(**subject) for subject in found["subjects"]]
            pages = [Measured.from_json(page) for page in found["pages"]]
            return Results(subjects, Settings(**found["settings"]), pages, found["notes"], found["vlmres"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(f"{file}: these are no results of vlmres lab ({error!r})") from None


def _distinct(subjects: list[Subject], pages: list[Measured]) -> tuple[list[Subject], list[str]]:
    """Without those of which every image has more tokens than the budget, and those that are as a lower budget is."""
    kept: list[Subject] = []
    said: list[str] = []
    for subject in subjects:
        tokens = [page.views[subject.label].tokens for page in pages]
        over = subject.budget is not None and min(tokens, default=0) > subject.budget
        known = [one for one in kept if one.family == subject.family]
        twin = next((one for one in known if [page.views[one.label].tokens for page in pages] == tokens), None)
        last = all(one.family != subject.family for one in subjects[subjects.index(subject) + 1 :])
        if over and not (last and not known):
            said.append(f"{subject.label}: left out, no image has fewer than {min(tokens):,} tokens")
        elif twin is not None and pages:
            said.append(f"{subject.label}: left out, the same as {twin.label}")
        else:
            kept.append(subject)
    return kept, said


def _height(x_height: float) -> str:
    return [text for least, text in _HEIGHTS if x_height >= least][-1]


def _plain(summary: Summary) -> dict[str, Any]:
    found = {**asdict(summary), "per_token": summary.per_token}
    found["spread"] = {"acv": _number(summary.spread.acv), "rcv": _number(summary.spread.rcv)}
    for name in ("accuracy", "legible", "readable"):
        found[name] = list(getattr(summary, name))
    found["groups"] = {
        group: {one: list(interval) for one, interval in members.items()} for group, members in summary.groups.items()
    }
    return found


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def pareto(summaries: Sequence[Summary]) -> list[Summary]:
    """Those than which no other has fewer tokens and as many legible lines, by tokens."""
    front: list[Summary] = []
    for summary in sorted(summaries, key=lambda one: (one.tokens, -one.legible.mean)):
        if not front or summary.legible.mean > front[-1].legible.mean:
            front.append(summary)
    return front


def by_family(summaries: Sequence[Summary]) -> Iterator[tuple[str, list[Summary]]]:
    """Families in their order, each by tokens."""
    families: dict[str, list[Summary]] = defaultdict(list)
    for summary in summaries:
        families[summary.subject.family].append(summary)
    for family, found in families.items():
        yield family, sorted(found, key=lambda one: one.tokens)
