"""InternVL: InternViT, pixel shuffle, projector.

Source: arXiv:2312.14238, 2404.16821; transformers' `modeling_internvl.py` and the authors' code.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from vlmres.encoder.architectures.base import Architecture, CheckpointError, Tensors, block_tensors, skipped_blocks
from vlmres.encoder.architectures.fields import IMAGENET, Sizes, activation, grid_side, patch, tower
from vlmres.encoder.architectures.llava import feature_layer
from vlmres.encoder.architectures.values import flag, integer, number, section, word, wrong
from vlmres.encoder.config import Arrangement, EncoderConfig, Layer, Norm, Projector, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmres.encoder.config import Activation, Tower

_BLOCK = {
    "norm1": "layernorm_before",
    "attention.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "attention.q_norm": "attention.q_norm",
    "attention.k_norm": "attention.k_norm",
    "attention.out": "attention.projection_layer",
    "scale1": "lambda_1",
    "norm2": "layernorm_after",
    "mlp.up": "mlp.fc1",
    "mlp.down": "mlp.fc2",
    "scale2": "lambda_2",
}
_TENSORS: Tensors = {
    "patch_embed": "tower.embeddings.patch_embeddings.projection",
    "towers.0.cls": "tower.embeddings.cls_token",
    "towers.0.table.weight": "tower.embeddings.position_embeddings",
    "towers.0.final_norm": "tower.layernorm",
    "projector.norm": "projector.layer_norm",
    "projector.layers.0": "projector.linear_1",
    "projector.layers.1": "projector.linear_2",
    **block_tensors("towers.0", "tower.encoder.layer", _BLOCK),
}
_RENAMES = (
    (r"^(?:model\.)?vision_tower\.", "tower."),
    (r"^(?:model\.)?multi_modal_projector\.", "projector."),
)
_NORMS: dict[str, Literal["layer", "rms"]] = {"layer_norm": "layer", "rms_norm": "rms"}
_UNUSED = (r"tower\.embeddings\.mask_token$",)
# The authors' names, brought to transformers'.
_ORIGINAL_RENAMES = (
    (r"^mlp1\.0\.", "projector.layer_norm."),
    (r"^mlp1\.1\.", "projector.linear_1."),
    (r"^mlp1\.3\.", "projector.linear_2."),
    (r"^tower\.embeddings\.class_embedding$", "tower.embeddings.cls_token"),
    (r"^tower\.embeddings\.patch_embedding\.", "tower.embeddings.patch_embeddings.projection."),
    (r"^tower\.embeddings\.position_embedding$", "tower.embeddings.position_embeddings"),
    (r"^tower\.encoder\.layers\.", "tower.encoder.layer."),
    (r"\.attn\.qkv\.", ".attention.qkv."),
    (r"\.attn\.proj\.", ".attention.projection_layer."),
    (r"\.attn\.([qk]_norm)\.", r".attention.\1."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.ls1$", ".lambda_1"),
    (r"\.ls2$", ".lambda_2"),
)


_ORIGINAL_TENSORS: Tensors = {**_TENSORS, "towers.0.blocks.{}.attention.qkv": "tower.encoder.layer.{}.attention.qkv"}


def internvl(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers, of whole models."""
    vision = section(config, "vision_config")
    found = _tower(vision, config, "vision_feature_layer", no_norm=flag(vision, "use_mean_pooling", True))
    strategy = word(config, "vision_feature_select_strategy", "default", ("default", "full"))
    if strategy != "default":
        raise CheckpointError(f"vision_feature_select_strategy is {strategy!r}, which would keep the class token")
    hidden = integer(section(config, "text_config"), "hidden_size", 4096)
    act = activation(config, "projector_hidden_act", "gelu")
    encoder = _encoder(vision, found, _merge(config), hidden, act)
    return Architecture(encoder, _TENSORS, _RENAMES, ("tower", "projector"), _unused(found))


