"""One column of a table: contestants are made ready, checked, and timed in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benches.compare import verify
from benches.compare.contestants import CONTESTANTS, Contestant
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
    """Largest difference from the reference in levels of 8 bits; None for floors."""
    skipped: str | None = None
    """Why it did not run."""


class NotExactError(Exception):
    """A contestant that claims to equal its reference does not."""


def measure(
    fleet: Fleet, shelf: Shelf, table: Table, work: Work, names: Iterable[str], budget: Budget
) -> dict[str, Result]:
    """Results by contestant; `names` are those to time.

    Raises:
        NotExactError: A contestant is not what it claims to be.
        PeerError: A contestant failed, and not for want of its library.
    """
    results = {name: Result() for name in table.rows if name in names}
    paths = shelf.put(work)
    try:
        _check(fleet, table, work, paths, results)
        ready = [name for name, result in results.items() if result.skipped is None]
        start = time.monotonic()
        for index in range(budget.most):
            if index >= budget.least and time.monotonic() - start > budget.seconds:
                break
            # Another contestant begins each round, so that none always follows the same one.
            first = index % len(ready) if ready else 0
            for name in ready[first:] + ready[:first]:
                results[name].ms.append(fleet.ask(CONTESTANTS[name].process, "turn", name=name))
    finally:
        fleet.clear()
    return results


def _check(fleet: Fleet, table: Table, work: Work, paths: list[str], results: dict[str, Result]) -> None:
    """Prepares the contestants and fills in how far each is off or why it is skipped."""
    with tempfile.TemporaryDirectory() as folder:
        references: dict[str, verify.Arrays] = {}

        def output(name: str) -> verify.Arrays:
            path = Path(folder) / "output.npz"
            fleet.ask(CONTESTANTS[name].process, "dump", name=name, path=str(path))
            return verify.read(path)

        for name, result in results.items():
            contestant = CONTESTANTS[name]
            try:
                prepare(fleet, name, work, paths)
                if contestant.floor:
                    continue
                arithmetic = contestant.equals or _nearest(contestant)
                if arithmetic not in references:
                    reference = table.reference(arithmetic)
                    prepare(fleet, reference, work, paths)
                    references[arithmetic] = output(reference)
                result.levels = verify.difference(output(name), references[arithmetic], work)
            except PeerError as error:
                if not error.missing:
                    raise PeerError(f"{name}: {error}", missing=False) from error
                result.skipped = str(error)
                continue
            except ValueError as error:
                raise NotExactError(f"{name}: {error}") from error
            # JPEG decoders may differ; what is made of the same pixels may not.
            if contestant.equals and result.levels and work.source != "jpeg":
                raise NotExactError(f"{name} is off by up to {result.levels:.3g} levels, and should be exact: {work}")


def _nearest(contestant: Contestant) -> Any:
    """What a contestant that claims nothing is compared with."""
    return "pillow" if contestant.function.endswith(":resize") else "torch"


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
