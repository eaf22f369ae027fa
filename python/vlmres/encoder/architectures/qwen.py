"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL. Source: arXiv:2409.12191, 2502.13923; transformers' modeling files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import (
    CLIP,
    HALF,
    Architecture,
    Stats,
    Tensors,
    activation,
    block_tensors,
    required,
    section,
    side,
    theta,
)
from vlmres.encoder.config import (
    MLP,
    Attention,
    EncoderConfig,
    Layer,
    Norm,
    Patch,
    Projector,
    Rotary,
    Table,
    Tower,
    Windows,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_BLOCK = {"norm1": "norm1", "attention.qkv": "attn.qkv", "attention.out": "attn.proj", "norm2": "norm2"}
_RENAMES = ((r"^(?:model\.)?(?:visual\.)", "tower."),)
_TOWER_RENAMES = ((r"^(?:visual\.)?", "tower."),)


def qwen2_vl(config: Mapping[str, Any]) -> Architecture:
    """Native grids, rotary positions, cells of 2x2 patches to tokens."""
    vision, renames = _vision(config)
    width = vision.get("embed_dim", 1280)
    merge = vision.get("spatial_merge_size", 2)
    norm = Norm("layer", 1e-6)
    tower = Tower(
        width=width,
        depth=vision.get("depth", 32),
        norm=norm,
        attention=_attention(vision, width),
        mlp=MLP(int(width * vision.get("mlp_ratio", 4)), activation(vision.get("hidden_act", "quick_gelu"))),
        rotary=Rotary("axial", theta(vision)),
    )
    encoder = EncoderConfig(
        name="Qwen2-VL",
        patch=_patch(vision, 14, bias=False, stats=CLIP),
        towers=(tower,),
        merge=merge,
        projector=_merger(width, merge, vision.get("hidden_size", 3584), norm),
    )
    tensors = {
        **_tensors({"mlp.up": "mlp.fc1", "mlp.down": "mlp.fc2"}),
        "projector.norm": "tower.merger.ln_q",
        "projector.layers.0": "tower.merger.mlp.0",
        "projector.layers.1": "tower.merger.mlp.2",
    }
    return Architecture(encoder, tensors, renames, ("tower",))


def qwen2_5_vl(config: Mapping[str, Any]) -> Architecture:
    """As Qwen2-VL, with attention inside windows in most blocks, root-mean-square norms and a gated MLP."""
    vision, renames = _vision(config)
    width, size = vision.get("hidden_size", 3584), side(vision.get("patch_size", 14))
    merge = vision.get("spatial_merge_size", 2)
    norm = Norm("rms", 1e-6)
    tower = Tower(
        width=width,
        depth=vision.get("depth", 32),
        norm=norm,
        attention=_attention(vision, width),
        mlp=MLP(vision.get("intermediate_size", 3420), activation(vision.get("hidden_act", "silu")), gated=True),
        rotary=Rotary("axial", theta(vision)),
        windows=Windows(
            "cut",
            vision.get("window_size", 112) // merge // size,
            tuple(vision.get("fullatt_block_indexes", (7, 15, 23, 31))),
        ),
    )
    encoder = EncoderConfig(
        name="Qwen2.5-VL",
        patch=_patch(vision, 14, bias=False, stats=CLIP),
        towers=(tower,),
        merge=merge,
        projector=_merger(width, merge, vision.get("out_hidden_size", 3584), norm),
    )
    tensors = {
        **_tensors({"mlp.up": ("mlp.gate_proj", "mlp.up_proj"), "mlp.down": "mlp.down_proj"}),
        "projector.norm": "tower.merger.ln_q",
        "projector.layers.0": "tower.merger.mlp.0",
        "projector.layers.1": "tower.merger.mlp.2",
    }
    return Architecture(encoder, tensors, renames, ("tower",))


def qwen3_vl(config: Mapping[str, Any]) -> Architecture:
    """As Qwen2-VL, with a resampled table beside rotary positions, and deepstack."""
    vision, renames = _vision(config)
    width = vision.get("hidden_size", 1152)
    merge = vision.get("spatial_merge_size", 2)
    count = vision.get("num_position_embeddings", 2304)
    grid = int(count**0.5)
    norm = Norm("layer", 1e-6)
    out = vision.get("out_hidden_size", 3584)
    taps = tuple(vision.get("deepstack_visual_indexes", (8, 16, 24)))
    tower = Tower(
        width=width,
        depth=vision.get("depth", 27),
        norm=norm,
        attention=_attention(vision, width),
        mlp=MLP(vision.get("intermediate_size", 4304), activation(vision.get("hidden_act", "gelu_pytorch_tanh"))),
        table=Table(grid, grid, "bilinear", align_corners=True),
        rotary=Rotary("axial", theta(vision)),
        taps=taps,
    )
    encoder = EncoderConfig(
        name="Qwen3-VL",
        patch=_patch(vision, 16, bias=True, stats=HALF),
        towers=(tower,),
        merge=merge,
        projector=_merger(width, merge, out, norm),
        deepstack=_merger(width, merge, out, norm, merged=True) if taps else None,
    )
    tensors: Tensors = {
        **_tensors({"mlp.up": "mlp.linear_fc1", "mlp.down": "mlp.linear_fc2"}),
        "towers.0.table": "tower.pos_embed",
        "projector.norm": "tower.merger.norm",
        "projector.layers.0": "tower.merger.linear_fc1",
        "projector.layers.1": "tower.merger.linear_fc2",
        "deepstack.{}.norm": "tower.deepstack_merger_list.{}.norm",
        "deepstack.{}.layers.0": "tower.deepstack_merger_list.{}.linear_fc1",
        "deepstack.{}.layers.1": "tower.deepstack_merger_list.{}.linear_fc2",
    }
    return Architecture(encoder, tensors, renames, ("tower",))


def nativeres_llava(config: Mapping[str, Any]) -> Architecture:
    """NativeRes-LLaVA: Qwen2-VL's tower with its merger, then LLaVA's two-layer projector.

    Its `config.json` names another checkpoint for the tower; where there is no `vision_config`, the tower is that of
    Qwen2-VL 2B, whose merger's width is `mm_hidden_size`. Source: its authors' code.
    """
    vision = {"hidden_size": config.get("mm_hidden_size", 1536), **section(config, "vision_config")}
    tower = qwen2_vl({"vision_config": vision})
    out = required(config, "hidden_size", "config")
    kind = config.get("mm_projector_type", "mlp2x_gelu")
    if kind != "mlp2x_gelu" or tower.config.projector is None:
        raise ValueError(f"unknown mm_projector_type {kind!r}; known is mlp2x_gelu")
    layers = (*tower.config.projector.layers, Layer(out, activation="gelu"), Layer(out))
    encoder = EncoderConfig(
        name="NativeRes-LLaVA",
        patch=tower.config.patch,
        towers=tower.config.towers,
        merge=tower.config.merge,
        projector=Projector(layers, tower.config.projector.norm),
    )
    tensors = {**tower.tensors, "projector.layers.2": "projector.0", "projector.layers.3": "projector.2"}
    renames = (
        (r"^(?:model\.)?vision_tower\.(?:vision_tower\.)?", "tower."),
        (r"^(?:model\.)?mm_projector\.", "projector."),
    )
    return Architecture(encoder, tensors, renames, ("tower", "projector"))


def _vision(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], tuple[tuple[str, str], ...]]:
    """The tower's configuration, and how a whole model's or a lone tower's tensors are named."""
    if str(config.get("model_type", "")).endswith("_vision"):
        return config, _TOWER_RENAMES
    return section(config, "vision_config"), _RENAMES


def _attention(vision: Mapping[str, Any], width: int) -> Attention:
    heads = vision.get("num_heads", 16)
    return Attention(heads, width // heads, heads, bias=True, out_bias=True)


def _patch(vision: Mapping[str, Any], size: int, *, bias: bool, stats: Stats) -> Patch:
    size, frames = side(vision.get("patch_size", size)), vision.get("temporal_patch_size", 2)
    return Patch(size, bias=bias, kind="conv3d", frames=frames, mean=stats.mean, std=stats.std)


def _merger(width: int, merge: int, out: int, norm: Norm, *, merged: bool = False) -> Projector:
    return Projector((Layer(width * merge * merge, activation="gelu"), Layer(out)), norm, norm_merged=merged)


def _tensors(mlp: dict[str, str | tuple[str, ...]]) -> Tensors:
    return {"patch_embed": "tower.patch_embed.proj", **block_tensors("towers.0", "tower.blocks", {**_BLOCK, **mlp})}
