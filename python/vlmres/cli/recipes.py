"""`vlmres recipes`: the available recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import vlmres
from vlmres._help import coordinates
from vlmres.cli import output
from vlmres.cli.options import AsJson, complete_recipe, known_recipes, load_recipe


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show this recipe's parameters.", metavar="NAME", autocompletion=complete_recipe, show_default=False
        ),
    ] = None,
    as_json: AsJson = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of recipes, with which editors check them.")
    ] = False,
) -> None:
    """List the recipes, or one recipe's parameters, which --set changes.

    The list includes the recipes of the folder that VLMRES_RECIPES names, with their file.
    """
    if schema:
        typer.echo((Path(vlmres.__file__).parent / "recipe.schema.json").read_text(encoding="utf-8"), nl=False)
        return
    if name is not None:
        chosen = load_recipe(name)
        if as_json:
            typer.echo(json.dumps(_as_dict(chosen)))
        else:
            _print_one(chosen)
        return
    known = [load_recipe(known) for known in known_recipes()]
    if as_json:
        typer.echo(json.dumps([_as_dict(recipe) for recipe in known]))
        return
    table = output.table("name", "strategy", "title", "reference")
    for recipe in sorted(known, key=lambda recipe: _ORDER.index(recipe.strategy)):
        own = f" ({output.show(Path(recipe.file).name)})" if recipe.file else ""
        table.add_row(f"{recipe.name}{own}", recipe.strategy, recipe.title, recipe.reference)
    output.console().print(table)


_ORDER = ("squash", "tiles", "native", "hybrid")


def _as_dict(recipe: vlmres.Recipe) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "file": recipe.file,
        "title": recipe.title,
        "strategy": recipe.strategy,
        "reference": recipe.reference,
        "video_reference": recipe.video_reference,
        "coordinates": recipe.coordinates._asdict(),
        "params": dict(recipe.params),
        "parameters": {name: parameter._asdict() for name, parameter in recipe.parameters.items()},
    }


def _print_one(recipe: vlmres.Recipe) -> None:
    console = output.console()
    videos = f"videos     {recipe.video_reference}\n" if recipe.video_reference else ""
    file = f"file       {output.show(recipe.file)}\n" if recipe.file else ""
    console.print(
        f"{recipe.name}: {recipe.title}\n{file}strategy   {recipe.strategy}\nreference  {recipe.reference}\n{videos}"
        f"boxes      {coordinates(recipe)}\n"
    )
    table = output.table("parameter", "value", "meaning", "unit", "limits")
    for name, parameter in recipe.parameters.items():
        table.add_row(name, json.dumps(parameter.value), parameter.meaning, parameter.unit, parameter.limits)
    console.print(table)
