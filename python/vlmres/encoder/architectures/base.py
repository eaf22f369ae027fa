"""What the file of every family defines: the encoder, and the names of its tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmres.encoder.config import EncoderConfig, Patch, Tower


Transform = Literal["none", "pairs", "unfold"]


class CheckpointError(ValueError):
    """A checkpoint has no known encoder, or does not agree with its configuration."""


@dataclass(frozen=True)
class Take:
    """The source of one of our tensors: checkpoint tensors, concatenated along rows.

    "pairs" reorders the rows of q and k from adjacent rotary pairs to halves. "unfold" reorders columns from (channel,
    place) to (place, channel).
    """

    sources: tuple[str, ...]
    transform: Transform = "none"


Tensors = dict[str, "str | tuple[str, ...] | Take | list[str | tuple[str, ...] | Take]"]
"""Our names to the checkpoint's. In a list, the first whose tensors exist applies."""


@dataclass(frozen=True)
class TowerSource:
    """A tower, its patch embedding, and the sources of their tensors.

    Keys of `tensors` are our modules or parameters, values the checkpoint's, after its names were brought to one form;
    `{}` stands for a block's number.
    """

    patch: Patch
    tower: Tower
    tensors: Tensors
    unused: tuple[str, ...] = ()
    """Patterns of tensors of the tower that do not affect its tokens."""


@dataclass(frozen=True)
class Architecture:
    """How a checkpoint becomes an encoder."""

    config: EncoderConfig
    tensors: Tensors
    renames: tuple[tuple[str, str], ...]
    """Patterns and replacements, each applied to every name in turn."""
    namespaces: tuple[str, ...]
    """First parts of renamed names that are the encoder's; others are the language model's."""
    unused: tuple[str, ...] = ()
    """As of `TowerSource`."""


def skipped_blocks(prefix: str, tower: Tower) -> tuple[str, ...]:
    """Patterns of the tensors of blocks that are not run."""
    numbers = "|".join(map(str, range(tower.blocks, tower.depth)))
    return (rf"{prefix}\.(?:{numbers})\.",) if numbers else ()


def block_tensors(ours: str, theirs: str, names: Mapping[str, Sequence[str]]) -> Tensors:
    """`names` inside every block."""
    tensors: Tensors = {}
    for name, sources in names.items():
        listed = (sources,) if isinstance(sources, str) else tuple(sources)
        tensors[f"{ours}.blocks.{{}}.{name}"] = tuple(f"{theirs}.{{}}.{source}" for source in listed)
    return tensors
