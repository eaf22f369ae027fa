"""LLaVA, LLaVA-NeXT and Mistral 3: a tower and a projector. Source: arXiv:2310.03744; transformers' modeling files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres.encoder.architectures.base import Architecture, CheckpointError, Take, Tensors, TowerSource
from vlmres.encoder.architectures.clip import clip, siglip, siglip2
from vlmres.encoder.architectures.fields import activation
from vlmres.encoder.architectures.pixtral import pixtral
from vlmres.encoder.architectures.values import find, flag, integer, number, section, word
from vlmres.encoder.config import Arrangement, EncoderConfig, Layer, Norm, Projector

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TOWERS: dict[str, Callable[[Mapping[str, Any], tuple[int, ...] | None], TowerSource]] = {
    "clip_vision_model": clip,
    "siglip_vision_model": siglip,
    "siglip2_vision_model": siglip2,
    "pixtral": pixtral,
}
_TITLES = {"clip": "CLIP", "siglip": "SigLIP", "siglip2": "SigLIP 2", "pixtral": "Pixtral"}
_RENAMES = (
    (r"^(?:model\.)?vision_tower\.(?:vision_model\.)?", "tower."),
    (r"^(?:model\.)?multi_modal_projector\.", "projector."),
    (r"^(?:model\.)?image_newline$", "newline"),
)
_NAMESPACES = ("tower", "projector", "newline")


def tower_alone(config: Mapping[str, Any]) -> Architecture:
    """A tower's own checkpoint, or one of a tower beside a text encoder; tokens are its `last_hidden_state`."""
    kind = config["model_type"]
    whole = not kind.endswith("_vision_model") and kind in ("clip", "siglip", "siglip2")
    vision = section(config, "vision_config") if whole else config
    part = TOWERS[f"{kind}_vision_model" if whole else kind](vision, None)
    title = _TITLES[kind.removesuffix("_vision_model")]
    renames = ((r"^vision_model\.", "tower."),) if whole else ((r"^(?:vision_model\.)?", "tower."),)
    encoder = EncoderConfig(name=title, patch=part.patch, towers=(part.tower,))
    return Architecture(encoder, part.tensors, renames, ("tower",), part.unused)


def llava(config: Mapping[str, Any]) -> Architecture:
    """LLaVA: hidden states before the last block, without the class token, through two linear layers."""
    return _llava(config, "LLaVA", Arrangement())


def llava_next(config: Mapping[str, Any]) -> Architecture:
    """LLaVA-NeXT: the whole, then the tiles as one grid without padding, a newline after each of its rows."""
    arrangement = Arrangement(stitch=("tile",), newline=("tile",), unpad=("tile",), lone_newline=True)
    return _llava(config, "LLaVA-NeXT", arrangement)


def _llava(config: Mapping[str, Any], name: str, arrangement: Arrangement) -> Architecture:
    part = _tower_source(config, default_layer=-2)
    out = integer(section(config, "text_config"), "hidden_size", 4096)
    bias = flag(config, "multimodal_projector_bias", True)
    act = activation(config, "projector_hidden_act", "gelu")
    encoder = EncoderConfig(
        name=name,
        patch=part.patch,
        towers=(part.tower,),
        projector=Projector((Layer(out, bias, act), Layer(out, bias))),
        arrangement=arrangement,
    )
    tensors: Tensors = {
        **part.tensors,
        "projector.layers.0": "projector.linear_1",
        "projector.layers.1": "projector.linear_2",
        "newline": "newline",
    }
    return Architecture(encoder, tensors, _RENAMES, _NAMESPACES, part.unused)


def mistral3(config: Mapping[str, Any]) -> Architecture:
    """Mistral 3: Pixtral's tower, cells of 2x2 patches to tokens."""
    part = _tower_source(config, default_layer=-1)
    text = section(config, "text_config")
    out, width = integer(text, "hidden_size", 5120), part.tower.width * len(part.tower.features)
    bias = flag(config, "multimodal_projector_bias", False)
    act = activation(config, "projector_hidden_act", "gelu")
    encoder = EncoderConfig(
        name="Mistral 3",
        patch=part.patch,
        towers=(part.tower,),
        merge=integer(config, "spatial_merge_size", 2),
        projector=Projector(
            (Layer(width, bias=False), Layer(out, bias, act), Layer(out, bias)),
            Norm("rms", number(text, "rms_norm_eps", 1e-5, zero=True)),
        ),
    )
    tensors: Tensors = {
        **part.tensors,
        "projector.norm": "projector.norm",
        "projector.layers.0": Take(("projector.patch_merger.merging_layer",), "unfold"),
        "projector.layers.1": "projector.linear_1",
        "projector.layers.2": "projector.linear_2",
    }
    return Architecture(encoder, tensors, _RENAMES, _NAMESPACES, part.unused)


def _tower_source(config: Mapping[str, Any], default_layer: int) -> TowerSource:
    if "vision_config" not in config and "mm_vision_tower" in config:
        raise CheckpointError("mm_vision_tower is of the authors' own LLaVA; only transformers' form of it can be read")
    vision = section(config, "vision_config")
    default = "pixtral" if default_layer == -1 else "clip_vision_model"
    make = TOWERS[word(vision, "model_type", default, TOWERS, "vision tower")]
    depth = make(vision, None).tower.depth
    name, layers = find(config, "vision_feature_layer", default_layer)
    listed = layers if isinstance(layers, list) and layers else [layers]
    features = tuple(feature_layer(name, integer({name: layer}, name, least=None), depth) for layer in listed)
    part = make(vision, features)
    default = "default" if default_layer == -2 else "full"
    strategy = word(config, "vision_feature_select_strategy", default, ("default", "full"))
    if part.tower.cls != (strategy == "default"):
        raise CheckpointError(
            f"vision_feature_select_strategy is {strategy!r}, which would "
            + ("keep the class token" if part.tower.cls else "drop the first patch of a tower without a class token")
        )
    return part


def feature_layer(name: str, layer: int, depth: int) -> int:
    """Blocks before a hidden state that a configuration counts from 0, the embeddings, or backwards from -1, the last.

    Raises:
        CheckpointError: There is no such hidden state.
    """
    count = layer + depth + 1 if layer < 0 else layer
    if not 0 <= count <= depth:
        raise CheckpointError(f"{name} is {layer}, but the tower has {depth} layers")
    return count
