"""What `help(recipe)` prints: the parameters of that recipe, which the compiled class cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlmres._core import Recipe


class RecipeDoc:
    """The docstring of `Recipe`: on the class it is the class's own; on an instance it also describes the recipe."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def __get__(self, recipe: Recipe | None, kind: type[Recipe]) -> str | None:
        return self._text if recipe is None else describe(recipe)


def describe(recipe: Recipe) -> str:
    """A recipe and its parameters as text, one line each."""
    lines = [
        f"{recipe.title}: {recipe.strategy}, equal to {recipe.reference}.",
        f"Boxes and points: {coordinates(recipe)}.",
        "",
        f"Parameters, which Recipe.load({recipe.name!r}, ...), Processor and replace change:",
        "",
    ]
    for name, parameter in recipe.parameters.items():
        details = "; ".join(filter(None, (parameter.unit, parameter.limits)))
        lines.append(f"{name} = {parameter.value!r}")
        lines.append(f"    {parameter.meaning}{f' ({details})' if details else ''}.")
    return "\n".join(lines)


def coordinates(recipe: Recipe) -> str:
    """The model's coordinates as text."""
    convention, frame = recipe.coordinates
    if convention == "pixels":
        return "pixels of the resized image"
    low, high = convention.split("-")
    return f"{low} to {high} over the {'image' if frame == 'image' else 'canvas of the main view'}"
