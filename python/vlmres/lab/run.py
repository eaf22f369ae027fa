"""A run of the lab: several pages are measured at the same time, and each is stored as soon as it is done."""

from __future__ import annotations

import json
import os
import random
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmres._core import build_info, default_threads
from vlmres.lab.measure import Measured, ReaderError, measure
from vlmres.lab.pages import digest
from vlmres.lab.results import Results, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vlmres.lab.candidates import Candidate
    from vlmres.lab.pages import Page
    from vlmres.lab.readers import Reader

STORED = 2
"""The form of stored pages: others are measured again."""

LINES = 6
PAGES = 50


def run(
    pages: Sequence[Page],
    candidates: Sequence[Candidate],
    reader: Reader,
    *,
    lines: int | None = LINES,
    most_pages: int | None = PAGES,
    seed: int = 0,
    jobs: int | None = None,
    store: str | os.PathLike[str] | None = None,
    notes: Sequence[str] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> Results:
    """Measures candidates on pages.

    The same pages, settings and reader give the same results, whatever `jobs` is and however often a run was stopped.

    Args:
        pages: Pages from `open_pages` or `grid_pages`.
        candidates: The candidates to compare.
        reader: Reads the lines.
        lines: Most lines of a page; None for all.
        most_pages: Most pages, chosen at random; None for all.
        seed: Seed of the random choice of pages and lines.
        jobs: Pages that are measured at the same time, each in a thread; by default `VLMRES_NUM_THREADS`, else all
            processors.
        store: A folder for results. Pages whose results are in it are not measured again.
        notes: Notes for the report about pages that were left out before.
        progress: Called with the number of finished pages, the number of pages, and the name of the last one.

    Raises:
        ValueError: There are no pages or no candidates, or two candidates have one label.
        ReaderError: The reader raised an error. Results before it are stored.
    """
    labels = [candidate.label for candidate in candidates]
    if not pages or not candidates:
        raise ValueError(f"{len(pages)} pages and {len(candidates)} candidates: nothing to measure")
    if len(set(labels)) < len(labels):
        raise ValueError(f"two candidates have one label: {', '.join(labels)}")
    chosen = _sample(pages, most_pages, seed)
    folder = None if store is None else Path(store)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    settings = Settings(reader.name, lines, most_pages, seed)
    stem = _stem(candidates, settings)

    def one(page: Page) -> Measured:
        file = None if folder is None else folder / f"{digest(page.identity, page.name, stem)}.json"
        if file is not None and (stored := _stored(file)) is not None:
            return stored
        try:
            measured = measure(page, candidates, reader, lines, seed)
        except ReaderError as error:
            raise ReaderError(f"{page.name}: {error}") from error.__cause__
        if file is not None:
            _write(file, {"stored": STORED, "page": measured.to_json()})
        return measured

    done: list[Measured | None] = [None] * len(chosen)
    with ThreadPoolExecutor(jobs or default_threads()) as pool:
        places = {pool.submit(one, page): at for at, page in enumerate(chosen)}
        try:
            for count, future in enumerate(as_completed(places), 1):
                done[places[future]] = future.result()
                if progress is not None:
                    progress(count, len(chosen), chosen[places[future]].name)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    said = list(notes)
    if len(chosen) < len(pages):
        said.append(f"a sample of {len(chosen):,} of {len(pages):,} pages (seed {seed})")
    return Results.of([page for page in done if page is not None], candidates, settings, said)


def _sample(pages: Sequence[Page], most: int | None, seed: int) -> list[Page]:
    if most is None or len(pages) <= most:
        return list(pages)
    places = sorted(random.Random(seed).sample(range(len(pages)), most))
    return [pages[at] for at in places]


def _stem(candidates: Sequence[Candidate], settings: Settings) -> str:
    """Changes with all that outcomes depend on beside the page."""
    recipes = [f"{candidate.label} {candidate.budget} {candidate.recipe.to_toml()}" for candidate in candidates]
    return digest(str(build_info()["version"]), settings.reader, f"{settings.lines} {settings.seed}", *recipes)


def _stored(file: Path) -> Measured | None:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Measured.from_json(found["page"]) if found.get("stored") == STORED else None


def _write(file: Path, content: Any) -> None:
    """A whole file or none, whenever the process is killed."""
    unfinished = file.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    unfinished.replace(file)
