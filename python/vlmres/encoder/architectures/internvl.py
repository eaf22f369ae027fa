"""InternVL: InternViT, pixel shuffle, projector.

Source: arXiv:2312.14238, 2404.16821; transformers' `modeling_internvl.py` and the authors' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import (
    IMAGENET,
    Architecture,
    CheckpointError,
    Tensors,
    activation,
    block_tensors,
    section,
    side,
    skipped_blocks,
)
from vlmres.encoder.architectures.llava import feature_layer
from vlmres.encoder.config import MLP, Attention, EncoderConfig, Layer, Norm, Patch, Projector, Table, Tower

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_UNUSED = (r"tower\.embeddings\.mask_token$",)
# The authors' names, brought to transformers'.
_ORIGINAL_RENAMES = (
    (r"^vision_model\.", "tower."),
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


def internvl(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers, of whole models."""
    vision = section(config, "vision_config")
    tower = _tower(vision, config.get("vision_feature_layer", -1), vision.get("use_mean_pooling", True))
    strategy = config.get("vision_feature_select_strategy", "default")
    if strategy != "default":
        raise CheckpointError(f"vision_feature_select_strategy is {strategy!r}, which would keep the class token")
    hidden = section(config, "text_config").get("hidden_size", 4096)
    act = activation(config.get("projector_hidden_act", "gelu"))
    ratio = config.get("downsample_ratio", 0.5)
    encoder = _encoder(vision, tower, ratio, hidden, act)
    return Architecture(encoder, _TENSORS, _RENAMES, ("tower", "projector"), _unused(tower))


def internvl_tower(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers, of the tower alone; tokens are its patches' hidden states."""
    tower = _tower(config, -1, config.get("use_mean_pooling", True))
    encoder = EncoderConfig(name="InternViT", patch=_patch(config), towers=(tower,))
    return Architecture(encoder, _TENSORS, ((r"^", "tower."),), ("tower",), _unused(tower))


def internvl_chat(config: Mapping[str, Any]) -> Architecture:
    """The authors' checkpoints."""
    vision = dict(section(config, "vision_config"))
    if config.get("ps_version", "v1") != "v2":
        raise CheckpointError("ps_version v1 leaves rows and columns of tokens transposed; only v2 is supported")
    vision.setdefault("attention_bias", vision.get("qkv_bias", True))
    vision.setdefault("use_qk_norm", vision.get("qk_normalization", False))
    tower = _tower(vision, config.get("select_layer", -1), no_norm=True)
    hidden = section(config, "llm_config").get("hidden_size", 4096)
    encoder = _encoder(vision, tower, config.get("downsample_ratio", 0.5), hidden, "gelu")
    tensors: Tensors = {**_TENSORS, "towers.0.blocks.{}.attention.qkv": "tower.encoder.layer.{}.attention.qkv"}
    return Architecture(encoder, tensors, _ORIGINAL_RENAMES, ("tower", "projector"), _unused(tower))


def _encoder(vision: Mapping[str, Any], tower: Tower, ratio: float, hidden: int, act: Any) -> EncoderConfig:
    merge = round(1 / ratio)
    # Pixel shuffle of cells in merge order is a view: (row, col, channel) is the order of its values.
    projector = Projector((Layer(hidden, activation=act), Layer(hidden)), Norm("layer", 1e-5), norm_merged=True)
    return EncoderConfig(name="InternVL", patch=_patch(vision), towers=(tower,), merge=merge, projector=projector)


def _tower(vision: Mapping[str, Any], layer: int, no_norm: bool) -> Tower:
    width, heads = vision.get("hidden_size", 1024), vision.get("num_attention_heads", 16)
    depth = vision.get("num_hidden_layers", 24)
    grid = side(vision.get("image_size", 448)) // side(vision.get("patch_size", 14))
    kind: Any = {"layer_norm": "layer", "rms_norm": "rms"}[vision.get("norm_type", "layer_norm")]
    norm = Norm(kind, vision.get("layer_norm_eps", 1e-6))
    qk_norm = Norm("rms", 1e-6) if vision.get("use_qk_norm", False) else None
    features = () if layer == -1 and not no_norm else (feature_layer(layer, depth),)
    return Tower(
        width=width,
        depth=depth,
        norm=norm,
        attention=Attention(heads, width // heads, heads, vision.get("attention_bias", False), True, qk_norm),
        mlp=MLP(vision.get("intermediate_size", 4096), activation(vision.get("hidden_act", "gelu"))),
        layer_scale=True,
        cls=True,
        table=Table(grid, grid),
        final_norm=Norm("layer", norm.eps) if not features else None,
        features=features,
    )


def _patch(vision: Mapping[str, Any]) -> Patch:
    return Patch(side(vision.get("patch_size", 14)), bias=True, mean=IMAGENET.mean, std=IMAGENET.std)


def _unused(tower: Tower) -> tuple[str, ...]:
    skipped = skipped_blocks(r"tower\.encoder\.layer", tower.blocks, tower.depth)
    # A norm after the last block matters only where its output is taken.
    norm = (r"tower\.layernorm\.",) if tower.features and tower.blocks < tower.depth else ()
    return (*_UNUSED, *skipped, *norm)
