"""Which samples come in which batch: of a sequence a pure function of a few integers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres.data import _draws
from vlmres.data.packing import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.data.batching import Batching


class Order:
    """Batches of a sequence of samples, for one of several ranks.

    All ranks cut the same order into the same batches and take every `world_size`-th. Each has the same number of them:
    where the last are missing, the epoch's first come again. A batch has at most `batch_size` samples and, where
    `lengths` gives an epoch's tokens of samples, `max_tokens` tokens.
    """

    def __init__(
        self,
        count: int,
        batching: Batching,
        lengths: Callable[[int], NDArray[np.int64]] | None = None,
        drawn: str = "",
    ) -> None:
        self._count = count
        self._batching = batching
        self._lengths = lengths
        self._epoch: tuple[int, Sequence[NDArray[np.int64]]] | None = None
        self.digest = self._digest(drawn)
        """What all ranks, and a run that goes on, must have in common."""

    def _digest(self, drawn: str) -> str:
        digest = hashlib.sha256(repr((self._count, *self._batching.common, drawn)).encode())
        if self._lengths is not None:
            digest.update(self._lengths(0).astype("<i8").tobytes())
        return digest.hexdigest()[:32]

    def steps(self, epoch: int) -> int:
        """How many batches an epoch has."""
        return -(-len(self._batches(epoch)) // self._batching.world_size)

    def batch(self, epoch: int, step: int) -> tuple[NDArray[np.int64], bool]:
        """Which samples a batch consists of, and whether it is one that comes again."""
        batches = self._batches(epoch)
        at = step * self._batching.world_size + self._batching.rank
        return batches[at % len(batches)], at >= len(batches)

    def _batches(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        """All ranks' batches of an epoch."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._cut(epoch))
        return self._epoch[1]

    def _cut(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        batching = self._batching
        order = np.arange(self._count, dtype=np.int64)
        if batching.shuffle:
            order = _draws.permutation(self._count, _draws.SHUFFLE, batching.seed, epoch)
        if self._lengths is None or batching.max_tokens is None:
            assert batching.batch_size is not None
            return _Slices(order, batching.batch_size)
        samples = Samples.of(
            self._lengths(epoch),
            batching.max_tokens,
            items=None,
            max_items=batching.batch_size,
            costs=None,
            max_cost=None,
        )
        return samples.pack(order, "online")


class _Slices(Sequence[Any]):
    """An order in pieces of a size."""

    def __init__(self, order: NDArray[np.int64], size: int) -> None:
        self._order = order
        self._size = size

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._order[index * self._size : (index + 1) * self._size]
