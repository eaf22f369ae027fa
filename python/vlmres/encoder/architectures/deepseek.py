"""DeepSeek-OCR, DeepSeek-OCR 2 and Unlimited-OCR: SAM, a compressor, then CLIP or queries.

Source: arXiv:2510.18234; transformers' `modeling_unlimited_ocr.py` and `modeling_deepseek_ocr2.py`, authors' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import Architecture, CheckpointError, Tensors, block_tensors
from vlmres.encoder.architectures.fields import HALF, Sizes, grid_side, patch, theta, tower
from vlmres.encoder.architectures.values import (
    flag,
    integer,
    integers,
    number,
    optional_integer,
    optional_integers,
    section,
    wrong,
)
from vlmres.encoder.config import Arrangement, EncoderConfig, Layer, Neck, Norm, Projector, Rotary, Table, Windows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmres.encoder.config import Tower

_SAM = {
    "norm1": "layer_norm1",
    "attention.qkv": "attn.qkv",
    "attention.out": "attn.proj",
    "attention.relative.rows": "attn.rel_pos_h",
    "attention.relative.cols": "attn.rel_pos_w",
    "norm2": "layer_norm2",
    "mlp.up": "mlp.lin1",
    "mlp.down": "mlp.lin2",
}
_CLIP = {
    "norm1": "layer_norm1",
    "attention.out": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp.up": "mlp.fc1",
    "mlp.down": "mlp.fc2",
}
_QWEN2 = {
    "norm1": "input_layernorm",
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.out": "self_attn.o_proj",
    "norm2": "post_attention_layernorm",
    "mlp.up": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down": "mlp.down_proj",
}
_SAM_TENSORS: Tensors = {
    "patch_embed": "sam.patch_embed.projection",
    "towers.0.table.weight": "sam.pos_embed",
    **block_tensors("towers.0", "sam.layers", _SAM),
    "towers.0.neck.conv1": "sam.neck.conv1",
    "towers.0.neck.norm1": "sam.neck.layer_norm1",
    "towers.0.neck.conv2": "sam.neck.conv2",
    "towers.0.neck.norm2": "sam.neck.layer_norm2",
    "towers.0.neck.strided.0": "sam.proj.conv1",
    "towers.0.neck.strided.1": "sam.proj.conv2",
    "projector.layers.0": "projector",
    "newline": "newline",
    "separator": "separator",
}
_CLIP_TENSORS: Tensors = {
    **_SAM_TENSORS,
    "towers.1.cls": "second.embeddings.class_embedding",
    "towers.1.table": "second.embeddings.position_embedding",
    "towers.1.pre_norm": "second.pre_layrnorm",
    **block_tensors("towers.1", "second.encoder.layers", _CLIP),
    "towers.1.blocks.{}.attention.qkv": [
        tuple(f"second.encoder.layers.{{}}.self_attn.{name}_proj" for name in "qkv"),
        "second.encoder.layers.{}.self_attn.qkv_proj",
    ],
}
_QUERY_TENSORS: Tensors = {
    **_SAM_TENSORS,
    "towers.1.queries": ("query_768.weight", "query_1024.weight"),
    "towers.1.final_norm": "second.norm",
    **block_tensors("towers.1", "second.layers", _QWEN2),
}
# transformers' names and the authors', brought to one form.
_RENAMES = (
    (r"^(?:model\.)?(?:vision_tower\.)?(?:sam_encoder|sam_model)\.", "sam."),
    (r"^(?:model\.)?(?:vision_tower\.)?(?:vision_encoder|vision_model|qwen2_model\.model\.model)\.", "second."),
    (r"^(?:model\.)?(?:vision_tower\.|qwen2_model\.)query_(\d+)(?:_resolution)?\.", r"query_\1."),
    (r"^query_(\d+)(?:_resolution)?\.", r"query_\1."),
    (r"^(?:model\.)?(?:multi_modal_projector|projector\.layers)\.", "projector."),
    (r"^(?:model\.)?image_newline$", "newline"),
    (r"^(?:model\.)?view_sep[ae]rator$", "separator"),
    (r"^sam\.blocks\.(\d+)\.norm([12])\.", r"sam.layers.\1.layer_norm\2."),
    (r"^sam\.blocks\.", "sam.layers."),
    (r"^sam\.patch_embed\.proj\.", "sam.patch_embed.projection."),
    (r"^sam\.neck\.0\.", "sam.neck.conv1."),
    (r"^sam\.neck\.1\.", "sam.neck.layer_norm1."),
    (r"^sam\.neck\.2\.", "sam.neck.conv2."),
    (r"^sam\.neck\.3\.", "sam.neck.layer_norm2."),
    (r"^sam\.net_2\.", "sam.proj.conv1."),
    (r"^sam\.net_3\.", "sam.proj.conv2."),
    (r"^second\.transformer\.", "second.encoder."),
)
_NAMESPACES = ("sam", "second", "query_768", "query_1024", "projector", "newline", "separator")
_UNUSED = (r"second\.embeddings\.(?:patch_embedding\.|position_ids$)", r"second\.embed_tokens\.")


# What the authors' configuration leaves to their code: the paper's sizes, and Qwen2 0.5B's.
_QWEN2_0_5B = {
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
    "rope_theta": 1e6,
}


def unlimited_ocr(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers, of whole models or of the encoder alone."""
    vision, out = _sections(config, 1280)
    return _with_clip(section(vision, "sam_config"), section(vision, "encoder_config"), out)


