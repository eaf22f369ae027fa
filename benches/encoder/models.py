"""Models of real sizes, their modules of transformers and recipes, and how they are called."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import transformers

import vlmres
from vlmres.encoder import load_config

if TYPE_CHECKING:
    from collections.abc import Callable

    from vlmres.encoder.config import EncoderConfig


Size = Literal["real", "shallow", "tiny"]
"""Of models: "shallow" are real widths with a tenth of the blocks."""


class MissingModelError(Exception):
    """transformers is too old for a model."""


@dataclass(frozen=True)
class Model:
    """A model, its module of transformers, its recipe, and how both see images."""

    settings: Callable[[Size], dict[str, Any]]
    """What its `config.json` says."""
    family: str
    """Of `transformers.models`."""
    config_class: str
    module_class: str
    recipe: Callable[[bool], vlmres.Recipe]
    processor: Callable[[vlmres.Recipe], Any]
    features: Callable[[Any, dict[str, Any]], torch.Tensor]

    def config(self, size: Size) -> EncoderConfig:
        """The encoder's, which needs no transformers."""
        return load_config(self.settings(size))

    def module(self, size: Size, dtype: torch.dtype) -> Any:
        """The module of transformers with random weights and SDPA, without gradients.

        Raises:
            MissingModelError: transformers has none.
        """
        settings = {key: value for key, value in self.settings(size).items() if key != "model_type"}
        config = getattr(_part(self.family, "configuration"), self.config_class)(**settings)
        kind = getattr(_part(self.family, "modeling"), self.module_class)
        return kind._from_config(config, dtype=dtype, attn_implementation="sdpa").eval().requires_grad_(False)


def _part(family: str, part: str) -> Any:
    """A file of a model of transformers."""
    folder = f"transformers.models.{family}"
    try:
        return importlib.import_module(f"{folder}.{part}_{family}")
    except ModuleNotFoundError as error:
        if error.name != folder:  # what the model itself needs
            raise
        raise MissingModelError(f"transformers {transformers.__version__} has no {family}") from None


def _text(module: str, **settings: Any) -> dict[str, Any]:
    """A language model that is as small as it can be: it is not run."""
    return {"model_type": module, "num_hidden_layers": 1, "vocab_size": 64, "pad_token_id": None, **settings}


def _qwen2_vl(size: Size) -> dict[str, Any]:
    settings: dict[str, Any] = {"model_type": "qwen2_vl_vision"}
    if size == "shallow":
        settings |= {"depth": 3}
    if size == "tiny":
        settings |= {"depth": 2, "embed_dim": 64, "num_heads": 4, "hidden_size": 48}
    return settings


def _qwen2_5_vl(size: Size) -> dict[str, Any]:
    # The class's default width is not the checkpoints'.
    settings: dict[str, Any] = {"model_type": "qwen2_5_vl_vision", "hidden_size": 1280, "out_hidden_size": 3584}
    if size == "shallow":
        settings |= {"depth": 3, "fullatt_block_indexes": [1]}
    if size == "tiny":
        settings |= {"depth": 2, "hidden_size": 64, "num_heads": 4, "out_hidden_size": 48}
        settings |= {"intermediate_size": 96, "fullatt_block_indexes": [1]}
    return settings


