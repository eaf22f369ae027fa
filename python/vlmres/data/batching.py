"""How a `Loader` cuts samples into batches: what its sources have in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlmres.data import _draws


@dataclass(frozen=True)
class Batching:
    """Limits of a batch, the order of samples, and which part of the batches is this rank's; as of `Loader`.

    Raises:
        ValueError: An argument has no such value.
        TypeError: One is no integer.
    """

    batch_size: int | None
    max_tokens: int | None
    shuffle: bool = False
    seed: int = 0
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        for name, value in (("batch_size", self.batch_size), ("max_tokens", self.max_tokens)):
            if value is not None:
                check_integer(name, value, 1)
        check_integer("world_size", self.world_size, 1)
        check_integer("rank", self.rank, 0)
        _draws.check_seed(self.seed)
        if self.rank >= self.world_size:
            raise ValueError(f"rank must be below world_size, got {self.rank} of {self.world_size}")

    @property
    def common(self) -> tuple[object, ...]:
        """What all ranks, and a run that goes on, have in common."""
        return (self.batch_size, self.max_tokens, self.shuffle, self.seed, self.world_size)


def check_integer(name: str, value: object, least: int) -> None:
    """Refuses what is no integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
