"""`Chooser`: the choice of a recipe for some pages."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from vlmres._core import Plan, Recipe, plan
from vlmres.choosing.choice import Candidate, Choice, Option, as_recipe, option
from vlmres.choosing.text import PageText, read_text
from vlmres.documents import Document, beginning, is_document
from vlmres.legibility import READERS, Legibility

if TYPE_CHECKING:
    from vlmres._types import RecipeName

Selector: TypeAlias = Callable[[Sequence[PageText], Sequence[Option]], "int | None"]
"""A function that replaces the rule: called with the text of each page and the options, in the candidates' order, it
returns the index of an option, or None to let the rule decide."""

READER = "pp-ocrv4"
"""The default reader: of the measured readers, the one that needs the most pixels."""

MARGIN = 1.18
"""Required effective x-height divided by the reader's threshold. At the threshold itself, half of the lines are
read."""

# The capacity curve does not reach higher precisions, however many tokens there are.
_MOST = 0.99
# Slope of the logistic curve from the logarithm of the margin to the confidence: 1.18 times the threshold gives 0.88.
_STEEPNESS = 12.0


class Chooser:
    """Chooses the cheapest recipe that keeps the text of pages legible.

    Text counts as legible if it satisfies two limits. Pixels: the effective x-height (the x-height in the image times
    the scale of the view that shows it largest) is at least the reader's threshold plus a margin. Tokens: there are no
    more text tokens per visual token than DeepSeek-OCR reads with the target precision; for other models that is an
    extrapolation. Both limits concern text only: they say nothing of charts, objects and handwriting.

    Args:
        candidates: Recipes, names or (name, overrides), at least one.
        target: Required share of legible characters, and required precision by the visual tokens, from 0.5 to 0.99.
        default: The candidate for pages without text; by default the first candidate.
        reader: The reader whose threshold applies: a name in `vlmres.legibility.READERS`, or one that the lab fitted.
        selector: A learned selector, which is asked before the rule.

    Raises:
        ValueError: There are no candidates, or an argument has an unsupported value.
        RecipeError: There is no such recipe, or it does not allow these overrides.
        TypeError: A candidate is not a recipe, a name or a pair.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        *,
        target: float = 0.95,
        default: Candidate | None = None,
        reader: str | Legibility = READER,
        selector: Selector | None = None,
    ) -> None:
        if isinstance(candidates, (str, Recipe)) or not candidates:
            raise ValueError(f"candidates are a list of recipes, got {candidates!r}")
        if not 0.5 <= target <= _MOST:
            raise ValueError(f"target must be between 0.5 and {_MOST}, got {target}")
        if isinstance(reader, str) and reader not in READERS:
            raise ValueError(f"reader must be one of {', '.join(READERS)}, or a Legibility, got {reader!r}")
        self.recipes: tuple[Recipe, ...] = tuple(map(as_recipe, candidates))
        """The candidates."""
        self.default: Recipe = self.recipes[0] if default is None else as_recipe(default)
        """The recipe of pages without text."""
        self.target = target
        self.reader: Legibility = READERS[reader] if isinstance(reader, str) else reader
        self.selector = selector

    def __repr__(self) -> str:
        return f"Chooser({list(self.recipes)}, target={self.target}, default={self.default!r})"

    def map(self, change: Callable[[Recipe], Recipe]) -> Chooser:
        """A chooser with the same settings and changed candidates."""
        return Chooser(
            [change(recipe) for recipe in self.recipes],
            target=self.target,
            default=change(self.default),
            reader=self.reader,
            selector=self.selector,
        )

    @property
    def x_height(self) -> float:
        """The effective x-height in pixels that counts as legible."""
        return MARGIN * self.reader.x_height

    def __call__(self, image_or_pages: Any) -> Choice:
        """Chooses the recipe for one image, or for all pages of a list or a document together.

        Args:
            image_or_pages: An image as a `Processor` takes it, a list of such, a `Document` or a PDF file.

        Raises:
            VlmresError: An image cannot be used, or a candidate cannot plan it; the message names the page where there
                are several.
            OSError: A file cannot be read.
            ValueError: There are no pages.
        """
        pages = _pages(image_or_pages)
        if not pages:
            raise ValueError("there are no pages to choose for")
        return self.of([read_text(page) for page in pages])

    def of(self, texts: Sequence[PageText]) -> Choice:
        """The recipe for pages whose text is known."""
        count = len(texts)
        planned = [self._planned(recipe, texts) for recipe in self.recipes]
        options = tuple(
            option(recipe, plans, texts, self.x_height, 1 - self.target)
            for recipe, plans in zip(self.recipes, planned, strict=True)
        )
        index = self.selector(texts, options) if self.selector is not None else None
        if index is not None:
            if not 0 <= index < len(options):
                raise ValueError(f"the selector must give an index below {len(options)} or None, got {index}")
            return self._choice(options[index], 1.0, "the selector chose it", options, texts)
        if not any(texts):
            plans = self._planned(self.default, texts)
            what = "no text was found" if count == 1 else f"no text was found in {count} pages"
            chosen = Option(self.default, tuple(plans))
            return self._choice(
                chosen, 1.0 - max(text.evidence for text in texts), f"{what}: the default", options, texts
            )
        fitting = [one for one in options if one.reaches(self.target)]
        if fitting:
            best = min(fitting, key=lambda one: one.num_tokens)
            return self._choice(best, self._confidence(best, texts), self._why(best, options), options, texts)
        best = max(
            options, key=lambda one: (min(one.legible or 0, one.capacity or 0), one.x_height or 0, -one.num_tokens)
        )
        why = f"no candidate keeps {self.target:.0%} of the text legible, this one the most: {self._limits(best)}"
        return self._choice(best, 1.0 - self._confidence(best, texts), why, options, texts)

    def _planned(self, recipe: Recipe, texts: Sequence[PageText]) -> list[Plan]:
        return [plan(text.size, recipe, len(texts)) for text in texts]

    @staticmethod
    def _choice(
        chosen: Option, confidence: float, reason: str, options: tuple[Option, ...], texts: Sequence[PageText]
    ) -> Choice:
        return Choice(
            chosen.recipe,
            chosen.num_tokens,
            chosen.legible,
            chosen.capacity,
            round(min(max(confidence, 0.0), 1.0), 3),
            reason,
            options,
            tuple(texts),
        )

    def _confidence(self, chosen: Option, texts: Sequence[PageText]) -> float:
        """The confidence, from the smaller of both margins and from how much the lines look like text."""
        pixels = math.log(max(chosen.x_height or 0.0, 0.1) / self.reader.x_height)
        evidence = min(text.evidence for text in texts if text)
        return evidence / (1 + math.exp(-_STEEPNESS * pixels))

    def _why(self, chosen: Option, options: Sequence[Option]) -> str:
        cheaper = [one for one in options if one.num_tokens < chosen.num_tokens]
        if not cheaper:
            return f"the cheapest candidate is enough: {self._limits(chosen)}"
        other = max(cheaper, key=lambda one: one.num_tokens)
        limit = "pixels" if (other.legible or 0) < self.target else "tokens"
        return f"{self._limits(chosen)}; with {other.num_tokens:,} tokens {limit} are too few: {self._limits(other)}"

    def _limits(self, one: Option) -> str:
        return (
            f"the smallest text has an x-height of {one.x_height:.1f} px ({self.x_height:.1f} wanted), "
            f"{one.legible:.0%} is legible, tokens allow {one.capacity:.0%}"
        )


