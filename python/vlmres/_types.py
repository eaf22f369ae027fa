"""Small value types that the compiled module returns, and names that editors complete."""

from typing import Any, Literal, NamedTuple, TypeAlias

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
    "mistral-common",
    "mistral-common-small-3",
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
    "qwen2.5-vl-utils",
    "qwen3-vl",
    "qwen3-vl-utils",
    "qwen3.5-vl",
    "siglip",
    "siglip2-naflex",
    "smolvlm",
    "step3",
    "step3-vl",
    "unlimited-ocr",
]
"""The built-in recipes. Functions that take a name also take the names of your own recipes."""


class Size(NamedTuple):
    """Width and height in pixels, in PIL's order."""

    width: int
    height: int


class Grid(NamedTuple):
    """Rows and columns of tiles or patches."""

    rows: int
    cols: int


class Parameter(NamedTuple):
    """A parameter of a recipe, which `Recipe.load(name, **overrides)` and `Processor(name, **overrides)` change."""

    value: Any
    """Its value in this recipe."""
    meaning: str
    """What it means; empty for a parameter that your own recipe defines."""
    unit: str
    """Its unit, such as "pixels"; empty if it has none."""
    limits: str
    """The allowed values, such as "between 1 and 1024". Empty for a boolean."""


class Coordinates(NamedTuple):
    """The coordinates that a model reads and writes: the default of `Plan.to_model`."""

    convention: Literal["pixels", "0-1000", "0-999", "0-1"]
    """Units: pixels of the resized image, or a number from 0 to 1000, 999 or 1 over the frame."""
    frame: Literal["image", "canvas"]
    """What relative units are relative to: the image itself, or the main view's canvas, padding included."""
