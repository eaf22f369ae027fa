"""`vlmres plan`: the cost of images and videos, from their headers or sizes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import vlmres
from vlmres.cli import output
from vlmres.cli.cost import value_bytes
from vlmres.cli.files import find_files
from vlmres.cli.items import FAILURES, Item, Opener
from vlmres.cli.options import (
    DTYPES,
    AsJson,
    DecoderOption,
    DpiOption,
    FollowLinks,
    MaxDecodedBytes,
    MaxFileBytes,
    MaxImagePixels,
    MaxOutputBytes,
    Overrides,
    Quiet,
    RecipeName,
    load_recipe,
)
from vlmres.cli.summary import Summary
from vlmres.cli.summary import sort as arrange
from vlmres.data import index
from vlmres.inputs import Loader
from vlmres.processor import DType, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from vlmres.inputs import Limits

    Size: TypeAlias = tuple[int, int] | tuple[int, int, int]
    """(width, height) of an image, (frames, width, height) of a video."""

Inputs = Annotated[
    list[Path],
    typer.Argument(
        help="Image files, PDF files, folders to search for them, or sizes: 1500x4500 of an image, 16x640x360 (frames "
        "first) of a video.",
        metavar="PATH|SIZE...",
        show_default=False,
    ),
]
_SIZE = re.compile(r"(?:(\d+)x)?(\d+)x(\d+)")
_NUMBERS = ("size", "grid", "tiles", "patches", "tokens", "bytes")


def plan(
    paths: Inputs,
    recipe: RecipeName,
    overrides: Overrides = None,
    layout: Annotated[Layout, typer.Option(help="Layout that bytes are counted for.")] = "hf",
    dtype: Annotated[
        DType, typer.Option(help=f"Type of pixel values that bytes are counted for: {DTYPES}.", metavar="TYPE")
    ] = "float32",
    decoder: DecoderOption = "auto",
    dpi: DpiOption = "144",
    follow_links: FollowLinks = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    sort: Annotated[
        Literal["name", "tokens", "patches", "tiles", "bytes"] | None,
        typer.Option(
            help="Order of the images: name, or those first that have most tokens, patches, tiles or bytes.",
            metavar="KEY",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Show so many images at most.", min=1, metavar="N", show_default=False)
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Show percentiles of tokens, patches, tiles and bytes in place of images.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write an index in place of a table: .parquet, .csv or .jsonl, or .npy with sizes alone. A Loader's "
            "sizes= reads it.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    max_image_pixels: MaxImagePixels = None,
    max_file_bytes: MaxFileBytes = None,
    max_decoded_bytes: MaxDecodedBytes = None,
    max_output_bytes: MaxOutputBytes = None,
) -> None:
    """Count views, tiles, patches, tokens and bytes of images and videos. Only headers are read.

    Every page of a PDF file is an image. With -o an index is written that has a row for every image in order, bad ones
    included. With --json every line is the JSON object of one image. A bad file, or one over a limit, is reported on
    the standard error and skipped; the exit code is then 1.
    """
    if summary and (sort or limit or out):
        raise typer.BadParameter("it shows no images to sort, limit or write", param_hint="--summary")
    if out is not None:
        if as_json:
            raise typer.BadParameter(
                "an index is written in place of JSON on the standard output: choose one", param_hint="--out"
            )
        _check_index(out)
    chosen = load_recipe(recipe, overrides)
    limits = (max_image_pixels, max_file_bytes, max_decoded_bytes, max_output_bytes)
    opener = Opener(chosen, Loader(decoder=decoder, limits=limits), dpi)
    rows: list[dict[str, Any]] = []
    indexed: list[dict[str, Any]] = []
    failed, counts, shown = 0, Summary(), 0
    for item, known in _inputs(paths, opener, follow_links=follow_links, quiet=quiet):
        try:
            planned = vlmres.plan(known, chosen) if known else opener.open(item)[1]
            row = describe(item.name, planned, layout, dtype, limits)
        except FAILURES as error:
            output.complain(item.name, item.reason(error))
            indexed.append({"path": str(item.path), "page": item.page, "error": item.reason(error)})
            failed += 1
            continue
        if out is not None:
            indexed.append(_index_row(item, planned))
        elif summary:
            counts.add(row)
        elif as_json and sort is None:
            if limit is None or shown < limit:
                typer.echo(json.dumps(row))
            shown += 1
        else:
            rows.append(row)
    if out is not None:
        _write_index(out, indexed, quiet=quiet)
    title = f"{chosen.title}: {chosen.strategy}, {layout} layout, {dtype}"
    if summary and as_json:
        typer.echo(json.dumps(counts.as_dict()))
    elif summary:
        counts.print(title)
    elif as_json:
        for row in arrange(rows, sort, limit):
            typer.echo(json.dumps(row))
    elif rows:
        _print_table(rows, arrange(rows, sort, limit), f"{title}; {output.ORDER}")
    if failed:
        raise typer.Exit(1)


def _check_index(path: Path) -> None:
    try:
        index.check_name(path)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None


def _index_row(item: Item, planned: vlmres.Plan) -> dict[str, Any]:
    if planned.frames is not None:
        raise typer.BadParameter(f"an index is of images, {item.name} is a video", param_hint="--out")
    width, height = planned.size
    counts = {"tiles": planned.num_tiles, "patches": planned.num_patches, "tokens": planned.num_tokens}
    return {"path": str(item.path), "page": item.page, "width": width, "height": height, **counts}


def _write_index(path: Path, rows: list[dict[str, Any]], *, quiet: bool) -> None:
    try:
        index.write(path, rows)
    except (ValueError, ModuleNotFoundError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--out") from None
    if not quiet:
        typer.echo(f"{path}: {len(rows):,} images", err=True)


def _inputs(
    paths: list[Path], opener: Opener, *, follow_links: bool, quiet: bool
) -> Iterator[tuple[Item, Size | None]]:
    """The images and pages of files in order, then the sizes."""
    sizes = {path: size for path in paths if not path.exists() and (size := _parse(str(path)))}
    files = [path for path in paths if path not in sizes]
    if files:
        found = find_files(files, follow_links=follow_links)
        found.tell(quiet=quiet)
        yield from ((item, None) for item in opener.items(found.files))
    yield from ((Item(path), size) for path, size in sizes.items())


def _parse(text: str) -> Size | None:
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    frames, width, height = found.groups()
    return (int(width), int(height)) if frames is None else (int(frames), int(width), int(height))


def describe(path: str, planned: vlmres.Plan, layout: Layout, dtype: DType, limits: Limits) -> dict[str, Any]:
    """A plan as a JSON object.

    Raises:
        VlmresError: Its arrays are over the limits.
    """
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
        "frames": planned.frames,
        "grid": list(planned.grid),
        "num_tiles": planned.num_tiles,
        "num_patches": planned.num_patches,
        "num_tokens": planned.num_tokens,
        "layout": layout,
        "dtype": dtype,
        "nbytes": value_bytes(planned, layout, dtype, limits),
        "views": views,
    }


def view_roles(planned: vlmres.Plan) -> str:
    """The views in short form: "tile 2x3 + global"."""
    parts = []
    for view in planned.views:
        cut = f" {output.by(view.tiles)}" if tuple(view.tiles) != (1, 1) else ""
        parts.append(f"{view.role}{cut}")
    return " + ".join(parts)


def _print_table(rows: list[dict[str, Any]], shown: list[dict[str, Any]], title: str) -> None:
    """Prints the rows to show, and the totals of all rows."""
    table = output.table("file", "size", "views", "grid", "tiles", "patches", "tokens", "bytes", right=_NUMBERS)
    table.title = title
    for row in shown:
        table.add_row(
            output.show(row["path"]),
            output.by(row["size"] if row["frames"] is None else [row["frames"], *row["size"]]),
            " + ".join(view["role"] for view in row["views"]),
            output.by(row["grid"]),
            *(f"{row[key]:,}" for key in ("num_tiles", "num_patches", "num_tokens")),
            output.size(row["nbytes"]),
        )
    if len(rows) > 1:
        table.add_section()
        sums = (f"{sum(row[key] for row in rows):,}" for key in ("num_tiles", "num_patches", "num_tokens"))
        total = output.size(sum(row["nbytes"] for row in rows))
        what = "images" if all(row["frames"] is None for row in rows) else "items"
        hidden = f", {len(shown):,} shown" if len(shown) < len(rows) else ""
        table.add_row(f"{len(rows):,} {what}{hidden}", "", "", "", *sums, total)
    output.console().print(table)
