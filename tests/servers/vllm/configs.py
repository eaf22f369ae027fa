"""Configurations that checkpoints bring as code of their own, and what all of the tests' checkpoints consist of."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoImageProcessor, PretrainedConfig, Qwen2Config
from transformers.image_processing_utils import BaseImageProcessor

from tests.integrations import tiny

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 256,
    "max_position_embeddings": 4096,
}
VISION: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 448,
    "patch_size": 14,
}
HALF: dict[str, Any] = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def _init(self: Any, vision_config: Any = None, llm_config: Any = None, vit_config: Any = None, **kwargs: Any) -> None:
    kwargs.pop("has_no_defaults_at_init", None)
    PretrainedConfig.__init__(self, **kwargs)
    self.vision_config = PretrainedConfig(**(vision_config or {}))
    self.llm_config = Qwen2Config(**(llm_config or {}))
    self.vit_config = PretrainedConfig(**(vit_config or {}))


class InternVLChatConfig(PretrainedConfig):
    model_type = "internvl_chat"
    __init__ = _init


class NVLMConfig(PretrainedConfig):
    model_type = "NVLM_D"
    __init__ = _init


class H2OVLConfig(PretrainedConfig):
    model_type = "h2ovl_chat"
    __init__ = _init


class NemotronVLConfig(PretrainedConfig):
    model_type = "Llama_Nemotron_Nano_VL"
    __init__ = _init


class NemotronEmbedConfig(PretrainedConfig):
    model_type = "llama_nemotron_vl"
    __init__ = _init


class Ovis25Config(PretrainedConfig):
    model_type = "ovis2_5"
    __init__ = _init


CONFIGS = (InternVLChatConfig, NVLMConfig, H2OVLConfig, NemotronVLConfig, NemotronEmbedConfig, Ovis25Config)


class NemotronTiles(BaseImageProcessor):
    """The settings of Nemotron VL's own image processor, which are all that vLLM takes from it."""

    def __init__(
        self, image_size: int = 512, max_num_tiles: int = 12, use_thumbnail: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.image_size = image_size
        self.max_num_tiles = max_num_tiles
        self.use_thumbnail = use_thumbnail


def register() -> None:
    """Has transformers load these, as it would load a checkpoint's code."""
    for cls in CONFIGS:
        AutoConfig.register(cls.model_type, cls, exist_ok=True)
    AutoImageProcessor.register(NemotronVLConfig, slow_image_processor_class=NemotronTiles, exist_ok=True)


def write(folder: Path, tokens: tuple[str, ...], config: dict[str, Any], **files: dict[str, Any]) -> None:
    """Writes a checkpoint's folder: a tokenizer with these tokens, its configuration and other files."""
    tokenizer = tiny.tokenizer(tokens)
    tokenizer.add_special_tokens({"eos_token": "<s>"})
    tokenizer.save_pretrained(folder)
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def token_id(token: str, tokens: tuple[str, ...]) -> int:
    """The token's number in the tokenizer of `write`."""
    number: int = tiny.tokenizer(tokens).convert_tokens_to_ids(token)
    return number
