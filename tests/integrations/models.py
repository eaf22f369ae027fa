"""Models of transformers, small enough to run in a moment, from their own configurations' defaults."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import transformers

from tests.integrations.tiny import GRIDS

Ids = Callable[[str], int]

# What these numbers are called in any configuration, and small ones.
_SMALL = {
    "vocab_size": 128,
    "hidden_size": 32,
    "intermediate_size": 32,
    "moe_intermediate_size": 16,
    "num_hidden_layers": 2,
    "depth": 2,
    "num_attention_heads": 2,
    "num_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "embed_dim": 32,
    "out_hidden_size": 32,
    "projection_dim": 32,
    "projector_hidden_size": 32,
    "projection_hidden_size": 32,
    "alignment_intermediate_size": 32,
    "num_experts_per_tok": 1,
    "n_routed_experts": 2,
    "num_local_experts": 2,
    "moe_num_experts": 2,
    "moe_num_shared_experts": 1,
    "moe_topk": 1,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
# What follows from other numbers.
_DERIVED = {"layer_types", "id2label", "label2id"}


class Family(NamedTuple):
    """A model, and what it is asked."""

    model: str
    """Its name in transformers."""
    config: Callable[[Ids], dict[str, Any]]
    """What its configuration says besides small numbers, from a function that gives a token's id."""
    prompt: str
    reference: str | None = None
    """The recipe whose image processor it is, where that is another."""
    settings: Mapping[str, Any] = MappingProxyType({})
    """More settings of the image processor."""
    samples: bool = False
    """Whether its processor wants the images in a list for each text."""
    call: Mapping[str, Any] = MappingProxyType({})
    """More arguments of the processor's call."""
    dtype: torch.dtype = torch.float32


def make(family: Family, ids: Ids) -> Any:
    """A model with random weights."""
    config: Any = getattr(transformers, f"{family.model}Config")
    model: Any = getattr(transformers, f"{family.model}ForConditionalGeneration")
    torch.manual_seed(0)
    made = model(config(**merged(_shrunk(config().to_dict()), family.config(ids)))).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.data = parameter.to(family.dtype)  # not the complex buffers of Llama 4
            if not parameter.any() and not name.endswith("bias"):  # gates that start closed
                parameter.normal_(std=0.02)
    return made


