"""Candidates, and how legible each makes some pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vlmres import legibility
from vlmres._core import Plan, Recipe

if TYPE_CHECKING:
    from vlmres.choosing.text import PageText

Candidate: TypeAlias = "Recipe | str | tuple[Recipe | str, dict[str, Any]]"
"""A recipe, its name, or a pair of one of these and overrides."""


@dataclass(frozen=True)
class Option:
    """A candidate, evaluated for some pages."""

    recipe: Recipe
    plans: tuple[Plan, ...]
    """The plan of each page."""
    legible: float | None = None
    """Share of the characters that are large enough, for the page with the lowest share; None without text."""
    capacity: float | None = None
    """Precision that the visual tokens allow, for the page with the lowest precision; None without text."""
    x_height: float | None = None
    """Effective x-height, in pixels, of the smallest text that must be legible; None without text."""

    @property
    def num_tokens(self) -> int:
        """Tokens of all pages."""
        return sum(plan.num_tokens for plan in self.plans)

    def reaches(self, target: float) -> bool:
        """Whether it satisfies both limits."""
        return self.legible is not None and self.capacity is not None and min(self.legible, self.capacity) >= target


@dataclass(frozen=True)
class Choice:
    """The result of `choose`."""

    recipe: Recipe
    """The recipe."""
    num_tokens: int
    """Tokens of all pages with this recipe."""
    legible: float | None
    """Estimated share of the characters that are large enough to be read, for the page with the lowest share; None if
    no text was found.
    """
    capacity: float | None
    """DeepSeek-OCR's precision at this number of text tokens per visual token, for the page with the lowest precision;
    for other models an extrapolation. None if no text was found.
    """
    confidence: float
    """Confidence in the choice, from 0 to 1, from the margin of the smallest text over the reader's threshold and from
    how much the lines look like text. It ranks choices; it is not a measured probability.
    """
    reason: str
    """The reason, in one sentence."""
    options: tuple[Option, ...] = field(repr=False, compare=False)
    """All candidates, in the given order."""
    texts: tuple[PageText, ...] = field(repr=False, compare=False)
    """The text that was found on each page."""


def as_recipe(candidate: Candidate) -> Recipe:
    """The recipe of a candidate.

    Raises:
        RecipeError: There is no recipe of this name, or it does not allow these overrides.
        TypeError: It is not a candidate.
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
    """Evaluates a candidate for the text of some pages.

    Args:
        recipe: The candidate.
        plans: The plan of each page.
        texts: The text of each page.
        least: The smallest legible effective x-height, in pixels.
        share: Share of the characters that may be smaller.
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
