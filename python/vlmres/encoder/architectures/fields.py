"""Readers of `config.json`: what several families write alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vlmres.encoder.architectures.base import CheckpointError
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
    """Width inside the MLP; None where it is `mlp_ratio` times the tower's."""
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
        CheckpointError: Heads do not divide the width, or the activation is unknown.
    """
    width, depth = int(pick(config, _WIDTH, sizes.width)), int(pick(config, _DEPTH, sizes.depth))
    heads = int(pick(config, _HEADS, sizes.heads))
    dim = config.get("head_dim")
    if dim is None and width % heads:
        raise CheckpointError(f"{heads} heads do not divide a width of {width}")
    dim = int(dim or width // heads)
    hidden = pick(config, _HIDDEN, sizes.hidden) or width * config.get("mlp_ratio", 4)
    act = activation(config.get("hidden_act", sizes.act))
    return Tower(
        width=width,
        depth=depth,
        norm=norm,
        attention=Attention(
            heads, dim, int(config.get("num_key_value_heads") or heads), bias=bias, out_bias=out_bias, qk_norm=qk_norm
        ),
        mlp=MLP(int(hidden), act, gated=gated, bias=mlp_bias),
        **others,
    )


def patch(config: Mapping[str, Any], size: int, stats: Stats, *, bias: bool, kind: Any = "conv2d") -> Patch:
    """A patch embedding, of patches of `size` where `config` is silent."""
    frames = int(config.get("temporal_patch_size", 2)) if kind == "conv3d" else 1
    found = side(config.get("patch_size", size))
    return Patch(found, bias=bias, kind=kind, frames=frames, mean=stats.mean, std=stats.std)


def grid_side(config: Mapping[str, Any], image_size: int, patch_size: int) -> int:
    """Patches along a side of the square for which a table of positions was made."""
    return side(config.get("image_size", image_size)) // side(config.get("patch_size", patch_size))


def pick(config: Mapping[str, Any], names: tuple[str, ...], default: Any) -> Any:
    """The value of the first name that has one."""
    return next((config[name] for name in names if config.get(name) is not None), default)


def activation(name: str) -> Activation:
    """Our name of transformers' activation.

    Raises:
        CheckpointError: There is none.
    """
    if name not in _ACTIVATIONS:
        raise CheckpointError(f"unknown activation {name!r}; known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def side(value: Any) -> int:
    """The side of a square that a configuration writes as one number or two.

    Raises:
        CheckpointError: It is not square.
    """
    if isinstance(value, (list, tuple)):
        if len(set(value)) != 1:
            raise CheckpointError(f"{list(value)} is not square")
        value = value[0]
    return int(value)


def section(config: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A part of a configuration by any of its names; empty where there is none, which means all defaults."""
    for name in names:
        if isinstance(config.get(name), dict):
            found: Mapping[str, Any] = config[name]
            return found
    return {}


def required(config: Mapping[str, Any], name: str, where: str) -> Any:
    """A value that has no default.

    Raises:
        CheckpointError: It is not there.
    """
    if config.get(name) is None:
        raise CheckpointError(f"config.json has no {where}.{name}")
    return config[name]


def theta(config: Mapping[str, Any]) -> float:
    """The base of rotary frequencies.

    Raises:
        CheckpointError: Frequencies are scaled.
    """
    rope = section(config, "rope_parameters", "rope_scaling")
    kind = rope.get("rope_type", "default")
    if kind not in ("default", "axial"):
        raise CheckpointError(f"unknown rope_type {kind!r}; known are default and axial")
    return float(rope.get("rope_theta", config.get("rope_theta", 10000.0)))
