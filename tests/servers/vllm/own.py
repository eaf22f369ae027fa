"""Checkpoints whose processors are vLLM's own classes, or configured as those of no family in `tests.integrations`."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

from tests.integrations import models, tiny
from tests.servers.vllm import configs
from tests.servers.vllm.checkpoints import Case, video
from tests.servers.vllm.configs import HALF, TEXT, VISION, write

configs.register()


_INTERNVL = ("<img>", "</img>", "<IMG_CONTEXT>", "<|video_pad|>", "<image>", "<video>")


def _internvl(folder: Path) -> None:
    write(folder, _INTERNVL, _chat(configs.InternVLChatConfig, "InternVLChatModel", 12))


def small_internvl(folder: Path) -> None:
    """One with weights, that a CPU serves."""
    vision = {**VISION, **_INTERN_VIT, "image_size": 56, "num_attention_heads": 1}
    text = {**TEXT, "num_attention_heads": 1, "num_key_value_heads": 1, "architectures": ["Qwen2ForCausalLM"]}
    own = {"force_image_size": 56, "vision_config": vision, "llm_config": text}
    write(folder, _INTERNVL, _chat(configs.InternVLChatConfig, "InternVLChatModel", 4, **own))
    save_file(_weights(vision, text), folder / "model.safetensors")


def _weights(vision: dict[str, Any], text: dict[str, Any]) -> dict[str, torch.Tensor]:
    """By the names of the authors' model, random."""
    width, inner, patch = vision["hidden_size"], vision["intermediate_size"], vision["patch_size"]
    places = (vision["image_size"] // patch) ** 2 + 1
    shapes: dict[str, tuple[int, ...]] = {
        "vision_model.embeddings.class_embedding": (1, 1, width),
        "vision_model.embeddings.position_embedding": (1, places, width),
        "vision_model.embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "vision_model.embeddings.patch_embedding.bias": (width,),
        "mlp1.0.weight": (4 * width,),
        "mlp1.0.bias": (4 * width,),
        "mlp1.1.weight": (text["hidden_size"], 4 * width),
        "mlp1.1.bias": (text["hidden_size"],),
        "mlp1.3.weight": (text["hidden_size"], text["hidden_size"]),
        "mlp1.3.bias": (text["hidden_size"],),
    }
    for layer in range(vision["num_hidden_layers"]):
        prefix = f"vision_model.encoder.layers.{layer}"
        linears = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        linears |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
        for name, shape in linears.items():
            shapes |= {f"{prefix}.{name}.weight": shape, f"{prefix}.{name}.bias": shape[:1]}
        for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias", "ls1", "ls2"):
            shapes[f"{prefix}.{name}"] = (width,)
    torch.manual_seed(0)
    language = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**text)).state_dict()
    random = {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}
    return {**random, **{f"language_model.{name}": values.contiguous() for name, values in language.items()}}


_INTERN_VIT = {
    "num_channels": 3,
    "qkv_bias": True,
    "qk_normalization": False,
    "norm_type": "layer_norm",
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu",
    "initializer_factor": 1.0,
}


def _nvlm(folder: Path) -> None:
    places = (*(f"<tile_{index}>" for index in range(1, 7)), "<tile_global_thumbnail>")
    write(folder, ("<Image>", "</Image>", "<|vision_pad|>", "<image>", *places), _chat(configs.NVLMConfig, "NVLM_D", 6))


def _h2ovl(folder: Path) -> None:
    write(folder, _INTERNVL, _chat(configs.H2OVLConfig, "H2OVLChatModel", 6, use_msac=True))


def _nemotron(folder: Path) -> None:
    # The processor calls an image "<image>", and so do its features.
    files = {"preprocessor_config": {"image_processor_type": "NemotronTiles", "image_size": 448}}
    write(folder, _INTERNVL, _chat(configs.NemotronVLConfig, "Llama_Nemotron_Nano_VL", 12), **files)


def _nemotron_embed(folder: Path) -> None:
    own = {"force_image_size": 448, "pooling": "avg"}
    write(folder, _INTERNVL, _chat(configs.NemotronEmbedConfig, "LlamaNemotronVLModel", 6, **own))


_SIGLIP = {"image_processor_type": "SiglipImageProcessor", "size": {"height": 448, "width": 448}, **HALF}


