"""Random numbers that are the same on every machine and with every numpy.

numpy guarantees the raw stream of a bit generator, but not the numbers that a `Generator` derives from it (NEP 19). So
only raw numbers are drawn here, from Philox. Each (epoch, number) has a stream of its own, through Philox's counter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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


def of_indices(indices: NDArray[Any], purpose: int, seed: int, epoch: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each index, independent of the other indices, by SplitMix64's mixing function."""
    start = raw(1, purpose, seed, epoch)
    # Unsigned integers wrap around; numpy warns of it where an array is a scalar.
    mixed = indices.astype(np.uint64).reshape(-1) * np.uint64(0x9E3779B97F4A7C15) + start
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return ((mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53).reshape(indices.shape)


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
