"""Processors around a small tokenizer, made here: no file of a checkpoint is needed."""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def square(side: int) -> dict[str, Any]:
    return {"size": {"height": side, "width": side}}


CROPPED = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
GRIDS = {"image_grid_pinpoints": [[56, 112], [112, 56], [112, 112]]}
TILED = {"size": {"longest_edge": 112}, "max_image_size": {"longest_edge": 56}}
# Real checkpoints' settings with smaller views, so that this is quick.
SMALL: dict[str, dict[str, Any]] = {
    "aya-vision": {**square(56), "max_patches": 4},
    "cohere2-vision": {**square(64), "patch_size": 2},
    "deepseek-ocr-2": {**square(128), "tile_size": 96},
    "deepseek-vl": square(64),
    "deepseek-vl-hybrid": {**square(64), "high_res_size": {"height": 256, "width": 256}},
    "gemma3": square(56),
    "glm-4v": {"size": {"shortest_edge": 3136, "longest_edge": 25088}},
    "got-ocr2": square(128),
    "granite-docling": {**square(64), "max_patches": 4},
    "idefics2": {"size": {"shortest_edge": 28, "longest_edge": 56}},
    "idefics3": TILED,
    "internvl2": square(56),
    "kimi-k2.5": {"max_patches": 64},
    "lfm2-vl": {"max_image_tokens": 16, "min_image_tokens": 4},
    "lighton-ocr": {"size": {"longest_edge": 112}},
    "llama4": square(56),
    "llava-1.5": CROPPED,
    "llava-1.5-pad": CROPPED,
    "llava-next": {**CROPPED, **GRIDS},
    "llava-onevision": {**square(56), **GRIDS},
    "mistral-small-3": {"size": {"longest_edge": 112}},
    "mllama": square(56),
    "ovis2": {**square(56), "max_patches": 4},
    "paddleocr-vl": {"size": {"shortest_edge": 3136, "longest_edge": 12544}},
    "paligemma": {**square(56), "image_seq_length": 16},
    "pixtral": {"size": {"longest_edge": 112}},
    "qwen2-vl": {"size": {"shortest_edge": 3136, "longest_edge": 200704}},
    "qwen3-vl": {"size": {"shortest_edge": 4096, "longest_edge": 200704}},
    "smolvlm": TILED,
    "unlimited-ocr": {**square(128), "tile_size": 96},
}

WORDS = ["what", "is", "it", "a", "picture", "of"]


class Whole(NamedTuple):
    """What a processor is made of besides its image processor."""

    module: str
    """Of transformers.models."""
    name: str
    """The processor's class."""
    special: tuple[str, ...]
    """Tokens."""
    attributes: Mapping[str, str] = MappingProxyType({})
    """Of the tokenizer."""
    arguments: Mapping[str, Any] = MappingProxyType({})
    """Of the processor."""


_LLAVA = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
_QWEN = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
_IDEFICS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")
_TILES = tuple(f"<row_{row}_col_{col}>" for row in range(1, 5) for col in range(1, 5))
_PIXTRAL = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
_IMAGE = {"image_token": "<image>"}

