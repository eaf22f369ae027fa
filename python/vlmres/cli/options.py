"""Options that commands share."""

from __future__ import annotations

import contextlib
import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

import vlmres
from vlmres.arithmetic import Arithmetic
from vlmres.checks import MOST
from vlmres.cli.items import Dpi
from vlmres.inputs import Alpha, Decoder
from vlmres.processor import Decode, DType, LimitSettings

if TYPE_CHECKING:
    from collections.abc import Sequence


DTYPES = ", ".join(get_args(DType))


def complete_recipe(incomplete: str) -> list[str]:
    """Names for the completion of a shell."""
    try:
        return [name for name in vlmres.recipes() if name.startswith(incomplete)]
    except (vlmres.VlmresError, OSError):
        return []


def known_recipes() -> list[str]:
    """Names of the built-in recipes and of those of VLMRES_RECIPES.

    Raises:
        typer.BadParameter: The folder or one of its files is wrong.
    """
    try:
        return vlmres.recipes()
    except (vlmres.VlmresError, OSError) as error:
        raise typer.BadParameter(_explain(error), param_hint="VLMRES_RECIPES") from None


Paths = Annotated[
    list[Path],
    typer.Argument(
        help="Image files, PDF files, or folders to search for them.", metavar="PATH...", show_default=False
    ),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        "-r",
        help="A recipe's name (see vlmres recipes), your file (own.toml or own.toml:NAME), or a checkpoint: "
        "its folder, its JSON file, or its name on the Hugging Face Hub, where it lies in the local cache.",
        metavar="RECIPE",
        autocompletion=complete_recipe,
        show_default=False,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a parameter of the recipe, e.g. max_pixels=1000000; may be repeated.",
        metavar="KEY=VALUE",
        show_default=False,
    ),
]
ArithmeticOption = Annotated[
    Arithmetic | None,
    typer.Option(
        help=f"Whose resize to equal: {', '.join(get_args(Arithmetic))}; by default the recipe's.",
        metavar="NAME",
        show_default=False,
    ),
]
DecodeOption = Annotated[
    Decode, typer.Option(help="scaled: JPEG files that become far smaller are decoded smaller; faster, not exact.")
]
DecoderOption = Annotated[
    Decoder,
    typer.Option(
        help="Who reads files. auto: Pillow where vlmres does not read a format. native: vlmres alone. "
        "pillow: Pillow alone."
    ),
]
_UNITS = {"B": 1} | {
    f"{prefix}{kind}": base ** (power + 1)
    for power, prefix in enumerate("KMGT")
    for kind, base in (("B", 1000), ("IB", 1024))
}
_BYTES = re.compile(r"(\d+(?:\.\d+)?) *([KMGT]?I?B)?")


def parse_bytes(text: str) -> int:
    """Bytes from a number with or without a unit: 256MB are 256,000,000, 256MiB are 268,435,456.

    Raises:
        typer.BadParameter: It is not a number of bytes.
    """
    found = _BYTES.fullmatch(text.strip().upper())
    if found is None or (unit := found[2] or "B") not in _UNITS:
        raise typer.BadParameter(f"{text!r} is not a size such as 256MB or 2GiB")
    count = int(float(found[1]) * _UNITS[unit]) if "." in found[1] else int(found[1]) * _UNITS[unit]
    if not 1 <= count <= MOST:
        raise typer.BadParameter(f"must be between 1 and {MOST}, got {text!r}")
    return count


def parse_pixels(text: str) -> int:
    """A number of pixels.

    Raises:
        typer.BadParameter: It is none, or out of range.
    """
    with contextlib.suppress(ValueError):
        if 1 <= (count := int(text)) <= MOST:
            return count
    raise typer.BadParameter(f"must be a number of pixels between 1 and {MOST}, got {text!r}")


def _limit(text: str, *, of: str = "bytes") -> Any:
    if of == "pixels":
        return typer.Option(
            parser=parse_pixels, help=text, rich_help_panel="Limits", metavar="PIXELS", show_default=False
        )
    return typer.Option(parser=parse_bytes, help=text, rich_help_panel="Limits", metavar="SIZE", show_default=False)


