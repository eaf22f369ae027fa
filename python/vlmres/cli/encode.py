"""`vlmres encode`: images to visual tokens in safetensors shards."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import vlmres
from vlmres.cli import output
from vlmres.cli.files import find_files
from vlmres.cli.jobs.command import run_job
from vlmres.cli.options import (
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
    Threads,
    complete_recipe,
    limits,
    load_recipe,
)

if TYPE_CHECKING:
    from vlmres.encoder.runtime.settings import Preprocessing


def encode(
    paths: Paths,
    checkpoint: Annotated[
        Path,
        typer.Option(
            "--checkpoint",
            "-c",
            help="Folder with config.json and safetensors files of a model or its vision tower.",
            metavar="DIR",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for shards and manifest.json.", metavar="DIR", show_default=False),
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            help="A recipe's name; by default the checkpoint's own.",
            metavar="RECIPE",
            autocompletion=complete_recipe,
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cuda, cuda:1, cpu; by default CUDA where there is one.", metavar="DEVICE", show_default=False
        ),
    ] = None,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"] | None,
        typer.Option(
            help="Type of weights and tokens: float32, bfloat16, float16; by default the checkpoint's.",
            metavar="TYPE",
            show_default=False,
        ),
    ] = None,
    arithmetic: ArithmeticOption = None,
    decode: DecodeOption = "exact",
    decoder: DecoderOption = "auto",
    alpha: AlphaOption = "reference",
    dpi: DpiOption = "144",
    shard_size: Annotated[
        int,
        typer.Option(
            min=1, help="Images per shard, whose tokens are small; fewer where they need over 1 GiB.", metavar="N"
        ),
    ] = 256,
    max_patches: Annotated[
        int, typer.Option(min=1, help="Patches of one run, unless one image has more.", metavar="N")
    ] = 65536,
    threads: Threads = None,
    force: Force = False,
    max_image_pixels: MaxImagePixels = None,
    max_file_bytes: MaxFileBytes = None,
    max_decoded_bytes: MaxDecodedBytes = None,
    max_output_bytes: MaxOutputBytes = None,
    follow_links: FollowLinks = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Encode images into the visual tokens that a model's language model receives.

    Shards hold tokens [total, hidden] and cu_seqlens; manifest.json says where each image is. Every page of a PDF file
    is an image, as report.pdf#page=3. Run the same command again after an interruption: finished shards are kept. A bad
    file or page is reported and skipped. Exit codes: 0 all done, 1 some files failed or the disk is full, 2 wrong usage
    or DIR is in use, 130 interrupted.
    """
    try:
        import torch

        from vlmres.cli.jobs.encode import EncodeJob
        from vlmres.encoder import CheckpointError, VisionEncoder
        from vlmres.encoder.devices import check_device
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f"encoding needs {error.name}: pip install 'vlmres[encoder]'") from None

    logging.basicConfig(format="vlmres: %(message)s")
    if recipe is None:
        try:
            vlmres.Recipe.from_pretrained(checkpoint)
        except (vlmres.VlmresError, OSError) as error:
            message = f"{output.show(checkpoint)} has no known image processor ({error}); name a --recipe"
            raise typer.BadParameter(message, param_hint="--checkpoint") from None
    chosen = load_recipe(recipe or str(checkpoint), overrides)
    try:
        if device is not None:
            check_device(torch.device(device))
            torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, ValueError) as error:  # no such device, or unsupported
        raise typer.BadParameter(f"{device}: {_first_line(error)}", param_hint="--device") from None
    try:
        encoder = VisionEncoder.from_pretrained(checkpoint, device, dtype, recipe=chosen, max_patches=max_patches)
    except CheckpointError as error:
        raise typer.BadParameter(str(error), param_hint="--checkpoint") from None
    except torch.OutOfMemoryError as error:
        raise typer.BadParameter(f"no room for the encoder: {_first_line(error)}", param_hint="--device") from None
    try:
        encoder.check_recipe(chosen)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    settings: Preprocessing = {
        "num_threads": threads,
        "arithmetic": arithmetic,
        "decode": decode,
        "decoder": decoder,
        **limits(max_image_pixels, max_file_bytes, max_decoded_bytes, max_output_bytes),
        "alpha": alpha,
    }
    try:
        found = find_files(paths, follow_links=follow_links)
        found.tell(quiet=quiet)
        job = EncodeJob(found.files, out, encoder, checkpoint, shard_size, settings, dpi)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        run_job(job, force=force, quiet=quiet, as_json=as_json)
    except torch.OutOfMemoryError as error:
        message = f"no room for an image beside the encoder: {_first_line(error)}"
        raise typer.BadParameter(message, param_hint="--device") from None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
