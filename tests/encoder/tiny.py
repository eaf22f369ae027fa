"""Tiny models of transformers for every architecture, all of their parameters random, and the tokens they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from transformers import models

from tests.encoder.families import family
from tests.encoder.packing import normalised, pack, planes, qwen_patches
from tests.images import Pixels
from vlmres.encoder.config import EncoderConfig

Tokens = list[torch.Tensor]
Reference = Callable[[Any, Sequence[Pixels], EncoderConfig], Tokens]
Draw = Callable[[torch.nn.Module], None]

TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
QWEN_TOKENS: dict[str, Any] = {
    "image_token_id": 90,
    "video_token_id": 91,
    "vision_start_token_id": 92,
    "vision_end_token_id": 93,
}
MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
VIT: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 56,
    "patch_size": 14,
}


@dataclass
class Case:
    """A family's tiny model."""

    build: Callable[[], Any]
    reference: Reference
    sizes: Sequence[tuple[int, int]]
    """(width, height) of canvases; the families differ in what they allow."""
    raw: bool = False
    """Whether tensors are saved under the modules' own names, without transformers' conversion back to the authors'."""


def randomize(model: torch.nn.Module, seed: int = 0) -> None:
    """Overwrites every parameter: several are made as zeros, and small ones would hide errors of attention.

    Matrices keep the size of what goes through them, so that scores differ between tokens; vectors, of which many are
    norms' weights, are around 1. `test_every_parameter_matters` says whether that is enough.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and name.endswith("bias"):
                parameter.normal_(0, 0.3, generator=generator)
            elif parameter.ndim == 1:
                parameter.normal_(1, 0.3, generator=generator)
            else:
                parameter.normal_(0, 0.8 * parameter[0].numel() ** -0.5, generator=generator)


def plain(model: torch.nn.Module, seed: int = 0) -> None:
    """Overwrites every parameter with N(0, 0.05), norms' weights too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05, generator=generator)


def _dtype(model: Any) -> torch.dtype:
    dtype: torch.dtype = next(model.parameters()).dtype
    return dtype


def _vit(model: Any, images: Sequence[Pixels], config: EncoderConfig) -> Tokens:
    """Hidden states of patches; the class token dropped where there is one."""
    first = int(config.towers[0].cls)
    pixels = [planes(image, config.patch).to(_dtype(model)) for image in images]
    return [model(item, interpolate_pos_encoding=True).last_hidden_state[0, first:] for item in pixels]


def _tower(model: Any, images: Sequence[Pixels], config: EncoderConfig) -> Tokens:
    first = int(config.towers[0].cls)
    return [
        model(planes(image, config.patch).to(_dtype(model))).last_hidden_state[0].flatten(0, -2)[first:]
        for image in images
    ]


def _siglip2(model: Any, images: Sequence[Pixels], config: EncoderConfig) -> Tokens:
    """All images in one padded batch, as its users do."""
    parts = [pack([image], config.patch.size) for image in images]
    longest = max(len(part.patches) for part in parts)
    values = torch.zeros(len(parts), longest, config.patch.dim)
    mask = torch.zeros(len(parts), longest, dtype=torch.int32)
    for index, part in enumerate(parts):
        values[index, : len(part.patches)] = normalised(part.patches.view(-1, 16, 16, 3), config.patch).flatten(1)
        mask[index, : len(part.patches)] = 1
    shapes = torch.tensor([part.grids[0].tolist() for part in parts])
    states = model(values.to(_dtype(model)), pixel_attention_mask=mask, spatial_shapes=shapes).last_hidden_state
    return [state[: len(part.patches)] for state, part in zip(states, parts, strict=True)]


def _features(model: Any, images: Sequence[Pixels], config: EncoderConfig) -> Tokens:
    pixels = torch.cat([planes(image, config.patch) for image in images]).to(_dtype(model))
    return list(model.model.get_image_features(pixels).pooler_output)


