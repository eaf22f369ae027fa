"""`vlmres plan`: what images will cost, from their headers."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

import vlmres
from vlmres.cli import output
from vlmres.cli.cost import value_bytes
from vlmres.cli.files import find_images
from vlmres.cli.options import AsJson, Overrides, Paths, RecipeName, load_recipe
from vlmres.processor import DType, Layout

_NUMBERS = ("size", "grid", "tiles", "patches", "tokens", "bytes")


def plan(
    paths: Paths,
    recipe: RecipeName,
    overrides: Overrides = None,
    layout: Annotated[Layout, typer.Option(help="Layout that bytes are counted for.")] = "hf",
    dtype: Annotated[DType, typer.Option(help="Type of pixel values that bytes are counted for.")] = "float32",
    as_json: AsJson = False,
) -> None:
    """Count views, tiles, patches, tokens and bytes of images. Only headers are read.

    With --json every line is one image's JSON object. A bad file is reported on the standard error and skipped; the
    exit code is then 1.
    """
    chosen = load_recipe(recipe, overrides)
    rows: list[dict[str, Any]] = []
    failed = 0
    for path in find_images(paths):
        try:
            size = vlmres.image_size(path, exif=True)
            row = describe(str(path), vlmres.plan(size, chosen), layout, dtype)
        except (vlmres.VlmresError, OSError) as error:
            output.complain(path, error)
            failed += 1
            continue
        if as_json:
            typer.echo(json.dumps(row))
        else:
            rows.append(row)
    if rows:
        _print_table(rows, f"{chosen.title}: {chosen.strategy}, {layout} layout, {dtype}")
    if failed:
        raise typer.Exit(1)


def describe(path: str, planned: vlmres.Plan, layout: Layout, dtype: DType) -> dict[str, Any]:
    """A plan as JSON holds it."""
    views = [
        {
            "role": view.role,
            "resized": list(view.resized),
            "canvas": list(view.canvas),
            "offset": list(view.offset),
            "tiles": list(view.tiles),
            "tile_size": list(view.tile_size),
            "patches": list(view.patches),
            "num_patches": view.num_patches,
            "num_tokens": view.num_tokens,
        }
        for view in planned.views
    ]
    return {
        "path": path,
        "recipe": planned.recipe.name,
        "size": list(planned.size),
        "grid": list(planned.grid),
        "num_tiles": planned.num_tiles,
        "num_patches": planned.num_patches,
        "num_tokens": planned.num_tokens,
        "layout": layout,
        "dtype": dtype,
        "nbytes": value_bytes(planned, layout, dtype),
        "views": views,
    }


def view_roles(planned: vlmres.Plan) -> str:
    """The views in a few letters: "tile 2x3 + global"."""
    parts = []
    for view in planned.views:
        cut = f" {output.by(view.tiles)}" if tuple(view.tiles) != (1, 1) else ""
        parts.append(f"{view.role}{cut}")
    return " + ".join(parts)


def _print_table(rows: list[dict[str, Any]], title: str) -> None:
    table = output.table("file", "size", "views", "grid", "tiles", "patches", "tokens", "bytes", right=_NUMBERS)
    table.title = title
    for row in rows:
        table.add_row(
            output.show(row["path"]),
            output.by(row["size"]),
            " + ".join(view["role"] for view in row["views"]),
            output.by(row["grid"]),
            *(f"{row[key]:,}" for key in ("num_tiles", "num_patches", "num_tokens")),
            output.size(row["nbytes"]),
        )
    if len(rows) > 1:
        table.add_section()
        sums = (f"{sum(row[key] for row in rows):,}" for key in ("num_tiles", "num_patches", "num_tokens"))
        total = output.size(sum(row["nbytes"] for row in rows))
        table.add_row(f"{len(rows):,} images", "", "", "", *sums, total)
    output.console().print(table)
