"""A user's recipe against a Python function as its reference."""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vlmres.verify.cases import Case, draw_pixels, draw_size
from vlmres.verify.run import Arithmetic, Subject

if TYPE_CHECKING:
    from vlmres._core import Recipe

Function = Callable[[list[Image.Image]], Mapping[str, Any]]


class OwnSubject(Subject):
    """A recipe with its own settings, and a function from RGB images to the arrays of a call, to be compared.

    Args:
        recipe: The recipe.
        named: The recipe's name on the command line.
        against: `module:function` or `file.py:function`.

    Raises:
        ValueError: There is no such function.
    """

    def __init__(self, recipe: Recipe, named: str, against: str) -> None:
        option = f"--recipe {named} --against {against}"
        super().__init__(recipe.name, option, recipe, lambda _: _Reference(load(against)), lambda: None)
        self.against = against
        self.made_by(_make, (recipe, named, against))

    def draw(self, seed: int, number: int, reference: Any) -> Case:
        """The case of this number: one to three RGB images."""
        del reference
        rng = np.random.default_rng((seed, number))
        sizes = [draw_size(rng) for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])))]
        images = [Image.fromarray(draw_pixels(rng, size)) for size in sizes]
        return Case(number, {}, images, sizes, ["RGB"] * len(sizes))

    @property
    def arithmetics(self) -> tuple[Arithmetic, ...]:
        """The recipe's own."""
        return (self.recipe.params.get("arithmetic", "pillow"),)


def _make(arguments: tuple[Recipe, str, str]) -> OwnSubject:
    return OwnSubject(*arguments)


class _Reference:
    """A function as an image processor."""

    do_normalize = True

    def __init__(self, function: Function) -> None:
        self._function = function

    def __call__(self, images: list[Image.Image], return_tensors: str) -> Mapping[str, Any]:
        del return_tensors
        return self._function(images)


def load(against: str) -> Function:
    """The function that `module:function` or `file.py:function` names.

    Raises:
        ValueError: There is none.
    """
    place, colon, name = against.rpartition(":")
    if not colon or not place or not name:
        raise ValueError(f"expected MODULE:FUNCTION or FILE.py:FUNCTION, got {against!r}")
    try:
        if place.endswith(".py"):
            found = runpy.run_path(place).get(name)
        else:
            if (here := str(Path.cwd())) not in sys.path:
                sys.path.insert(0, here)
            found = getattr(importlib.import_module(place), name, None)
    except (ImportError, OSError) as error:
        raise ValueError(f"cannot load {place}: {error}") from None
    if not callable(found):
        raise ValueError(f"{place} has no function {name!r}")
    function: Function = found
    return function
