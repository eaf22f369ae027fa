"""transformers' own counting of image tokens."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlmres.verify import references

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class TokenReference:
    """A transformers processor class, and the attributes that its counting reads besides the image processor."""

    module: str
    name: str
    attributes: dict[str, Any] = field(default_factory=dict)


_LLAVA = {"patch_size": 14, "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default"}

_INTERNVL = TokenReference("internvl", "InternVLProcessor", {"image_seq_length": 256})

_IDEFICS_TAGS = {"fake_image_token": "<fake>", "global_image_tag": "<global>", "image_token": "<image>"}

TOKEN_REFERENCES: dict[str, TokenReference] = {
    "internvl1.5": _INTERNVL,
    "internvl2": _INTERNVL,
    "internvl2.5": _INTERNVL,
    "internvl3": _INTERNVL,
    "aria": TokenReference("aria", "AriaProcessor", {"size_conversion": {490: 128, 980: 256}}),
    "aria-split": TokenReference("aria", "AriaProcessor", {"size_conversion": {490: 128, 980: 256}}),
    "aya-vision": TokenReference("aya_vision", "AyaVisionProcessor", {"img_size": 364, "patch_size": 28}),
    "cohere2-vision": TokenReference("cohere2_vision", "Cohere2VisionProcessor", {"patch_size": 16}),
    "ernie-4.5-vl": TokenReference("ernie4_5_vl_moe", "Ernie4_5_VLMoeProcessor"),
    "florence-2": TokenReference("florence2", "Florence2Processor", {"num_image_tokens": 577}),
    "gemma3": TokenReference("gemma3", "Gemma3Processor", {"image_seq_length": 256}),
    "gemma4": TokenReference("gemma4", "Gemma4Processor"),
    "glm-4.6v": TokenReference("glm46v", "Glm46VProcessor"),
    "glm-4v": TokenReference("glm4v", "Glm4vProcessor"),
    "glm-5-next": TokenReference("glm5_next", "Glm5NextProcessor"),
    "granite-docling": TokenReference(
        "granite_docling", "GraniteDoclingProcessor", {"image_seq_len": 64, **_IDEFICS_TAGS}
    ),
    "hunyuan-vl": TokenReference("hunyuan_vl", "HunYuanVLProcessor", {"cat_extra_token": True}),
    "idefics3": TokenReference("idefics3", "Idefics3Processor", {"image_seq_len": 169}),
    "kimi-k2.5": TokenReference("kimi_k25", "Kimi_K25Processor"),
    "lighton-ocr": TokenReference("lighton_ocr", "LightOnOcrProcessor", {"effective_patch_size": 28}),
    "llava-1.5": TokenReference("llava", "LlavaProcessor", _LLAVA),
    "llava-next": TokenReference("llava_next", "LlavaNextProcessor", _LLAVA),
    "llava-onevision": TokenReference(
        "llava_onevision",
        "LlavaOnevisionProcessor",
        {"num_image_tokens": 729, "vision_feature_select_strategy": "full", "vision_aspect_ratio": "anyres_max_9"},
    ),
    "minimax-m3-vl": TokenReference("minimax_m3_vl", "MiniMaxM3VLProcessor"),
    "mistral-small-3": TokenReference("pixtral", "PixtralProcessor", {"patch_size": 14, "spatial_merge_size": 2}),
    "molmo2": TokenReference(
        "molmo2",
        "Molmo2Processor",
        {"image_use_col_tokens": True, "use_single_crop_col_tokens": None, "use_single_crop_start_token": True},
    ),
    "paligemma": TokenReference("paligemma", "PaliGemmaProcessor", {"image_seq_length": 256}),
    "pixtral": TokenReference("pixtral", "PixtralProcessor", {"patch_size": 16, "spatial_merge_size": 1}),
    "qwen2-vl": TokenReference("qwen2_vl", "Qwen2VLProcessor"),
    "qwen2.5-vl": TokenReference("qwen2_5_vl", "Qwen2_5_VLProcessor"),
    "qwen3-vl": TokenReference("qwen3_vl", "Qwen3VLProcessor"),
    "qwen3.5-vl": TokenReference("qwen3_vl", "Qwen3VLProcessor"),
    "smolvlm": TokenReference("idefics3", "Idefics3Processor", {"image_seq_len": 64}),
}


class Words:
    """A stand-in for a tokenizer: every tag and every run of newlines is one token."""

    def __call__(self, text: str, **_: Any) -> dict[str, list[str]]:
        """The tags of a text."""
        return {"input_ids": re.findall(r"<[^<>]*>|\n+", text)}

    def tokenize(self, text: str) -> list[str]:
        """The text unchanged."""
        return self(text)["input_ids"]

    def convert_tokens_to_ids(self, token: str) -> int:
        """An arbitrary id."""
        return len(token)


def light_processor(reference: TokenReference, image_processor: Any, video_processor: Any = None) -> Any:
    """A transformers processor without a tokenizer, used only for counting."""
    cls = getattr(
        importlib.import_module(f"transformers.models.{reference.module}.processing_{reference.module}"), reference.name
    )
    stub = object.__new__(cls)
    images_kwargs = {"crop_to_patches": True} if getattr(image_processor, "crop_to_patches", False) else {}
    stub._merge_kwargs = lambda **_: {"images_kwargs": images_kwargs, "videos_kwargs": {}}
    stub.image_processor, stub.video_processor = image_processor, video_processor
    stub.tokenizer = Words()
    for key, value in reference.attributes.items():
        setattr(stub, key, value)
    return stub


def processor_of(recipe: str) -> Any | None:
    """The processor that counts the tokens of a recipe; None if transformers has none."""
    reference = TOKEN_REFERENCES.get(recipe)
    return None if reference is None else light_processor(reference, references.processor(recipe, "torch"))


def _takes_rows_for_channels(_: Any, size: tuple[int, int]) -> bool:
    return size[1] in (1, 3)


def _splits_a_part_of_a_tile(processor: Any, _: tuple[int, int]) -> bool:
    images = processor.image_processor
    return bool(images.size["longest_edge"] % images.max_image_size["longest_edge"])


# Classes that miscount their tokens, and for which images (shown in `tests/parity/test_reference_bugs.py`).
MISCOUNTED: dict[str, Callable[[Any, tuple[int, int]], bool]] = {
    # They count from an array's shape, and take one or three rows for channels.
    "PixtralProcessor": _takes_rows_for_channels,
    "LightOnOcrProcessor": _takes_rows_for_channels,
    # They omit the second resize, which matters if the longest edge is not a whole number of tiles.
    "Idefics3Processor": _splits_a_part_of_a_tile,
}


def reliable(processor: Any, size: tuple[int, int]) -> bool:
    """Whether a transformers processor counts the tokens of an image of `size` (width, height) correctly."""
    miscounted = MISCOUNTED.get(type(processor).__name__)
    return miscounted is None or not miscounted(processor, size)


def count(processor: Any, sizes: Sequence[tuple[int, int]]) -> list[int]:
    """Tokens that a transformers processor counts for images of these sizes (width, height)."""
    counted = processor._get_num_multimodal_tokens(image_sizes=[(height, width) for width, height in sizes])
    return [int(number) for number in counted["num_image_tokens"]]