def _ovis(folder: Path) -> None:
    config = {
        "model_type": "ovis",
        "architectures": ["Ovis"],
        "llm_config": {"model_type": "qwen2", **TEXT},
        "visual_tokenizer_config": {
            "model_type": "siglip_visual_tokenizer",
            "hidden_stride": 2,
            "vocab_size": 64,
            "backbone_config": {"model_type": "siglip_vision_model", **VISION},
        },
        "hidden_size": 32,
    }
    write(folder, ("<image>", "<|image_pad|>"), config, preprocessor_config=_SIGLIP)


def _ovis2_5(folder: Path) -> None:
    config = {
        "model_type": "ovis2_5",
        "architectures": ["Ovis2_5"],
        "llm_config": {**TEXT, "architectures": ["Qwen2ForCausalLM"]},
        "vit_config": {**VISION, "patch_size": 16, "hidden_stride": 2, "temporal_patch_size": 1},
        "visual_vocab_size": 64,
    }
    places = ("<ovis_visual_atom>", "<ovis_image_start>", "<ovis_image_end>", "<ovis_video_start>", "<ovis_video_end>")
    tokens = ("<image>", "<video>", "<|image_pad|>", *places)
    write(folder, tokens, config, preprocessor_config=_SIGLIP)


def _step3(folder: Path) -> None:
    places = ("<im_start>", "<im_end>", "<patch_start>", "<patch_end>", "<patch_newline>", "<im_patch>")
    config = {
        "model_type": "step3_vl",
        "architectures": ["Step3VLForConditionalGeneration"],
        "vision_config": VISION,
        "text_config": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 256},
        "image_token_id": configs.token_id("<im_patch>", places),
    }
    write(folder, places, config)


def _glm4v(folder: Path) -> None:
    places = ("<|begin_of_image|>", "<|endoftext|>", "<|end_of_image|>")
    first, pad, last = (configs.token_id(place, places) for place in places)
    config = {
        "model_type": "chatglm",
        "architectures": ["GLM4VForCausalLM"],
        "hidden_size": 32,
        "num_layers": 2,
        "num_attention_heads": 2,
        "padded_vocab_size": 256,
        "seq_length": 4096,
        "vision_config": {**VISION, "image_size": 448},
        "boi_token_id": first,
        "pad_token_id": pad,
        "eoi_token_id": last,
    }
    write(folder, places, config)


def _chat(cls: type[Any], architecture: str, most: int, **own: Any) -> dict[str, Any]:
    return {
        "model_type": cls.model_type,
        "architectures": [architecture],
        "vision_config": VISION,
        "llm_config": {**TEXT, "architectures": ["Qwen2ForCausalLM"]},
        "downsample_ratio": 0.5,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": most,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "ps_version": "v2",
        "select_layer": -1,
        **own,
    }


def _deepseek(folder: Path, architecture: str, **files: dict[str, Any]) -> None:
    config = {
        "model_type": "deepseek_vl_v2",
        "architectures": [architecture],
        "candidate_resolutions": _CANDIDATES,
        "vision_config": {"image_size": 384, "patch_size": 14, "width": 32, "layers": 2, "heads": 2},
        "projector_config": {"input_dim": 32, "n_embed": 32},
        "language_config": TEXT,
    }
    write(folder, ("<image>",), config, **files)


_CANDIDATES = [[384 * cols, 384 * rows] for cols in range(1, 10) for rows in range(1, 10) if cols * rows < 10]
_VL2 = {
    "processor_class": "DeepseekVLV2Processor",
    "candidate_resolutions": _CANDIDATES,
    "patch_size": 14,
    "downsample_ratio": 2,
    **HALF,
}


def _kimi(folder: Path) -> None:
    family = models.FAMILIES["kimi-k2.5"]
    pad = "<|media_pad|>"
    tokenizer = tiny.tokenizer((pad, "<image>", "<video>"))
    config = models.make(family, tokenizer.convert_tokens_to_ids).config
    config.architectures = ["KimiK25ForConditionalGeneration"]
    config.image_token_id = tokenizer.convert_tokens_to_ids(pad)
    config.save_pretrained(folder)
    settings = {
        **HALF,
        "patch_size": 14,
        "merge_kernel_size": 2,
        "in_patch_limit": 16384,
        "patch_limit_on_one_side": 512,
        "in_patch_limit_each_frame": 4096,
        "in_patch_limit_video": None,
        "fixed_output_tokens": None,
        "temporal_merge_kernel_size": 4,
        "sample_fps": 2.0,
    }
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"media_proc_cfg": settings}))


