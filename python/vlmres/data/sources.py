"""Where a `Loader` gets its items from, and how far it is: the state of a loop."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vlmres.data.order import Order


@dataclass(frozen=True)
class Work:
    """A batch to be made."""

    epoch: int
    numbers: list[int]
    """Which samples."""
    get: Callable[[int], Any]
    """The item at a place in `numbers`."""
    state: Any
    """Where the loop is when it has the batch."""
    is_filler: bool = False
    """Whether the batch only keeps ranks in step: its samples are repeated, or it has none."""


class Source(ABC):
    """Batches of items, epoch after epoch."""

    @abstractmethod
    def steps(self) -> int:
        """Batches of the epoch, where that can be known; else a TypeError."""

    def total(self) -> int | None:
        """Number of batches of the epoch, None where that is not known."""
        return None

    def done(self) -> int:
        """Number of batches that the loop has received, None where that is not known."""
        return 0

    @abstractmethod
    def begin_epoch(self) -> None:
        """Goes to the beginning of the next epoch."""

    @abstractmethod
    def set_epoch(self, epoch: int) -> None:
        """Makes `epoch` the next one that begins."""

    @abstractmethod
    def work(self) -> Iterator[Work]:
        """The batches from where the loop is to the epoch's end."""

    @abstractmethod
    def taken(self, state: Any) -> None:
        """Notes that the loop has a batch."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Where the loop is."""

    @abstractmethod
    def load(self, state: dict[str, Any]) -> None:
        """Goes there."""


class FromSequence(Source):
    """Batches of a sequence: where the loop is follows from two integers."""

    def __init__(self, items: Sequence[Any], order: Order) -> None:
        self._items = items
        self._order = order
        self._epoch = -1
        self._step = 0

    def steps(self) -> int:
        """As `Source` says."""
        return self._order.steps(max(self._epoch, 0))

    def total(self) -> int | None:
        """As `Source` says."""
        return self.steps()

    def done(self) -> int:
        """As `Source` says."""
        return self._step

    def begin_epoch(self) -> None:
        """As `Source` says."""
        self._epoch += 1
        self._step = 0

    def set_epoch(self, epoch: int) -> None:
        """As `Source` says."""
        self._epoch = epoch - 1
        self._step = 0

    def work(self) -> Iterator[Work]:
        """As `Source` says."""
        epoch = self._epoch
        for step in range(self._step, self._order.steps(epoch)):
            samples, is_filler = self._order.batch(epoch, step)
            numbers = samples.tolist()
            yield Work(epoch, numbers, functools.partial(item_at, self._items, numbers), (epoch, step + 1), is_filler)

    def taken(self, state: Any) -> None:
        """As `Source` says."""
        self._epoch, self._step = state

    def state(self) -> dict[str, Any]:
        """As `Source` says."""
        return {"epoch": max(self._epoch, 0), "step": self._step, "digest": self._order.digest}

    def load(self, state: dict[str, Any]) -> None:
        """As `Source` says."""
        check_keys(state, {"epoch", "step", "digest"}, "a sequence")
        if state["digest"] != self._order.digest:
            raise ValueError(
                "the state is of a loader of other items or settings: the number of items, sizes, batch_size, "
                "max_tokens, shuffle, seed, world_size or recipes differ"
            )
        self._epoch, self._step = state["epoch"], state["step"]
        if self._step >= self._order.steps(self._epoch):
            self.begin_epoch()


def item_at(items: Sequence[Any], numbers: list[int], at: int) -> Any:
    """The item at a place in `numbers`."""
    return items[numbers[at]]


def check_keys(state: dict[str, Any], keys: set[str], what: str) -> None:
    """Refuses a state of another kind of source."""
    if set(state) != keys:
        raise ValueError(f"the state is not of a loader of {what}: it has {', '.join(sorted(state))}")
