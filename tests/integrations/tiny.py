"""Processors around a small tokenizer, made here: no file of a checkpoint is needed."""

import importlib
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

SQUARE = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
# Real checkpoints' settings with smaller views, so that this is quick.
SMALL: dict[str, dict[str, Any]] = {
    "llava-1.5": SQUARE,
    "llava-1.5-pad": SQUARE,
    "llava-next": {**SQUARE, "image_grid_pinpoints": [[56, 112], [112, 56], [112, 112]]},
    "internvl2": {"size": {"height": 56, "width": 56}},
    "deepseek-ocr-2": {"size": {"height": 128, "width": 128}, "tile_size": 96},
    "qwen2-vl": {"size": {"shortest_edge": 3136, "longest_edge": 200704}},
    "qwen3-vl": {"size": {"shortest_edge": 4096, "longest_edge": 200704}},
}

WORDS = ["what", "is", "it", "a", "picture", "of"]

# (module of transformers.models, class, special tokens, attributes of the tokenizer, arguments of the processor)
PROCESSORS: dict[str, tuple[str, str, list[str], dict[str, str], dict[str, Any]]] = {
    "llava-1.5": (
        "llava",
        "LlavaProcessor",
        ["<image>"],
        {},
        {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
    "llava-next": (
        "llava_next",
        "LlavaNextProcessor",
        ["<image>"],
        {},
        {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
    "qwen2-vl": (
        "qwen2_vl",
        "Qwen2VLProcessor",
        ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"],
        {},
        {},
    ),
    "qwen2.5-vl": (
        "qwen2_5_vl",
        "Qwen2_5_VLProcessor",
        ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"],
        {},
        {},
    ),
    "qwen3-vl": (
        "qwen3_vl",
        "Qwen3VLProcessor",
        ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"],
        {},
        {},
    ),
    "internvl3": (
        "internvl",
        "InternVLProcessor",
        ["<img>", "</img>", "<IMG_CONTEXT>", "<video>"],
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
        {},
    ),
}


def tokenizer(special: list[str], attributes: dict[str, str] | None = None) -> Any:
    """A tokenizer of a few words and these special tokens; <pad> is 0."""
    words = ["<pad>", "<unk>", *special, *WORDS]
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=attributes or {},
    )


def processor(recipe: str, image_processor: Any, **arguments: Any) -> Any:
    """transformers' processor of a family around an image processor."""
    module, name, special, attributes, fixed = PROCESSORS[recipe]
    cls = getattr(importlib.import_module(f"transformers.models.{module}.processing_{module}"), name)
    parts = {"image_processor": image_processor, "tokenizer": tokenizer(special, attributes)}
    if "video_processor" in cls.get_attributes():
        video = importlib.import_module(f"transformers.models.{_VIDEO[module]}.video_processing_{_VIDEO[module]}")
        parts["video_processor"] = getattr(video, _VIDEO_CLASS[module])()
    return cls(**parts, **{**fixed, **arguments})


_VIDEO = {"qwen2_vl": "qwen2_vl", "qwen2_5_vl": "qwen2_vl", "qwen3_vl": "qwen3_vl", "internvl": "internvl"}
_VIDEO_CLASS = {
    "qwen2_vl": "Qwen2VLVideoProcessor",
    "qwen2_5_vl": "Qwen2VLVideoProcessor",
    "qwen3_vl": "Qwen3VLVideoProcessor",
    "internvl": "InternVLVideoProcessor",
}
