"""Measuring one page: its lines are read at full size and as each candidate's encoder sees them."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from vlmres._core import VlmresError
from vlmres.lab import ink, score
from vlmres.lab.flops import encoder_flops
from vlmres.lab.pages import Content, Line, digest, script_of
from vlmres.lab.readers import Finder
from vlmres.lab.seen import Glimpse, Seen, crop, grown
from vlmres.legibility import text_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres._core import Plan
    from vlmres.lab.candidates import Candidate
    from vlmres.lab.pages import Page
    from vlmres.lab.readers import Box, Pixels, Reader

Truth = Literal["known", "layer", "reader"]

LAYER_MAY_DIFFER = 0.1
"""Largest share of characters in which a text layer may differ from the text read at full size."""

# Shorter pieces say little, and may be misread by chance.
_LEAST_LETTERS = 4
# This many more lines than needed are read at full size, because some cannot be read.
_SPARE = 1.2


@dataclass
class View:
    """The results of a page's lines for one candidate."""

    tokens: int
    visual_tokens: int
    flops: int | None
    unique: float | None
    """Share of the merged patches that do not equal an earlier one."""
    readings: list[str] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    x_heights: list[float] = field(default_factory=list)
    """Effective x-heights in pixels; 0 if no view shows the line."""


@dataclass
class Measured:
    """The results of a page, as stored."""

    name: str
    layout: str
    size: tuple[int, int]
    truth: Truth
    """The source of the true text: the drawing of the page, the PDF's text layer, or the reader at full size."""
    lines: list[Line]
    views: dict[str, View]
    """Results by the label of the candidate."""
    text_tokens: float
    """An estimate for the whole page."""
    unread: int
    """Number of lines that were left out because the reader cannot read them at full size."""
    failed: str | None = None
    """The reason why nothing was measured."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_json(stored: dict[str, Any]) -> Measured:
        """What `to_json` gave."""
        lines = [Line(**{**line, "box": tuple(line["box"])}) for line in stored["lines"]]
        views = {label: View(**view) for label, view in stored["views"].items()}
        return Measured(**{**stored, "size": tuple(stored["size"]), "lines": lines, "views": views})


class UnmeasurableError(Exception):
    """A page on which nothing can be measured; the message gives the reason."""


class ReaderError(RuntimeError):
    """A reader raised an error."""


def measure(page: Page, candidates: Sequence[Candidate], reader: Reader, lines: int | None, seed: int) -> Measured:
    """Measures a page.

    Args:
        page: The page.
        candidates: The candidates to compare.
        reader: Reads the lines.
        lines: Most lines; None for all.
        seed: Seed of the sample of lines.

    Raises:
        ReaderError: The reader raised an error.
    """
    try:
        content = page.open()
    except (VlmresError, OSError, ModuleNotFoundError) as error:
        return _failed(page, (0, 0), " ".join(str(error).split()))
    height, width = content.pixels.shape[:2]
    rng = random.Random(digest(page.identity, str(seed)))
    try:
        truth, chosen, unread, estimate = _truths(content, page, reader, lines, rng)
        views = _views(content.pixels, (width, height), chosen, candidates, reader)
    except (UnmeasurableError, VlmresError) as error:
        return _failed(page, (width, height), " ".join(str(error).split()))
    return Measured(page.name, page.layout, (width, height), truth, chosen, views, estimate, unread)


def _read(reader: Reader, lines: list[Pixels]) -> list[str]:
    try:
        return reader.read(lines)
    except Exception as error:
        raise ReaderError(f"the reader {reader.name} failed: {error!r}") from error


def _find(reader: Finder, page: Pixels) -> list[Box]:
    try:
        return reader.find(page)
    except Exception as error:
        raise ReaderError(f"the reader failed to find lines: {error!r}") from error


def _failed(page: Page, size: tuple[int, int], why: str) -> Measured:
    return Measured(page.name, page.layout, size, "known", [], {}, 0.0, 0, why)


def _truths(
    content: Content, page: Page, reader: Reader, most: int | None, rng: random.Random
) -> tuple[Truth, list[Line], int, float]:
    """The lines to measure with their texts, the number of lines that were left out, and the page's text tokens."""
    known = [line for line in content.lines if _is_enough(line.text) and line.x_height > 0]
    if known:
        sample = _sample(known, most, rng)
        readings = _read(reader, [_at_full_size(content.pixels, line.box) for line in sample])
        scores = [score.accuracy(reading, line.text) for reading, line in zip(readings, sample, strict=True)]
        letters = [len(score.normalised(line.text)) for line in sample]
        wrong = sum((1 - one) * count for one, count in zip(scores, letters, strict=True)) / sum(letters)
        if page.layout != "document" or wrong <= LAYER_MAY_DIFFER:
            kept = [line for line, one in zip(sample, scores, strict=True) if one >= score.LEGIBLE]
            estimate = text_tokens(content.text or [line.text for line in content.lines])
            truth: Truth = "layer" if page.layout == "document" else "known"
            return truth, kept[:most], len(sample) - len(kept), estimate
    return _by_reader(content.pixels, reader, most, rng)


