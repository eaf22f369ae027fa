"""The references of recipes: transformers' image processors with the settings of real checkpoints."""

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from vlmres.processor import DType

CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}

RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}

PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]


@dataclass(frozen=True)
class Reference:
    """A transformers class, and the settings of its checkpoint."""

    model: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    backends: tuple[Literal["torch", "pillow"], ...] = ("torch", "pillow")
    """Arithmetics for which transformers has a class."""
    dtype: DType = "float32"
    """Type of its pixel values when it normalises."""
    fixed: tuple[str, ...] = ()
    """Settings that its recipe fixes; cases do not change them."""
    unlike: dict[str, Any] = field(default_factory=dict)
    """Settings with which its torchvision class fails or behaves as no other; cases leave them out."""
    floats: bool = False
    """Whether it resizes in floating point, where torch's bits depend on its compiler (`rounds_as_known`)."""


_LLAVA = {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}, "resample": 3, **CLIP}
_INTERNVL = Reference(
    "got_ocr2",
    "GotOcr2ImageProcessor",
    {
        "size": {"height": 448, "width": 448},
        "crop_to_patches": True,
        "min_patches": 1,
        "max_patches": 12,
        "resample": 3,
        **IMAGENET,
    },
)
_QWEN2 = Reference(
    "qwen2_vl",
    "Qwen2VLImageProcessor",
    {
        "size": {"shortest_edge": 3136, "longest_edge": 12845056},
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "resample": 3,
        **CLIP,
    },
)

_TORCH_ONLY: tuple[Literal["torch", "pillow"], ...] = ("torch",)


def _smart(low: int, high: int, patch: int, temporal: int) -> dict[str, Any]:
    return {
        "size": {"shortest_edge": low, "longest_edge": high},
        "patch_size": patch,
        "merge_size": 2,
        "temporal_patch_size": temporal,
        "resample": 3,
        **CLIP,
    }


def _square(side: int) -> dict[str, Any]:
    return {"size": {"height": side, "width": side}}


_GLM = {**_smart(12544, 11760000, 14, 2)}
# Rows and columns of 490 pixels.
_ARIA_GRIDS = [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7), (1, 8), (2, 4), (2, 3), (2, 2), (2, 1), (3, 1), (3, 2)]
_ARIA_GRIDS += [(4, 1), (4, 2), (5, 1), (6, 1), (7, 1), (8, 1)]

