"""Candidates to compare: recipes, each as it is or within a budget of tokens per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmres._core import PlanError, Recipe, plan
from vlmres.planning import bounds, fit_budget, lowered

if TYPE_CHECKING:
    from vlmres._core import Plan

DEFAULT_RECIPES = ("qwen3-vl", "internvl2", "deepseek-ocr-base", "deepseek-ocr-gundam", "llava-next")
DEFAULT_BUDGETS = (256, 512, 1024, 2048)


@dataclass(frozen=True)
class Candidate:
    """A recipe, and the most tokens of an image."""

    recipe: Recipe
    budget: int | None = None
    """Most tokens; None for the recipe as it is."""
    named: str = ""
    """The recipe's name in reports, if it differs from its own."""

    @property
    def family(self) -> str:
        """The recipe's name, without the budget."""
        return self.named or self.recipe.name

    @property
    def label(self) -> str:
        """Such as "qwen3-vl@1024"."""
        return self.family if self.budget is None else f"{self.family}@{self.budget}"

    def plan(self, size: tuple[int, int]) -> Plan:
        """The plan of an image of this (width, height): within the budget, or as near to it as the recipe comes."""
        if self.budget is None:
            return plan(size, self.recipe)
        try:
            return fit_budget([size], self.recipe, self.budget).plans[0]
        except PlanError:
            raise
        except ValueError:
            return self._least(size)

    def _least(self, size: tuple[int, int]) -> Plan:
        found = []
        for _, recipe in lowered(self.recipe):
            try:
                found.append(plan(size, recipe))
            except PlanError:
                continue
        return min(found, key=lambda planned: planned.num_tokens)


def with_budgets(recipes: list[tuple[str, Recipe]], budgets: list[int]) -> tuple[list[Candidate], list[str]]:
    """Combines every recipe with every budget.

    A recipe that gives all images the same tokens occurs once, without a budget.

    Returns:
        The candidates, and notes about recipes without budgets.
    """
    candidates: list[Candidate] = []
    fixed: list[str] = []
    for name, recipe in recipes:
        family, at, budget = name.rpartition("@")
        if at and budget.isdecimal():
            candidates.append(Candidate(recipe, int(budget), family))
        elif not budgets:
            candidates.append(Candidate(recipe, None, name))
        elif bounds(recipe):
            candidates += [Candidate(recipe, one, name) for one in budgets]
        else:
            candidates.append(Candidate(recipe, None, name))
            fixed.append(name)
    said = [f"{', '.join(fixed)}: a fixed number of tokens, so no budget changes it"] if fixed else []
    return list(dict.fromkeys(candidates)), said
