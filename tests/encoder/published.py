"""The `config.json` of published checkpoints, shortened to what concerns an encoder, and its parameters.

Each is beside the class of transformers that holds the same encoder, from which sizes and names are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import transformers

from tests.encoder.families import family

Config = dict[str, Any]

CLIP_L_336: Config = {
    "hidden_size": 1024,
    "image_size": 336,
    "intermediate_size": 4096,
    "model_type": "clip_vision_model",
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "projection_dim": 768,
    "vocab_size": 32000,
}
SO400M: Config = {
    "hidden_size": 1152,
    "image_size": 384,
    "intermediate_size": 4304,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
}
INTERNVIT_300M: Config = {
    "attention_bias": True,
    "hidden_act": "gelu",
    "hidden_size": 1024,
    "image_size": [448, 448],
    "intermediate_size": 4096,
    "layer_norm_eps": 1e-06,
    "layer_scale_init_value": 0.1,
    "model_type": "internvl_vision",
    "norm_type": "layer_norm",
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "patch_size": [14, 14],
    "use_mean_pooling": True,
    "use_qk_norm": False,
}
INTERNVIT_6B: Config = {
    "hidden_act": "gelu",
    "hidden_size": 3200,
    "image_size": 448,
    "intermediate_size": 12800,
    "layer_norm_eps": 1e-06,
    "model_type": "intern_vit_6b",
    "norm_type": "rms_norm",
    "num_attention_heads": 25,
    "num_hidden_layers": 45,
    "patch_size": 14,
    "qk_normalization": True,
    "qkv_bias": False,
}
QWEN2_VISION: Config = {
    "depth": 32,
    "embed_dim": 1280,
    "mlp_ratio": 4,
    "num_heads": 16,
    "in_chans": 3,
    "hidden_size": 1536,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "spatial_patch_size": 14,
    "temporal_patch_size": 2,
}
QWEN2_5_VISION: Config = {
    "depth": 32,
    "hidden_act": "silu",
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "in_chans": 3,
    "out_hidden_size": 3584,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "spatial_patch_size": 14,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "tokens_per_second": 2,
    "temporal_patch_size": 2,
}
QWEN3_VISION: Config = {
    "deepstack_visual_indexes": [5, 11, 17],
    "depth": 24,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 1024,
    "in_channels": 3,
    "intermediate_size": 4096,
    "model_type": "qwen3_vl",
    "num_heads": 16,
    "num_position_embeddings": 2304,
    "out_hidden_size": 2560,
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
PIXTRAL_VISION: Config = {
    "head_dim": 64,
    "hidden_act": "silu",
    "image_size": 1024,
    "is_composition": True,
    "model_type": "pixtral",
    "patch_size": 16,
    "rope_theta": 10000.0,
}
MISTRAL_VISION: Config = {
    "attention_dropout": 0.0,
    "head_dim": 64,
    "hidden_act": "silu",
    "hidden_size": 1024,
    "image_size": 1540,
    "intermediate_size": 4096,
    "model_type": "pixtral",
    "num_attention_heads": 16,
    "num_channels": 3,
    "num_hidden_layers": 24,
    "patch_size": 14,
    "rope_theta": 10000.0,
}
MOONVIT: Config = {
    "hidden_size": 1152,
    "init_pos_emb_height": 64,
    "init_pos_emb_width": 64,
    "intermediate_size": 4304,
    "merge_kernel_size": [2, 2],
    "model_type": "moonvit",
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
}
KIMI_K25_VISION: Config = {
    "init_pos_emb_height": 64,
    "init_pos_emb_time": 4,
    "init_pos_emb_width": 64,
    "merge_kernel_size": [2, 2],
    "merge_type": "sd2_tpool",
    "mm_hidden_size": 1152,
    "mm_projector_type": "patchmerger",
    "patch_size": 14,
    "pos_emb_type": "divided_fixed",
    "projector_hidden_act": "gelu",
    "projector_ln_eps": 1e-05,
    "text_hidden_size": 7168,
    "video_attn_type": "spatial_temporal",
    "vt_hidden_size": 1152,
    "vt_intermediate_size": 4304,
    "vt_num_attention_heads": 16,
    "vt_num_hidden_layers": 27,
}


def _deepseek(name: str, second: Config, channels: list[int], width: int) -> Config:
    sam = {"downsample_channels": channels, "global_attn_indexes": [2, 5, 8, 11], "heads": 12, "layers": 12}
    return {
        "architectures": [name],
        "candidate_resolutions": [[1024, 1024]],
        "global_view_pos": "head",
        "language_config": {"hidden_size": 1280, "model_type": "deepseek_v2"},
        "model_type": "deepseek_vl_v2",
        "projector_config": {"input_dim": width, "model_type": "mlp_projector", "n_embed": 1280},
        "tile_tag": "2D",
        "torch_dtype": "bfloat16",
        "vision_config": {"image_size": 1024, "model_type": "vision", "width": {**second, "sam_vit_b": sam}},
    }


# A language model as small as can be: only its width matters.
TEXT: Config = {"num_hidden_layers": 1, "intermediate_size": 8, "vocab_size": 8, "pad_token_id": None}


def text(kind: str, hidden: int, heads: int = 16) -> Config:
    """A language model of a given width."""
    sizes = {"hidden_size": hidden, "num_attention_heads": heads, "num_key_value_heads": heads}
    return {"model_type": kind, **TEXT, **sizes}


def _whole(name: str, config: str, **settings: Any) -> Callable[[], Any]:
    def make() -> Any:
        return getattr(transformers, name)(getattr(transformers, config)(**settings))

    return make


def _qwen(name: str, **vision: Any) -> Callable[[], Any]:
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    own = {**text("", 64, 4), "rope_parameters": rope}
    own.pop("model_type")
    return _whole(f"{name}ForConditionalGeneration", f"{name}Config", text_config=own, vision_config=vision)


def _kimi(hidden: int) -> Callable[[], Any]:
    def make() -> Any:
        module = family("kimi_k25")
        config = module.Kimi_K25Config(vision_config={}, text_config=text("qwen2", hidden), projection_hidden_size=1152)
        return module.Kimi_K25ForConditionalGeneration(config)

    return make


def _ocr(module: str, name: str, vision: Config) -> Callable[[], Any]:
    def make() -> Any:
        found = family(module)
        own = {**text("", 1280), "mlp_layer_types": ["dense"], "n_routed_experts": 2, "num_experts_per_tok": 1}
        own.pop("model_type")
        config = getattr(found, f"{name}Config")(vision_config=vision, text_config=own)
        return getattr(found, f"{name}ForConditionalGeneration")(config)

    return make


@dataclass
class Published:
    """A checkpoint's configuration, and the model of transformers with the same encoder."""

    config: Config
    build: Callable[[], Any]
    own: tuple[str, ...]
    """Where in the model the encoder's modules are; "" for all of it."""
    without: tuple[str, ...] = field(default=())
    """Parameters there that tokens do not depend on."""


