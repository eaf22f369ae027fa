"""Configurations that nobody should write: an encoder that can be made, or an error that says what is wrong."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING

from tests.encoder.published import PUBLISHED
from vlmres.encoder import CheckpointError, VisionModel, build_layout, load_config
from vlmres.encoder.architectures import ARCHITECTURES, architecture
from vlmres.encoder.config import EncoderConfig, Tower

ODD: list[Any] = [None, 0, -1, 2.5, float("nan"), "three", True, [], [1, 2], ["three"], {}]


def fields(config: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All fields, those of sections too."""
    for name, value in config.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from fields(value, (*path, name))


def replaced(config: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The same with one other value."""
    found = copy.deepcopy(config)
    place = found
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = copy.deepcopy(value)
    return found


def shortened(tower: Tower) -> Tower:
    """At most two of its blocks."""
    depth = min(tower.depth, 2)
    features = tuple(min(count, depth) for count in tower.features)
    taps = tuple(min(block, depth - 1) for block in tower.taps)
    return replace(tower, depth=depth, features=features, taps=taps)


@functools.cache
def make(config: EncoderConfig) -> None:
    """Runs the model without values."""
    config = replace(config, towers=tuple(map(shortened, config.towers)))
    with torch.device("meta"):
        model = VisionModel(config).requires_grad_(False)
    side = 2 * config.merge
    patches = torch.empty(side * side, config.patch.dim, dtype=torch.uint8, device="meta")
    with torch.inference_mode():
        tokens = model.to("meta")(patches, build_layout(config, np.array([(side, side)])).to("meta")).tokens
    assert tokens.shape[1] == config.hidden


def loaded(config: dict[str, Any]) -> EncoderConfig | str:
    """The encoder, or what is wrong."""
    try:
        return load_config(config)
    except CheckpointError as error:
        return str(error)


@pytest.mark.parametrize("name", PUBLISHED)
def test_odd_values_in_every_field(name: str) -> None:
    config = PUBLISHED[name].config
    good, refused = load_config(config), 0
    for path in fields(config):
        for value in ODD:
            found = loaded(replaced(config, path, value))
            if isinstance(found, str):
                assert found
                refused += 1
            elif found != good:
                make(found)
    assert refused > 0


@pytest.mark.parametrize("kind", sorted(ARCHITECTURES))
def test_odd_sections(kind: str) -> None:
    for name in ("vision_config", "text_config", "rope_parameters", "sam_config", "encoder_config"):
        for value in ODD[1:-1]:
            for config in ({name: value}, {"vision_config": {name: value}}):
                found = loaded({"model_type": kind, **config})
                if isinstance(found, EncoderConfig):
                    make(found)
                else:
                    assert kind in ("deepseek_vl_v2", "llava_qwen") or name in found


@pytest.mark.parametrize(
    ("kind", "path", "value", "message"),
    [
        ("qwen2_vl", "vision_config.num_heads", 0, "num_heads is 0; it must be an integer of at least 1"),
        ("qwen2_vl", "vision_config.depth", "three", "depth is 'three'; it must be an integer of at least 1"),
        ("qwen2_vl", "vision_config.mlp_ratio", None, "mlp_ratio is None; it must be a number above 0"),
        ("qwen2_vl", "vision_config.mlp_ratio", 1e-9, "mlp_ratio is 1e-09; it must be enough for one value"),
        ("qwen2_vl", "vision_config.num_heads", 640, "rotary positions need heads of a multiple of 4, got 2"),
        ("qwen2_vl", "vision_config", [], r"vision_config is \[\]; it must be an object"),
        ("qwen2_5_vl", "vision_config.window_size", 27, "window_size is 27; it must be an integer of at least 28"),
        ("qwen2_5_vl", "vision_config.fullatt_block_indexes", None, "fullatt_block_indexes is None; it must be a list"),
        ("qwen3_vl", "vision_config.deepstack_visual_indexes", None, "deepstack_visual_indexes is None; it must be"),
        ("qwen3_vl", "vision_config.deepstack_visual_indexes", [27], "a tower of 27 blocks has no block 27"),
        ("qwen3_vl", "vision_config.num_position_embeddings", 7, "num_position_embeddings is 7, which is no square"),
        ("siglip2", "vision_config.num_patches", -1, "num_patches is -1; it must be an integer of at least 1"),
        ("clip", "vision_config.image_size", None, "image_size is None; it must be an integer of at least 1"),
        ("clip", "vision_config.patch_size", [14, 16], r"patch_size is \[14, 16\], which is not square"),
        ("clip", "vision_config.image_size", 20, "image_size is 20, less than a patch of 32"),
        ("clip", "vision_config.layer_norm_eps", -1, "layer_norm_eps is -1; it must be a number of at least 0"),
        ("clip", "vision_config.hidden_act", ["gelu"], r"unknown hidden_act \['gelu'\]; known are gelu, "),
        ("llava", "vision_config.model_type", {}, r"unknown vision tower \{\}; known are clip_vision_model, "),
        ("llava", "vision_feature_layer", [], r"vision_feature_layer is \[\]; it must be an integer"),
        ("llava", "vision_feature_layer", [-2, "three"], "vision_feature_layer is 'three'; it must be an integer"),
        ("llava", "multimodal_projector_bias", 1, "multimodal_projector_bias is 1; it must be true or false"),
        ("llava", "vision_config.rope_theta", 0, None),
        ("pixtral", "rope_theta", None, "rope_theta is None; it must be a number above 0"),
        ("pixtral", "rope_parameters", {"rope_type": "yarn"}, "unknown rope_type 'yarn'; known are default, axial"),
        ("mistral3", "spatial_merge_size", None, "spatial_merge_size is None; it must be an integer of at least 1"),
        ("internvl", "downsample_ratio", None, "downsample_ratio is None; it must be a number above 0"),
        ("internvl", "downsample_ratio", 0.7, "downsample_ratio is 0.7; it must be one divided by a whole number"),
        ("internvl", "vision_config.norm_type", [], r"unknown norm_type \[\]; known are layer_norm, rms_norm"),
        ("internvl_chat", "select_layer", None, "select_layer is None; it must be an integer"),
        ("internvl_chat", "select_layer", -30, "select_layer is -30, but the tower has 24 layers"),
        ("internvl_chat", "vision_config.qkv_bias", None, "qkv_bias is None; it must be true or false"),
        ("kimi_k25", "vision_config.merge_kernel_size", None, "merge_kernel_size is None; it must be an integer"),
        ("unlimited_ocr", "vision_config.sam_config.window_size", 0, "window_size is 0; it must be an integer"),
        ("deepseek_ocr2", "vision_config.encoder_config.num_key_value_heads", 3, "3 heads of keys do not divide 32"),
        ("deepseek_vl_v2", "architectures", -1, "architectures is -1; it must be a list"),
    ],
)
def test_what_is_wrong_is_named(kind: str, path: str, value: Any, message: str | None) -> None:
    config: dict[str, Any] = {"model_type": kind}
    place = config
    for name in path.split(".")[:-1]:
        place = place.setdefault(name, {})
    place[path.split(".")[-1]] = value
    if message is None:  # of no use to this tower
        assert architecture(config).config == architecture({"model_type": kind}).config
        return
    with pytest.raises(CheckpointError, match=message):
        architecture(config)


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("qwen2_vl", ("vision_config",)),
        ("llava", ("text_config",)),
        ("pixtral", ("head_dim",)),
        ("pixtral", ("rope_parameters",)),
        ("deepseek_ocr2", ("vision_config", "encoder_config", "num_key_value_heads")),
        ("deepseek_ocr2", ("vision_config", "sam_config", "mlp_dim")),
        ("deepseek_ocr2", ("vision_config", "sam_config", "downsample_channels")),
    ],
)
def test_null_is_the_default_where_transformers_takes_it(kind: str, path: tuple[str, ...]) -> None:
    config: Any = None
    for name in reversed(path):
        config = {name: config}
    CONFIG_MAPPING[kind].from_dict(copy.deepcopy(config))
    assert architecture({"model_type": kind, **config}).config == architecture({"model_type": kind}).config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_mean": None}, "image_mean is None; it must be three numbers"),
        ({"image_mean": [0.5, 0.5]}, r"image_mean is \[0.5, 0.5\]; it must be three numbers"),
        ({"image_std": [0.5, 0, 0.5]}, r"image_std is \[0.5, 0, 0.5\]; it must be of numbers other than 0"),
        ({"rescale_factor": "three"}, "rescale_factor is 'three'; it must be a number above 0"),
        ({"do_normalize": "no"}, "do_normalize is 'no'; it must be true or false"),
    ],
)
def test_odd_settings_of_a_processor(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "pixtral"}')
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, **settings}))
    with pytest.raises(CheckpointError, match=message):
        load_config(tmp_path)


def test_a_step_that_is_null_is_not_done(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "pixtral"}')
    for settings in ({"do_normalize": None}, {"do_rescale": None}):
        found = []
        for value in (None, False):
            said = {"image_mean": [0.5] * 3, **dict.fromkeys(settings, value)}
            (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
            found.append(load_config(tmp_path).patch)
        assert found[0] == found[1]
        assert found[0] != load_config({"model_type": "pixtral"}).patch


def test_types_that_are_no_words() -> None:
    kinds: list[Any] = [None, [], {}, 3]
    for kind in kinds:
        with pytest.raises(CheckpointError, match="no encoder for model_type"):
            load_config({"model_type": kind})


def test_other_errors_name_the_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "clip", lambda config: config["missing"])
    with pytest.raises(
        CheckpointError, match=r"the config\.json of model_type 'clip' asks for no encoder: 'missing'"
    ) as found:
        load_config({"model_type": "clip"})
    assert isinstance(found.value.__cause__, KeyError)