def choose(
    image_or_pages: Any,
    candidates: Sequence[Candidate | RecipeName],
    *,
    target: float = 0.95,
    default: Candidate | RecipeName | None = None,
    reader: str | Legibility = READER,
    selector: Selector | None = None,
) -> Choice:
    """Chooses the cheapest recipe that keeps the text of an image or of pages legible: `Chooser` for one call.

    Args:
        image_or_pages: As of a call of `Chooser`: an image, a list of images, a `Document` or a PDF file.
        candidates: As of `Chooser`.
        target: As of `Chooser`.
        default: As of `Chooser`.
        reader: As of `Chooser`.
        selector: As of `Chooser`.

    Raises:
        VlmresError: An image cannot be used, or a candidate cannot plan it.
        OSError: A file cannot be read.
        ValueError: As of `Chooser`, or there are no pages.
        TypeError: A candidate is not a recipe, a name or a pair.
    """
    return Chooser(candidates, target=target, default=default, reader=reader, selector=selector)(image_or_pages)


def _pages(given: Any) -> list[Any]:
    """The pages for which a recipe is chosen."""
    if isinstance(given, Document):
        return list(given)
    if isinstance(given, (str, bytes, os.PathLike)) and is_document(beginning(given)):
        return list(Document(given))
    return list(given) if isinstance(given, list) else [given]
