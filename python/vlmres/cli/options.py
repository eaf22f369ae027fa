"""Options that commands share, and what they mean."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import vlmres
from vlmres.processor import Arithmetic, Decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def complete_recipe(incomplete: str) -> list[str]:
    """Names that a shell offers."""
    return [name for name in vlmres.recipes() if name.startswith(incomplete)]


Paths = Annotated[
    list[Path],
    typer.Argument(help="Image files, or folders to search for them.", metavar="PATH...", show_default=False),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        "-r",
        help="A recipe's name (see vlmres recipes), your file (own.toml or own.toml:NAME), or a checkpoint's folder.",
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
    Arithmetic | None, typer.Option(help="Whose resize to equal; by default the recipe's.", show_default=False)
]
DecodeOption = Annotated[
    Decode, typer.Option(help="scaled: JPEG files that become far smaller are decoded smaller; faster, not exact.")
]
MaxImagePixels = Annotated[
    int | None,
    typer.Option(min=1, help="Files of more pixels are refused; by default Pillow's limit.", show_default=False),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads; by default all processors.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace results of other settings or images in DIR.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def load_recipe(name: str, overrides: Sequence[str] | None = None) -> vlmres.Recipe:
    """The recipe that the options ask for.

    Raises:
        typer.BadParameter: There is no such recipe, or it cannot be changed like that.
    """
    recipe = _load(name)
    if not overrides:
        return recipe
    try:
        return recipe.replace(**dict(_assignment(text) for text in overrides))
    except (vlmres.RecipeError, TypeError) as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None


def suggestion(word: str, known: Iterable[str]) -> str:
    """A question that names what `word` may have meant, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _load(name: str) -> vlmres.Recipe:
    try:
        if name in vlmres.recipes():
            return vlmres.Recipe.load(name)
        file, colon, one = name.rpartition(":")
        if name.endswith(".toml"):
            return vlmres.Recipe.from_toml(Path(name))
        if colon and file.endswith(".toml"):
            return vlmres.Recipe.from_toml(Path(file), one)
        if Path(name).is_dir():
            return vlmres.Recipe.from_pretrained(name)
    except (vlmres.VlmresError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--recipe") from None
    try:
        return vlmres.Recipe.load(name)
    except vlmres.RecipeError as error:
        message = f"{error}; it is neither a file of recipes (.toml) nor the folder of a checkpoint"
        raise typer.BadParameter(message, param_hint="--recipe") from None


def _assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise typer.BadParameter(f"expected KEY=VALUE, got {text!r}", param_hint="--set")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