REFERENCES: dict[str, Reference] = {
    "aria": Reference(
        "aria",
        "AriaImageProcessor",
        {"max_image_size": 980, "min_image_size": 336, **HALF},
        fixed=("max_image_size",),
    ),
    "aria-split": Reference(
        "aria",
        "AriaImageProcessor",
        {
            "max_image_size": 490,
            "split_image": True,
            "split_resolutions": [[490 * rows, 490 * cols] for rows, cols in _ARIA_GRIDS],
            **HALF,
        },
        fixed=("max_image_size",),
    ),
    "aya-vision": Reference(
        "got_ocr2", "GotOcr2ImageProcessor", {"crop_to_patches": True, "max_patches": 12, **_square(364), **HALF}
    ),
    "clip": Reference(
        "clip",
        "CLIPImageProcessor",
        {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}, **CLIP},
    ),
    "cohere2-vision": Reference(
        "cohere2_vision", "Cohere2VisionImageProcessor", {"max_patches": 12, **_square(512), **HALF}, _TORCH_ONLY
    ),
    "deepseek-vl": Reference("deepseek_vl", "DeepseekVLImageProcessor", {**_square(384), **HALF}),
    "deepseek-vl-hybrid": Reference(
        "deepseek_vl_hybrid",
        "DeepseekVLHybridImageProcessor",
        {
            **_square(384),
            **HALF,
            "high_res_size": {"height": 1024, "width": 1024},
            "high_res_image_mean": HALF["image_mean"],
            "high_res_image_std": HALF["image_std"],
        },
    ),
    "dots.ocr": Reference("qwen2_vl", "Qwen2VLImageProcessor", _smart(3136, 11289600, 14, 1)),
    "ernie-4.5-vl": Reference("ernie4_5_vl_moe", "Ernie4_5_VLMoeImageProcessor", _smart(3136, 4842768, 14, 1)),
    "florence-2": Reference(
        "clip",
        "CLIPImageProcessor",
        {
            "do_center_crop": False,
            **_square(768),
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    ),
    "gemma3": Reference("gemma3", "Gemma3ImageProcessor", {**_square(896), "resample": 2, **HALF}),
    "gemma4": Reference("gemma4", "Gemma4ImageProcessor", {"max_soft_tokens": 280}),
    "glm-4.6v": Reference("glm46v", "Glm46VImageProcessor", _GLM),
    "glm-4v": Reference("glm4v", "Glm4vImageProcessor", _GLM),
    "glm-5-next": Reference("glm5_next", "Glm5NextImageProcessor", {"resample": 3, **CLIP}),
    "got-ocr2": Reference("got_ocr2", "GotOcr2ImageProcessor", {"crop_to_patches": False, **_square(1024), **CLIP}),
    "granite-docling": Reference("granite_docling", "GraniteDoclingImageProcessor", {**_square(512), **CLIP}),
    "hunyuan-vl": Reference("hunyuan_vl", "HunYuanVLImageProcessor", _smart(262144, 4194304, 16, 1)),
    "idefics2": Reference(
        "idefics2", "Idefics2ImageProcessor", {"size": {"shortest_edge": 378, "longest_edge": 980}, **HALF}
    ),
    "idefics3": Reference(
        "idefics3",
        "Idefics3ImageProcessor",
        {"size": {"longest_edge": 1456}, "max_image_size": {"longest_edge": 364}, "resample": 1, **HALF},
    ),
    "kimi-k2.5": Reference("kimi_k25", "Kimi_K25ImageProcessor", {**HALF}, _TORCH_ONLY),
    "lfm2-vl": Reference("lfm2_vl", "Lfm2VlImageProcessor", {**HALF}, _TORCH_ONLY, fixed=("tile_size",)),
    "lighton-ocr": Reference(
        "pixtral",
        "PixtralImageProcessor",
        {"patch_size": {"height": 28, "width": 28}, "size": {"longest_edge": 1540}, **CLIP},
    ),
    # Without rescaling it normalises bytes, which torchvision refuses.
    "llama4": Reference(
        "llama4",
        "Llama4ImageProcessor",
        {**_square(336), **HALF},
        _TORCH_ONLY,
        "bfloat16",
        unlike={"do_rescale": False},
    ),
    "llava-onevision": Reference("llava_onevision", "LlavaOnevisionImageProcessor", {**_square(384), **HALF}),
    "minicpm-v-4.6": Reference("minicpmv4_6", "MiniCPMV4_6ImageProcessor", {**HALF}),
    "minimax-m3-vl": Reference("minimax_m3_vl", "MiniMaxM3VLImageProcessor", _smart(3136, 451584, 14, 2), _TORCH_ONLY),
    "mistral-small-3": Reference(
        "pixtral",
        "PixtralImageProcessor",
        {"patch_size": {"height": 28, "width": 28}, "size": {"longest_edge": 1540}, **CLIP},
    ),
    "mllama": Reference("mllama", "MllamaImageProcessor", {**_square(560), "max_image_tiles": 4, **CLIP}),
    "molmo2": Reference(
        "molmo2",
        "Molmo2ImageProcessor",
        {**_square(378), **HALF},
        _TORCH_ONLY,
        fixed=("resample", "size"),
        floats=True,
    ),
    "nemotron-omni": Reference(
        "nemotron_h_omni",
        "NemotronH_Omni_Reasoning_V3ImageProcessor",
        {},
        _TORCH_ONLY,
        fixed=("resample",),
        floats=True,
    ),
    "ovis2": Reference(
        "ovis2", "Ovis2ImageProcessor", {"crop_to_patches": True, "max_patches": 9, **_square(448), **CLIP}
    ),
    "paddleocr-vl": Reference("paddleocr_vl", "PaddleOCRVLImageProcessor", _smart(147456, 2359296, 14, 1)),
    "paligemma": Reference("siglip", "SiglipImageProcessor", {**_square(224), **HALF}),
    "phi-4": Reference(
        "phi4_multimodal",
        "Phi4MultimodalImageProcessor",
        {**_square(448), **HALF},
        _TORCH_ONLY,
        fixed=("resample", "size"),
        floats=True,
    ),
    "pixtral": Reference(
        "pixtral",
        "PixtralImageProcessor",
        {"patch_size": {"height": 16, "width": 16}, "size": {"longest_edge": 1024}, **CLIP},
    ),
    "qwen3.5-vl": Reference("qwen2_vl", "Qwen2VLImageProcessor", {**_smart(65536, 16777216, 16, 2), **HALF}),
    "siglip": Reference("siglip", "SiglipImageProcessor", {**_square(224), **HALF}),
    "smolvlm": Reference(
        "smolvlm",
        "SmolVLMImageProcessor",
        {"size": {"longest_edge": 2048}, "max_image_size": {"longest_edge": 512}, "resample": 1, **HALF},
    ),
    "step3": Reference("step3p7", "Step3p7ImageProcessor", {**CLIP}, _TORCH_ONLY),
    "unlimited-ocr": Reference("unlimited_ocr", "UnlimitedOcrImageProcessor", {**_square(1024), **HALF}, _TORCH_ONLY),
    "deepseek-ocr-2": Reference(
        "deepseek_ocr2",
        "DeepseekOcr2ImageProcessor",
        {
            "size": {"height": 1024, "width": 1024},
            "tile_size": 768,
            "min_patches": 2,
            "max_patches": 6,
            "crop_to_patches": True,
            "resample": 3,
            **HALF,
        },
    ),
    "internvl1.5": _INTERNVL,
    "internvl2": _INTERNVL,
    "internvl2.5": _INTERNVL,
    "internvl3": _INTERNVL,
    "llava-1.5": Reference("clip", "CLIPImageProcessor", _LLAVA),
    "llava-1.5-pad": Reference("llava", "LlavaImageProcessor", {"do_pad": True, **_LLAVA}),
    "llava-next": Reference(
        "llava_next", "LlavaNextImageProcessor", {"do_pad": True, "image_grid_pinpoints": PINPOINTS, **_LLAVA}
    ),
    "qwen2-vl": _QWEN2,
    "qwen2.5-vl": _QWEN2,
    "qwen3-vl": Reference(
        "qwen2_vl",
        "Qwen2VLImageProcessor",
        {
            "size": {"shortest_edge": 65536, "longest_edge": 16777216},
            "patch_size": 16,
            "merge_size": 2,
            "temporal_patch_size": 2,
            "resample": 3,
            **HALF,
        },
    ),
    "siglip2-naflex": Reference(
        "siglip2", "Siglip2ImageProcessor", {"patch_size": 16, "max_num_patches": 256, "resample": 2, **HALF}
    ),
}

