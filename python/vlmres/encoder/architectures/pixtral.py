"""Pixtral's tower. Source: arXiv:2410.07073; transformers' `modeling_pixtral.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import (
    CLIP,
    Part,
    Tensors,
    activation,
    block_tensors,
    side,
    skipped_blocks,
    theta,
)
from vlmres.encoder.config import MLP, Attention, Norm, Patch, Rotary, Tower

if TYPE_CHECKING:
    from collections.abc import Mapping

_NORM = Norm("rms", 1e-5)
_BLOCK = {
    "norm1": "attention_norm",
    "attention.qkv": ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    "attention.out": "attention.o_proj",
    "norm2": "ffn_norm",
    "mlp.up": ("feed_forward.gate_proj", "feed_forward.up_proj"),
    "mlp.down": "feed_forward.down_proj",
}
_TENSORS: Tensors = {
    "patch_embed": "tower.patch_conv",
    "towers.0.pre_norm": "tower.ln_pre",
    **block_tensors("towers.0", "tower.transformer.layers", _BLOCK),
}


def pixtral(config: Mapping[str, Any], features: tuple[int, ...] | None) -> Part:
    """Native grids, rotary positions, gated MLP, no biases."""
    width, heads = config.get("hidden_size", 1024), config.get("num_attention_heads", 16)
    depth = config.get("num_hidden_layers", 24)
    tower = Tower(
        width=width,
        depth=depth,
        norm=_NORM,
        attention=Attention(heads, width // heads, heads, bias=False, out_bias=False),
        mlp=MLP(
            config.get("intermediate_size", 4096),
            activation(config.get("hidden_act", "gelu")),
            gated=True,
            bias=False,
        ),
        rotary=Rotary("split", theta(config)),
        pre_norm=_NORM,
        features=features or (depth,),
    )
    patch = Patch(side(config.get("patch_size", 16)), bias=False, mean=CLIP.mean, std=CLIP.std)
    unused = skipped_blocks(r"tower\.transformer\.layers", tower.blocks, depth)
    return Part(patch, tower, _TENSORS, unused)
