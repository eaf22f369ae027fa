"""CLIP, SigLIP and SigLIP 2 towers. Source: arXiv:2103.00020, 2303.15343, 2502.14786; transformers' modeling files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import Tensors, TowerSource, block_tensors, skipped_blocks
from vlmres.encoder.architectures.fields import CLIP, HALF, Sizes, grid_side, patch, tower
from vlmres.encoder.architectures.values import number, square
from vlmres.encoder.config import Norm, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = {
    "norm1": "layer_norm1",
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp.up": "mlp.fc1",
    "mlp.down": "mlp.fc2",
}
_TENSORS: Tensors = {
    "patch_embed": "tower.embeddings.patch_embedding",
    "towers.0.table": "tower.embeddings.position_embedding",
    **block_tensors("towers.0", "tower.encoder.layers", _BLOCK),
}
_BLOCKS = r"tower\.encoder\.layers"
_UNUSED = (r"tower\.head\.", r"tower\.embeddings\.position_ids$")


# Of CLIP; SigLIP's classes assume the same but for the activation.
_SIZES = Sizes(768, 12, 12, 3072, "quick_gelu")


def clip(config: Mapping[str, Any], features: tuple[int, ...] | None) -> TowerSource:
    """CLIP: a class token, a norm before the blocks; `last_hidden_state` has no norm after them."""
    grid = grid_side(config, 224, 32)
    norm = Norm("layer", number(config, "layer_norm_eps", 1e-5, zero=True))
    found = tower(config, _SIZES, norm, cls=True, table=Table(grid, grid), pre_norm=norm)
    found = replace(found, features=features or (found.depth,))
    tensors: Tensors = {
        **_TENSORS,
        "towers.0.cls": "tower.embeddings.class_embedding",
        "towers.0.pre_norm": "tower.pre_layrnorm",
    }
    unused = (*_UNUSED, r"tower\.post_layernorm\.", *skipped_blocks(_BLOCKS, found))
    return TowerSource(patch(config, 32, CLIP, bias=False), found, tensors, unused)


def siglip(config: Mapping[str, Any], features: tuple[int, ...] | None) -> TowerSource:
    """SigLIP: no class token."""
    grid = grid_side(config, 224, 16)
    return _siglip(config, features, Table(grid, grid), "conv2d")


def siglip2(config: Mapping[str, Any], features: tuple[int, ...] | None) -> TowerSource:
    """SigLIP 2 NaFlex: native grids; the table is resampled with antialiasing, as its training did."""
    grid = square(config, "num_patches", 256)
    return _siglip(config, features, Table(grid, grid, "bilinear", antialias=True), "linear")


def _siglip(config: Mapping[str, Any], features: tuple[int, ...] | None, table: Table, kind: str) -> TowerSource:
    norm = Norm("layer", number(config, "layer_norm_eps", 1e-6, zero=True))
    sizes = _SIZES._replace(act="gelu_pytorch_tanh")
    found = tower(config, sizes, norm, table=table, final_norm=norm, features=features or ())
    tensors: Tensors = {**_TENSORS, "towers.0.final_norm": "tower.post_layernorm"}
    unused: tuple[str, ...] = _UNUSED
    if features:
        unused += (r"tower\.post_layernorm\.", *skipped_blocks(_BLOCKS, found))
    return TowerSource(patch(config, 16, HALF, bias=True, kind=kind), found, tensors, unused)