def _internvl(size: Size) -> dict[str, Any]:
    vision: dict[str, Any] = {"model_type": "internvl_vision", "attention_bias": True}
    hidden = 2048
    if size == "shallow":
        vision |= {"num_hidden_layers": 2}
    if size == "tiny":
        hidden = 48
        vision |= {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
        vision |= {"image_size": [112, 112]}
    text = _text("qwen2", hidden_size=hidden, intermediate_size=64, num_attention_heads=2, num_key_value_heads=2)
    return {"model_type": "internvl", "vision_config": vision, "text_config": text}


def _deepseek_ocr(size: Size) -> dict[str, Any]:
    vision: dict[str, Any] = {}
    hidden = 1280
    if size == "shallow":
        vision["sam_config"] = {"num_hidden_layers": 2, "global_attn_indexes": [1]}
        vision["encoder_config"] = {"num_hidden_layers": 2}
    if size == "tiny":
        hidden = 64
        small = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        vision["sam_config"] = {**small, "image_size": 256, "window_size": 5, "global_attn_indexes": [1], "mlp_dim": 96}
        vision["sam_config"] |= {"output_channels": 32, "downsample_channels": [48, 64]}
        vision["encoder_config"] = {**small, "intermediate_size": 96}
    text = _text("unlimited_ocr_text", hidden_size=hidden, intermediate_size=64, mlp_layer_types=["dense"])
    text |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    return {"model_type": "unlimited_ocr", "vision_config": vision, "text_config": text}


def _qwen_recipe(name: str) -> Callable[[bool], vlmres.Recipe]:
    return lambda tiny: vlmres.Recipe.load(name, max_pixels=(64 if tiny else 2048) * 28 * 28)


def _qwen_processor(recipe: vlmres.Recipe) -> Any:
    from transformers import Qwen2VLImageProcessor

    size = {"shortest_edge": recipe.params["min_pixels"], "longest_edge": recipe.params["max_pixels"]}
    return Qwen2VLImageProcessor(size=size)


def _internvl_processor(recipe: vlmres.Recipe) -> Any:
    from transformers import GotOcr2ImageProcessor

    side, params = recipe.params["image_size"], recipe.params
    return GotOcr2ImageProcessor(
        size={"height": side, "width": side},
        crop_to_patches=True,
        max_patches=params["max_tiles"],
        image_mean=list(params["image_mean"]),
        image_std=list(params["image_std"]),
    )


def _deepseek_processor(recipe: vlmres.Recipe) -> Any:
    base, params = recipe.params["base_size"], recipe.params
    kind = _part("unlimited_ocr", "image_processing").UnlimitedOcrImageProcessor
    return kind(size={"height": base, "width": base}, tile_size=params["tile_size"], max_patches=params["max_tiles"])


def _qwen_features(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    tokens: torch.Tensor = model(inputs["pixel_values"], grid_thw=inputs["image_grid_thw"]).pooler_output
    return tokens


def _internvl_features(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    tokens: torch.Tensor = model.get_image_features(inputs["pixel_values"]).pooler_output.flatten(0, 1)
    return tokens


def _deepseek_features(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    names = ("pixel_values", "pixel_values_local", "num_local_patches", "patches_grid")
    known = {name: inputs[name] for name in names if name in inputs}
    return torch.cat(list(model.get_image_features(**known).pooler_output))


MODELS: dict[str, Model] = {
    "qwen2-vl": Model(
        _qwen2_vl,
        "qwen2_vl",
        "Qwen2VLVisionConfig",
        "Qwen2VisionTransformerPretrainedModel",
        _qwen_recipe("qwen2-vl"),
        _qwen_processor,
        _qwen_features,
    ),
    "qwen2.5-vl": Model(
        _qwen2_5_vl,
        "qwen2_5_vl",
        "Qwen2_5_VLVisionConfig",
        "Qwen2_5_VisionTransformerPretrainedModel",
        _qwen_recipe("qwen2.5-vl"),
        _qwen_processor,
        _qwen_features,
    ),
    "internvl": Model(
        _internvl,
        "internvl",
        "InternVLConfig",
        "InternVLModel",
        lambda tiny: vlmres.Recipe.load("internvl2", **({"image_size": 112, "max_tiles": 4} if tiny else {})),
        _internvl_processor,
        _internvl_features,
    ),
    "deepseek-ocr": Model(
        _deepseek_ocr,
        "unlimited_ocr",
        "UnlimitedOcrConfig",
        "UnlimitedOcrModel",
        lambda tiny: vlmres.Recipe.load(
            "deepseek-ocr-gundam", **({"base_size": 256, "tile_size": 160, "tile_over": 160} if tiny else {})
        ),
        _deepseek_processor,
        _deepseek_features,
    ),
}
