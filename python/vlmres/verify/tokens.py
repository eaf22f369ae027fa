"""transformers' own counting of image tokens."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlmres.verify import references

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class TokenReference:
    """A processor class of transformers, and what counting reads of it besides the image processor."""

    module: str
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)


_LLAVA = {"patch_size": 14, "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default"}

_INTERNVL = TokenReference("internvl", "InternVLProcessor", {"image_seq_length": 256})

TOKEN_REFERENCES: dict[str, TokenReference] = {
    "internvl1.5": _INTERNVL,
    "internvl2": _INTERNVL,
    "internvl2.5": _INTERNVL,
    "internvl3": _INTERNVL,
    "llava-1.5": TokenReference("llava", "LlavaProcessor", _LLAVA),
    "llava-next": TokenReference("llava_next", "LlavaNextProcessor", _LLAVA),
    "qwen2-vl": TokenReference("qwen2_vl", "Qwen2VLProcessor"),
    "qwen2.5-vl": TokenReference("qwen2_5_vl", "Qwen2_5_VLProcessor"),
    "qwen3-vl": TokenReference("qwen3_vl", "Qwen3VLProcessor"),
}


def light_processor(reference: TokenReference, image_processor: Any) -> Any:
    """A processor of transformers without a tokenizer, for its counting alone."""
    cls = getattr(
        importlib.import_module(f"transformers.models.{reference.module}.processing_{reference.module}"), reference.name
    )
    stub = object.__new__(cls)
    images_kwargs = {"crop_to_patches": True} if getattr(image_processor, "crop_to_patches", False) else {}
    stub._merge_kwargs = lambda **_: {"images_kwargs": images_kwargs}
    stub.image_processor = image_processor
    for key, value in reference.attributes.items():
        setattr(stub, key, value)
    return stub


def processor_of(recipe: str) -> Any | None:
    """What counts the tokens of a recipe, or None where nothing in transformers does."""
    reference = TOKEN_REFERENCES.get(recipe)
    return None if reference is None else light_processor(reference, references.processor(recipe, "torch"))


def count(processor: Any, sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Tokens of images of these sizes (width, height) by a processor of transformers."""
    counted = processor._get_num_multimodal_tokens(image_sizes=[(height, width) for width, height in sizes])
    return [int(number) for number in counted["num_image_tokens"]]