PROCESSORS: dict[str, Whole] = {
    "aria": Whole("aria", "AriaProcessor", ("<image>",), _IMAGE, {"size_conversion": {980: 4}}),
    "aya-vision": Whole(
        "aya_vision",
        "AyaVisionProcessor",
        ("<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "TILE_GLOBAL", "TILE_1", "TILE_2"),
        {},
        {"patch_size": 14, "img_size": 56, "downsample_factor": 2},
    ),
    "cohere2-vision": Whole(
        "cohere2_vision",
        "Cohere2VisionProcessor",
        ("<image>", "<boi>", "<eoi>", "<break>"),
        {**_IMAGE, "boi_token": "<boi>", "eoi_token": "<eoi>", "img_line_break_token": "<break>"},
    ),
    "deepseek-ocr-2": Whole("deepseek_ocr2", "DeepseekOcr2Processor", ("<image>",)),
    "deepseek-vl": Whole("deepseek_vl", "DeepseekVLProcessor", ("<image>",), _IMAGE, {"num_image_tokens": 16}),
    "deepseek-vl-hybrid": Whole(
        "deepseek_vl_hybrid", "DeepseekVLHybridProcessor", ("<image>",), _IMAGE, {"num_image_tokens": 16}
    ),
    "gemma3": Whole(
        "gemma3",
        "Gemma3Processor",
        ("<image>", "<boi>", "<eoi>"),
        {**_IMAGE, "boi_token": "<boi>", "eoi_token": "<eoi>"},
        {"image_seq_length": 4},
    ),
    "glm-4v": Whole(
        "glm4v",
        "Glm4vProcessor",
        tuple(f"<|{name}|>" for name in ("image", "video", "begin_of_image", "end_of_image", "begin_of_video")),
    ),
    "got-ocr2": Whole("got_ocr2", "GotOcr2Processor", ("<img>", "</img>", "<imgpad>")),
    "granite-docling": Whole("granite_docling", "GraniteDoclingProcessor", _IDEFICS + _TILES, {}, {"image_seq_len": 1}),
    "idefics2": Whole("idefics2", "Idefics2Processor", _IDEFICS, {}, {"image_seq_len": 4}),
    "idefics3": Whole("idefics3", "Idefics3Processor", _IDEFICS + _TILES, {}, {"image_seq_len": 4}),
    "internvl3": Whole(
        "internvl",
        "InternVLProcessor",
        ("<img>", "</img>", "<IMG_CONTEXT>", "<video>"),
        {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    ),
    "kimi-k2.5": Whole("kimi_k25", "Kimi_K25Processor", ("<image>", "<video>"), {**_IMAGE, "video_token": "<video>"}),
    "lfm2-vl": Whole(
        "lfm2_vl",
        "Lfm2VlProcessor",
        (
            "<image>",
            *(f"<|{name}|>" for name in ("image_start", "image_end", "img_thumbnail")),
            *(f"<|img_row_{row}_col_{col}|>" for row in range(1, 4) for col in range(1, 4)),
        ),
    ),
    "lighton-ocr": Whole(
        "lighton_ocr",
        "LightOnOcrProcessor",
        _PIXTRAL,
        {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"},
    ),
    "llama4": Whole(
        "llama4",
        "Llama4Processor",
        tuple(
            f"<|{name}|>"
            for name in ("image", "image_start", "image_end", "patch", "tile_x_separator", "tile_y_separator")
        ),
        {},
        {"patch_size": 14},
    ),
    "llava-1.5": Whole("llava", "LlavaProcessor", ("<image>",), {}, _LLAVA),
    "llava-next": Whole("llava_next", "LlavaNextProcessor", ("<image>",), {}, _LLAVA),
    "llava-onevision": Whole(
        "llava_onevision",
        "LlavaOnevisionProcessor",
        ("<image>", "<video>"),
        {},
        {"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
    ),
    "mistral-small-3": Whole("pixtral", "PixtralProcessor", _PIXTRAL, {}, {"patch_size": 14, "spatial_merge_size": 2}),
    "mllama": Whole("mllama", "MllamaProcessor", ("<|image|>", "<|python_tag|>")),
    "ovis2": Whole(
        "ovis2",
        "Ovis2Processor",
        ("<image>", *(f"<IMG_{name}>" for name in ("ATOM", "START", "GRID", "COL", "ROW", "END"))),
        {},
        {"image_seq_length": 16},
    ),
    "paddleocr-vl": Whole("paddleocr_vl", "PaddleOCRVLProcessor", ("<image>", *_QWEN[1:]), _IMAGE),
    "paligemma": Whole("paligemma", "PaliGemmaProcessor", ("<image>",), _IMAGE),
    "pixtral": Whole("pixtral", "PixtralProcessor", _PIXTRAL, {}, {"patch_size": 16}),
    "qwen2-vl": Whole("qwen2_vl", "Qwen2VLProcessor", _QWEN),
    "qwen2.5-vl": Whole("qwen2_5_vl", "Qwen2_5_VLProcessor", _QWEN),
    "qwen3-vl": Whole("qwen3_vl", "Qwen3VLProcessor", _QWEN),
    # SmolVLM's own processor needs a package to say numbers in words; its images are Idefics3's.
    "smolvlm": Whole("idefics3", "Idefics3Processor", _IDEFICS + _TILES, {}, {"image_seq_len": 4}),
    "unlimited-ocr": Whole("unlimited_ocr", "UnlimitedOcrProcessor", ("<image>",)),
}


def tokenizer(special: tuple[str, ...] | list[str], attributes: Mapping[str, str] | None = None) -> Any:
    """A tokenizer of a few words and these special tokens; <pad> is 0."""
    words = ["<pad>", "<unk>", "<s>", *special, *WORDS]
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.add_special_tokens(list(special))
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        extra_special_tokens=dict(attributes or {}),
    )


def processor(recipe: str, image_processor: Any, **arguments: Any) -> Any:
    """transformers' processor of a family around an image processor."""
    whole = PROCESSORS[recipe]
    module = importlib.import_module(f"transformers.models.{whole.module}.processing_{whole.module}")
    cls = getattr(module, whole.name)
    parts = {"image_processor": image_processor, "tokenizer": tokenizer(whole.special, whole.attributes)}
    if "video_processor" in cls.get_attributes():
        parts["video_processor"] = _video_processor(whole.module)
    return cls(**parts, **{**whole.arguments, **arguments})


def _video_processor(module: str) -> Any:
    """The video processor of a model with its defaults."""
    model = {"qwen2_5_vl": "qwen2_vl"}.get(module, module)
    there = importlib.import_module(f"transformers.models.{model}.video_processing_{model}")
    (cls,) = (
        value
        for name, value in vars(there).items()
        if name.endswith("VideoProcessor") and value.__module__ == there.__name__
    )
    return cls()