def _kimi_image(images: list[Image.Image]) -> dict[str, Any]:
    return {"vision_chunk": [{"type": "image", "image": one, "uuid": None} for one in images]}


def _kimi_chunk(frames: list[Image.Image]) -> dict[str, Any]:
    return {
        "vision_chunk": [{"type": "video_chunk", "video_chunk": frames, "uuid": None, "prompt": "", "video_idx": 0}]
    }


def _minicpm(folder: Path) -> None:
    hf: Any = transformers
    names = {
        "image_token": "<|image_pad|>",
        "video_token": "<|video_pad|>",
        "image_start_token": "<image>",
        "image_end_token": "</image>",
        "slice_start_token": "<slice>",
        "slice_end_token": "</slice>",
        "image_id_start_token": "<image_id>",
        "image_id_end_token": "</image_id>",
    }
    tokenizer = tiny.tokenizer(tuple(names.values()), names)
    ids = tokenizer.convert_tokens_to_ids
    config = hf.MiniCPMV4_6Config(
        text_config={"model_type": "qwen3_5_text", **TEXT, "head_dim": 16},
        vision_config={**VISION, "image_size": 980},
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
    )
    config.architectures = ["MiniCPMV4_6ForConditionalGeneration"]
    config.save_pretrained(folder)
    hf.MiniCPMV4_6Processor(
        image_processor=hf.MiniCPMV4_6ImageProcessor(**HALF),
        video_processor=hf.MiniCPMV4_6VideoProcessor(),
        tokenizer=tokenizer,
    ).save_pretrained(folder)


OWN: dict[str, Case] = {
    "internvl-chat": Case(_internvl, "<image>" + models.ASKED, "InternVLImageProcessor"),
    "internvl-chat (video)": Case(_internvl, "<video>" + models.ASKED, "InternVLVideoProcessor", video, 6),
    "nvlm-d": Case(_nvlm, "<image>" + models.ASKED, "InternVLImageProcessor"),
    "deepseek-ocr": Case(
        lambda folder: _deepseek(folder, "DeepseekOCRForCausalLM"), models.IMAGE, "DeepseekOCRProcessor"
    ),
    "deepseek-ocr-2": Case(
        lambda folder: _deepseek(folder, "DeepseekOCR2ForCausalLM"), models.IMAGE, "DeepseekOCRProcessor"
    ),
    "deepseek-vl2": Case(
        lambda folder: _deepseek(folder, "DeepseekVLV2ForCausalLM", processor_config=_VL2),
        models.IMAGE,
        "DeepseekVLV2Processor",
    ),
    "kimi-k2.5": Case(_kimi, "<|media_pad|>" + models.ASKED, "KimiK25FusedVisionProcessor", _kimi_image),
    "kimi-k2.5 (video)": Case(_kimi, "<|media_pad|>" + models.ASKED, "KimiK25FusedVisionProcessor", _kimi_chunk, 4),
    "h2ovl": Case(_h2ovl, "<image>" + models.ASKED, "H2OVLImageProcessor"),
    "nemotron-nano-vl": Case(_nemotron, "<image>" + models.ASKED, "LlamaNemotronNanoVLImageProcessor"),
    "nemotron-embed-vl": Case(_nemotron_embed, "<image>" + models.ASKED, "LlamaNemotronVLEmbedImageProcessor"),
    "ovis2 (vLLM's class)": Case(_ovis, "<image>" + models.ASKED, "OvisProcessor"),
    "ovis2.5": Case(_ovis2_5, "<image>" + models.ASKED, "Ovis2_5Processor"),
    "ovis2.5 (video)": Case(_ovis2_5, "<video>" + models.ASKED, "Ovis2_5Processor", video, 6),
    "step3-vl": Case(_step3, "<im_patch>" + models.ASKED, "Step3VLImageProcessor"),
    "glm-4v-9b": Case(
        _glm4v, "<|begin_of_image|><|endoftext|><|end_of_image|>" + models.ASKED, "GLM4VImageProcessorFast"
    ),
    "minicpm-v-4.6": Case(_minicpm, "<|image_pad|>" + models.ASKED, "MiniCPMV4_6ImageProcessor"),
}
