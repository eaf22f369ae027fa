"""What every family's file uses: readers of configurations, and the words in which tensors are mapped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmres.encoder.config import Activation, EncoderConfig, Patch, Tower


class Stats(NamedTuple):
    """Normalisation of values between 0 and 1."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CLIP = Stats((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
IMAGENET = Stats((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = Stats((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Transform = Literal["none", "pairs", "unfold"]

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
}


class CheckpointError(ValueError):
    """A checkpoint that is no encoder's, or not as its configuration says."""


@dataclass(frozen=True)
class Take:
    """Where one of our tensors comes from: checkpoint tensors, put together along rows.

    "pairs" reorders the rows of q and k from adjacent rotary pairs to halves. "unfold" reorders columns from (channel,
    place) to (place, channel).
    """

    sources: tuple[str, ...]
    transform: Transform = "none"


Tensors = dict[str, "str | tuple[str, ...] | Take | list[str | tuple[str, ...] | Take]"]
"""Ours to the checkpoint's. Of a list, the first whose tensors are there."""


@dataclass(frozen=True)
class Part:
    """A tower, its patch embedding, and where their tensors are.

    Keys of `tensors` are our modules or parameters, values the checkpoint's, after its names were brought to one form;
    `{}` stands for a block's number.
    """

    patch: Patch
    tower: Tower
    tensors: Tensors
    unused: tuple[str, ...] = ()
    """Patterns of tensors that belong to the tower and that its tokens do not depend on."""
    merge: int = 1


@dataclass(frozen=True)
class Architecture:
    """How a checkpoint becomes an encoder."""

    config: EncoderConfig
    tensors: Tensors
    renames: tuple[tuple[str, str], ...]
    """Patterns and replacements, each applied to every name in turn."""
    namespaces: tuple[str, ...]
    """First parts of renamed names that are the encoder's; others are the language model's."""
    unused: tuple[str, ...] = field(default=())


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


def skipped_blocks(prefix: str, run: int, depth: int) -> tuple[str, ...]:
    """Patterns of the tensors of blocks that are not run."""
    numbers = "|".join(map(str, range(run, depth)))
    return (rf"{prefix}\.(?:{numbers})\.",) if numbers else ()


def block_tensors(ours: str, theirs: str, names: Mapping[str, Sequence[str]]) -> Tensors:
    """`names` inside every block."""
    tensors: Tensors = {}
    for name, sources in names.items():
        listed = (sources,) if isinstance(sources, str) else tuple(sources)
        tensors[f"{ours}.blocks.{{}}.{name}"] = tuple(f"{theirs}.{{}}.{source}" for source in listed)
    return tensors
