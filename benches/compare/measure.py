"""One column of a table: contestants are made ready, checked, and timed in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benches.compare import verify
from benches.compare.contestants import CONTESTANTS, Arithmetic
from benches.compare.fleet import Fleet, PeerError
from benches.compare.tables import Table
from benches.compare.work import Shelf, Work


@dataclass(frozen=True)
class Budget:
    """How long a column is measured."""

    seconds: float
    """Rounds begin for as long as this."""
    least: int
    """Rounds at least."""
    most: int
    """Rounds at most."""


@dataclass
class Result:
    """What is known of a contestant in a column."""

    ms: list[float] = field(default_factory=list)
    """Of each round."""
    levels: float | None = None
    """Largest difference from the reference in levels of 8 bits; None for parts of the work."""
    skipped: str | None = None
    """Why it was not timed."""
    failed: bool = False
    """Whether that is an error, and not just a library that is not installed."""


def measure(
    fleet: Fleet, shelf: Shelf, table: Table, work: Work, names: Iterable[str], budget: Budget
) -> dict[str, Result]:
    """Results by contestant; `names` are those to time."""
    results = {name: Result() for name in table.rows if name in names}
    paths = shelf.put(work)
    _check(fleet, table, work, paths, results)
    ready = [name for name, result in results.items() if result.skipped is None]
    start = time.monotonic()
    for index in range(budget.most):
        if not ready or (index >= budget.least and time.monotonic() - start > budget.seconds):
            break
        # Another contestant begins each round, so that none always follows the same one.
        first = index % len(ready)
        for name in ready[first:] + ready[:first]:
            try:
                results[name].ms.append(fleet.ask(CONTESTANTS[name].process, "turn", name=name))
            except PeerError as error:
                results[name] = Result(skipped=str(error), failed=True)
                ready.remove(name)
    fleet.clear()
    return results


def _check(fleet: Fleet, table: Table, work: Work, paths: list[str], results: dict[str, Result]) -> None:
    """Prepares the contestants, and fills in how far each is off, or why it is not to be timed."""
    references: dict[Arithmetic, verify.Arrays] = {}
    for name, result in results.items():
        contestant = CONTESTANTS[name]
        try:
            prepare(fleet, name, work, paths)
            if contestant.part:
                continue
            arithmetic = contestant.equals or table.nearest
            if arithmetic not in references:
                reference = table.reference(arithmetic)
                prepare(fleet, reference, work, paths)
                references[arithmetic] = _output(fleet, reference)
            levels = result.levels = verify.difference(_output(fleet, name), references[arithmetic], work)
        except PeerError as error:
            result.skipped, result.failed = str(error), not error.missing
        except ValueError as error:
            result.skipped, result.failed = str(error), True
        else:
            # JPEG decoders may differ; what is made of the same pixels may not.
            if contestant.equals and levels > 0 and work.source != "jpeg":
                result.skipped, result.failed = f"should be exact, and is off by up to {levels:.2g} levels", True


def _output(fleet: Fleet, name: str) -> verify.Arrays:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output.npz"
        fleet.ask(CONTESTANTS[name].process, "dump", name=name, path=str(path))
        return verify.read(path)


def prepare(fleet: Fleet, name: str, work: Work, paths: list[str]) -> None:
    """Makes a contestant ready in its process."""
    contestant = CONTESTANTS[name]
    fleet.ask(
        contestant.process,
        "prepare",
        name=name,
        function=contestant.function,
        options=dict(contestant.options),
        work=work.to_json(),
        images=paths,
    )