def internvl_tower(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers, of the tower alone; tokens are its patches' hidden states."""
    found = _tower(config, no_norm=flag(config, "use_mean_pooling", True))
    return Architecture(_alone(config, found), _TENSORS, ((r"^", "tower."),), ("tower",), _unused(found))


def internvl_chat(config: Mapping[str, Any]) -> Architecture:
    """The authors' checkpoints, of whole models."""
    vision = _translated(section(config, "vision_config"))
    found = _tower(vision, config, "select_layer", no_norm=True)
    hidden = integer(section(config, "llm_config"), "hidden_size", 4096)
    encoder = _encoder(vision, found, _merge(config), hidden, "gelu")
    if word(config, "ps_version", "v1", ("v1", "v2")) == "v1":
        # Its pixel shuffle leaves rows and columns of tokens transposed, and its language models were trained so.
        encoder = replace(encoder, arrangement=Arrangement(transpose=True))
    renames = ((r"^vision_model\.", "tower."), *_ORIGINAL_RENAMES)
    return Architecture(encoder, _ORIGINAL_TENSORS, renames, ("tower", "projector"), _unused(found))


def intern_vit(config: Mapping[str, Any]) -> Architecture:
    """The authors' checkpoints, of the tower alone."""
    vision = _translated(config)
    found = _tower(vision, no_norm=True)
    renames = ((r"^", "tower."), *_ORIGINAL_RENAMES)
    return Architecture(_alone(vision, found), _ORIGINAL_TENSORS, renames, ("tower",), _unused(found))


def _translated(vision: Mapping[str, Any]) -> Mapping[str, Any]:
    """The authors' settings under transformers' names."""
    return {
        **vision,
        "attention_bias": flag(vision, "qkv_bias", False),
        "use_qk_norm": flag(vision, "qk_normalization", True),
        "norm_type": vision.get("norm_type", "rms_norm"),
    }


def _merge(config: Mapping[str, Any]) -> int:
    """Patches along a side of what pixel shuffle makes one token of."""
    ratio = number(config, "downsample_ratio", 0.5)
    merge = round(1 / ratio)
    if abs(merge * ratio - 1) > 1e-6:
        raise wrong("downsample_ratio", ratio, "one divided by a whole number")
    return merge


def _encoder(vision: Mapping[str, Any], found: Tower, merge: int, hidden: int, act: Activation) -> EncoderConfig:
    # Pixel shuffle of cells in merge order is a view: (row, col, channel) is the order of its values.
    projector = Projector((Layer(hidden, activation=act), Layer(hidden)), Norm("layer", 1e-5), norm_merged=True)
    return replace(_alone(vision, found), name="InternVL", merge=merge, projector=projector)


def _alone(vision: Mapping[str, Any], found: Tower) -> EncoderConfig:
    return EncoderConfig(name="InternViT", patch=patch(vision, 14, IMAGENET, bias=True), towers=(found,))


def _tower(
    vision: Mapping[str, Any], config: Mapping[str, Any] | None = None, name: str = "", *, no_norm: bool
) -> Tower:
    """InternViT, up to the layer that `config` names, by default the last."""
    layer = -1 if config is None else integer(config, name, -1, least=None)
    grid = grid_side(vision, 448, 14)
    kind = _NORMS[word(vision, "norm_type", "layer_norm", _NORMS)]
    norm = Norm(kind, number(vision, "layer_norm_eps", 1e-6, zero=True))
    found = tower(
        vision,
        Sizes(1024, 24, 16, 4096, "gelu"),
        norm,
        bias=flag(vision, "attention_bias", False),
        qk_norm=Norm("rms", 1e-6) if flag(vision, "use_qk_norm", False) else None,
        layer_scale=True,
        cls=True,
        table=Table(grid, grid),
    )
    if layer == -1 and not no_norm:
        return replace(found, final_norm=Norm("layer", norm.eps))
    return replace(found, features=(feature_layer(name, layer, found.depth),))


def _unused(found: Tower) -> tuple[str, ...]:
    # A norm after the last block matters only where its output is taken.
    norm = (r"tower\.layernorm\.",) if found.features and found.blocks < found.depth else ()
    return (*_UNUSED, *skipped_blocks(r"tower\.encoder\.layer", found), *norm)
