"""transformers' image processors with the settings of real checkpoints: what recipes are compared with."""

import importlib
from dataclasses import dataclass, field
from typing import Any

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
    """A class of transformers and what its checkpoint sets."""

    model: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict)


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

REFERENCES: dict[str, Reference] = {
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

# One name of each group of recipes that differ in nothing but boxes and titles.
DISTINCT = (
    "deepseek-ocr-2",
    "internvl2",
    "llava-1.5",
    "llava-1.5-pad",
    "llava-next",
    "qwen2-vl",
    "qwen3-vl",
    "siglip2-naflex",
)


def processor(recipe: str, arithmetic: str, **settings: Any) -> Any:
    """The reference processor of a recipe: the torchvision class, or the PIL one."""
    reference = REFERENCES[recipe]
    module = (
        f"image_processing_{reference.model}" if arithmetic == "torch" else f"image_processing_pil_{reference.model}"
    )
    name = reference.name if arithmetic == "torch" else f"{reference.name}Pil"
    cls = getattr(importlib.import_module(f"transformers.models.{reference.model}.{module}"), name)
    return cls(**{**reference.settings, **settings})


def helper(model: str, name: str) -> Any:
    """A function or class from a model's torchvision image processing module."""
    return getattr(importlib.import_module(f"transformers.models.{model}.image_processing_{model}"), name)
