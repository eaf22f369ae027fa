"""Options that commands share, and what they mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import vlmres
from vlmres.inputs import Decoder
from vlmres.processor import Arithmetic, Decode

if TYPE_CHECKING:
    from collections.abc import Sequence


def complete_recipe(incomplete: str) -> list[str]:
    """Names that a shell offers."""
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
    typer.Argument(help="Image files, or folders to search for them.", metavar="PATH...", show_default=False),
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
    Arithmetic | None, typer.Option(help="Whose resize to equal; by default the recipe's.", show_default=False)
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
    """An error in one line, without the system's number."""
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
