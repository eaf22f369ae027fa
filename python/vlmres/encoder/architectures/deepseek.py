"""DeepSeek-OCR, DeepSeek-OCR 2 and Unlimited-OCR: SAM, a compressor, then CLIP or queries.

Source: arXiv:2510.18234; transformers' `modeling_unlimited_ocr.py` and `modeling_deepseek_ocr2.py`, authors' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import (
    HALF,
    Architecture,
    Tensors,
    activation,
    block_tensors,
    section,
    side,
    theta,
)
from vlmres.encoder.config import (
    MLP,
    Arrangement,
    Attention,
    EncoderConfig,
    Layer,
    Neck,
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


def unlimited_ocr(config: Mapping[str, Any]) -> Architecture:
    """Checkpoints of transformers, of whole models or of the encoder alone."""
    alone = config.get("model_type") == "unlimited_ocr_vision"
    vision = config if alone else section(config, "vision_config")
    out = None if alone else section(config, "text_config", "language_config").get("hidden_size", 1280)
    return _deepseek_ocr(section(vision, "sam_config"), section(vision, "encoder_config"), out, _CLIP_TENSORS)


def deepseek_ocr(config: Mapping[str, Any]) -> Architecture:
    """The authors' checkpoints, whose `config.json` says little: sizes are those of the paper."""
    out = section(config, "projector_config").get(
        "n_embed", section(config, "language_config").get("hidden_size", 1280)
    )
    return _deepseek_ocr({}, {}, out, _CLIP_TENSORS)


def deepseek_ocr2(config: Mapping[str, Any]) -> Architecture:
    """DeepSeek-OCR 2: learned queries, as many as the compressor's tokens, are what the language model receives."""
    alone = config.get("model_type") == "deepseek_ocr2_vision"
    vision = config if alone else section(config, "vision_config")
    sam = _sam(section(vision, "sam_config"), (512, 896))
    second = section(vision, "encoder_config")
    width, heads = second.get("hidden_size", 4096), second.get("num_attention_heads", 32)
    norm = Norm("rms", second.get("rms_norm_eps", 1e-6))
    dim = second.get("head_dim") or width // heads
    tower = Tower(
        width=width,
        depth=second.get("num_hidden_layers", 32),
        norm=norm,
        attention=Attention(heads, dim, second.get("num_key_value_heads") or heads, bias=True, out_bias=False),
        mlp=MLP(
            second.get("intermediate_size", 22016),
            activation(second.get("hidden_act", "silu")),
            gated=True,
            bias=False,
        ),
        queries=(144, 256),
        rotary=Rotary("sequence", theta(second)),
        final_norm=norm,
    )
    out = None if alone else section(config, "text_config").get("hidden_size", 4096)
    encoder = EncoderConfig(
        name="DeepSeek-OCR 2",
        patch=_patch(section(vision, "sam_config")),
        towers=(sam, tower),
        projector=None if out is None else Projector((Layer(out),)),
        arrangement=Arrangement() if out is None else Arrangement(separator=True),
    )
    return Architecture(encoder, _QUERY_TENSORS, _RENAMES, _NAMESPACES, _UNUSED)


def _deepseek_ocr(sam: Mapping[str, Any], clip: Mapping[str, Any], out: int | None, tensors: Tensors) -> Architecture:
    width, heads = clip.get("hidden_size", 1024), clip.get("num_attention_heads", 16)
    grid = side(clip.get("image_size", 224)) // side(clip.get("patch_size", 14))
    norm = Norm("layer", clip.get("layer_norm_eps", 1e-5))
    tower = Tower(
        width=width,
        depth=clip.get("num_hidden_layers", 24),
        norm=norm,
        attention=Attention(heads, width // heads, heads, bias=True, out_bias=True),
        mlp=MLP(clip.get("intermediate_size", 4096), activation(clip.get("hidden_act", "quick_gelu"))),
        cls=True,
        table=Table(grid, grid, antialias=True),
        pre_norm=norm,
    )
    # Tiles as one grid, then the whole; a newline after each row of both, a separator at the end.
    views = Arrangement(stitch=("tile",), newline=("tile", "global"), separator=True)
    encoder = EncoderConfig(
        name="DeepSeek-OCR",
        patch=_patch(sam),
        towers=(_sam(sam, (512, 1024)), tower),
        concat=True,
        projector=None if out is None else Projector((Layer(out),)),
        arrangement=Arrangement() if out is None else views,
    )
    return Architecture(encoder, tensors, _RENAMES, _NAMESPACES, _UNUSED)


def _sam(config: Mapping[str, Any], strided: tuple[int, ...]) -> Tower:
    width, heads = config.get("hidden_size", 768), config.get("num_attention_heads", 12)
    grid = side(config.get("image_size", 1024)) // side(config.get("patch_size", 16))
    norm = Norm("layer", config.get("layer_norm_eps", 1e-6))
    hidden = config.get("mlp_dim") or int(width * config.get("mlp_ratio", 4))
    return Tower(
        width=width,
        depth=config.get("num_hidden_layers", 12),
        norm=norm,
        attention=Attention(heads, width // heads, heads, config.get("qkv_bias", True), out_bias=True),
        mlp=MLP(hidden, activation(config.get("hidden_act", "gelu"))),
        table=Table(grid, grid, antialias=True) if config.get("use_abs_pos", True) else None,
        relative=grid if config.get("use_rel_pos", True) else None,
        windows=Windows("pad", config.get("window_size", 14), tuple(config.get("global_attn_indexes", (2, 5, 8, 11)))),
        neck=Neck(
            config.get("output_channels", 256),
            Norm("layer", 1e-6),
            tuple(config.get("downsample_channels") or strided),
        ),
    )


def _patch(sam: Mapping[str, Any]) -> Patch:
    return Patch(side(sam.get("patch_size", 16)), bias=True, mean=HALF.mean, std=HALF.std)
