"""The main job on real images: four ways to look at a picture, as tensors and as drawings.

Run `make demo`, or `python examples/demo.py [IMAGE ...] [--out DIR]`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

import vlmres
from vlmres.cli.compare import median_ms
from vlmres.draw import contact_sheet, draw

IMAGES = Path(__file__).parent / "images"
SAMPLES = ("line.png", "page.png", "screenshot.webp", "photo.jpg", "photo-portrait.jpg")
RUNS = 3


@dataclass(frozen=True)
class Strategy:
    """An answer to the question at what resolution to look."""

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
    """One image by one recipe."""

    plan: vlmres.Plan
    nbytes: int
    milliseconds: float


def measure(path: Path, recipe: str) -> Result:
    """Processes a file to the float32 tensors of the reference processor: first for their size, then by the clock."""
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
    table = Table("strategy", "recipe", box=box.SIMPLE_HEAD, title="TOKENS PER IMAGE", title_justify="left")
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
    table = Table("recipe", "image", "views", box=box.SIMPLE_HEAD, title=strategy.name.upper(), title_justify="left")
    for column in ("tokens", "MB", "ms"):
        table.add_column(column, justify="right", no_wrap=True)
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


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description="Four ways to look at a picture, as tensors and as drawings.")
    parser.add_argument(
        "images", nargs="*", type=Path, metavar="IMAGE", help="by default the samples in examples/images"
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for pictures (default: %(default)s)")
    arguments = parser.parse_args()
    paths: list[Path] = arguments.images or [IMAGES / name for name in SAMPLES]
    # Nothing is cut where the output is a file or a pipe.
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)

    build = vlmres.build_info()
    console.print(
        f"vlmres {build['version']}: at what resolution does a vision-language model look at an image? There are four\n"
        "answers, and every model has its own numbers. One engine makes the exact tensors of all of them.\n"
    )
    for strategy in STRATEGIES:
        console.print(f"  [bold]{strategy.name:8}[/bold]{strategy.meaning}")
    console.print()
    console.print(overview(paths))
    for strategy in STRATEGIES:
        console.print(details(strategy, paths))
    console.print(
        f"MB: float32 tensors in the reference processor's layout. ms: file to tensors, decoding included, median of "
        f"{RUNS} after a warm-up ({build['simd']} kernels).\n"
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    console.print("What the encoder sees, drawn from the same pixels:")
    for strategy in STRATEGIES:
        target = picture(strategy, paths, arguments.out)
        console.print(f"  {target}  {strategy.name}, as {strategy.recipes[0]} does", soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