MaxImagePixels = Annotated[
    int | None, _limit("Files of more pixels are refused; by default Pillow's limit.", of="pixels")
]
MaxFileBytes = Annotated[int | None, _limit("Files of more bytes, such as 100MB, are refused; by default 2GiB.")]
MaxDecodedBytes = Annotated[
    int | None, _limit("Files whose decoding takes more bytes, their own included, are refused; by default 4GiB.")
]
MaxOutputBytes = Annotated[
    int | None,
    _limit("Images whose tensors take more bytes are refused, and tensors made at once take no more; by default 4GiB."),
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="Threads; by default all processors.", metavar="N", show_default=False)
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="Take one of N parts of the files, I from 0 to N - 1, into a folder of its own in DIR: for job arrays.",
        metavar="I/N",
        show_default=False,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace results of other settings or images in DIR.")]
FollowLinks = Annotated[bool, typer.Option("--follow-links", help="Search folders that are links, too.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors alone.")]
AlphaOption = Annotated[
    Alpha,
    typer.Option(
        help="What becomes of transparency. reference: as in the reference. white: composited on white. "
        "drop: discarded. reject: such images are errors.",
        metavar="RULE",
    ),
]


def parse_dpi(text: str) -> Dpi:
    """A resolution of pages.

    Raises:
        typer.BadParameter: It is neither a positive number nor "fit".
    """
    if text == "fit":
        return "fit"
    with contextlib.suppress(ValueError):
        if 0 < (dpi := float(text)) < math.inf:
            return dpi
    raise typer.BadParameter(f'{text!r} is neither a number of dots an inch, such as 144, nor "fit"')


DpiOption = Annotated[
    Any,
    typer.Option(
        parser=parse_dpi,
        help="Resolution of PDF pages in dots an inch. fit: pages are drawn in the size that their plan resizes to.",
        metavar="DPI",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def limits(
    max_image_pixels: int | None,
    max_file_bytes: int | None,
    max_decoded_bytes: int | None,
    max_output_bytes: int | None,
) -> LimitSettings:
    """The limits that the options set."""
    return {
        "max_image_pixels": max_image_pixels,
        "max_file_bytes": max_file_bytes,
        "max_decoded_bytes": max_decoded_bytes,
        "max_output_bytes": max_output_bytes,
    }


def parse_shard(text: str) -> tuple[int, int]:
    """The index of a part and the number of parts, from "I/N".

    Raises:
        typer.BadParameter: It is not I/N with 0 <= I < N.
    """
    number, slash, count = text.partition("/")
    if not (slash and number.isdecimal() and count.isdecimal()):
        raise typer.BadParameter(f"expected I/N, such as 0/16, got {text!r}", param_hint="--shard")
    if int(number) >= int(count):
        last = f"0/{count} to {int(count) - 1}/{count}" if int(count) else "at least 0/1"
        raise typer.BadParameter(f"parts are counted from 0, so {last}; got {text}", param_hint="--shard")
    return int(number), int(count)


def load_recipe(name: str, overrides: Sequence[str] | None = None) -> vlmres.Recipe:
    """The recipe that the options name.

    Raises:
        typer.BadParameter: There is no such recipe, or it does not allow the changes.
    """
    recipe = _load(name)
    if not overrides:
        return recipe
    try:
        return recipe.replace(**dict(_assignment(text) for text in overrides))
    except (vlmres.RecipeError, TypeError) as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None


def _load(name: str) -> vlmres.Recipe:
    known = known_recipes()
    try:
        if name in known:
            return vlmres.Recipe.load(name)
        file, colon, one = name.rpartition(":")
        if name.endswith(".toml"):
            return vlmres.Recipe.from_toml(Path(name))
        if colon and file.endswith(".toml"):
            return vlmres.Recipe.from_toml(Path(file), one)
        if name.endswith(".json") or Path(name).is_dir():
            return vlmres.Recipe.from_pretrained(name)
        try:
            return vlmres.Recipe.load(name)
        except vlmres.RecipeError as unknown:
            try:
                return vlmres.Recipe.from_pretrained(name)
            except FileNotFoundError:
                message = (
                    f"{unknown}; it is neither a file of recipes (.toml), nor a checkpoint's folder or JSON file, "
                    "nor a model in the local cache of the Hugging Face Hub"
                )
                raise typer.BadParameter(message, param_hint="--recipe") from None
    except (vlmres.VlmresError, OSError) as error:
        raise typer.BadParameter(_explain(error), param_hint="--recipe") from None


def _explain(error: Exception) -> str:
    """An error in one line, without the system's error number."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"expected KEY=VALUE, got {text!r}", param_hint="--set")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
