"""`vlmres compare`: one image through every strategy."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vlmres
from vlmres.cli import output
from vlmres.cli.cost import value_bytes
from vlmres.cli.options import complete_recipe, load_recipe
from vlmres.cli.plan import view_roles

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT = (
    "llava-1.5",
    "llava-1.5-pad",
    "llava-next",
    "internvl2",
    "qwen2-vl",
    "qwen3-vl",
    "nativeres-llava",
    "siglip2-naflex",
    "deepseek-ocr-base",
    "deepseek-ocr-gundam",
)


def compare(
    image: Annotated[Path, typer.Argument(help="An image file.", metavar="IMAGE", show_default=False)],
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            "-r",
            help="Compare these recipes; may be repeated. By default ten of all strategies.",
            metavar="RECIPE",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw what every encoder sees into this file, e.g. views.png.", show_default=False),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs per recipe.")] = 5,
) -> None:
    """Compare strategies on one image: views, grid, tokens, patches, bytes and time.

    The time is that of the whole call to float32 in the hf layout, decoding included: the median of the timed runs,
    after a warm-up.
    """
    chosen = [load_recipe(name) for name in recipe or DEFAULT]
    try:
        size = vlmres.image_size(image)
    except (vlmres.VlmresError, OSError) as error:
        output.complain(image, error)
        raise typer.Exit(1) from None
    numbers = ("grid", "tokens", "patches", "f32 hf", "u8 packed", "ms")
    table = output.table("recipe", "strategy", "views", *numbers, right=numbers)
    times = f"ms: median of {runs} after a warm-up, decoding included"
    table.title = f"{output.show(image)}, {output.by(size)} ({times}; {output.ORDER})"
    done = []
    for one in chosen:
        try:
            planned = vlmres.plan(size, one)
            milliseconds = median_ms(vlmres.Processor(one), image, runs)
        except (vlmres.VlmresError, OSError) as error:
            output.complain(f"{image} by {one.name}", error)
            continue
        done.append(one)
        table.add_row(
            one.name,
            one.strategy,
            view_roles(planned),
            output.by(planned.grid),
            f"{planned.num_tokens:,}",
            f"{planned.num_patches:,}",
            output.size(value_bytes(planned, "hf", "float32")),
            output.size(value_bytes(planned, "packed", "uint8")),
            f"{milliseconds:.1f}",
        )
    if done:
        output.console().print(table)
    if picture is not None and done:
        _draw(image, done, picture)
    if len(done) < len(chosen):
        raise typer.Exit(1)


def median_ms(processor: vlmres.Processor, image: Path, runs: int) -> float:
    """Median milliseconds of `runs` calls after one more."""
    processor(image)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        processor(image)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def _draw(image: Path, recipes: Sequence[vlmres.Recipe], path: Path) -> None:
    from vlmres.draw import contact_sheet, draw

    sheet = contact_sheet([draw(image, recipe, max_size=(840, 640)) for recipe in recipes])
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"cannot write {output.show(path)}: {output.reason(error)}", param_hint="--picture"
        ) from None
    output.console(stderr=True).print(f"wrote {output.show(path)} ({output.by(sheet.size)})")
