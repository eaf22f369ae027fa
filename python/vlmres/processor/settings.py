"""What a `Processor` is made with."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from vlmres._core import Recipe, RecipeError
from vlmres.arithmetic import Arithmetic, resolve_backend
from vlmres.checks import check_choice, check_count
from vlmres.choosing import Candidate, Chooser
from vlmres.choosing.batches import check_alike
from vlmres.inputs import Alpha, Decoder, Fetch, Gray16, Hidden, Loader
from vlmres.outputs import Allocate, DType
from vlmres.threads import usual_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.cache import Cache
    from vlmres.inputs import Limits

Layout = Literal["hf", "packed"]
Decode = Literal["exact", "scaled"]


class LimitSettings(TypedDict, total=False):
    """The limits of a `Processor`: what files, images and outputs may take."""

    max_image_pixels: int | None
    max_file_bytes: int | None
    max_decoded_bytes: int | None
    max_output_bytes: int | None


@dataclass(eq=False, repr=False, kw_only=True)
class Settings:
    """The settings of a `Processor`, which describes each of them.

    Raises:
        ValueError: A setting has an unsupported value.
        TypeError: A number is not an integer.
    """

    recipe: Recipe
    """The recipe of images, with all overrides."""
    chooser: Chooser | None
    """Chooses the recipe of each sample; only with `recipe="auto"`."""
    arithmetic: Arithmetic
    video_arithmetic: Arithmetic
    layout: Layout
    dtype: DType
    num_threads: int | None
    decoder: Decoder
    alpha: Alpha
    gray16: Gray16
    fetch: Fetch | None
    """Limits of fetching; None where images are not fetched."""
    max_image_pixels: int | None
    max_file_bytes: int | None
    max_decoded_bytes: int | None
    max_output_bytes: int | None
    decode: Decode
    allocate: Allocate | None
    cache: Cache | None
    max_in_flight: int | None
    hidden: Hidden = field(init=False)
    """Warns, once, of transparency that is dropped."""
    loader: Loader = field(init=False)
    """Reads images as this processor does."""

    def __post_init__(self) -> None:
        check_choice("layout", self.layout, Layout)
        check_choice("dtype", self.dtype, DType)
        check_choice("decode", self.decode, Decode)
        for name in ("num_threads", "max_in_flight", *LimitSettings.__annotations__):
            check_count(name, getattr(self, name))
        if self.chooser is not None:
            check_alike(self.recipe, self.chooser.recipes)
        self.hidden = Hidden(watching=self.alpha == "reference")
        self.loader = self.loader_of(self.arithmetic)

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe, or with `recipe="auto"` all of which one is chosen for each sample."""
        return (self.recipe,) if self.chooser is None else (self.recipe, *self.chooser.recipes)

    @property
    def limits(self) -> Limits:
        """Most pixels of a file's image, bytes of a file, bytes of decoding, bytes of outputs; None for a default."""
        return (self.max_image_pixels, self.max_file_bytes, self.max_decoded_bytes, self.max_output_bytes)

    @property
    def threads(self) -> int:
        """Threads of a call."""
        return self.num_threads or usual_threads()

    @functools.cached_property
    def video_recipe(self) -> Recipe:
        """The recipe in the arithmetic of videos."""
        own = self.arithmetic == self.video_arithmetic
        return self.recipe if own else self.recipe.replace(arithmetic=self.video_arithmetic)

    def loader_of(self, arithmetic: Arithmetic | None) -> Loader:
        """Reads images for this arithmetic; with None, frames of videos."""
        convert = self.recipe.params["convert"]
        key = convert == "white" and arithmetic is not None and resolve_backend(arithmetic)[0] == "pillow"
        return Loader(convert, self.decoder, self.limits, self.alpha, self.gray16, key, self.fetch, self.hidden)


def chooser_for(
    recipe: Recipe | str, candidates: Sequence[Candidate] | Chooser | None, layout: Layout, decode: Decode
) -> Chooser | None:
    """The chooser of `recipe="auto"`; None for any other recipe.

    Raises:
        TypeError: There are candidates without "auto", or "auto" without candidates.
        ValueError: "auto" does not work with this layout, or with decoding to another size.
    """
    if not (isinstance(recipe, str) and recipe == "auto"):
        if candidates is not None:
            raise TypeError(f'candidates need recipe="auto", got {recipe!r}')
        return None
    if candidates is None:
        raise TypeError(
            'recipe="auto" needs candidates, such as candidates=["deepseek-ocr-small", "deepseek-ocr-base"]'
        )
    if layout != "packed":
        raise ValueError(f'recipe="auto" needs layout="packed", in which images of several recipes lie, got {layout!r}')
    if decode != "exact":
        raise ValueError(f'recipe="auto" looks at all pixels, so decode must be "exact", got {decode!r}')
    return candidates if isinstance(candidates, Chooser) else Chooser(candidates)


def load_recipe(
    recipe: Recipe | str, overrides: dict[str, Any], arithmetic: Arithmetic | None, arguments: Sequence[str]
) -> Recipe:
    """The recipe with these parameters.

    Args:
        recipe: A recipe or the name of one.
        overrides: Parameters.
        arithmetic: Whose rounding; the recipe knows no versions of Pillow.
        arguments: Names of a processor's own arguments, for the message about an unknown parameter.

    Raises:
        RecipeError: There is no such recipe, or it has no such parameter.
        TypeError: It is neither a recipe nor a name.
    """
    if not isinstance(recipe, (Recipe, str)):
        raise TypeError(f"a recipe is a Recipe or a name, got {type(recipe).__qualname__}")
    if arithmetic is not None:
        overrides = {**overrides, "arithmetic": "torch" if arithmetic == "torch" else "pillow"}
    try:
        return Recipe.load(recipe, **overrides) if isinstance(recipe, str) else recipe.replace(**overrides)
    except RecipeError as error:
        known = (Recipe.load(recipe) if isinstance(recipe, str) else recipe).params
        if overrides.keys() <= known.keys():
            raise
        raise RecipeError(f"{error}; Processor's own arguments are {', '.join(arguments)}") from None
