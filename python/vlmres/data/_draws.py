"""Random numbers that are the same on every machine and with every numpy.

numpy keeps the raw stream of a bit generator for ever, but not what a `Generator` makes of it (NEP 19). So only raw
numbers are drawn here, from Philox, whose counter says what they are for: each (epoch, number) has a stream of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# What a stream is for: the second half of Philox's key.
SHUFFLE, WINDOW, PACKS, STEPS, MIX = range(5)


def raw(count: int, purpose: int, seed: int, epoch: int = 0, number: int = 0) -> NDArray[np.uint64]:
    """The first `count` numbers of a stream, uniform over 64 bits."""
    # The two low words of the counter run within a stream.
    generator = np.random.Philox(
        key=np.array([seed, purpose], dtype=np.uint64), counter=np.array([0, 0, number, epoch], dtype=np.uint64)
    )
    return np.asarray(generator.random_raw(count), dtype=np.uint64).reshape(-1)


def uniform(count: int, purpose: int, seed: int, epoch: int = 0, number: int = 0) -> NDArray[np.float64]:
    """The same as numbers in [0, 1), of 53 bits."""
    return (raw(count, purpose, seed, epoch, number) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(count: int, purpose: int, seed: int, epoch: int = 0, number: int = 0) -> NDArray[np.int64]:
    """The numbers below `count`, shuffled."""
    return np.argsort(raw(count, purpose, seed, epoch, number), kind="stable").astype(np.int64, copy=False)


def check_seed(seed: int) -> int:
    """The seed as an int.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not below 2**64, or negative.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"seed must be an integer, got {seed!r}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed must be from 0 to 2**64 - 1, got {seed}")
    return int(seed)