def _shrunk(config: dict[Any, Any]) -> dict[Any, Any]:
    small: dict[Any, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and not str(key).startswith("rope"):
            small[key] = _shrunk(value)
        elif key not in _DERIVED:
            small[key] = _SMALL[key] if key in _SMALL and isinstance(value, int) else value
    return small


def merged(below: dict[Any, Any], above: dict[Any, Any]) -> dict[Any, Any]:
    """A configuration with other numbers, those of a dictionary within it one by one; of `rope` all at once."""
    found = dict(below)
    for key, value in above.items():
        inner = None if str(key).startswith("rope") else found.get(key)
        found[key] = merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
    return found


VISION = {"image_size": 56, "patch_size": 14}
SAM = {
    "output_channels": 16,
    "mlp_dim": 32,
    "num_pos_feats": 8,
    "global_attn_indexes": [1],
    "window_size": 2,
    "mlp_ratio": 1.0,
    "initializer_range": 0.02,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "projection_dim": 32,
    **VISION,
}
WINDOW = {"sliding_window": 64}


def _llava(ids: Ids) -> dict[str, Any]:
    return {"vision_config": CLIP, "image_token_index": ids("<image>"), "vision_feature_layer": -1}


def _qwen(ids: Ids, vision: dict[str, Any], **text: Any) -> dict[str, Any]:
    return {
        "text_config": {"rope_parameters": ROPE, "rope_scaling": ROPE, **text},
        "vision_config": {"spatial_merge_size": 2, **vision},
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
    }


def _idefics(ids: Ids, **vision: Any) -> dict[str, Any]:
    return {"vision_config": {**VISION, **vision}, "image_token_id": ids("<image>")}


ASKED = " what is it"
IMAGE = "<image>" + ASKED
QWEN = "<|vision_start|><|image_pad|><|vision_end|>" + ASKED

FAMILIES: dict[str, Family] = {
    "aria": Family(
        "Aria",
        lambda ids: {
            "vision_config": {"image_size": 980, "patch_size": 140},
            "projector_patch_to_query_dict": {49: 4},
            "max_value_projector_patch_to_query_dict": 4,
            "image_token_index": ids("<image>"),
        },
        IMAGE,
    ),
    "aya-vision": Family(
        "AyaVision",
        lambda ids: {"vision_config": VISION, "text_config": WINDOW, "image_token_index": ids("<|IMG_PATCH|>")},
        IMAGE,
    ),
    "cohere2-vision": Family(
        "Cohere2Vision",
        lambda ids: {
            "vision_config": {"image_size": 64, "patch_size": 16},
            "text_config": WINDOW,
            "image_token_id": ids("<image>"),
        },
        IMAGE,
    ),
    "deepseek-ocr-2": Family(
        "DeepseekOcr2",
        lambda ids: {
            "vision_config": {
                "sam_config": {**SAM, "image_size": 1024, "global_attn_indexes": [], "downsample_channels": [32, 32]}
            },
            "text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 1},
            "image_token_id": ids("<image>"),
        },
        IMAGE,
        # It has tables for views of these sizes alone.
        settings={"size": {"height": 1024, "width": 1024}, "tile_size": 768},
    ),
    "deepseek-vl": Family(
        "DeepseekVL",
        lambda ids: {"vision_config": {"image_size": 64, "patch_size": 16}, "image_token_id": ids("<image>")},
        IMAGE,
    ),
    "deepseek-vl-hybrid": Family(
        "DeepseekVLHybrid",
        lambda ids: {
            "vision_config": {"image_size": 64, "patch_size": 16},
            "high_res_vision_config": {**SAM, "image_size": 256, "scale": 1},
            "image_token_id": ids("<image>"),
        },
        IMAGE,
    ),
    "gemma3": Family(
        "Gemma3",
        lambda ids: {
            "vision_config": VISION,
            "text_config": WINDOW,
            "mm_tokens_per_image": 4,
            "image_token_index": ids("<image>"),
            "boi_token_index": ids("<boi>"),
            "eoi_token_index": ids("<eoi>"),
        },
        "<boi>" + ASKED,
        samples=True,
    ),
    "glm-4v": Family(
        "Glm4v",
        lambda ids: {
            "vision_config": {"image_size": 56},
            "text_config": {
                "rope_parameters": {**ROPE, "mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5},
            },
            "image_token_id": ids("<|image|>"),
            "video_token_id": ids("<|video|>"),
            "image_start_token_id": ids("<|begin_of_image|>"),
            "image_end_token_id": ids("<|end_of_image|>"),
            "video_start_token_id": ids("<|begin_of_video|>"),
            "video_end_token_id": ids("<unk>"),
        },
        "<|begin_of_image|><|image|><|end_of_image|>" + ASKED,
    ),
    "got-ocr2": Family(
        "GotOcr2",
        lambda ids: {"vision_config": {**SAM, "image_size": 128}, "image_token_index": ids("<imgpad>")},
        "<img><imgpad></img>" + ASKED,
        call={"num_image_tokens": 4},
    ),
    "granite-docling": Family(
        "GraniteDocling",
        lambda ids: _idefics(
            ids, image_size=64, patch_size=16, scale_factor=4, deepstack_visual_indexes=[0], use_fine_route=False
        ),
        IMAGE,
        samples=True,
    ),
    "idefics2": Family(
        "Idefics2",
        lambda ids: {
            **_idefics(ids),
            "perceiver_config": {
                "resampler_n_latents": 4,
                "resampler_depth": 1,
                "resampler_n_heads": 2,
                "resampler_head_dim": 16,
            },
        },
        IMAGE,
        samples=True,
    ),
    "idefics3": Family("Idefics3", _idefics, IMAGE, samples=True),
    "internvl3": Family(
        "InternVL",
        lambda ids: {
            "vision_config": {"image_size": [56, 56], "patch_size": [14, 14]},
            "image_token_id": ids("<IMG_CONTEXT>"),
            "downsample_ratio": 0.5,
        },
        "<IMG_CONTEXT>" + ASKED,
        reference="internvl2",
    ),
    "kimi-k2.5": Family(
        "Kimi_K25",
        lambda ids: {
            "vision_config": {"pos_emb_height": 8, "pos_emb_width": 8},
            "text_config": {
                "kv_lora_rank": 8,
                "q_lora_rank": 8,
                "qk_rope_head_dim": 8,
                "qk_nope_head_dim": 8,
                "qk_head_dim": 16,
                "v_head_dim": 8,
                "head_dim": 8,
                "n_group": 1,
                "topk_group": 1,
                "first_k_dense_replace": 1,
            },
            "image_token_id": ids("<image>"),
            "video_token_id": ids("<video>"),
        },
        IMAGE,
    ),
    "lfm2-vl": Family(
        "Lfm2Vl",
        lambda ids: {
            "vision_config": {"num_patches": 64},
            "text_config": {"full_attn_idxs": [1], "block_multiple_of": 32},
            "image_token_id": ids("<image>"),
        },
        IMAGE,
        samples=True,
    ),
    "lighton-ocr": Family(
        "LightOnOcr",
        lambda ids: {"vision_config": {"image_size": 112, "patch_size": 14}, "image_token_id": ids("[IMG]")},
        "[IMG]" + ASKED,
    ),
    "llama4": Family(
        "Llama4",
        lambda ids: {
            "vision_config": {
                **VISION,
                "vision_output_dim": 32,
                "projector_input_dim": 32,
                "projector_output_dim": 32,
                "intermediate_size": 128,
            },
            "text_config": {
                "intermediate_size_mlp": 32,
                "moe_layers": [1],
                "no_rope_layers": [1, 0],
                "attention_chunk_size": 64,
            },
            "image_token_index": ids("<|patch|>"),
            "boi_token_index": ids("<|image_start|>"),
            "eoi_token_index": ids("<|image_end|>"),
        },
        "<|image|>" + ASKED,
        dtype=torch.bfloat16,
    ),
    "llava-1.5": Family("Llava", _llava, IMAGE),
    "llava-next": Family("LlavaNext", lambda ids: {**_llava(ids), **GRIDS}, IMAGE),
    "llava-onevision": Family(
        "LlavaOnevision",
        lambda ids: {
            "vision_config": VISION,
            "image_token_index": ids("<image>"),
            "video_token_index": ids("<video>"),
            **GRIDS,
        },
        IMAGE,
    ),
    "mistral-small-3": Family(
        "Mistral3",
        lambda ids: {"vision_config": {"image_size": 112, "patch_size": 14}, "image_token_index": ids("[IMG]")},
        "[IMG]" + ASKED,
    ),
    "mllama": Family(
        "Mllama",
        lambda ids: {
            "vision_config": {
                **VISION,
                "attention_heads": 2,
                "num_global_layers": 1,
                "vision_output_dim": 64,
                "intermediate_layers_indices": [0],
            },
            "text_config": {"cross_attention_layers": [1]},
            "image_token_index": ids("<|image|>"),
        },
        "<|image|>" + ASKED,
        samples=True,
    ),
    "ovis2": Family(
        "Ovis2",
        lambda ids: {
            "vision_config": VISION,
            "image_token_id": ids("<IMG_ATOM>"),
            "visual_indicator_token_ids": [ids(f"<IMG_{name}>") for name in ("START", "GRID", "COL", "ROW", "END")],
        },
        IMAGE,
    ),
    "paddleocr-vl": Family(
        "PaddleOCRVL",
        lambda ids: {
            "vision_config": {"image_size": 112},
            "text_config": {"rope_parameters": ROPE},
            "image_token_id": ids("<image>"),
            "video_token_id": ids("<|video_pad|>"),
            "vision_start_token_id": ids("<|vision_start|>"),
            "vision_end_token_id": ids("<|vision_end|>"),
        },
        "<|vision_start|><image><|vision_end|>" + ASKED,
    ),
    "paligemma": Family(
        "PaliGemma",
        lambda ids: {
            "vision_config": VISION,
            # Its tokenizer gets over a thousand tokens for places and segments.
            "text_config": {"vocab_size": 2048, "num_image_tokens": 16},
            "image_token_index": ids("<image>"),
        },
        ASKED,
    ),
    "pixtral": Family(
        "Llava",
        lambda ids: {
            "vision_config": {**CLIP, "model_type": "pixtral", "image_size": 112, "patch_size": 16, "head_dim": 16},
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
            "image_token_index": ids("[IMG]"),
        },
        "[IMG]" + ASKED,
    ),
    "qwen2-vl": Family("Qwen2VL", lambda ids: _qwen(ids, {"patch_size": 14, "mlp_ratio": 1}), QWEN),
    "qwen2.5-vl": Family(
        "Qwen2_5_VL",
        lambda ids: _qwen(ids, {"patch_size": 14, "fullatt_block_indexes": [1]}),
        QWEN,
        reference="qwen2-vl",
    ),
    "qwen3-vl": Family(
        "Qwen3VL",
        lambda ids: _qwen(
            ids, {"patch_size": 16, "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}, head_dim=16
        ),
        QWEN,
    ),
    "smolvlm": Family("SmolVLM", _idefics, IMAGE, samples=True),
    "unlimited-ocr": Family(
        "UnlimitedOcr",
        lambda ids: {
            "vision_config": {
                "sam_config": {**SAM, "image_size": 128, "downsample_channels": [32, 32]},
                "encoder_config": {"image_size": 32, "patch_size": 16},
            },
            "text_config": {"mlp_layer_types": ["dense", "sparse"]},
            "image_token_id": ids("<image>"),
        },
        IMAGE,
    ),
}
