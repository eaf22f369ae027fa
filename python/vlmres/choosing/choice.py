"""Candidates, and what each of them is for some pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vlmres import legibility
from vlmres._core import Plan, Recipe

if TYPE_CHECKING:
    from vlmres.choosing.text import PageText

Candidate: TypeAlias = "Recipe | str | tuple[Recipe | str, dict[str, Any]]"
"""A recipe, its name, or one of both and overrides."""


@dataclass(frozen=True)
class Option:
    """A candidate, for the pages at hand."""

    recipe: Recipe
    plans: tuple[Plan, ...]
    """Of each page."""
    legible: float | None = None
    """Share of the characters whose effective x-height is enough, of the page with the least; None without text."""
    capacity: float | None = None
    """Precision that the visual tokens allow, of the page with the least; None without text."""
    x_height: float | None = None
    """Effective x-height in pixels of the smallest text that has to be legible; None without text."""

    @property
    def num_tokens(self) -> int:
        """Tokens of all pages."""
        return sum(plan.num_tokens for plan in self.plans)

    def reaches(self, target: float) -> bool:
        """Whether both limits allow it."""
        return self.legible is not None and self.capacity is not None and min(self.legible, self.capacity) >= target


@dataclass(frozen=True)
class Choice:
    """What `choose` found."""

    recipe: Recipe
    """The recipe."""
    num_tokens: int
    """Tokens of all pages by it."""
    legible: float | None
    """Share of the characters, by estimate, that are large enough to be read, of the page with the least; None where
    no text was found.
    """
    capacity: float | None
    """Precision that DeepSeek-OCR has at so many text tokens per visual token, of the page with the least; for every
    other model an inference. None where no text was found.
    """
    confidence: float
    """How sure the choice is, from 0 to 1: by the margin of the smallest text over the reader's threshold, and by how
    much the lines look like text. It orders choices; it is no measured frequency.
    """
    reason: str
    """Why, in a sentence."""
    options: tuple[Option, ...] = field(repr=False, compare=False)
    """All candidates, in their order."""
    texts: tuple[PageText, ...] = field(repr=False, compare=False)
    """What was found in each page."""


def as_recipe(candidate: Candidate) -> Recipe:
    """The recipe of a candidate.

    Raises:
        RecipeError: There is none of such a name, or not with such overrides.
        TypeError: It is no candidate.
    """
    if isinstance(candidate, Recipe):
        return candidate
    if isinstance(candidate, str):
        return Recipe.load(candidate)
    if isinstance(candidate, tuple) and len(candidate) == 2 and isinstance(candidate[1], dict):
        name, overrides = candidate
        return name.replace(**overrides) if isinstance(name, Recipe) else Recipe.load(name, **overrides)
    raise TypeError(f"a candidate is a recipe, a name or (name, overrides), got {candidate!r}")


def option(recipe: Recipe, plans: Sequence[Plan], texts: Sequence[PageText], least: float, share: float) -> Option:
    """A candidate with what it does to the text.

    Args:
        recipe: The candidate.
        plans: Of each page.
        texts: Of each page.
        least: The effective x-height in pixels that is legible.
        share: Of the characters that may be smaller.
    """
    pages = [(plan, text) for plan, text in zip(plans, texts, strict=True) if text]
    if not pages:
        return Option(recipe, tuple(plans))
    return Option(
        recipe,
        tuple(plans),
        legible=min(text.legible(plan, least) for plan, text in pages),
        capacity=min(legibility.capacity(text.tokens / max(1, plan.num_valid_tokens)) for plan, text in pages),
        x_height=min(text.effective(plan, share) for plan, text in pages),
    )
