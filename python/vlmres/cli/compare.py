"""`vlmres compare`: images through every strategy."""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import vlmres
from vlmres.cli import output
from vlmres.cli.cost import value_bytes
from vlmres.cli.options import AsJson, complete_recipe, load_recipe
from vlmres.cli.plan import describe, view_roles

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
    images: Annotated[list[Path], typer.Argument(help="Image files.", metavar="IMAGE...", show_default=False)],
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
        typer.Option(
            help="Draw a line of each image as every encoder sees it, all at one scale, into this file: views.png.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            help="The part that the picture shows, in pixels of the image; by default a line of its smallest text.",
            metavar="X0,Y0,X1,Y1",
            show_default=False,
        ),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed runs per recipe.", metavar="N")] = 5,
    as_json: AsJson = False,
) -> None:
    """Compare strategies on images: views, grid, tokens, patches, bytes and time.

    The time is that of the whole call to float32 in the hf layout, decoding included: the median of the timed runs,
    after a warm-up. With --json every line is the JSON object of an image by a recipe.
    """
    chosen = [load_recipe(name) for name in recipe or DEFAULT]
    part = None if box is None else _box(box)
    complete = True
    drawn: dict[Path, list[vlmres.Recipe]] = {}
    for image in images:
        done = _compare(image, chosen, runs, as_json=as_json)
        complete = complete and len(done) == len(chosen)
        if done:
            drawn[image] = done
    if picture is not None and drawn:
        # A picture shows the same recipes for all its images.
        recipes = [one for one in chosen if all(one in done for done in drawn.values())]
        _draw(list(drawn), recipes, part, picture)
    if not complete:
        raise typer.Exit(1)


def _box(text: str) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = map(float, text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not X0,Y0,X1,Y1", param_hint="--box") from None
    return x0, y0, x1, y1


@dataclass(frozen=True)
class _Row:
    """An image by a recipe."""

    recipe: vlmres.Recipe
    plan: vlmres.Plan
    milliseconds: float

    def cells(self) -> list[str]:
        return [
            self.recipe.name,
            self.recipe.strategy,
            view_roles(self.plan),
            output.by(self.plan.grid),
            f"{self.plan.num_tokens:,}",
            f"{self.plan.num_patches:,}",
            output.size(value_bytes(self.plan, "hf", "float32")),
            output.size(value_bytes(self.plan, "packed", "uint8")),
            f"{self.milliseconds:.1f}",
        ]

    def as_dict(self, image: Path) -> dict[str, Any]:
        planned = describe(str(image), self.plan, "hf", "float32", (None,) * 4)
        return {**planned, "strategy": self.recipe.strategy, "ms": round(self.milliseconds, 3)}


def _compare(image: Path, recipes: Sequence[vlmres.Recipe], runs: int, *, as_json: bool) -> list[vlmres.Recipe]:
    """Prints what becomes of an image. Returns the recipes that could process it."""
    try:
        size = vlmres.image_size(image)
    except (vlmres.VlmresError, OSError) as error:
        output.complain(image, error)
        return []
    rows = []
    for one in recipes:
        try:
            rows.append(_Row(one, vlmres.plan(size, one), median_ms(vlmres.Processor(one), image, runs)))
        except (vlmres.VlmresError, OSError) as error:
            output.complain(f"{image} by {one.name}", error)
    if as_json:
        for row in rows:
            typer.echo(json.dumps(row.as_dict(image)))
    elif rows:
        numbers = ("grid", "tokens", "patches", "f32 hf", "u8 packed", "ms")
        table = output.table("recipe", "strategy", "views", *numbers, right=numbers)
        times = f"ms: median of {runs} after a warm-up, decoding included"
        table.title = f"{output.show(image)}, {output.by(size)} ({times}; {output.ORDER})"
        for row in rows:
            table.add_row(*row.cells())
        output.console().print(table)
    return [row.recipe for row in rows]


def median_ms(processor: vlmres.Processor, image: Path, runs: int) -> float:
    """Median milliseconds of `runs` calls, after a warm-up call."""
    processor(image)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        processor(image)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def _draw(
    images: Sequence[Path],
    recipes: Sequence[vlmres.Recipe],
    box: tuple[float, float, float, float] | None,
    path: Path,
) -> None:
    from vlmres.draw import compare as draw_comparison

    try:
        sheet = draw_comparison(images, recipes, boxes=[box] * len(images), names=[image.name for image in images])
    except ValueError as error:
        raise typer.BadParameter(output.reason(error), param_hint="--box" if box else "--picture") from None
    try:
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(
            f"cannot write {output.show(path)}: {output.reason(error)}", param_hint="--picture"
        ) from None
    output.console(stderr=True).print(f"wrote {output.show(path)} ({output.by(sheet.size)})")
