"""`vlmres process`: images to safetensors shards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

import vlmres
from vlmres.cli import output, shards
from vlmres.cli.files import find_images
from vlmres.cli.job import Job, OtherContentError
from vlmres.cli.options import (
    ArithmeticOption,
    DecodeOption,
    Force,
    MaxImagePixels,
    Overrides,
    Paths,
    RecipeName,
    Threads,
    load_recipe,
)
from vlmres.processor import DType, Layout

if TYPE_CHECKING:
    from rich.progress import Task


def process(
    paths: Paths,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for shards and manifest.json.", metavar="DIR", show_default=False),
    ],
    recipe: RecipeName,
    overrides: Overrides = None,
    layout: Annotated[
        Layout, typer.Option(help="hf: the reference processor's tensors. packed: all patches in one tensor.")
    ] = "hf",
    dtype: Annotated[
        DType, typer.Option(help="Type of pixel values; uint8 are those before normalisation.")
    ] = "float32",
    arithmetic: ArithmeticOption = None,
    decode: DecodeOption = "exact",
    max_image_pixels: MaxImagePixels = None,
    shard_size: Annotated[int, typer.Option(min=1, help="Images per shard; fewer where they need over 1 GiB.")] = 64,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Process images into safetensors shards and a manifest.json that says where each image is.

    Run the same command again after an interruption, or when files were added or changed: finished shards are kept.
    A bad file is reported and skipped. Exit codes: 0 all done, 1 some files failed, 2 wrong usage, 130 interrupted.
    """
    chosen = load_recipe(recipe, overrides)
    try:
        processor = vlmres.Processor(
            chosen, layout, dtype, arithmetic, threads, max_image_pixels=max_image_pixels, decode=decode
        )
    except vlmres.RecipeError as error:
        raise typer.BadParameter(str(error)) from None
    run_job(Job(find_images(paths), out, processor, shard_size), "process", force=force)


def run_job(job: Job, name: str, *, force: bool) -> None:
    """Runs a job under a command's name, from its folder's preparation to its exit code."""
    try:
        job.prepare(force=force)
    except OtherContentError as error:
        message = f"{output.show(job.folder)} holds {error}. Choose another folder, or replace it with --force"
        raise typer.BadParameter(message, param_hint="--out") from None
    except OSError as error:
        raise typer.BadParameter(f"{output.show(job.folder)}: {output.reason(error)}", param_hint="--out") from None
    try:
        counts = _run(job, name)
    except KeyboardInterrupt:
        output.console(stderr=True).print("vlmres: interrupted; the same command goes on where it stopped")
        raise typer.Exit(130) from None
    except OSError as error:
        output.complain(error.filename or job.folder, error)
        raise typer.Exit(1) from None
    if counts["failed"]:
        raise typer.Exit(1)


def _run(job: Job, name: str) -> dict[str, int]:
    """Runs a job with a bar of progress on the standard error, and says what became of it."""
    counts = {"made": 0, "kept": 0, "images": 0, "failed": 0, "processed": 0}
    start = time.perf_counter()
    errors = output.console(stderr=True)
    columns: list[Any] = [BarColumn(), MofNCompleteColumn(), TextColumn("images"), _Speed(), TimeRemainingColumn()]
    with Progress(*columns, console=errors, disable=not errors.is_terminal) as progress:
        task = progress.add_task(name, total=len(job.files))

        def advance(count: int, *, kept: bool) -> None:
            progress.advance(task, count)
            if kept:
                # The speed, and with it the time that remains, is that of images which take time.
                progress.reset(task, completed=int(progress.tasks[task].completed))

        for shard in job.run(advance):
            counts["kept" if shard.kept else "made"] += 1
            counts["processed"] += 0 if shard.kept else len(shard.images)
            for image in shard.images:
                counts["failed" if "error" in image else "images"] += 1
                if "error" in image:
                    errors.print(f"vlmres: {output.show(image['path'])}: {image['error']}", soft_wrap=True)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in shards.shard_files(job.folder))
    speed = f", {counts['processed'] / seconds:.1f} images/s" if counts["processed"] else ""
    output.console().print(
        f"{counts['images']:,} images, {counts['failed']:,} failed; {counts['made']:,} shards written, "
        f"{counts['kept']:,} kept; {output.size(size)} in {output.show(job.folder)} ({seconds:.1f} s{speed})",
        soft_wrap=True,
    )
    return counts


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} images/s" if task.speed else "")
