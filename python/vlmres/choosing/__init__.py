"""Choice of a recipe for each image: the cheapest candidate that keeps its text legible."""

from vlmres.choosing.choice import Candidate, Choice, Option
from vlmres.choosing.chooser import Chooser, Selector, choose
from vlmres.choosing.text import PageText, read_text

__all__ = ["Candidate", "Choice", "Chooser", "Option", "PageText", "Selector", "choose", "read_text"]
