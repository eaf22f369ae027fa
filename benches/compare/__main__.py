"""The command line: `python -m benches.compare --help`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from benches import compare
from benches.compare import decoding, report
from benches.compare import memory as peaks
from benches.compare.contestants import CONTESTANTS
from benches.compare.fleet import ROOT, Fleet
from benches.compare.measure import Budget, measure
from benches.compare.report import Results
from benches.compare.tables import TABLES, Table
from benches.compare.work import Output, Shelf, Source

RESULTS = ROOT / "out" / "compare.json"

app = typer.Typer(help=compare.__doc__, no_args_is_help=True, add_completion=False)


@app.command("list")
def list_all() -> None:
    """The tables with their columns, and the contestants."""
    for name, table in TABLES.items():
        print(f"{name}: {table.title}\n    columns: {'; '.join(table.columns)}\n    rows: {'; '.join(table.rows)}")


@app.command()
def run(
    tables: Annotated[list[str] | None, typer.Argument(help="Names of tables; all by default. See `list`.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="Only this contestant, beside vlmres; again for more.")] = None,
    column: Annotated[str, typer.Option(help="Only columns whose heading has this text.")] = "",
    source: Annotated[Source | None, typer.Option("--input", help="Only jobs whose images are given so.")] = None,
    output: Annotated[Output | None, typer.Option(help="Only jobs of this type of values.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of every contestant, in place of the table's.")] = None,
    seconds: Annotated[float, typer.Option(help="Time to measure a column for.")] = 4.0,
    runs: Annotated[int | None, typer.Option(help="Rounds of a column, in place of a time.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Three rounds: to see that all works.")] = False,
    save: Annotated[Path, typer.Option(help="Where the times of all rounds go.")] = RESULTS,
    append: Annotated[bool, typer.Option("--append", help="Keep the other tables of that file.")] = False,
) -> None:
    """Measures, prints Markdown, and saves the results after every column."""
    rounds = 3 if quick else runs
    budget = Budget(0, rounds, rounds) if rounds else Budget(seconds, 5, 61)
    results = _resume(save) if append else Results()
    for name in tables or ():
        if name not in TABLES:
            _fail(f"there is no table {name}; there are {', '.join(TABLES)}")
    for name in peer or ():
        if name not in CONTESTANTS:
            _fail(f"there is no contestant {name}; there are {'; '.join(CONTESTANTS)}")
    print(results.about)
    failures: list[str] = []
    with ExitStack() as stack:
        shelf = Shelf(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        fleets: dict[int, Fleet] = {}
        for name in tables or TABLES:
            table = TABLES[name]
            columns = results.tables[name] = {}
            for heading, job in table.columns.items():
                if column not in heading or source not in (None, job.source) or output not in (None, job.output):
                    continue
                work = replace(job, threads=threads or job.threads)
                if work.threads not in fleets:
                    fleets[work.threads] = stack.enter_context(closing(Fleet(work.threads)))
                print(f"{name}: {heading}", file=sys.stderr)
                columns[heading] = measure(fleets[work.threads], shelf, table, work, _names(table, peer), budget)
                failures += [
                    f"{name}, {heading}, {contestant}: {result.skipped}"
                    for contestant, result in columns[heading].items()
                    if result.failed
                ]
                results.save(save)
            if columns:
                print(f"\n{report.table(name, columns)}", flush=True)
            else:
                del results.tables[name]
    if failures:
        _fail("\n".join(failures))


@app.command("write")
def write_docs(results: Annotated[Path, typer.Argument(help="What `run` saved.")] = RESULTS) -> None:
    """Puts saved tables into README.md and docs/."""
    for path in report.write(Results.load(results)):
        print(f"rewritten: {path}")


@app.command()
def memory(
    save: Annotated[Path, typer.Option(help="A file of `run`, which gets the table too.")] = RESULTS,
) -> None:
    """Peak resident memory of one call (Linux): the output, and what is needed beside it."""
    with tempfile.TemporaryDirectory() as folder:
        table = peaks.report(Shelf(Path(folder)))
    print(f"{report.about()}\n\n{table}")
    results = _resume(save)
    results.memory = table
    results.save(save)


@app.command("decoding")
def decode(
    save: Annotated[Path, typer.Option(help="A file of `run`, which gets the table too.")] = RESULTS,
    rounds: Annotated[int, typer.Option(help="Rounds of a file.")] = decoding.ROUNDS,
) -> None:
    """Decoding alone, format by format, beside Pillow and OpenCV: one thread, CPU time."""
    table = decoding.report(rounds=rounds)
    print(f"{report.about()}\n\n{table}")
    results = _resume(save)
    results.decoding = table
    results.save(save)


def _resume(path: Path) -> Results:
    """Saved results to add to; empty ones where there are none."""
    results = Results()
    if not path.exists():
        return results
    earlier = Results.load(path)
    if earlier.about != results.about:
        _fail(f"{path} is of another machine or other versions: {earlier.about}")
    return earlier


def _names(table: Table, peers: list[str] | None) -> set[str]:
    """Contestants to time: those asked for, and vlmres."""
    if not peers:
        return set(table.rows)
    return {name for name in table.rows if name in peers or CONTESTANTS[name].ours}


def _fail(message: str) -> None:
    print(message, file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
