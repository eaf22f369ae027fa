"""Model families as data: how a checkpoint's `config.json` becomes an `EncoderConfig`, and where its tensors go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures import deepseek, internvl, kimi, llava, qwen
from vlmres.encoder.architectures.base import Architecture, CheckpointError, Take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ARCHITECTURES: dict[str, Callable[[Mapping[str, Any]], Architecture]] = {
    "clip": llava.tower_alone,
    "clip_vision_model": llava.tower_alone,
    "deepseek_ocr2": deepseek.deepseek_ocr2,
    "deepseek_ocr2_vision": deepseek.deepseek_ocr2,
    "deepseek_vl_v2": deepseek.authors,
    "intern_vit_6b": internvl.intern_vit,
    "internvl": internvl.internvl,
    "internvl_chat": internvl.internvl_chat,
    "internvl_vision": internvl.internvl_tower,
    "kimi_k25": kimi.kimi,
    "kimi_k25_vision": kimi.kimi_tower,
    "kimi_vl": kimi.kimi,
    "llava": llava.llava,
    "llava_next": llava.llava_next,
    "llava_qwen": qwen.nativeres_llava,
    "mistral3": llava.mistral3,
    "moonvit": kimi.kimi_tower,
    "pixtral": llava.tower_alone,
    "qwen2_5_vl": qwen.qwen2_5_vl,
    "qwen2_5_vl_vision": qwen.qwen2_5_vl,
    "qwen2_vl": qwen.qwen2_vl,
    "qwen2_vl_vision": qwen.qwen2_vl,
    "qwen3_5": qwen.qwen3_5,
    "qwen3_5_moe": qwen.qwen3_5,
    "qwen3_5_moe_vision": qwen.qwen3_5,
    "qwen3_5_vision": qwen.qwen3_5,
    "qwen3_vl": qwen.qwen3_vl,
    "qwen3_vl_moe": qwen.qwen3_vl,
    "qwen3_vl_moe_vision": qwen.qwen3_vl,
    "qwen3_vl_vision": qwen.qwen3_vl,
    "siglip": llava.tower_alone,
    "siglip2": llava.tower_alone,
    "siglip2_vision_model": llava.tower_alone,
    "siglip_vision_model": llava.tower_alone,
    "unlimited_ocr": deepseek.unlimited_ocr,
    "unlimited_ocr_vision": deepseek.unlimited_ocr,
}
"""Architectures by the `model_type` of `config.json`."""

__all__ = ["ARCHITECTURES", "Architecture", "CheckpointError", "Take", "architecture"]


def architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture of a checkpoint.

    Args:
        config: The content of its `config.json`.

    Raises:
        CheckpointError: The architecture is unknown, or its configuration needs something that the encoder cannot do.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        raise CheckpointError(f"no encoder for model_type {kind!r}; known are {', '.join(sorted(ARCHITECTURES))}")
    if kind == "llava_qwen" and "mm_max_image_token" not in config and "vision_config" not in config:
        raise CheckpointError("a llava_qwen checkpoint without mm_max_image_token is not NativeRes-LLaVA")
    try:
        return ARCHITECTURES[kind](config)
    except CheckpointError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"the config.json of model_type {kind!r} asks for no encoder: {error}") from error
