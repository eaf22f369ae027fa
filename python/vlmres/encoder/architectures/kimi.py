"""Kimi-VL and Kimi-K2.5: MoonViT. Source: arXiv:2504.07491; transformers' `modeling_kimi_k25.py` and authors' code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import (
    HALF,
    Architecture,
    Take,
    Tensors,
    activation,
    block_tensors,
    section,
    side,
    theta,
)
from vlmres.encoder.config import MLP, Attention, EncoderConfig, Layer, Norm, Patch, Projector, Rotary, Table, Tower

if TYPE_CHECKING:
    from collections.abc import Mapping

_NORM = Norm("layer", 1e-5)
_BLOCK = {
    "norm1": "norm1",
    "attention.out": "attn.proj",
    "norm2": "norm2",
    "mlp.up": "mlp.fc1",
    "mlp.down": "mlp.fc2",
}
_TENSORS: Tensors = {
    **block_tensors("towers.0", "tower.layers", _BLOCK),
    # The authors' projections of q and k turn adjacent pairs.
    "towers.0.blocks.{}.attention.qkv": [
        ("tower.layers.{}.attn.q_proj", "tower.layers.{}.attn.k_proj", "tower.layers.{}.attn.v_proj"),
        Take(("tower.layers.{}.attn.wqkv",), "pairs"),
    ],
    "patch_embed": "tower.patch_embed.proj",
    "towers.0.table.weight": "tower.patch_embed.pos_emb.position_embeddings",
    "towers.0.final_norm": "tower.final_layernorm",
    "projector.norm": "projector.pre_norm",
    "projector.layers.0": "projector.in_proj",
    "projector.layers.1": "projector.out_proj",
}
# transformers' names and the authors', brought to one form.
_RENAMES = (
    (r"^(?:model\.)?vision_tower\.", "tower."),
    (r"^(?:model\.)?(?:mm_projector|multi_modal_projector)\.", "projector."),
    (r"^projector\.(?:linear_1|proj\.0)\.", "projector.in_proj."),
    (r"^projector\.(?:linear_2|proj\.2)\.", "projector.out_proj."),
    (r"^tower\.encoder\.", "tower."),
    (r"^tower\.patch_embed\.pos_emb\.weight$", "tower.patch_embed.pos_emb.position_embeddings"),
    (r"^tower\.blocks\.(\d+)\.mlp\.fc1\.", r"tower.layers.\1.mlp.fc2."),
    (r"^tower\.blocks\.(\d+)\.mlp\.fc0\.", r"tower.layers.\1.mlp.fc1."),
    (r"^tower\.blocks\.(\d+)\.norm1\.", r"tower.layers.\1.norm2."),
    (r"^tower\.blocks\.(\d+)\.norm0\.", r"tower.layers.\1.norm1."),
    (r"^tower\.blocks\.(\d+)\.wqkv\.", r"tower.layers.\1.attn.wqkv."),
    (r"^tower\.blocks\.(\d+)\.wo\.", r"tower.layers.\1.attn.proj."),
)


def kimi(config: Mapping[str, Any]) -> Architecture:
    """Whole models, by transformers or by the authors."""
    return Architecture(_encoder(config), _TENSORS, _RENAMES, ("tower", "projector"))


def kimi_tower(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers, of the tower alone; tokens are cells of patches, side by side."""
    whole = _encoder({"vision_config": config})
    encoder = EncoderConfig(name="MoonViT", patch=whole.patch, towers=whole.towers, merge=whole.merge)
    return Architecture(encoder, _TENSORS, ((r"^", "tower."), *_RENAMES[2:]), ("tower",))


def _encoder(config: Mapping[str, Any]) -> EncoderConfig:
    vision = section(config, "vision_config")
    width, heads = vision.get("hidden_size", 1152), vision.get("num_attention_heads", 16)
    merge = side(vision.get("merge_kernel_size", 2))
    rows = vision.get("pos_emb_height", vision.get("init_pos_emb_height", 64))
    cols = vision.get("pos_emb_width", vision.get("init_pos_emb_width", 64))
    tower = Tower(
        width=width,
        depth=vision.get("num_hidden_layers", 27),
        norm=_NORM,
        attention=Attention(heads, width // heads, heads, bias=True, out_bias=True),
        mlp=MLP(vision.get("intermediate_size", 4304), activation(vision.get("hidden_act", "gelu_pytorch_tanh"))),
        table=Table(rows, cols),
        rotary=Rotary("interleaved", theta(vision)),
        final_norm=_NORM,
    )
    merged, out = width * merge * merge, section(config, "text_config").get("hidden_size", 7168)
    norm = Norm("layer", config.get("projection_layer_norm_eps", 1e-5))
    return EncoderConfig(
        name="MoonViT with Kimi's projector",
        patch=Patch(side(vision.get("patch_size", 14)), bias=True, mean=HALF.mean, std=HALF.std),
        towers=(tower,),
        merge=merge,
        projector=Projector((Layer(merged, activation="gelu"), Layer(out)), norm),
    )