# Recipes that differ from another recipe only in boxes, titles and settings of the same steps.
ALIKE = {
    "aya-vision",
    "clip",
    "dots.ocr",
    "florence-2",
    "glm-4.6v",
    "internvl1.5",
    "internvl2.5",
    "internvl3",
    "lighton-ocr",
    "mistral-small-3",
    "paligemma",
    "qwen2.5-vl",
    "qwen3.5-vl",
    "smolvlm",
}
DISTINCT = tuple(sorted(set(REFERENCES) - ALIKE))

# Recipes for tests of behaviour that all recipes share.
CORE = (
    "deepseek-ocr-2",
    "internvl2",
    "llava-1.5",
    "llava-1.5-pad",
    "llava-next",
    "qwen2-vl",
    "qwen3-vl",
    "siglip2-naflex",
)


def available(recipe: str) -> bool:
    """Whether the installed transformers has a recipe's reference. Old versions lack the classes of new models."""
    model = f"transformers.models.{REFERENCES[recipe].model}"
    return importlib.util.find_spec(model) is not None


def cases(recipes: Iterable[str]) -> list[tuple[str, str]]:
    """Every recipe with a reference here, in every arithmetic of the reference."""
    known = rounds_as_known()
    chosen = [recipe for recipe in recipes if available(recipe) and (known or not REFERENCES[recipe].floats)]
    return [(recipe, arithmetic) for recipe in chosen for arithmetic in REFERENCES[recipe].backends]


def rounds_as_known() -> bool:
    """Whether torch's float resizes on this machine round as vlmres does everywhere.

    torch's wheels for Linux on x86-64 with AVX2 fuse multiplications and additions in particular places.
    """
    import torch

    return sys.platform == "linux" and torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")


def compensated_sum(values: Iterable[float]) -> float:
    """`sum` of floats as in Python since 3.12, with compensation.

    Without it, sums may differ in the last bit, which decides ties.
    """
    total: float = 0
    lost = 0.0
    for value in values:
        if isinstance(value, int):
            total += value
            continue
        new = total + value
        lost += (total - new) + value if abs(total) >= abs(value) else (value - new) + total
        total = new
    return total + lost if lost else total


def processor(recipe: str, arithmetic: str, **settings: Any) -> Any:
    """The reference processor of a recipe: the torchvision class, or the PIL one."""
    reference = REFERENCES[recipe]
    module = importlib.import_module(
        f"transformers.models.{reference.model}.image_processing_"
        + (reference.model if arithmetic == "torch" else f"pil_{reference.model}")
    )
    if reference.model == "ovis2" and sys.version_info < (3, 12):
        vars(module)["sum"] = compensated_sum
    name = reference.name if arithmetic == "torch" else f"{reference.name}Pil"
    return getattr(module, name)(**{**reference.settings, **settings})


def helper(model: str, name: str) -> Any:
    """A function or class from a model's torchvision image processing module."""
    return getattr(importlib.import_module(f"transformers.models.{model}.image_processing_{model}"), name)
