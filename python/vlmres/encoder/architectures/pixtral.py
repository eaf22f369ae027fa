"""Pixtral's tower. Source: arXiv:2410.07073; transformers' `modeling_pixtral.py`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import Tensors, TowerSource, block_tensors, skipped_blocks
from vlmres.encoder.architectures.fields import CLIP, Sizes, patch, theta, tower
from vlmres.encoder.config import Norm, Rotary

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


def pixtral(config: Mapping[str, Any], features: tuple[int, ...] | None) -> TowerSource:
    """Native grids, rotary positions, gated MLP, no biases."""
    found = tower(
        config,
        Sizes(1024, 24, 16, 4096, "gelu"),
        _NORM,
        bias=False,
        out_bias=False,
        gated=True,
        mlp_bias=False,
        rotary=Rotary("split", theta(config)),
        pre_norm=_NORM,
    )
    found = replace(found, features=features or (found.depth,))
    unused = skipped_blocks(r"tower\.transformer\.layers", found)
    return TowerSource(patch(config, 16, CLIP, bias=False), found, _TENSORS, unused)