_LLAVA = ("model.vision_tower.", "model.multi_modal_projector.", "model.image_newline")
_CLIP_UNUSED = ("post_layernorm.", ".layers.23.")
_OCR = ("model.vision_tower.", "model.multi_modal_projector.", "model.image_newline", "model.view_separator")
_LLAVA_15: Config = {
    "architectures": ["LlavaForConditionalGeneration"],
    "image_token_index": 32000,
    "model_type": "llava",
    "projector_hidden_act": "gelu",
    "text_config": {"model_type": "llama", "max_position_embeddings": 4096, "vocab_size": 32064},
    "torch_dtype": "float16",
    "vision_config": CLIP_L_336,
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
}
_INTERN: Config = {"downsample_ratio": 0.5, "force_image_size": 448, "select_layer": -1, "torch_dtype": "bfloat16"}
_OCR2_SECOND: Config = {
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
}

PUBLISHED: dict[str, Published] = {
    "openai/clip-vit-large-patch14-336": Published(
        {"architectures": ["CLIPModel"], "model_type": "clip", "vision_config": CLIP_L_336},
        lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**CLIP_L_336)),
        ("",),
        ("post_layernorm.",),
    ),
    "google/siglip-so400m-patch14-384": Published(
        {"architectures": ["SiglipModel"], "model_type": "siglip", "vision_config": SO400M},
        lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**SO400M)),
        ("",),
        ("head.",),
    ),
    "google/siglip2-base-patch16-naflex": Published(
        {"architectures": ["Siglip2Model"], "model_type": "siglip2", "vision_config": {"num_patches": 256}},
        lambda: transformers.Siglip2VisionModel(transformers.Siglip2VisionConfig()),
        ("",),
        ("head.",),
    ),
    "llava-hf/llava-1.5-7b-hf": Published(
        _LLAVA_15,
        _whole(
            "LlavaForConditionalGeneration",
            "LlavaConfig",
            vision_config=CLIP_L_336,
            text_config=text("llama", 4096, 32),
        ),
        _LLAVA,
        _CLIP_UNUSED,
    ),
    "llava-hf/llava-v1.6-mistral-7b-hf": Published(
        {
            **_LLAVA_15,
            "model_type": "llava_next",
            "text_config": {"model_type": "mistral", "intermediate_size": 14336, "vocab_size": 32064},
            "use_image_newline_parameter": True,
        },
        _whole(
            "LlavaNextForConditionalGeneration",
            "LlavaNextConfig",
            vision_config=CLIP_L_336,
            text_config=text("mistral", 4096, 32),
        ),
        _LLAVA,
        _CLIP_UNUSED,
    ),
    "OpenGVLab/InternVL3-1B-hf": Published(
        {
            "downsample_ratio": 0.5,
            "image_token_id": 151667,
            "model_type": "internvl",
            "projector_hidden_act": "gelu",
            "text_config": {"hidden_size": 896, "model_type": "qwen2"},
            "torch_dtype": "bfloat16",
            "vision_config": INTERNVIT_300M,
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "default",
        },
        _whole(
            "InternVLForConditionalGeneration",
            "InternVLConfig",
            vision_config=INTERNVIT_300M,
            text_config=text("qwen2", 896, 14),
        ),
        _LLAVA,
    ),
    "OpenGVLab/InternVL2-26B": Published(
        {**_INTERN, "model_type": "internvl_chat", "ps_version": "v2", "vision_config": INTERNVIT_6B}
        | {"llm_config": {"hidden_size": 6144, "model_type": "internlm2"}},
        _whole(
            "InternVLForConditionalGeneration",
            "InternVLConfig",
            vision_config={
                **INTERNVIT_6B,
                "model_type": "internvl_vision",
                "use_qk_norm": True,
                "attention_bias": False,
            },
            text_config=text("qwen2", 6144, 48),
        ),
        _LLAVA,
    ),
    "OpenGVLab/InternViT-300M-448px": Published(
        {
            **INTERNVIT_6B,
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "norm_type": "layer_norm",
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "qk_normalization": False,
            "qkv_bias": True,
        },
        lambda: transformers.InternVLVisionModel(transformers.InternVLVisionConfig(**INTERNVIT_300M)),
        ("",),
    ),
    "Qwen/Qwen2-VL-2B-Instruct": Published(
        {"hidden_size": 1536, "model_type": "qwen2_vl", "torch_dtype": "bfloat16", "vision_config": QWEN2_VISION},
        _qwen("Qwen2VL", **QWEN2_VISION),
        ("model.visual.",),
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": Published(
        {"hidden_size": 3584, "model_type": "qwen2_5_vl", "vision_config": QWEN2_5_VISION},
        _qwen("Qwen2_5_VL", **QWEN2_5_VISION),
        ("model.visual.",),
    ),
    "Qwen/Qwen3-VL-4B-Instruct": Published(
        {"model_type": "qwen3_vl", "text_config": {"hidden_size": 2560}, "vision_config": QWEN3_VISION},
        _qwen("Qwen3VL", **{key: value for key, value in QWEN3_VISION.items() if key != "model_type"}),
        ("model.visual.",),
    ),
    "mistral-community/pixtral-12b": Published(
        {
            "model_type": "llava",
            "projector_hidden_act": "gelu",
            "text_config": {"hidden_size": 5120, "model_type": "mistral"},
            "vision_config": PIXTRAL_VISION,
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
        },
        _whole(
            "LlavaForConditionalGeneration",
            "LlavaConfig",
            vision_config=PIXTRAL_VISION,
            text_config=text("mistral", 5120, 32),
            vision_feature_layer=-1,
        ),
        _LLAVA,
    ),
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": Published(
        {
            "model_type": "mistral3",
            "multimodal_projector_bias": False,
            "projector_hidden_act": "gelu",
            "spatial_merge_size": 2,
            "text_config": {"hidden_size": 5120, "model_type": "mistral", "rms_norm_eps": 1e-05},
            "vision_config": MISTRAL_VISION,
            "vision_feature_layer": -1,
        },
        _whole(
            "Mistral3ForConditionalGeneration",
            "Mistral3Config",
            vision_config=MISTRAL_VISION,
            text_config=text("mistral", 5120, 32),
        ),
        _LLAVA,
    ),
    "moonshotai/Kimi-VL-A3B-Instruct": Published(
        {
            "model_type": "kimi_vl",
            "text_config": {"hidden_size": 2048, "model_type": "deepseek_v3"},
            "torch_dtype": "bfloat16",
            "vision_config": MOONVIT,
        },
        _kimi(2048),
        ("model.vision_tower.", "model.mm_projector."),
    ),
    "moonshotai/Kimi-K2.5": Published(
        {
            "model_type": "kimi_k25",
            "text_config": {"hidden_size": 7168, "model_type": "kimi_k2", "quantization_config": {}},
            "vision_config": KIMI_K25_VISION,
        },
        _kimi(7168),
        ("model.vision_tower.", "model.mm_projector."),
    ),
    "moonshotai/MoonViT-SO-400M": Published(MOONVIT, _kimi(64), ("model.vision_tower.",)),
    "deepseek-ai/DeepSeek-OCR": Published(
        _deepseek("DeepseekOCRForCausalLM", {"clip-l-14-224": {"width": 1024}}, [512, 1024], 2048),
        _ocr("unlimited_ocr", "UnlimitedOcr", {}),
        _OCR,
    ),
    "deepseek-ai/DeepSeek-OCR-2": Published(
        _deepseek("DeepseekOCR2ForCausalLM", {"qwen2-0-5b": {"dim": 896}}, [512, 896], 896),
        _ocr("deepseek_ocr2", "DeepseekOcr2", {"encoder_config": _OCR2_SECOND}),
        _OCR,
    ),
}
