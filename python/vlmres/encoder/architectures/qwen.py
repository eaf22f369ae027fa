"""Qwen2-VL, Qwen2.5-VL, Qwen3-VL and Qwen3.5. Source: arXiv:2409.12191, 2502.13923; transformers' modeling files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import Architecture, Tensors, block_tensors
from vlmres.encoder.architectures.fields import CLIP, HALF, Sizes, Stats, patch, theta, tower
from vlmres.encoder.architectures.values import integer, integers, section, side, square, word
from vlmres.encoder.config import EncoderConfig, Layer, Norm, Projector, Rotary, Table, Windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmres.encoder.config import Tower

_BLOCK = {"norm1": "norm1", "attention.qkv": "attn.qkv", "attention.out": "attn.proj", "norm2": "norm2"}
_OLD_MERGER = ("tower.merger.ln_q", "tower.merger.mlp.0", "tower.merger.mlp.2")
_RENAMES = ((r"^(?:model\.)?(?:visual\.)", "tower."),)
_TOWER_RENAMES = ((r"^(?:visual\.)?", "tower."),)


def qwen2_vl(config: Mapping[str, Any]) -> Architecture:
    """Native grids, rotary positions, cells of 2x2 patches to tokens."""
    vision, renames = _vision(config)
    # Here `hidden_size` is the language model's.
    own = {**vision, "hidden_size": integer(vision, "embed_dim", 1280)}
    norm = Norm("layer", 1e-6)
    found = tower(own, Sizes(1280, 32, 16, None, "quick_gelu"), norm, rotary=Rotary("axial", theta(vision)))
    encoder = _encoder("Qwen2-VL", vision, found, integer(vision, "hidden_size", 3584), 14, CLIP)
    names = {"mlp.up": "mlp.fc1", "mlp.down": "mlp.fc2"}
    return Architecture(encoder, _tensors(names, _OLD_MERGER), renames, ("tower",))


def qwen2_5_vl(config: Mapping[str, Any]) -> Architecture:
    """As Qwen2-VL, with attention inside windows in most blocks, root-mean-square norms and a gated MLP."""
    vision, renames = _vision(config)
    cell = integer(vision, "spatial_merge_size", 2) * side(vision, "patch_size", 14)
    found = tower(
        vision,
        Sizes(3584, 32, 16, 3420, "silu"),
        Norm("rms", 1e-6),
        gated=True,
        rotary=Rotary("axial", theta(vision)),
        windows=Windows(
            "cut",
            integer(vision, "window_size", 112, least=cell) // cell,
            integers(vision, "fullatt_block_indexes", (7, 15, 23, 31)),
        ),
    )
    encoder = _encoder("Qwen2.5-VL", vision, found, integer(vision, "out_hidden_size", 3584), 14, CLIP)
    names = {"mlp.up": ("mlp.gate_proj", "mlp.up_proj"), "mlp.down": "mlp.down_proj"}
    return Architecture(encoder, _tensors(names, _OLD_MERGER), renames, ("tower",))


def qwen3_vl(config: Mapping[str, Any]) -> Architecture:
    """As Qwen2-VL, with a resampled table beside rotary positions, and deepstack."""
    return _qwen3("Qwen3-VL", config, (8, 16, 24))


def qwen3_5(config: Mapping[str, Any]) -> Architecture:
    """As Qwen3-VL, without deepstack."""
    return _qwen3("Qwen3.5", config, ())


def _qwen3(name: str, config: Mapping[str, Any], taps: tuple[int, ...]) -> Architecture:
    vision, renames = _vision(config)
    grid = square(vision, "num_position_embeddings", 2304)
    found = tower(
        vision,
        Sizes(1152, 27, 16, 4304, "gelu_pytorch_tanh"),
        Norm("layer", 1e-6),
        table=Table(grid, grid, "bilinear", align_corners=True),
        rotary=Rotary("axial", theta(vision)),
        taps=integers(vision, "deepstack_visual_indexes", taps),
    )
    encoder = _encoder(name, vision, found, integer(vision, "out_hidden_size", 3584), 16, HALF)
    tensors = {
        **_tensors({"mlp.up": "mlp.linear_fc1", "mlp.down": "mlp.linear_fc2"}, _merger("tower.merger")),
        "towers.0.table": "tower.pos_embed",
    }
    if found.taps:
        norm, first, second = _merger("tower.deepstack_merger_list.{}")
        tensors |= {"deepstack.{}.norm": norm, "deepstack.{}.layers.0": first, "deepstack.{}.layers.1": second}
    return Architecture(encoder, tensors, renames, ("tower",))


def nativeres_llava(config: Mapping[str, Any]) -> Architecture:
    """NativeRes-LLaVA: Qwen2-VL's tower with its merger, then LLaVA's two-layer projector.

    Its `config.json` names another checkpoint for the tower; where there is no `vision_config`, the tower is that of
    Qwen2-VL 2B, whose merger's width is `mm_hidden_size`. Source: its authors' code.
    """
    vision = {"hidden_size": integer(config, "mm_hidden_size", 1536), **section(config, "vision_config")}
    qwen = qwen2_vl({"vision_config": vision})
    out = integer(config, "hidden_size")
    word(config, "mm_projector_type", "mlp2x_gelu", ("mlp2x_gelu",))
    assert qwen.config.projector is not None
    layers = (*qwen.config.projector.layers, Layer(out, activation="gelu"), Layer(out))
    encoder = replace(qwen.config, name="NativeRes-LLaVA", projector=Projector(layers, qwen.config.projector.norm))
    tensors = {**qwen.tensors, "projector.layers.2": "projector.0", "projector.layers.3": "projector.2"}
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


def _encoder(name: str, vision: Mapping[str, Any], found: Tower, out: int, size: int, stats: Stats) -> EncoderConfig:
    merge = integer(vision, "spatial_merge_size", 2)
    layers = Layer(found.width * merge * merge, activation="gelu"), Layer(out)
    return EncoderConfig(
        name=name,
        # Only Qwen3's patch embedding has a bias.
        patch=patch(vision, size, stats, bias=found.table is not None, kind="conv3d"),
        towers=(found,),
        merge=merge,
        projector=Projector(layers, found.norm),
        deepstack=Projector(layers, found.norm, norm_merged=True) if found.taps else None,
    )


def _merger(start: str) -> tuple[str, str, str]:
    """Norm and linear layers of Qwen3's mergers."""
    return f"{start}.norm", f"{start}.linear_fc1", f"{start}.linear_fc2"


def _tensors(mlp: Mapping[str, Sequence[str]], merger: tuple[str, str, str]) -> Tensors:
    norm, first, second = merger
    return {
        "patch_embed": "tower.patch_embed.proj",
        **block_tensors("towers.0", "tower.blocks", {**_BLOCK, **mlp}),
        "projector.norm": norm,
        "projector.layers.0": first,
        "projector.layers.1": second,
    }
