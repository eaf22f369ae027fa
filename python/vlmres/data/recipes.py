"""Which recipe a loader's samples have: one for all, one that is drawn for each, or one that their pixels decide."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres._core import Recipe
    from vlmres.data.mixing import Mix
    from vlmres.data.sizes import Sizes


class Recipes:
    """The recipe of every sample in every epoch."""

    def __init__(self, recipes: Sequence[Recipe], mix: Mix | None) -> None:
        """Takes the recipe, or several of which pixels decide: until they are read, the one of most tokens counts."""
        self._recipes = tuple(dict.fromkeys(recipes))
        self.mix = mix

    def of(self, number: int, epoch: int) -> Recipe:
        """That of one sample; of several the first."""
        return self._recipes[0] if self.mix is None else self.mix.recipe(number, epoch)

    def may_be(self, number: int, epoch: int) -> tuple[Recipe, ...]:
        """Those that one sample may have."""
        return self._recipes if self.mix is None else (self.mix.recipe(number, epoch),)

    def tokens(self, sizes: Sizes, epoch: int) -> NDArray[np.int64]:
        """Tokens of every sample's images; where several recipes may be theirs, the most."""
        if self.mix is None:
            most: NDArray[np.int64] = np.max([sizes.tokens(recipe) for recipe in self._recipes], axis=0)
            return most
        chosen = self.mix.choose(np.arange(len(sizes)), epoch)
        tokens = np.zeros(len(sizes), np.int64)
        for number, recipe in enumerate(self.mix.recipes):
            samples = np.flatnonzero(chosen == number)
            tokens[samples] = sizes.tokens(recipe, samples)
        return tokens

    def check(self, sizes: Sizes, most: int) -> None:
        """Refuses samples that have more tokens than a batch may, in whatever epoch.

        Raises:
            ValueError: One has; the message names it.
        """
        for recipe in self._recipes if self.mix is None else self.mix.recipes:
            tokens = sizes.tokens(recipe)
            if (tokens > most).any():
                sample = int(np.argmax(tokens > most))
                raise ValueError(f"item {sample} has {tokens[sample]:,} tokens with {recipe!r}, max_tokens is {most:,}")

    @property
    def digest(self) -> str:
        """What a run that goes on has in common with the one before; empty where batches follow from tokens alone."""
        if self.mix is None:
            return ""
        text = repr((self.mix.seed, self.mix.weights.tolist(), [recipe.to_toml() for recipe in self.mix.recipes]))
        return hashlib.sha256(text.encode()).hexdigest()[:32]
