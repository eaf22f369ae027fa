"""Which samples come in which batch: of a sequence a pure function of a few integers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres.data import _draws
from vlmres.data.packing import pack

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Order:
    """Batches of a sequence of samples, for one of several ranks.

    All ranks cut the same order into the same batches and take every `world_size`-th. Each has the same number of them:
    where the last are missing, the epoch's first come again. A batch has at most `batch_size` samples and, where
    `lengths` are given, `max_tokens` tokens.
    """

    def __init__(
        self,
        count: int,
        *,
        batch_size: int | None,
        max_tokens: int | None,
        lengths: NDArray[np.int64] | None,
        shuffle: bool,
        seed: int,
        rank: int,
        world_size: int,
    ) -> None:
        self.count = count
        self.batch_size = batch_size
        self.max_tokens = max_tokens
        self.lengths = lengths
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self._epoch: tuple[int, Sequence[NDArray[np.int64]]] | None = None
        self.digest = self._digest()

    def _digest(self) -> str:
        """What all ranks, and a run that goes on, must have in common."""
        settings = (self.count, self.batch_size, self.max_tokens, self.shuffle, self.seed, self.world_size)
        digest = hashlib.sha256(repr(settings).encode())
        if self.lengths is not None:
            digest.update(self.lengths.astype("<i8").tobytes())
        return digest.hexdigest()[:32]

    def steps(self, epoch: int) -> int:
        """How many batches an epoch has."""
        return -(-len(self._batches(epoch)) // self.world_size)

    def batch(self, epoch: int, step: int) -> NDArray[np.int64]:
        """Which samples a batch consists of."""
        batches = self._batches(epoch)
        return batches[(step * self.world_size + self.rank) % len(batches)]

    def _batches(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        """All ranks' batches of an epoch."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = (epoch, self._cut(epoch))
        return self._epoch[1]

    def _cut(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        order = np.arange(self.count, dtype=np.int64)
        if self.shuffle:
            order = _draws.permutation(self.count, _draws.SHUFFLE, _draws.check_seed(self.seed), epoch)
        if self.lengths is None or self.max_tokens is None:
            assert self.batch_size is not None
            return _Slices(order, self.batch_size)
        packs = pack(self.lengths[order], self.max_tokens, max_items=self.batch_size, seed=None)
        return [order[chosen] for chosen in packs]


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
