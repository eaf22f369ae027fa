"""`vlmres lab`: how legible text stays under each strategy and budget, measured with a reader."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vlmres.cli import output
from vlmres.cli.files import find_files
from vlmres.cli.options import AsJson, complete_recipe, load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres._core import Recipe
    from vlmres.lab import Candidate, Page, Reader, Results, Summary


def lab(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files, PDF files, or folders of them.", metavar="PATH...", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Write the report here.", metavar="DIR")] = Path("report"),
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            "-r",
            help="Compare this recipe, or RECIPE@TOKENS within a budget of its own; may be repeated. By default five.",
            metavar="RECIPE",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    budget: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="The most tokens an image; may be repeated. By default 256, 512, 1024 and 2048, with -r none.",
            metavar="TOKENS",
            show_default=False,
        ),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Measure on drawn pages of 7 areas and 5 ratios, not on files.")
    ] = False,
    reader: Annotated[
        str,
        typer.Option(help="pp-ocrv6, pp-ocrv4, tesseract, tesseract:LANGUAGES, or FILE.py:FUNCTION.", metavar="NAME"),
    ] = "pp-ocrv6",
    lines: Annotated[int, typer.Option(min=1, help="Lines of a page, sampled.", metavar="N")] = 6,
    pages: Annotated[int, typer.Option(min=1, help="Pages, sampled.", metavar="N")] = 50,
    full: Annotated[bool, typer.Option("--full", help="All lines of all pages.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples and of the grid.", metavar="N")] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Pages at once; by default one a core.", metavar="N", show_default=False
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(help="Compare with another report.", metavar="DIR", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure which strategy, and how many tokens, your images need.

    Lines of your pages are read at full size, and again from the very pixels that each recipe's encoder would get; the
    report says what share stays legible for how many tokens. Nothing needs labels, a GPU or the network. A run that was
    stopped goes on where it was.
    """
    from vlmres.lab import ReaderError, Results, run, write_report

    if grid == bool(paths):
        raise typer.BadParameter("name files or folders, or take --grid", param_hint="PATH")
    other = _load(against, Results) if against is not None else None
    reads = _reader(reader)
    candidates, notes = _candidates(recipe, budget)
    found, missing = _pages(paths or [], grid=grid, seed=seed, lines=lines)
    errors = output.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
            task = progress.add_task("pages", total=None)
            results = run(
                found,
                candidates,
                reads,
                lines=None if full else lines,
                most_pages=None if full or grid else pages,
                seed=seed,
                jobs=jobs,
                store=out / "pages",
                notes=[*notes, *missing],
                progress=lambda done, total, _: progress.update(task, completed=done, total=total),
            )
    except ReaderError as error:
        errors.print(
            f"vlmres: {error}; what was measured before is kept in {output.show(out / 'pages')}", soft_wrap=True
        )
        raise typer.Exit(1) from None
    except OSError as error:
        raise _unwritable(out, error) from None
    try:
        index = write_report(results, out, pages=found, candidates=candidates, against=other)
    except OSError as error:
        raise _unwritable(out, error) from None
    _tell(results, index, as_json=as_json)


def _unwritable(out: Path, error: OSError) -> typer.BadParameter:
    return typer.BadParameter(f"cannot write {output.show(out)}: {output.reason(error)}", param_hint="--out")


def _load(against: Path, results: type[Results]) -> Results:
    try:
        return results.load(against)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{output.show(against)}: {output.reason(error)}", param_hint="--against") from None


def _reader(name: str) -> Reader:
    from vlmres.lab import load_reader

    try:
        return load_reader(name)
    except ModuleNotFoundError as error:
        typer.echo(f"vlmres: {error}", err=True)
        raise typer.Exit(2) from None
    except (OSError, ValueError) as error:
        raise typer.BadParameter(output.reason(error), param_hint="--reader") from None


def _candidates(recipe: Sequence[str] | None, budget: Sequence[int] | None) -> tuple[list[Candidate], list[str]]:
    from vlmres.lab.candidates import DEFAULT_BUDGETS, DEFAULT_RECIPES, with_budgets

    recipes = [(name, _recipe(name)) for name in recipe or DEFAULT_RECIPES]
    return with_budgets(recipes, list(budget or ([] if recipe else DEFAULT_BUDGETS)))


def _recipe(name: str) -> Recipe:
    plain, at, tokens = name.rpartition("@")
    return load_recipe(plain if at and tokens.isdecimal() else name)


def _pages(paths: Sequence[Path], *, grid: bool, seed: int, lines: int) -> tuple[list[Page], list[str]]:
    from vlmres.lab import grid_pages, open_pages

    if grid:
        return grid_pages(seed, lines=lines)
    files = find_files(paths)
    files.tell(quiet=False)
    found, wrong = open_pages(files.files)
    for name, why in wrong.items():
        output.complain(name, why)
    if not found:
        raise typer.Exit(1)
    return found, [f"{name}: {why}" for name, why in wrong.items()]


def _tell(results: Results, index: Path, *, as_json: bool) -> None:
    from vlmres.lab.answer import answer, caution

    if not results.num_lines:
        for name, why in list(results.failed.items())[:10]:
            output.complain(name, why)
        output.console(stderr=True).print(f"vlmres: nothing could be measured; {output.show(index)} says why")
        raise typer.Exit(1)
    summaries = results.summaries()
    if as_json:
        for one in summaries:
            typer.echo(json.dumps(_as_dict(one)))
        return
    numbers = ("tokens", "legible %", "accuracy %", "ACV", "RCV")
    table = output.table("candidate", "strategy", *numbers, right=numbers)
    for one in sorted(summaries, key=lambda summary: summary.tokens):
        table.add_row(
            one.subject.label,
            one.subject.strategy,
            f"{one.tokens:,.0f}",
            f"{100 * one.legible.mean:.1f} ({100 * one.legible.low:.0f}-{100 * one.legible.high:.0f})",
            f"{100 * one.accuracy.mean:.1f}",
            *("-" if math.isnan(value) else f"{value:.1f}" for value in one.spread),
        )
    console = output.console()
    console.print(table)
    for text in (answer(results, summaries), caution(results, summaries), f"The report: {output.show(index)}"):
        console.print(text, soft_wrap=True)


def _as_dict(one: Summary) -> dict[str, Any]:
    """A candidate as JSON holds it, shares from 0 to 1."""
    acv, rcv = (None if math.isnan(value) else value for value in one.spread)
    return {
        "candidate": one.subject.label,
        "strategy": one.subject.strategy,
        "tokens": one.tokens,
        "legible": one.legible.mean,
        "legible_range": [one.legible.low, one.legible.high],
        "accuracy": one.accuracy.mean,
        "acv": acv,
        "rcv": rcv,
    }
