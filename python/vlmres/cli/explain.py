"""`vlmres explain`: what a parameter of the recipes means."""

from __future__ import annotations

import difflib
import json
from typing import TYPE_CHECKING, Annotated

import typer

from vlmres.cli import output
from vlmres.cli.options import AsJson, known_recipes, load_recipe

if TYPE_CHECKING:
    import vlmres


def complete_parameter(incomplete: str) -> list[str]:
    """Parameters whose names begin with this prefix, for completion."""
    return sorted(name for name in _known() if name.startswith(incomplete))


def explain(
    parameter: Annotated[
        str,
        typer.Argument(
            help="A parameter, such as max_pixels.",
            metavar="PARAMETER",
            autocompletion=complete_parameter,
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Explain a parameter: its meaning, unit and limits, and its value in every recipe that has it."""
    known = _known()
    if parameter not in known:
        near = difflib.get_close_matches(parameter, known, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(sorted(known))}"
        raise typer.BadParameter(f"no recipe has a parameter {parameter!r}{hint}", param_hint="PARAMETER")
    having = known[parameter]
    if as_json:
        found = {recipe.name: recipe.parameters[parameter]._asdict() for recipe in having}
        typer.echo(json.dumps({"parameter": parameter, "recipes": found}))
        return
    first = having[0].parameters[parameter]
    # A recipe's limits leave out the parameters that it does not have.
    limits = max((recipe.parameters[parameter].limits for recipe in having), key=len)
    lines = [("meaning", first.meaning), ("unit", first.unit), ("limits", limits)]
    console = output.console()
    console.print(parameter)
    for name, text in lines:
        if text:
            console.print(f"  {name:8} {text}")
    console.print(f"  {'change':8} --set {parameter}=VALUE, or Processor(recipe, {parameter}=VALUE)\n")
    values: dict[str, list[str]] = {}
    for recipe in having:
        values.setdefault(json.dumps(recipe.parameters[parameter].value), []).append(recipe.name)
    table = output.table("value", "recipes")
    for value, names in sorted(values.items(), key=lambda pair: -len(pair[1])):
        table.add_row(value, ", ".join(names))
    console.print(table)


def _known() -> dict[str, list[vlmres.Recipe]]:
    """The recipes that have each parameter."""
    found: dict[str, list[vlmres.Recipe]] = {}
    for name in known_recipes():
        recipe = load_recipe(name)
        for parameter in recipe.parameters:
            found.setdefault(parameter, []).append(recipe)
    return found
