"""`vlmres process`: images to safetensors shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import vlmres
from vlmres.cli.files import find_files
from vlmres.cli.jobs.command import run_job
from vlmres.cli.jobs.process import ProcessJob
from vlmres.cli.options import (
    DTYPES,
    AlphaOption,
    ArithmeticOption,
    AsJson,
    DecodeOption,
    DecoderOption,
    DpiOption,
    FollowLinks,
    Force,
    MaxDecodedBytes,
    MaxFileBytes,
    MaxImagePixels,
    MaxOutputBytes,
    Overrides,
    Paths,
    Quiet,
    RecipeName,
    Shard,
    Threads,
    limits,
    load_recipe,
    parse_shard,
)
from vlmres.processor import DType, Layout


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
        DType,
        typer.Option(help=f"Type of pixel values: {DTYPES}; uint8 are those before normalisation.", metavar="TYPE"),
    ] = "float32",
    arithmetic: ArithmeticOption = None,
    decode: DecodeOption = "exact",
    decoder: DecoderOption = "auto",
    alpha: AlphaOption = "reference",
    dpi: DpiOption = "144",
    shard_size: Annotated[
        int, typer.Option(min=1, help="Images per shard; fewer where they need over 1 GiB.", metavar="N")
    ] = 64,
    threads: Threads = None,
    shard: Shard = None,
    force: Force = False,
    max_image_pixels: MaxImagePixels = None,
    max_file_bytes: MaxFileBytes = None,
    max_decoded_bytes: MaxDecodedBytes = None,
    max_output_bytes: MaxOutputBytes = None,
    follow_links: FollowLinks = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Process images into safetensors shards and a manifest.json that says where each image is.

    Every page of a PDF file is an image, as report.pdf#page=3. Run the same command again after an interruption, or
    when files were added or changed: finished shards are kept. With --shard every process of a job array takes its own
    part of the files; the folder is DIR/part-I-of-N. A bad file or page is reported and skipped. Exit codes: 0 all
    done, 1 some files failed or the disk is full, 2 wrong usage or DIR is in use, 130 interrupted.
    """
    chosen = load_recipe(recipe, overrides)
    try:
        within = limits(max_image_pixels, max_file_bytes, max_decoded_bytes, max_output_bytes)
        processor = vlmres.Processor(
            chosen, layout, dtype, arithmetic, threads, decoder=decoder, alpha=alpha, decode=decode, **within
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    found = find_files(paths, follow_links=follow_links)
    found.tell(quiet=quiet)
    files = found.files
    if shard is not None:
        number, count = parse_shard(shard)
        # Every N-th file, because neighbouring files are often alike and parts should be equally large.
        files = files[number::count]
        if not files:
            typer.echo(json.dumps({"images": 0, "part": shard}) if as_json else f"part {shard} has no images")
            return
        out = out / f"part-{number:05d}-of-{count:05d}"
    run_job(ProcessJob(files, out, processor, shard_size, dpi), force=force, quiet=quiet, as_json=as_json)
