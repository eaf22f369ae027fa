"""Checkpoints whose processors are vLLM's own classes, or configured as those of no family in `tests.integrations`."""

import json
from pathlib import Path
from typing import Any

import transformers
from PIL import Image
from transformers import AutoConfig, PretrainedConfig, Qwen2Config

from tests.integrations import models, tiny
from tests.servers.vllm.checkpoints import Case, video

_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 4096,
}
_VISION = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 448,
    "patch_size": 14,
}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def _init(self: Any, vision_config: Any = None, llm_config: Any = None, **kwargs: Any) -> None:
    kwargs.pop("has_no_defaults_at_init", None)
    PretrainedConfig.__init__(self, **kwargs)
    self.vision_config = PretrainedConfig(**(vision_config or {}))
    self.llm_config = Qwen2Config(**(llm_config or {}))


class InternVLChatConfig(PretrainedConfig):
    """As checkpoints bring it as code of their own."""

    model_type = "internvl_chat"
    __init__ = _init


class NVLMConfig(PretrainedConfig):
    """As checkpoints bring it as code of their own."""

    model_type = "NVLM_D"
    __init__ = _init


for _config in (InternVLChatConfig, NVLMConfig):
    AutoConfig.register(_config.model_type, _config, exist_ok=True)


def _write(folder: Path, tokens: tuple[str, ...], config: dict[str, Any], **files: dict[str, Any]) -> None:
    tokenizer = tiny.tokenizer(tokens)
    tokenizer.add_special_tokens({"eos_token": "<s>"})
    tokenizer.save_pretrained(folder)
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def _internvl(folder: Path) -> None:
    tokens = ("<img>", "</img>", "<IMG_CONTEXT>", "<|video_pad|>", "<image>", "<video>")
    _write(folder, tokens, _chat(InternVLChatConfig, "InternVLChatModel", 12))


def _nvlm(folder: Path) -> None:
    places = (*(f"<tile_{index}>" for index in range(1, 7)), "<tile_global_thumbnail>")
    _write(folder, ("<Image>", "</Image>", "<|vision_pad|>", "<image>", *places), _chat(NVLMConfig, "NVLM_D", 6))


def _chat(cls: type[PretrainedConfig], architecture: str, most: int) -> dict[str, Any]:
    return {
        "model_type": cls.model_type,
        "architectures": [architecture],
        "vision_config": _VISION,
        "llm_config": {**_TEXT, "architectures": ["Qwen2ForCausalLM"]},
        "downsample_ratio": 0.5,
        "min_dynamic_patch": 1,
        "max_dynamic_patch": most,
        "dynamic_image_size": True,
        "use_thumbnail": True,
        "ps_version": "v2",
        "select_layer": -1,
    }


def _deepseek(folder: Path, architecture: str, **files: dict[str, Any]) -> None:
    config = {
        "model_type": "deepseek_vl_v2",
        "architectures": [architecture],
        "candidate_resolutions": _CANDIDATES,
        "vision_config": {"image_size": 384, "patch_size": 14, "width": 32, "layers": 2, "heads": 2},
        "projector_config": {"input_dim": 32, "n_embed": 32},
        "language_config": _TEXT,
    }
    _write(folder, ("<image>",), config, **files)


_CANDIDATES = [[384 * cols, 384 * rows] for cols in range(1, 10) for rows in range(1, 10) if cols * rows < 10]
_VL2 = {
    "processor_class": "DeepseekVLV2Processor",
    "candidate_resolutions": _CANDIDATES,
    "patch_size": 14,
    "downsample_ratio": 2,
    **_HALF,
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
        **_HALF,
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
        text_config={"model_type": "qwen3_5_text", **_TEXT, "head_dim": 16},
        vision_config={**_VISION, "image_size": 980},
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
    )
    config.architectures = ["MiniCPMV4_6ForConditionalGeneration"]
    config.save_pretrained(folder)
    hf.MiniCPMV4_6Processor(
        image_processor=hf.MiniCPMV4_6ImageProcessor(**_HALF),
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
    "minicpm-v-4.6": Case(_minicpm, "<|image_pad|>" + models.ASKED, "MiniCPMV4_6ImageProcessor"),
}