def _by_reader(
    pixels: Pixels, reader: Reader, most: int | None, rng: random.Random
) -> tuple[Truth, list[Line], int, float]:
    """Lines that the reader finds and reads, twice alike: with a narrow and with a wide margin."""
    if not isinstance(reader, Finder):
        raise UnmeasurableError(f"no usable text layer, and the reader {reader.name} does not find lines")
    height, width = pixels.shape[:2]
    found = sorted(_find(reader, pixels), key=lambda box: (box[3] - box[1], box))
    if not found:
        raise UnmeasurableError("no text was found")
    pieces: list[Box] = []
    for box in _sample_boxes(found, most, rng):
        whole = _whole(box, (width, height))
        cut = ink.cut(crop(pixels, whole), whole)
        # All of a line, or one piece of each of the sample.
        pieces += cut if most is None else [rng.choice(_longer(cut))] if cut else []
    narrow = _read(reader, [_at_full_size(pixels, box) for box in pieces])
    wide = _read(reader, [crop(pixels, grown(box, (width, height), 0.3)) for box in pieces])
    lines, unread, widths, letters = [], 0, 0.0, 0.0
    for box, text, again in zip(pieces, narrow, wide, strict=True):
        if not _is_enough(text):
            continue
        if score.accuracy(again, text) < score.LEGIBLE:
            unread += 1
            continue
        script = script_of(text)
        lines.append(Line(box, text, ink.x_height(crop(pixels, box), han=script == "han"), script))
        widths, letters = widths + (box[2] - box[0]) / (box[3] - box[1]), letters + text_tokens(text)
    if not lines:
        raise UnmeasurableError("the reader reads none of its lines at full size")
    lines = [line for line in lines if line.x_height > 0][:most]
    length = sum((box[2] - box[0]) / (box[3] - box[1]) for box in found)
    return "reader", lines, unread, length * letters / widths


def _longer(pieces: list[Box]) -> list[Box]:
    """Those of at least three heights, where there are any: of two characters one is half a line."""
    return [box for box in pieces if box[2] - box[0] >= 3 * (box[3] - box[1])] or pieces


def _is_enough(text: str) -> bool:
    return len(score.normalised(text)) >= _LEAST_LETTERS or (
        script_of(text) == "han" and len(score.normalised(text)) >= 2
    )


def _sample(lines: list[Line], most: int | None, rng: random.Random) -> list[Line]:
    ordered = sorted(lines, key=lambda line: (line.x_height, line.box))
    return [ordered[at] for at in _systematic(len(ordered), most, rng)]


def _sample_boxes(boxes: list[Box], most: int | None, rng: random.Random) -> list[Box]:
    return [boxes[at] for at in _systematic(len(boxes), most, rng)]


def _systematic(count: int, most: int | None, rng: random.Random) -> list[int]:
    """Evenly spaced places from a random start, in random order: small and large lines both come in."""
    wanted = count if most is None else min(count, int(_SPARE * most + 1))
    start = rng.random()
    places = [int((start + at) * count / wanted) for at in range(wanted)]
    rng.shuffle(places)
    return places


def _whole(box: Box, size: tuple[int, int]) -> Box:
    left, top, right, bottom = (round(side) for side in box)
    return max(0, left), max(0, top), min(size[0], max(right, left + 1)), min(size[1], max(bottom, top + 1))


def _at_full_size(pixels: Pixels, box: Box) -> Pixels:
    height, width = pixels.shape[:2]
    return crop(pixels, grown(box, (width, height)))


def _views(
    pixels: Pixels, size: tuple[int, int], lines: list[Line], candidates: Sequence[Candidate], reader: Reader
) -> dict[str, View]:
    """The texts that the reader reads in each candidate's views, for each line the best."""
    if not lines:
        raise UnmeasurableError("the reader reads none of its lines at full size")
    shown: dict[str, list[list[Glimpse]]] = {}
    views: dict[str, View] = {}
    same: dict[Any, str] = {}
    for candidate in candidates:
        plan = candidate.plan(size)
        key = _key(plan)
        if key in same:
            views[candidate.label] = views[same[key]]
            continue
        same[key] = candidate.label
        seen = Seen(pixels, plan)
        shown[candidate.label] = [seen.glimpses(line.box) for line in lines]
        scales = [max((glimpse.scale for glimpse in glimpses), default=0.0) for glimpses in shown[candidate.label]]
        views[candidate.label] = View(
            plan.num_tokens,
            plan.num_visual_tokens,
            encoder_flops(plan),
            round(seen.unique_share, 6),
            [""] * len(lines),
            [0.0] * len(lines),
            [round(line.x_height * scale, 4) for line, scale in zip(lines, scales, strict=True)],
        )
    _read_rounds(shown, views, lines, reader)
    return views


def _key(plan: Plan) -> Any:
    """What plans of the same pixels and tokens have in common."""
    views = [(view.role, view.resized, view.canvas, view.offset, view.tiles, view.fill) for view in plan.views]
    return plan.recipe.name, plan.num_tokens, tuple(views)


def _read_rounds(
    shown: dict[str, list[list[Glimpse]]], views: dict[str, View], lines: list[Line], reader: Reader
) -> None:
    """Reads the largest view of every line first, then the next one of those that were not read in full."""
    known: dict[str, str] = {}
    for turn in range(max(len(glimpses) for found in shown.values() for glimpses in found) if shown else 0):
        asked = [
            (label, at, found[at][turn].pixels)
            for label, found in shown.items()
            for at in range(len(lines))
            if turn < len(found[at]) and views[label].accuracies[at] < 1
        ]
        names = [digest(str(pixels.shape), pixels.tobytes()) for _, _, pixels in asked]
        fresh = {name: pixels for name, (_, _, pixels) in zip(names, asked, strict=True) if name not in known}
        known |= dict(zip(fresh, _read(reader, list(fresh.values())), strict=True))
        for name, (label, at, _) in zip(names, asked, strict=True):
            accuracy = score.accuracy(known[name], lines[at].text)
            view = views[label]
            if accuracy > view.accuracies[at] or not view.readings[at]:
                view.readings[at], view.accuracies[at] = known[name], round(accuracy, 6)
