"""A job as run by its command: progress bar, messages, exit code."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

import vlmres
from vlmres.cli import output
from vlmres.cli.jobs.base import OtherContentError
from vlmres.cli.jobs.lock import InUseError, LostError

if TYPE_CHECKING:
    from rich.progress import Task

    from vlmres.cli.jobs.base import Job


# With at least this many images, the expected output is printed before the job starts.
_LONG = 256


def run_job(job: Job, *, force: bool, quiet: bool, as_json: bool = False) -> None:
    """Runs a job, from preparing its folder to the exit code; with `as_json` the result is printed as JSON."""
    with contextlib.ExitStack() as stack:
        try:
            _open(job, stack, force=force)
            counts = _run(job, quiet=quiet, as_json=as_json)
        except KeyboardInterrupt:
            output.console(stderr=True).print("vlmres: interrupted; the same command goes on where it stopped")
            raise typer.Exit(130) from None
        except (OSError, LostError, vlmres.VlmresError) as error:
            output.complain(getattr(error, "filename", None) or job.folder.path, error)
            raise typer.Exit(1) from None
    if counts["failed"]:
        raise typer.Exit(1)


def _open(job: Job, stack: contextlib.ExitStack, *, force: bool) -> None:
    folder, errors = output.show(job.folder.path), output.console(stderr=True)

    def tell(text: str) -> None:
        errors.print(f"vlmres: {folder}: {output.show(text)}", soft_wrap=True)

    try:
        stack.enter_context(job.opened(force=force, tell=tell))
    except OtherContentError as error:
        message = f"{folder} holds {output.show(str(error))}. Choose another folder, or replace it with --force"
    except InUseError as error:
        message = f"{folder} is in use by {output.show(str(error))}. Wait for it, or choose another folder"
    except OSError as error:
        path = output.show(error.filename or job.folder.path)
        message = f"{path}: {output.reason(error)}"
    else:
        return
    raise typer.BadParameter(message, param_hint="--out")


def _foretell(job: Job) -> None:
    """Prints, before a long job, how much it will write and whether there is room."""
    total = job.estimate() if len(job.items) >= _LONG else None
    if total is not None:
        free = shutil.disk_usage(job.folder.path).free
        room = f"; only {output.size(free)} are free" if total > free else ""
        text = f"vlmres: {len(job.items):,} images, about {output.size(total)} in {output.show(job.folder.path)}{room}"
        output.console(stderr=True).print(text, soft_wrap=True)


def _run(job: Job, *, quiet: bool, as_json: bool) -> dict[str, int]:
    """Runs a job with a progress bar on the standard error, and prints the result."""
    counts = {"made": 0, "kept": 0, "images": 0, "failed": 0, "processed": 0}
    if not quiet:
        _foretell(job)
    start = time.perf_counter()
    errors = output.console(stderr=True)
    columns: list[Any] = [BarColumn(), MofNCompleteColumn(), TextColumn("images"), _Speed(), TimeRemainingColumn()]
    with Progress(*columns, console=errors, disable=quiet or not errors.is_terminal) as progress:
        task = progress.add_task(job.command, total=len(job.items))

        def advance(count: int, *, kept: bool) -> None:
            progress.advance(task, count)
            if kept:
                # Only images that take time count for the speed and the remaining time.
                progress.reset(task, completed=int(progress.tasks[task].completed))

        for shard in job.run(advance):
            counts["kept" if shard.kept else "made"] += 1
            counts["processed"] += 0 if shard.kept else len(shard.images)
            for image in shard.images:
                counts["failed" if "error" in image else "images"] += 1
                if "error" in image:
                    errors.print(f"vlmres: {output.show(image['path'])}: {output.show(image['error'])}", soft_wrap=True)
    seconds = time.perf_counter() - start
    size = sum(path.stat().st_size for path in job.folder.shards())
    speed = f", {counts['processed'] / seconds:.1f} images/s" if counts["processed"] else ""
    if as_json:
        shards = {"shards_written": counts["made"], "shards_kept": counts["kept"]}
        images = {key: counts[key] for key in ("images", "failed")}
        where = {"folder": str(job.folder.path), "nbytes": size, "seconds": round(seconds, 3)}
        typer.echo(json.dumps({**images, **shards, **where}))
    if quiet or as_json:
        return counts
    output.console().print(
        f"{counts['images']:,} images, {counts['failed']:,} failed; "
        f"{counts['made']:,} shard{'s' * (counts['made'] != 1)} written, "
        f"{counts['kept']:,} kept; {output.size(size)} in {output.show(job.folder.path)} ({seconds:.1f} s{speed})",
        soft_wrap=True,
    )
    return counts


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} images/s" if task.speed else "")
