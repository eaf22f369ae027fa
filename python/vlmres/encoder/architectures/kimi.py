"""Kimi-VL and Kimi-K2.5: MoonViT. Source: arXiv:2504.07491; transformers' `modeling_kimi_k25.py` and authors' code."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import Architecture, Take, Tensors, block_tensors
from vlmres.encoder.architectures.fields import HALF, Sizes, patch, theta, tower
from vlmres.encoder.architectures.values import integer, number, section, side, word
from vlmres.encoder.config import EncoderConfig, Layer, Norm, Projector, Rotary, Table

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
# What the authors' configurations name and have one value for.
_KNOWN = {"merge_type": "sd2_tpool", "pos_emb_type": "divided_fixed", "video_attn_type": "spatial_temporal"}
_FRAMES = ("pos_emb_time", "init_pos_emb_time")
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
    vision = section(config, "vision_config")
    alone = kimi_tower(vision).config
    merged = alone.features * alone.merge**2
    out = integer(section(config, "text_config"), "hidden_size", 7168)
    eps = number(vision, "projector_ln_eps", 1e-5, zero=True)
    eps = number(config, "projection_layer_norm_eps", eps, zero=True)
    encoder = replace(
        alone,
        name="MoonViT with Kimi's projector",
        projector=Projector((Layer(merged, activation="gelu"), Layer(out)), Norm("layer", eps)),
    )
    return Architecture(encoder, _TENSORS, _RENAMES, ("tower", "projector"))


def kimi_tower(config: Mapping[str, Any]) -> Architecture:
    """MoonViT alone, by transformers or by the authors; tokens are cells of patches, side by side."""
    for name, known in _KNOWN.items():
        word(config, name, known, (known,))
    rows = integer(config, ("pos_emb_height", "init_pos_emb_height"), 64)
    cols = integer(config, ("pos_emb_width", "init_pos_emb_width"), 64)
    found = tower(
        config,
        Sizes(1152, 27, 16, 4304, "gelu_pytorch_tanh"),
        _NORM,
        table=Table(rows, cols),
        rotary=Rotary("interleaved", theta(config)),
        final_norm=_NORM,
        # Kimi-VL's MoonViT takes no videos.
        clip_frames=None if config.get("model_type") == "moonvit" else integer(config, _FRAMES, 4),
    )
    encoder = EncoderConfig(
        name="MoonViT",
        patch=patch(config, 14, HALF, bias=True),
        towers=(found,),
        merge=side(config, "merge_kernel_size", 2),
    )
    return Architecture(encoder, _TENSORS, ((r"^", "tower."), *_RENAMES[2:]), ("tower",))