def deepseek_ocr2(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers of DeepSeek-OCR 2, of whole models or of the encoder alone."""
    vision, out = _sections(config, 4096)
    return _with_queries(section(vision, "sam_config"), section(vision, "encoder_config"), out)


def authors(config: Mapping[str, Any]) -> Architecture:
    """The authors' checkpoints of DeepSeek-OCR and DeepSeek-OCR 2.

    Raises:
        CheckpointError: It is DeepSeek-VL2, whose type both took over.
    """
    out = optional_integer(section(config, "projector_config"), "n_embed")
    out = out or integer(section(config, "language_config"), "hidden_size", 1280)
    names = config.get("architectures") or []
    if not isinstance(names, list):
        raise wrong("architectures", names, "a list")
    if "DeepseekOCRForCausalLM" in names:
        return _with_clip({}, {}, out)
    if "DeepseekOCR2ForCausalLM" in names:
        return _with_queries({}, _QWEN2_0_5B, out)
    raise CheckpointError(f"no encoder for a deepseek_vl_v2 of architectures {names}; known are those of DeepSeek-OCR")


def _sections(config: Mapping[str, Any], out: int) -> tuple[Mapping[str, Any], int | None]:
    """The encoder's configuration, and the width of the language model where there is one."""
    if str(config.get("model_type", "")).endswith("_vision"):
        return config, None
    text = section(config, "text_config", "language_config")
    return section(config, "vision_config"), integer(text, "hidden_size", out)


def _with_clip(sam: Mapping[str, Any], clip: Mapping[str, Any], out: int | None) -> Architecture:
    grid = grid_side(clip, 224, 14)
    norm = Norm("layer", number(clip, "layer_norm_eps", 1e-5, zero=True))
    second = tower(
        clip,
        Sizes(1024, 24, 16, 4096, "quick_gelu"),
        norm,
        cls=True,
        table=Table(grid, grid, antialias=True),
        pre_norm=norm,
    )
    # Tiles as one grid, then the whole; a newline after each row of both, a separator at the end.
    views = Arrangement(stitch=("tile",), newline=("tile", "global"), separator=True)
    encoder = EncoderConfig(
        name="DeepSeek-OCR",
        patch=patch(sam, 16, HALF, bias=True),
        towers=(_sam(sam, (512, 1024), 3072), second),
        concat=True,
        projector=None if out is None else Projector((Layer(out),)),
        arrangement=Arrangement() if out is None else views,
    )
    return Architecture(encoder, _CLIP_TENSORS, _RENAMES, _NAMESPACES, _UNUSED)


def _with_queries(sam: Mapping[str, Any], second: Mapping[str, Any], out: int | None) -> Architecture:
    """Learned queries, as many as the compressor's tokens, are what the language model receives."""
    norm = Norm("rms", number(second, "rms_norm_eps", 1e-6, zero=True))
    queries = tower(
        second,
        Sizes(4096, 32, 32, 22016, "silu"),
        norm,
        out_bias=False,
        gated=True,
        mlp_bias=False,
        queries=(144, 256),
        rotary=Rotary("sequence", theta(second)),
        final_norm=norm,
    )
    encoder = EncoderConfig(
        name="DeepSeek-OCR 2",
        patch=patch(sam, 16, HALF, bias=True),
        towers=(_sam(sam, (512, 896), None), queries),
        projector=None if out is None else Projector((Layer(out),)),
        arrangement=Arrangement(separator=out is not None),
    )
    return Architecture(encoder, _QUERY_TENSORS, _RENAMES, _NAMESPACES, _UNUSED)


def _sam(config: Mapping[str, Any], strided: tuple[int, ...], hidden: int | None) -> Tower:
    grid = grid_side(config, 1024, 16)
    return tower(
        config,
        Sizes(768, 12, 12, hidden, "gelu"),
        Norm("layer", number(config, "layer_norm_eps", 1e-6, zero=True)),
        bias=flag(config, "qkv_bias", True),
        table=Table(grid, grid, antialias=True) if flag(config, "use_abs_pos", True) else None,
        relative=grid if flag(config, "use_rel_pos", True) else None,
        windows=Windows(
            "pad", integer(config, "window_size", 14), integers(config, "global_attn_indexes", (2, 5, 8, 11))
        ),
        neck=Neck(
            integer(config, "output_channels", 256),
            Norm("layer", 1e-6),
            optional_integers(config, "downsample_channels") or strided,
        ),
    )
