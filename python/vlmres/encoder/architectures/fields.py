"""Readers of `config.json`: what several families write alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vlmres.encoder.architectures.base import CheckpointError
from vlmres.encoder.architectures.values import integer, number, optional_integer, section, side, word, wrong
from vlmres.encoder.config import MLP, Attention, Norm, Patch, Tower

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vlmres.encoder.config import Activation


class Stats(NamedTuple):
    """Normalisation of values between 0 and 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CLIP = Stats((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET = Stats((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Stats((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
}


class Sizes(NamedTuple):
    """What the reference's class assumes where a configuration is silent."""

    width: int
    depth: int
    heads: int
    hidden: int | None
    """Width inside the MLP; None where it is `mlp_dim`, or `mlp_ratio` times the tower's."""
    act: str


# One thing under the names of several families.
_WIDTH = ("hidden_size", "vt_hidden_size")
_DEPTH = ("num_hidden_layers", "depth", "vt_num_hidden_layers")
_HEADS = ("num_attention_heads", "num_heads", "vt_num_attention_heads")
_HIDDEN = ("intermediate_size", "vt_intermediate_size", "mlp_dim")


def tower(
    config: Mapping[str, Any],
    sizes: Sizes,
    norm: Norm,
    *,
    bias: bool = True,
    out_bias: bool = True,
    gated: bool = False,
    mlp_bias: bool = True,
    qk_norm: Norm | None = None,
    **others: Any,
) -> Tower:
    """A tower whose widths and numbers `config` gives; `others` are further fields of `Tower`.

    Raises:
        CheckpointError: A value cannot be, heads do not divide the width, or the activation is unknown.
    """
    width, depth = integer(config, _WIDTH, sizes.width), integer(config, _DEPTH, sizes.depth)
    heads = integer(config, _HEADS, sizes.heads)
    dim, kv_heads = optional_integer(config, "head_dim"), optional_integer(config, "num_key_value_heads") or heads
    if dim is None and width % heads:
        raise CheckpointError(f"{heads} heads do not divide a width of {width}")
    if heads % kv_heads:
        raise CheckpointError(f"{kv_heads} heads of keys do not divide {heads} heads")
    hidden = _hidden(config, width) if sizes.hidden is None else integer(config, _HIDDEN, sizes.hidden)
    return Tower(
        width=width,
        depth=depth,
        norm=norm,
        attention=Attention(heads, dim or width // heads, kv_heads, bias=bias, out_bias=out_bias, qk_norm=qk_norm),
        mlp=MLP(hidden, activation(config, "hidden_act", sizes.act), gated=gated, bias=mlp_bias),
        **others,
    )


def _hidden(config: Mapping[str, Any], width: int) -> int:
    """Width inside an MLP that is a multiple of the tower's, unless it is said."""
    ratio = number(config, "mlp_ratio", 4)
    found = optional_integer(config, "mlp_dim") or int(width * ratio)
    if found < 1:
        raise wrong("mlp_ratio", ratio, f"enough for one value of a width of {width}")
    return found


def patch(config: Mapping[str, Any], size: int, stats: Stats, *, bias: bool, kind: Any = "conv2d") -> Patch:
    """A patch embedding, of patches of `size` where `config` is silent."""
    frames = integer(config, "temporal_patch_size", 2) if kind == "conv3d" else 1
    found = side(config, "patch_size", size)
    return Patch(found, bias=bias, kind=kind, frames=frames, mean=stats.mean, std=stats.std)


def grid_side(config: Mapping[str, Any], image_size: int, patch_size: int) -> int:
    """Patches along a side of the square for which a table of positions was made.

    Raises:
        CheckpointError: It has no whole patch.
    """
    image, own = side(config, "image_size", image_size), side(config, "patch_size", patch_size)
    if image < own:
        raise CheckpointError(f"image_size is {image}, less than a patch of {own}")
    return image // own


def activation(config: Mapping[str, Any], name: str, default: str) -> Activation:
    """Our name of transformers' activation.

    Raises:
        CheckpointError: There is none.
    """
    return _ACTIVATIONS[word(config, name, default, _ACTIVATIONS)]


def theta(config: Mapping[str, Any]) -> float:
    """The base of rotary frequencies.

    Raises:
        CheckpointError: Frequencies are scaled.
    """
    rope = section(config, "rope_parameters", "rope_scaling")
    word(rope, "rope_type", "default", ("default", "axial"))
    return number(rope if "rope_theta" in rope else config, "rope_theta", 10000.0)
