"""Modules of transformers of real sizes, their recipes, and how they are called."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
import transformers

import vlmres

if TYPE_CHECKING:
    from collections.abc import Callable


Size = Literal["real", "shallow", "tiny"]
"""Of models: "shallow" are real widths with a tenth of the blocks."""


@dataclass
class Model:
    """A model of transformers, its recipe, and how both see images."""

    build: Callable[[Size], Any]
    recipe: Callable[[bool], vlmres.Recipe]
    processor: Callable[[vlmres.Recipe], Any]
    features: Callable[[Any, dict[str, Any]], torch.Tensor]


class MissingModelError(Exception):
    """transformers is too old for a model."""


def _family(name: str) -> Any:
    """A model's module."""
    try:
        return importlib.import_module(f"transformers.models.{name}")
    except ModuleNotFoundError:
        raise MissingModelError(f"transformers {transformers.__version__} has no {name}") from None


def _text(module: str, **settings: Any) -> dict[str, Any]:
    """A language model that is as small as it can be: it is not run."""
    return {"model_type": module, "num_hidden_layers": 1, "vocab_size": 64, "pad_token_id": None, **settings}


def _qwen2_vl(size: Size) -> Any:
    from transformers.models import qwen2_vl

    config = qwen2_vl.configuration_qwen2_vl.Qwen2VLVisionConfig()
    if size == "shallow":
        config.depth = 3
    if size == "tiny":
        config.depth, config.embed_dim, config.num_heads, config.hidden_size = 2, 64, 4, 48
    return qwen2_vl.Qwen2VLPreTrainedModel, "Qwen2VisionTransformerPretrainedModel", config


def _qwen2_5_vl(size: Size) -> Any:
    from transformers.models import qwen2_5_vl

    # The class's default width is not the checkpoints'.
    config = qwen2_5_vl.configuration_qwen2_5_vl.Qwen2_5_VLVisionConfig(hidden_size=1280, out_hidden_size=3584)
    if size == "shallow":
        config.depth, config.fullatt_block_indexes = 3, [1]
    if size == "tiny":
        config.depth, config.hidden_size, config.num_heads, config.out_hidden_size = 2, 64, 4, 48
        config.intermediate_size, config.fullatt_block_indexes = 96, [1]
    return qwen2_5_vl.Qwen2_5_VLPreTrainedModel, "Qwen2_5_VisionTransformerPretrainedModel", config


def _internvl(size: Size) -> Any:
    from transformers.models import internvl

    vision: dict[str, Any] = {"attention_bias": True}
    hidden = 2048
    if size == "shallow":
        vision |= {"num_hidden_layers": 2}
    if size == "tiny":
        hidden = 48
        vision |= {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
        vision |= {"image_size": [112, 112]}
    text = _text("qwen2", hidden_size=hidden, intermediate_size=64, num_attention_heads=2, num_key_value_heads=2)
    config = internvl.InternVLConfig(vision_config={"model_type": "internvl_vision", **vision}, text_config=text)
    return internvl.InternVLPreTrainedModel, "InternVLModel", config


def _deepseek_ocr(size: Size) -> Any:
    unlimited_ocr = _family("unlimited_ocr")
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
    config = unlimited_ocr.UnlimitedOcrConfig(vision_config=vision, text_config=text)
    return unlimited_ocr.UnlimitedOcrPreTrainedModel, "UnlimitedOcrModel", config


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
    return _family("unlimited_ocr").UnlimitedOcrImageProcessor(
        size={"height": base, "width": base}, tile_size=params["tile_size"], max_patches=params["max_tiles"]
    )


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
    "qwen2-vl": Model(_qwen2_vl, _qwen_recipe("qwen2-vl"), _qwen_processor, _qwen_features),
    "qwen2.5-vl": Model(_qwen2_5_vl, _qwen_recipe("qwen2.5-vl"), _qwen_processor, _qwen_features),
    "internvl": Model(
        _internvl,
        lambda tiny: vlmres.Recipe.load("internvl2", **({"image_size": 112, "max_tiles": 4} if tiny else {})),
        _internvl_processor,
        _internvl_features,
    ),
    "deepseek-ocr": Model(
        _deepseek_ocr,
        lambda tiny: vlmres.Recipe.load(
            "deepseek-ocr-gundam", **({"base_size": 256, "tile_size": 160, "tile_over": 160} if tiny else {})
        ),
        _deepseek_processor,
        _deepseek_features,
    ),
}
