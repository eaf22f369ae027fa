"""The application: all commands together."""

from __future__ import annotations

from typing import Annotated

import typer

import vlmres
from vlmres.cli.compare import compare
from vlmres.cli.demo import demo
from vlmres.cli.doctor import doctor
from vlmres.cli.encode import encode
from vlmres.cli.explain import explain
from vlmres.cli.group import Command, Commands
from vlmres.cli.lab import lab
from vlmres.cli.plan import plan
from vlmres.cli.process import process
from vlmres.cli.recipes import recipes
from vlmres.cli.verify import verify

app = typer.Typer(
    name="vlmres",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Example: vlmres compare page.png --picture views.png",
)

app.command(cls=Command, epilog="Examples: vlmres demo\n\nvlmres demo page.png photo.jpg -o pictures")(demo)
app.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: vlmres plan scans/ -r deepseek-ocr-gundam\n\n"
    "vlmres plan 1500x4500 16x640x360 -r qwen3-vl\n\n"
    "vlmres plan scans/ -r qwen3-vl --summary\n\n"
    "vlmres plan scans/ -r qwen3-vl --set max_pixels=1000000 --sort tokens --limit 20",
)(plan)
app.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: vlmres process scans/ -o tensors -r qwen3-vl --dtype bfloat16\n\n"
    "vlmres process scans/ -o tensors -r internvl2 --layout packed --dtype uint8",
)(process)
app.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: vlmres encode scans/ --checkpoint Qwen2-VL-2B-Instruct -o tokens\n\n"
    "vlmres encode scans/ -c InternVL3-1B-hf -o tokens --device cuda:1 --dtype bfloat16",
)(encode)
app.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: vlmres compare page.png --picture views.png\n\n"
    "vlmres compare page.png -r qwen3-vl -r siglip2-naflex",
)(compare)
app.command(
    cls=Command,
    no_args_is_help=True,
    epilog="Examples: vlmres lab scans/ -o report\n\n"
    "vlmres lab scans/ -r qwen3-vl -r internvl2 --budget 512 --budget 1024 -o report\n\n"
    "vlmres lab --grid -r qwen2-vl@256 -r deepseek-ocr-gundam -o grid",
)(lab)
app.command(cls=Command, epilog="Examples: vlmres recipes\n\nvlmres recipes qwen3-vl --json")(recipes)
app.command(cls=Command, no_args_is_help=True, epilog="Example: vlmres explain max_pixels")(explain)
app.command(
    cls=Command,
    epilog="Examples: vlmres verify\n\n"
    "vlmres verify -r qwen3-vl --cases 1000 --out parity.md\n\n"
    "vlmres verify --checkpoint ./my-checkpoint",
)(verify)
app.command(cls=Command, epilog="Examples: vlmres doctor\n\nvlmres doctor ./my-checkpoint --vllm")(doctor)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"vlmres {vlmres.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Exact image preprocessing for vision-language models.

    Plan, resize and patchify images just as LLaVA, InternVL, Qwen-VL, DeepSeek-OCR and others do.
    """
