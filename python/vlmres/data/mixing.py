"""Resolution as augmentation: a recipe drawn for each sample, before its pixels are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import Recipe
from vlmres.data import _draws
from vlmres.planning import PlanTable, area_bound, plan_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

# Of the other of an area's bounds.
_LEAST = {
    "max_pixels": "min_pixels",
    "max_patches": "min_patches",
    "max_tokens": "min_tokens",
    "max_image_tokens": "min_image_tokens",
}


class Mix:
    """Several recipes, from which one is drawn for each sample in each epoch.

    The draw depends only on (seed, epoch, index), not on the order in which samples are read or on the number of ranks
    or workers. It is known before any pixel is read. So tokens and costs are known, too, and packing and balance work.

    Args:
        recipes: Recipes or their names, such as the modes of one model.
        weights: Relative frequency of each recipe; by default equal.
        seed: Seed of the draws, from 0 to 2**64 - 1.

    Raises:
        ValueError: There are no recipes, the weights are not positive or not one for each recipe, or the seed is out of
            range.
        RecipeError: There is no such recipe.
    """

    def __init__(self, recipes: Sequence[Recipe | str], weights: ArrayLike | None = None, *, seed: int = 0) -> None:
        if isinstance(recipes, (str, Recipe)) or not recipes:
            raise ValueError(f"a Mix takes a list of recipes, got {recipes!r}")
        self.recipes: list[Recipe] = [Recipe.load(item) if isinstance(item, str) else item for item in recipes]
        shares = np.ones(len(self.recipes)) if weights is None else np.asarray(weights, dtype=np.float64)
        if shares.shape != (len(self.recipes),):
            raise ValueError(f"{len(self.recipes)} recipes, weights of shape {shares.shape}")
        if not (np.isfinite(shares).all() and (shares > 0).all()):
            raise ValueError(f"weights must be positive and finite, got {shares.tolist()}")
        self.weights: NDArray[np.float64] = shares / shares.sum()
        self.seed = _draws.check_seed(seed)

    @classmethod
    def areas(
        cls, recipe: Recipe | str, least: int, most: int, *, levels: int = 16, enlarge: bool = False, seed: int = 0
    ) -> Mix:
        """A recipe with a random bound of the image's area, such as a random `max_pixels`. The aspect ratio is kept.

        The square root of the area is uniform between those of `least` and `most`, in `levels` steps. Each step is one
        recipe, so that many samples are planned together.

        Args:
            recipe: A recipe whose resolution a number of pixels, patches or tokens bounds.
            least: The smallest area, in pixels.
            most: The largest.
            levels: Number of different areas.
            enlarge: Whether smaller images are enlarged to the area, so that it is the lower bound, too (as in NaViT,
                arXiv:2307.06304). Otherwise it is only the upper bound.
            seed: As of `Mix`.

        Raises:
            RecipeError: The recipe has no such parameter, or does not allow the value.
            ValueError: An area or the number of levels is unsupported.
        """
        loaded = Recipe.load(recipe) if isinstance(recipe, str) else recipe
        name, pixels = area_bound(loaded)
        if not 0 < least <= most or levels < 1:
            raise ValueError(f"areas must be 0 < least <= most, and levels at least 1, got {least}, {most}, {levels}")
        sides = np.sqrt(least) + (np.sqrt(most) - np.sqrt(least)) * (np.arange(levels) + 0.5) / levels
        found: list[Recipe] = []
        for side in sides.tolist():
            value = max(1, round(side * side / pixels))
            overrides: dict[str, Any] = {name: value}
            other = _LEAST.get(name)
            if other in loaded.params and (enlarge or loaded.params[other] > value):
                overrides[other] = value
            elif enlarge:
                raise ValueError(f"recipe {loaded.name!r} has no lower bound of {name}: it cannot enlarge")
            found.append(loaded.replace(**overrides))
        return cls(found, seed=seed)

    def __len__(self) -> int:
        return len(self.recipes)

    def __repr__(self) -> str:
        names = ", ".join(repr(recipe) for recipe in self.recipes[:3])
        return f"Mix([{names}{', …' if len(self) > 3 else ''}], seed={self.seed})"

    def choose(self, indices: ArrayLike, epoch: int = 0) -> NDArray[np.int64]:
        """The index into `recipes` for each sample: int64, of the shape of `indices`.

        Args:
            indices: Indices of samples in the data set, none negative.
            epoch: Which epoch.

        Raises:
            TypeError, ValueError: An index or the epoch is no integer, or negative.
        """
        array = np.asarray(indices)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"indices must be integers, got {array.dtype}")
        if array.size and array.min() < 0:
            raise ValueError(f"indices must be at least 0, got {array.min()}")
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        drawn = _draws.of_indices(array, _draws.MIX, self.seed, epoch)
        # The last bound would be 1 but for rounding, which no draw may pass.
        return np.asarray(np.searchsorted(np.cumsum(self.weights)[:-1], drawn, side="right"), dtype=np.int64)

    def recipe(self, index: int, epoch: int = 0) -> Recipe:
        """The recipe of one sample."""
        return self.recipes[int(self.choose(index, epoch))]

    def plan_many(
        self, sizes: ArrayLike, *, indices: ArrayLike | None = None, epoch: int = 0
    ) -> tuple[PlanTable, NDArray[np.int64]]:
        """Plans images with the recipes of their samples.

        Returns the table and the index of each image's recipe, int64 (n,).

        Args:
            sizes: (width, height) of each image: integers of shape (n, 2).
            indices: Index of each image's sample; by default images are the samples, in order.
            epoch: Which epoch.

        Raises:
            PlanError: An image cannot be planned by its recipe; the message names its row.
            TypeError, ValueError: `sizes` or `indices` are not such integers.
        """
        array = np.asarray(sizes)
        if array.size == 0:
            array = np.empty((0, 2), np.int64)
        if array.ndim != 2 or array.shape[1] != 2:
            raise TypeError(f"sizes must be integers of shape (n, 2), got {array.dtype} of shape {array.shape}")
        of_images = np.arange(len(array)) if indices is None else np.asarray(indices)
        if of_images.shape != (len(array),):
            raise ValueError(f"{len(array)} sizes, indices of shape {of_images.shape}")
        chosen = self.choose(of_images, epoch)
        columns: dict[str, Any] = {}
        errors: dict[int, Any] = {}
        for number, recipe in enumerate(self.recipes):
            rows = np.flatnonzero(chosen == number)
            table = plan_many(array[rows], recipe, errors="return")
            errors |= {int(rows[row]): error for row, error in table.errors.items()}
            for name in (name for name in PlanTable.__dataclass_fields__ if name != "errors"):
                values = getattr(table, name)
                column = columns.setdefault(name, np.empty((len(array), *values.shape[1:]), np.int64))
                column[rows] = values
        if errors:
            row = min(errors)
            raise type(errors[row])(f"row {row}: {errors[row]}")
        return PlanTable(**columns), chosen

    def tokens(self, sizes: ArrayLike, *, indices: ArrayLike | None = None, epoch: int = 0) -> NDArray[np.int64]:
        """Tokens of images with the recipes of their samples: `PlanTable.num_tokens` of `plan_many`."""
        return self.plan_many(sizes, indices=indices, epoch=epoch)[0].num_tokens
