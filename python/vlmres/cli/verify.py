"""`vlmres verify`: vlmres against the installed transformers."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import vlmres
from vlmres._core import default_threads
from vlmres.cli import output
from vlmres.cli.options import AsJson, complete_recipe, known_recipes, load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.verify.run import Subject, Tally

_SHOWN = 10


def verify(
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            "-r",
            help="Verify this recipe, or with --against your own file; may be repeated. By default all.",
            metavar="RECIPE",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            "--checkpoint",
            "-c",
            help="Verify a checkpoint's folder; may be repeated.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Compare with this function of a list of RGB images instead: what a recipe of your own reproduces.",
            metavar="FILE.py:FUNCTION",
            show_default=False,
        ),
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Cases per recipe and arithmetic.", metavar="N")] = 100,
    arithmetic: Annotated[
        Literal["torch", "pillow"] | None,
        typer.Option(help="Only this backend of transformers; by default both.", show_default=False),
    ] = None,
    media: Annotated[
        Literal["images", "videos"] | None,
        typer.Option(help="Only images, or only the videos of the recipes that take them.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Other cases for another seed.", metavar="N")] = 0,
    case: Annotated[
        int | None, typer.Option(min=0, help="Run the case of this number alone.", metavar="N", show_default=False)
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            "-j",
            min=1,
            help="Recipes at once, each in a process; by default one a core.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Write a Markdown report here.", metavar="FILE", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare vlmres with the installed transformers, bit for bit.

    Both process images of random and extreme sizes, in many PIL modes and as arrays and tensors, with the recipe's
    settings and others. Keys, shapes, types, values and token counts must agree. For recipes with videos, frames of
    videos are compared, too. The exit code is 1 if anything differs.
    """
    _need_transformers()
    from vlmres.verify import report as reports
    from vlmres.verify.run import ARITHMETICS, Tally

    if against is None:
        subjects = _subjects(recipe or [], checkpoint or [], media)
    else:
        subjects = _own_subjects(recipe or [], against)
    if report is not None and not report.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {output.show(report.parent)}", param_hint="--out")
    arithmetics = ARITHMETICS if arithmetic is None else (arithmetic,)
    numbers = range(cases) if case is None else range(case, case + 1)
    tallies = [Tally(subject, one) for subject in subjects for one in subject.arithmetics if one in arithmetics]
    _run(tallies, seed, numbers, min(jobs or default_threads(), len(tallies)))

    if as_json:
        for tally in tallies:
            typer.echo(json.dumps(reports.as_dict(tally)))
    else:
        table = output.table(*reports.COLUMNS, right=reports.NUMBERS)
        for tally in tallies:
            table.add_row(*reports.row(tally))
        console = output.console()
        console.print(table)
        console.print(reports.versions(), soft_wrap=True)
    _complain(tallies)
    if report is not None:
        try:
            report.write_text(reports.markdown(tallies, shlex.join(["vlmres", *sys.argv[1:]])), encoding="utf-8")
        except OSError as error:
            raise typer.BadParameter(
                f"cannot write {output.show(report)}: {output.reason(error)}", param_hint="--out"
            ) from None
    if any(tally.failed for tally in tallies):
        raise typer.Exit(1)


def _own_subjects(recipes: Sequence[str], against: str) -> list[Subject]:
    from vlmres.verify.own import OwnSubject, load

    if not recipes:
        raise typer.BadParameter("needs the --recipe that is compared", param_hint="--against")
    try:
        load(against)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--against") from None
    return [OwnSubject(load_recipe(name), name, against) for name in recipes]


def _need_transformers() -> None:
    try:
        import torchvision  # noqa: F401
        import transformers
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        typer.echo(f"vlmres: verify compares with transformers and needs {missing}: pip install {missing}", err=True)
        raise typer.Exit(2) from None
    # transformers warns of unusual images, which are intended here.
    transformers.logging.set_verbosity_error()


def _subjects(
    recipes: Sequence[str], checkpoints: Sequence[Path], media: Literal["images", "videos"] | None
) -> list[Subject]:
    from vlmres.verify.references import REFERENCES, available
    from vlmres.verify.run import Subject
    from vlmres.verify.videos import VIDEO_REFERENCES, VideoSubject

    for name in recipes:
        if name not in REFERENCES:
            if name.endswith(".toml"):
                raise typer.BadParameter(
                    f"{name}: say what it reproduces, --against FILE.py:FUNCTION", param_hint="--recipe"
                )
            if name not in known_recipes():
                load_recipe(name)  # its message suggests other names
            raise typer.BadParameter(
                f"{name!r} reproduces no class of transformers by itself: --against FILE.py:FUNCTION says what it "
                f"reproduces, --checkpoint verifies a checkpoint; to verify are {', '.join(REFERENCES)}",
                param_hint="--recipe",
            )
        if not available(name):
            raise typer.BadParameter(
                f"the installed transformers is too old for {name!r}; it has no class {REFERENCES[name].name}",
                param_hint="--recipe",
            )
    names = recipes or ([] if checkpoints else list(filter(available, REFERENCES)))
    subjects: list[Subject] = []
    for name in dict.fromkeys(names):
        if media != "videos":
            subjects.append(Subject.of_recipe(name))
        if media != "images" and name in VIDEO_REFERENCES:
            subjects.append(VideoSubject.of_recipe(name))
    for directory in checkpoints:
        try:
            if not directory.is_dir():
                raise output.missing(directory)
            takes_videos = bool(vlmres.Recipe.from_pretrained(directory).video_reference)
            if media != "videos":
                subjects.append(Subject.of_checkpoint(directory))
            if media != "images" and takes_videos:
                subjects.append(VideoSubject.of_checkpoint(directory))
        except (vlmres.VlmresError, OSError) as error:
            # A recipe's own error says more than the system's message.
            reason = error.strerror if isinstance(error, OSError) else output.reason(error)
            raise typer.BadParameter(f"{output.show(directory)}: {reason}", param_hint="--checkpoint") from None
    if not subjects:
        raise typer.BadParameter(f"videos are taken by {', '.join(VIDEO_REFERENCES)}", param_hint="--media")
    return subjects


def _run(tallies: list[Tally], seed: int, numbers: range, jobs: int) -> None:
    """Runs the cases and fills the tallies."""
    from vlmres.verify.parallel import verify_all
    from vlmres.verify.run import verify

    errors = output.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task("verify", total=len(tallies) * len(numbers))
        if jobs > 1:
            for index, tally in verify_all(tallies, seed, numbers, jobs):
                tallies[index] = tally
                progress.update(task, advance=len(numbers), description=f"{tally.subject.name}, {tally.arithmetic}")
            return
        for tally in tallies:
            progress.update(task, description=f"{tally.subject.name}, {tally.arithmetic}")
            for _ in verify(tally, seed, numbers):
                progress.advance(task)


def _complain(tallies: Sequence[Tally]) -> None:
    errors = output.console(stderr=True)
    failures = [(tally, failure) for tally in tallies for failure in tally.failures]
    for tally, failure in failures[:_SHOWN]:
        what = f"vlmres: {tally.subject.name}, {tally.arithmetic}: {failure.reason} ({failure.case})"
        errors.print(what, soft_wrap=True)
        errors.print(f"  {failure.command}", soft_wrap=True)
    if len(failures) > _SHOWN:
        errors.print(f"vlmres: {len(failures) - _SHOWN} more failures are in the file of --out", soft_wrap=True)
    for tally in tallies:
        if tally.left_out == tally.cases:
            errors.print(f"vlmres: {tally.subject.name}, {tally.arithmetic}: no case was compared", soft_wrap=True)
