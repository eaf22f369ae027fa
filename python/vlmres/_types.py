"""Small value types that the compiled module returns, and names that editors complete."""

from typing import Literal, NamedTuple, TypeAlias

# Written by docs/tables.py.
RecipeName: TypeAlias = Literal[
    "aria",
    "aria-split",
    "aya-vision",
    "clip",
    "cohere2-vision",
    "deepseek-ocr-2",
    "deepseek-ocr-base",
    "deepseek-ocr-gundam",
    "deepseek-ocr-gundam-m",
    "deepseek-ocr-large",
    "deepseek-ocr-small",
    "deepseek-ocr-tiny",
    "deepseek-vl",
    "deepseek-vl-hybrid",
    "deepseek-vl2",
    "dots.ocr",
    "ernie-4.5-vl",
    "florence-2",
    "gemma3",
    "gemma4",
    "glm-4.6v",
    "glm-4v",
    "glm-5-next",
    "got-ocr2",
    "granite-docling",
    "hunyuan-vl",
    "idefics2",
    "idefics3",
    "internvl1.5",
    "internvl2",
    "internvl2.5",
    "internvl3",
    "kimi-k2.5",
    "kimi-vl",
    "lfm2-vl",
    "lighton-ocr",
    "llama4",
    "llava-1.5",
    "llava-1.5-pad",
    "llava-next",
    "llava-onevision",
    "minicpm-v-4.6",
    "minimax-m3-vl",
    "mistral-small-3",
    "mllama",
    "molmo2",
    "nativeres-llava",
    "nemotron-omni",
    "nvlm-d",
    "open-clip",
    "ovis2",
    "ovis2.5",
    "paddleocr-vl",
    "paligemma",
    "phi-3.5-vision",
    "phi-4",
    "pixtral",
    "qwen2-vl",
    "qwen2.5-vl",
    "qwen3-vl",
    "qwen3.5-vl",
    "siglip",
    "siglip2-naflex",
    "smolvlm",
    "step3",
    "unlimited-ocr",
]
"""The built-in recipes. Where a name is taken, those of recipes of your own are too."""


class Size(NamedTuple):
    """Width and height in pixels, in PIL's order."""

    width: int
    height: int


class Grid(NamedTuple):
    """Rows and columns of tiles or patches."""

    rows: int
    cols: int
