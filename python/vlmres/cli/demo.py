"""`vlmres demo`: four ways to look at a picture, as tensors and as drawings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import vlmres
from vlmres.cli import output
from vlmres.cli.compare import median_ms
from vlmres.cli.options import AsJson
from vlmres.cli.plan import describe as describe_plan
from vlmres.draw import contact_sheet, draw

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

SAMPLE_FOLDER = Path(vlmres.__file__).parent / "samples"
SAMPLES = ("line.png", "page.png", "screenshot.webp", "photo.jpg", "photo-portrait.jpg")
RUNS = 3


@dataclass(frozen=True)
class Strategy:
    """A strategy: at what resolution an image is seen."""

    name: str
    meaning: str
    recipes: tuple[str, ...]


STRATEGIES = (
    Strategy(
        "squash",
        "Scale to one small square. Always the same few tokens; small print and what is cropped away are gone.",
        ("llava-1.5", "llava-1.5-pad"),
    ),
    Strategy(
        "tiles",
        "Cut into squares of the encoder's size, plus a thumbnail. Sharp, but shapes are bent and lines cut.",
        ("internvl2", "llava-next"),
    ),
    Strategy(
        "native",
        "Keep size and shape, rounded to whole patches. Tokens follow the image: 5 for a line, thousands for a page.",
        ("qwen2-vl", "qwen3-vl", "nativeres-llava", "siglip2-naflex"),
    ),
    Strategy(
        "hybrid",
        "Tiles for detail and one padded view of the whole, each compressed 16 to 1. Few tokens for documents.",
        ("deepseek-ocr-gundam", "deepseek-ocr-2"),
    ),
)


@dataclass(frozen=True)
class Result:
    """The result of one recipe for one image."""

    plan: vlmres.Plan
    nbytes: int
    milliseconds: float


def measure(path: Path, recipe: str) -> Result:
    """Processes a file to float32 tensors as the reference's: once for their size, then for the time."""
    processor = vlmres.Processor(recipe)
    batch = processor(path)
    plan, nbytes = batch.plans[0], batch.nbytes
    assert plan is not None
    del batch  # so that its memory is free while others are timed
    return Result(plan, nbytes, median_ms(processor, path, RUNS))


def describe(plan: vlmres.Plan) -> str:
    """The views of a plan: "12 tiles of 448x448 + global 448x448"."""
    parts = []
    for view in plan.views:
        tiles = view.tiles.rows * view.tiles.cols
        width, height = view.tile_size
        parts.append(f"{f'{tiles} tiles of' if tiles > 1 else view.role} {width}x{height}")
    return " + ".join(parts)


def overview(paths: list[Path]) -> Table:
    """Tokens by recipe and image, from the headers of the files alone."""
    table = output.table("strategy", "recipe", title="TOKENS PER IMAGE")
    sizes = [vlmres.image_size(path) for path in paths]
    for path, (width, height) in zip(paths, sizes, strict=True):
        table.add_column(f"{path.name}\n{width}x{height}", justify="right", overflow="fold")
    for strategy in STRATEGIES:
        for index, recipe in enumerate(strategy.recipes):
            tokens = (f"{vlmres.plan(size, recipe).num_tokens:,}" for size in sizes)
            table.add_row("" if index else strategy.name, recipe, *tokens)
        table.add_section()
    return table


def details(strategy: Strategy, paths: list[Path]) -> Table:
    """Views, tokens, bytes and time of one strategy."""
    numbers = ("tokens", "MB", "ms")
    table = output.table("recipe", "image", "views", *numbers, right=numbers, title=strategy.name.upper())
    for recipe in strategy.recipes:
        for index, path in enumerate(paths):
            result = measure(path, recipe)
            table.add_row(
                "" if index else recipe,
                path.name,
                describe(result.plan),
                f"{result.plan.num_tokens:,}",
                f"{result.nbytes / 1e6:.1f}",
                f"{result.milliseconds:.1f}",
            )
        table.add_section()
    return table


def picture(strategy: Strategy, paths: list[Path], folder: Path) -> Path:
    """Draws what the encoder of the strategy's first recipe sees."""
    sheet = contact_sheet([draw(path, strategy.recipes[0], max_size=(840, 640)) for path in paths])
    target = folder / f"{strategy.name}.png"
    sheet.save(target)
    return target


def demo(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Images; by default the samples that come with vlmres.", metavar="IMAGE...", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for pictures.", metavar="DIR")] = Path("out/demo"),
    as_json: AsJson = False,
) -> None:
    """Show what four strategies do to images: tokens, views, time, and pictures of what the encoder sees.

    With --json every line is the JSON object of an image by a recipe.
    """
    paths = images or [SAMPLE_FOLDER / name for name in SAMPLES]
    for path in paths:
        if not path.is_file():
            raise typer.BadParameter(f"{path} is no file", param_hint="IMAGE")
    if as_json:
        _print_json(paths)
        _draw(paths, out, output.console(stderr=True))
        return
    console = output.console()
    build = vlmres.build_info()
    console.print(
        f"vlmres {build['version']}: at what resolution does a vision-language model look at an image? There are four\n"
        "answers, and every model has its own numbers. One engine makes the exact tensors of all of them.\n"
    )
    for strategy in STRATEGIES:
        console.print(f"  {strategy.name:8}{strategy.meaning}")
    console.print()
    console.print(overview(paths))
    for strategy in STRATEGIES:
        console.print(details(strategy, paths))
    console.print(
        f"MB: float32 tensors in the reference processor's layout. ms: file to tensors, decoding included, median of "
        f"{RUNS} after a warm-up ({build['simd']} kernels).\n"
    )
    console.print("What the encoder sees, drawn from the same pixels:")
    _draw(paths, out, console)


def _draw(paths: list[Path], folder: Path, console: Console) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for strategy in STRATEGIES:
        target = picture(strategy, paths, folder)
        console.print(f"  {target}  {strategy.name}, as {strategy.recipes[0]} does", soft_wrap=True)


def _print_json(paths: list[Path]) -> None:
    for strategy in STRATEGIES:
        for recipe in strategy.recipes:
            for path in paths:
                result = measure(path, recipe)
                described = describe_plan(str(path), result.plan, "hf", "float32", (None,) * 4)
                typer.echo(json.dumps({**described, "strategy": strategy.name, "ms": round(result.milliseconds, 3)}))
