"""Exact image preprocessing for vision-language models.

A `Recipe` describes how a model family preprocesses images. A `Plan` is what a recipe does to an image of a given size:
tokens, tiles and boxes, computed without pixels. A `Processor` turns images into the tensors that the family's encoder
reads, equal to the reference bit for bit.

    >>> import vlmres
    >>> vlmres.plan((640, 480), "internvl2").num_tokens
    3330
    >>> batch = vlmres.Processor("qwen3-vl")(["page.png", "photo.jpg"])  # doctest: +SKIP
    >>> batch["pixel_values"].shape  # doctest: +SKIP
"""

from vlmres._core import (
    DecodeError,
    Plan,
    PlanError,
    Recipe,
    RecipeError,
    View,
    VlmresError,
    build_info,
    recipes,
)
from vlmres._help import RecipeDoc
from vlmres._types import Coordinates, Grid, Parameter, RecipeName, Size
from vlmres.batch import Batch
from vlmres.cache import Cache
from vlmres.choosing import Choice, Chooser, choose
from vlmres.data.packing import pack
from vlmres.documents import Document
from vlmres.inputs import Fetch
from vlmres.messages import Media, from_messages
from vlmres.planning import BudgetFit, PlanTable, fit_budget, image_size, plan, plan_many
from vlmres.processor import Processor
from vlmres.profiling import Profile, profile
from vlmres.resizing import resize
from vlmres.shards import open_shards
from vlmres.videos import Video, VideoInfo

__version__ = build_info()["version"]

Recipe.__doc__ = RecipeDoc(Recipe.__doc__)  # type: ignore[assignment]

__all__ = [
    "Batch",
    "BudgetFit",
    "Cache",
    "Choice",
    "Chooser",
    "Coordinates",
    "DecodeError",
    "Document",
    "Fetch",
    "Grid",
    "Media",
    "Parameter",
    "Plan",
    "PlanError",
    "PlanTable",
    "Processor",
    "Profile",
    "Recipe",
    "RecipeError",
    "RecipeName",
    "Size",
    "Video",
    "VideoInfo",
    "View",
    "VlmresError",
    "__version__",
    "build_info",
    "choose",
    "fit_budget",
    "from_messages",
    "image_size",
    "open_shards",
    "pack",
    "plan",
    "plan_many",
    "profile",
    "recipes",
    "resize",
]