def _sized_features(model: Any, images: Sequence[Pixels], config: EncoderConfig) -> Tokens:
    """Pixtral's: images padded to the largest, and their sizes."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    values = torch.zeros(len(images), 3, height, width, dtype=_dtype(model))
    for index, image in enumerate(images):
        values[index, :, : image.shape[0], : image.shape[1]] = planes(image, config.patch)[0]
    sizes = torch.tensor([image.shape[:2] for image in images])
    if not hasattr(model, "model"):
        states = model(values, image_sizes=sizes).last_hidden_state[0]
        return list(states.split((sizes // config.patch.size).prod(1).tolist()))
    return list(model.model.get_image_features(values, image_sizes=sizes).pooler_output)


def _qwen(model: Any, images: Sequence[Pixels], config: EncoderConfig) -> Tokens:
    packed = pack(images, config.patch.size, config.merge)
    grids = torch.tensor([[1, *grid] for grid in packed.grids.tolist()])
    values = qwen_patches(packed, config.patch).to(_dtype(model))
    output = model.model.visual(values, grid_thw=grids)
    # Deepstack features stand beside the tokens, so that one comparison covers all.
    features = [output.pooler_output, *(getattr(output, "deepstack_features", None) or [])]
    return list(torch.cat(features, dim=-1).split((grids.prod(1) // config.merge**2).tolist()))


def _kimi(model: Any, images: Sequence[Pixels], config: EncoderConfig) -> Tokens:
    packed = pack(images, config.patch.size)
    grids = torch.tensor([[1, *grid] for grid in packed.grids.tolist()])
    size = config.patch.size
    values = normalised(packed.patches.view(-1, size, size, 3), config.patch).permute(0, 3, 1, 2).to(_dtype(model))
    return list(model.model.get_image_features(values, grids).pooler_output)


def _clip_config() -> Any:
    return transformers.CLIPVisionConfig(**VIT)


# Before transformers 5.17, larger images than this were an error.
PIXTRAL: dict[str, Any] = {**VIT, "image_size": 280}


def _vision(kind: str, **changes: Any) -> dict[str, Any]:
    return {"model_type": kind, **VIT, **changes}


def _llava(vision: Any, **changes: Any) -> Any:
    config = transformers.LlavaConfig(vision_config=vision, text_config=transformers.LlamaConfig(**TEXT), **changes)
    return transformers.LlavaForConditionalGeneration(config)


def _internvl(**changes: Any) -> Any:
    vision = transformers.InternVLVisionConfig(**VIT, **changes).to_dict()
    config = transformers.InternVLConfig(
        vision_config=vision, text_config=transformers.Qwen2Config(**TEXT).to_dict(), image_token_id=90
    )
    return transformers.InternVLForConditionalGeneration(config)


def _qwen_vl(name: str, vision: dict[str, Any], **text: Any) -> Callable[[], Any]:
    def build() -> Any:
        language = {**TEXT, "rope_parameters": MROPE, **text}
        config = getattr(transformers, f"{name}Config")(vision_config=vision, text_config=language, **QWEN_TOKENS)
        return getattr(transformers, f"{name}ForConditionalGeneration")(config)

    return build


QWEN: dict[str, Any] = {
    "depth": 3,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_heads": 3,
    "out_hidden_size": 32,
}
QWEN3 = {**QWEN, "depth": 4, "num_position_embeddings": 25}


def _mistral3() -> Any:
    text = transformers.MistralConfig(**TEXT).to_dict()
    config = transformers.Mistral3Config(
        vision_config=_vision("pixtral", **PIXTRAL, hidden_act="silu"), text_config=text
    )
    return transformers.Mistral3ForConditionalGeneration(config)


def _kimi_model() -> Any:
    module = family("kimi_k25")
    vision = {
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 3,
        "pos_emb_height": 5,
        "pos_emb_width": 5,
    }
    text = {"model_type": "qwen2", **TEXT}
    config = module.Kimi_K25Config(
        vision_config=vision, text_config=text, projection_hidden_size=48, image_token_id=90, video_token_id=91
    )
    return module.Kimi_K25ForConditionalGeneration(config)


SAM: dict[str, Any] = {
    "hidden_size": 48,
    "output_channels": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 128,
    "window_size": 3,
    "global_attn_indexes": [1],
    "mlp_dim": 80,
}


def _unlimited_ocr() -> Any:
    module = family("unlimited_ocr")
    encoder = {**VIT, "image_size": 28}
    config = module.UnlimitedOcrVisionConfig(
        sam_config={**SAM, "downsample_channels": [40, 48]}, encoder_config=encoder
    )
    return module.UnlimitedOcrVisionModel(config)


def _deepseek_ocr2() -> Any:
    module = family("deepseek_ocr2")
    encoder = {**TEXT, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 1}
    config = module.DeepseekOcr2VisionConfig(
        sam_config={**SAM, "downsample_channels": [40, 48]}, encoder_config=encoder
    )
    return module.DeepseekOcr2VisionModel(config)


_FIXED = [(56, 56)] * 5
_NATIVE14 = [(84, 56), (28, 140), (28, 28), (196, 84), (56, 56), (140, 252)]
_NATIVE16 = [(96, 64), (32, 160), (32, 32), (224, 96), (64, 64)]
_ANY14 = [(56, 56), (14, 70), (84, 14), (14, 14), (42, 98)]
# None of one column: torch's antialiased resize of a table, the references', is wrong there on the CPU.
_SAM = [(128, 128), (80, 80), (112, 16), (48, 16), (144, 96)]
_ANY16 = [(64, 64), (32, 80), (96, 16), (16, 16), (48, 112)]

CASES: dict[str, Case] = {
    "clip": Case(lambda: transformers.CLIPVisionModel(_clip_config()), _vit, _ANY14),
    "siglip": Case(lambda: transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**VIT)), _vit, _ANY14),
    "siglip2": Case(
        lambda: transformers.Siglip2VisionModel(
            transformers.Siglip2VisionConfig(**{**VIT, "patch_size": 16}, num_patches=16)
        ),
        _siglip2,
        _ANY16,
    ),
    "llava": Case(lambda: _llava(_clip_config()), _features, _FIXED),
    "llava-two-layers": Case(lambda: _llava(_clip_config(), vision_feature_layer=[-3, 2]), _features, _FIXED),
    "llava-siglip": Case(
        lambda: _llava(_vision("siglip_vision_model"), vision_feature_select_strategy="full"), _features, _FIXED
    ),
    "internvit": Case(
        lambda: transformers.InternVLVisionModel(transformers.InternVLVisionConfig(**VIT, attention_bias=True)),
        _tower,
        _ANY14,
    ),
    "internvit-6b": Case(
        lambda: transformers.InternVLVisionModel(
            transformers.InternVLVisionConfig(**VIT, use_qk_norm=True, norm_type="rms_norm", use_mean_pooling=False)
        ),
        _tower,
        _ANY14,
    ),
    "internvl": Case(lambda: _internvl(attention_bias=True), _features, _FIXED),
    "internvl-6b": Case(lambda: _internvl(use_qk_norm=True, norm_type="rms_norm"), _features, _FIXED),
    "qwen2-vl": Case(
        _qwen_vl("Qwen2VL", {"depth": 3, "embed_dim": 48, "num_heads": 3, "hidden_size": 32}), _qwen, _NATIVE14
    ),
    "qwen2.5-vl": Case(
        _qwen_vl("Qwen2_5_VL", {**QWEN, "fullatt_block_indexes": [1]}), _qwen, [*_NATIVE14, (308, 252), (224, 224)]
    ),
    "qwen3-vl": Case(_qwen_vl("Qwen3VL", {**QWEN3, "deepstack_visual_indexes": [0, 2]}, head_dim=16), _qwen, _NATIVE16),
    "qwen3.5": Case(_qwen_vl("Qwen3_5", QWEN3, head_dim=16, layer_types=["full_attention"] * 2), _qwen, _NATIVE16),
    "pixtral": Case(
        lambda: models.pixtral.PixtralVisionModel(models.pixtral.PixtralVisionConfig(**PIXTRAL)),
        _sized_features,
        _ANY14,
    ),
    "llava-pixtral": Case(
        lambda: _llava(_vision("pixtral", **PIXTRAL), vision_feature_layer=-1, vision_feature_select_strategy="full"),
        _sized_features,
        _ANY14,
    ),
    "mistral3": Case(_mistral3, _sized_features, _NATIVE14),
    "kimi": Case(_kimi_model, _kimi, _NATIVE14, raw=True),
    "deepseek-ocr": Case(_unlimited_ocr, _tower, _SAM),
    "deepseek-ocr-raw": Case(_unlimited_ocr, _tower, _SAM, raw=True),
    "deepseek-ocr-2": Case(_deepseek_ocr2, _tower, _SAM),
}
