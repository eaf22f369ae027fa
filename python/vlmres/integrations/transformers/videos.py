"""transformers' video processors on vlmres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres._core import Recipe
from vlmres.integrations.transformers.decline import DeclinedError
from vlmres.integrations.transformers.route import settings_of
from vlmres.processor import DType, Processor

if TYPE_CHECKING:
    from collections.abc import Mapping


def make_video_processor(processor: Any, kwargs: Mapping[str, Any]) -> Processor:
    """The vlmres `Processor` of transformers' video processor called with the resolved settings `kwargs`.

    Raises:
        DeclinedError: No recipe follows them.
    """
    settings = settings_of(processor, kwargs)
    settings["video_processor_type"] = settings.pop("image_processor_type")
    dtype: DType = "float32"
    if not settings["do_rescale"] and not settings["do_normalize"]:
        dtype, settings["do_rescale"] = "uint8", True  # pixels before they are rescaled
    try:
        return Processor(Recipe.from_pretrained(settings), dtype=dtype, arithmetic="torch")
    except (ValueError, TypeError) as error:
        raise DeclinedError("recipe", str(error)) from error
