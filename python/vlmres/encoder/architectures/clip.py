"""CLIP, SigLIP and SigLIP 2 towers. Source: arXiv:2103.00020, 2303.15343, 2502.14786; transformers' modeling files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import (
    CLIP,
    HALF,
    CheckpointError,
    Part,
    Tensors,
    activation,
    block_tensors,
    side,
    skipped_blocks,
)
from vlmres.encoder.config import MLP, Attention, Norm, Patch, Table, Tower

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
_UNUSED = (r"tower\.head\.", r"tower\.embeddings\.position_ids$")


def clip(config: Mapping[str, Any], features: tuple[int, ...] | None) -> Part:
    """CLIP: a class token, a norm before the blocks; `last_hidden_state` has no norm after them."""
    width, size, depth = _numbers(config)
    grid = side(config.get("image_size", 224)) // size
    eps = config.get("layer_norm_eps", 1e-5)
    tower = Tower(
        width=width,
        depth=depth,
        norm=Norm("layer", eps),
        attention=_attention(config, width),
        mlp=MLP(config.get("intermediate_size", 3072), activation(config.get("hidden_act", "quick_gelu"))),
        cls=True,
        table=Table(grid, grid),
        pre_norm=Norm("layer", eps),
        features=features or (depth,),
    )
    tensors: Tensors = {
        **_TENSORS,
        "towers.0.cls": "tower.embeddings.class_embedding",
        "towers.0.pre_norm": "tower.pre_layrnorm",
    }
    unused = (*_UNUSED, r"tower\.post_layernorm\.", *skipped_blocks(r"tower\.encoder\.layers", tower.blocks, depth))
    return Part(Patch(size, bias=False, mean=CLIP.mean, std=CLIP.std), tower, tensors, unused)


def siglip(config: Mapping[str, Any], features: tuple[int, ...] | None) -> Part:
    """SigLIP: no class token."""
    size = side(config.get("patch_size", 16))
    grid = side(config.get("image_size", 224)) // size
    return _siglip(config, features, Table(grid, grid), "conv2d")


def siglip2(config: Mapping[str, Any], features: tuple[int, ...] | None) -> Part:
    """SigLIP 2 NaFlex: native grids; the table is resampled with antialiasing, as its training did."""
    grid = round(config.get("num_patches", 256) ** 0.5)
    if grid * grid != config.get("num_patches", 256):
        raise CheckpointError(f"num_patches is {config['num_patches']}, which is no square")
    return _siglip(config, features, Table(grid, grid, "bilinear", antialias=True), "linear")


def _siglip(config: Mapping[str, Any], features: tuple[int, ...] | None, table: Table, kind: Any) -> Part:
    width, _, depth = _numbers(config)
    eps = config.get("layer_norm_eps", 1e-6)
    tower = Tower(
        width=width,
        depth=depth,
        norm=Norm("layer", eps),
        attention=_attention(config, width),
        mlp=MLP(config.get("intermediate_size", 3072), activation(config.get("hidden_act", "gelu_pytorch_tanh"))),
        table=table,
        final_norm=Norm("layer", eps),
        features=features or (),
    )
    tensors: Tensors = {**_TENSORS, "towers.0.final_norm": "tower.post_layernorm"}
    unused: tuple[str, ...] = _UNUSED
    if features:
        unused += (r"tower\.post_layernorm\.", *skipped_blocks(r"tower\.encoder\.layers", tower.blocks, depth))
    patch = Patch(side(config.get("patch_size", 16)), bias=True, kind=kind, mean=HALF.mean, std=HALF.std)
    return Part(patch, tower, tensors, unused)


def _numbers(config: Mapping[str, Any]) -> tuple[int, int, int]:
    size = side(config.get("patch_size", 32))
    return config.get("hidden_size", 768), size, config.get("num_hidden_layers", 12)


def _attention(config: Mapping[str, Any], width: int) -> Attention:
    heads = config.get("num_attention_heads", 12)
    return Attention(heads, width // heads, heads, bias=True, out_bias=True)
