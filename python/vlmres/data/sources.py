"""Where a `Loader` gets its items from, and how far it is: the state of a loop."""

from __future__ import annotations

import functools
import logging
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres.data.order import Order
from vlmres.data.packing import pack
from vlmres.data.samples import as_sample, key_of
from vlmres.data.sizes import tokens_of
from vlmres.processor import with_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from vlmres.processor import Processor

logger = logging.getLogger("vlmres.data")

# So many samples of an iterable are packed together.
WINDOW = 256


@dataclass(frozen=True)
class Work:
    """A batch to be made."""

    numbers: list[int]
    """Which samples."""
    get: Callable[[int], Any]
    """The item at a place in `numbers`."""
    state: Any
    """Where the loop is when it has the batch."""


class Source(ABC):
    """Batches of items, epoch after epoch."""

    @abstractmethod
    def steps(self) -> int:
        """Batches of the epoch, where that can be known; else a TypeError."""

    def total(self) -> int | None:
        """Batches of the epoch, None where that is not known."""
        return None

    def done(self) -> int:
        """How many of them the loop has had, where that is known."""
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

    def __init__(self, items: Sequence[Any], **settings: Any) -> None:
        self._items = items
        self._order = Order(len(items), **settings)
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
            numbers = self._order.batch(epoch, step).tolist()
            yield Work(numbers, functools.partial(self._item, numbers), (epoch, step + 1))

    def _item(self, numbers: list[int], at: int) -> Any:
        return self._items[numbers[at]]

    def taken(self, state: Any) -> None:
        """As `Source` says."""
        self._epoch, self._step = state

    def state(self) -> dict[str, Any]:
        """As `Source` says."""
        return {"epoch": max(self._epoch, 0), "step": self._step, "digest": self._order.digest}

    def load(self, state: dict[str, Any]) -> None:
        """As `Source` says."""
        _check_keys(state, {"epoch", "step", "digest"}, "a sequence")
        if state["digest"] != self._order.digest:
            raise ValueError(
                "the state is of a loader of other items or settings: the number of items, sizes, batch_size, "
                "max_tokens, shuffle, seed or world_size differ"
            )
        self._epoch, self._step = state["epoch"], state["step"]
        if self._step >= self._order.steps(self._epoch):
            self.begin_epoch()


class FromIterable(Source):
    """Batches of an iterable. It goes on by the iterable's own state where that has one, else by skipping."""

    def __init__(
        self,
        items: Iterable[Any],
        *,
        batch_size: int | None,
        max_tokens: int | None,
        processor: Processor,
        rank: int,
        world_size: int,
        skips: bool,
    ) -> None:
        self._items = items
        self._batch_size = batch_size
        self._max_tokens = max_tokens
        self._processor = processor
        self._rank = rank
        self._world_size = world_size
        self._skips = skips
        self._has_state = hasattr(items, "state_dict") and hasattr(items, "load_state_dict")
        self._epoch = -1
        self._place: dict[str, Any] = {}
        self._begin(-1)

    def _begin(self, epoch: int) -> None:
        """Goes to the beginning of an epoch.

        A place is how many samples came before a window (`seen`), the iterable's state then (`items`), and how many
        of the window's batches the loop has (`step`).
        """
        self._epoch = epoch
        self._place = {"seen": 0, "items": None, "step": 0}
        if epoch >= 0 and hasattr(self._items, "set_epoch"):
            self._items.set_epoch(epoch)

    def steps(self) -> int:
        """As `Source` says."""
        raise TypeError("a Loader of an iterable has no length")

    def begin_epoch(self) -> None:
        """As `Source` says."""
        self._begin(self._epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """As `Source` says."""
        self._begin(epoch - 1)

    def work(self) -> Iterator[Work]:
        """As `Source` says."""
        epoch, place = self._epoch, self._place
        seen, state, step = place["seen"], place["items"], place["step"]
        if self._has_state and state is not None:
            self._items.load_state_dict(state)  # type: ignore[attr-defined]
        items = iter(self._items)
        if not self._has_state and seen:
            logger.warning("the iterable has no state_dict: skipping %d samples to where the loop was", seen)
            for _ in range(seen):
                next(items, None)
        if self._has_state and state is None:
            state = self._items.state_dict()  # type: ignore[attr-defined]
        first = True
        while True:
            window, read = self._window(items, seen)
            if not window:
                if first and epoch > 0 and not seen:
                    raise RuntimeError(f"the iterable gave nothing in epoch {epoch}: an iterator can be used once")
                return
            first = False
            after = {"seen": seen + read, "items": None, "step": 0}
            if self._has_state:
                after["items"] = self._items.state_dict()  # type: ignore[attr-defined]
            batches = self._cut(window)
            for at in range(step, len(batches)):
                batch = [window[index] for index in batches[at]]
                done = {"seen": seen, "items": state, "step": at + 1}
                where = after if at + 1 == len(batches) else done
                yield Work([number for number, _ in batch], [item for _, item in batch].__getitem__, (epoch, where))
            seen, state, step = after["seen"], after["items"], 0

    def _window(self, items: Iterator[Any], seen: int) -> tuple[list[tuple[int, Any]], int]:
        """This rank's next samples with their numbers, and how many samples were read for them."""
        most = WINDOW if self._max_tokens is not None else self._batch_size or 1
        window: list[tuple[int, Any]] = []
        read = 0
        for item in items:
            number = seen + read
            read += 1
            if number % self._world_size == self._rank:
                window.append((number, item))
                if len(window) == most:
                    break
        return window, read

    def _cut(self, window: list[tuple[int, Any]]) -> Sequence[NDArray[np.int64]]:
        if self._max_tokens is None:
            return [np.arange(len(window))]
        lengths = [self._tokens(number, item) for number, item in window]
        packs: list[NDArray[np.int64]] = pack(lengths, self._max_tokens, max_items=self._batch_size, seed=None)
        return packs

    def _tokens(self, number: int, item: Any) -> int:
        key = key_of(item, number)
        try:
            sample = as_sample(item, number)
            key = sample.key
            tokens = tokens_of(sample, self._processor.recipe, self._processor.loader)
        except Exception as error:
            if self._skips:
                return 0  # it fails again where it is loaded, and is counted there
            raise with_index(error, key, "item") from error
        if self._max_tokens is not None and tokens > self._max_tokens:
            raise ValueError(f"item {key} has {tokens:,} tokens, max_tokens is {self._max_tokens:,}")
        return tokens

    def taken(self, state: Any) -> None:
        """As `Source` says."""
        self._epoch, self._place = state

    def state(self) -> dict[str, Any]:
        """As `Source` says."""
        return {"epoch": max(self._epoch, 0), **self._place}

    def load(self, state: dict[str, Any]) -> None:
        """As `Source` says."""
        _check_keys(state, {"epoch", "seen", "items", "step"}, "an iterable")
        self._begin(state["epoch"])
        self._place = {key: state[key] for key in ("seen", "items", "step")}


def _check_keys(state: dict[str, Any], keys: set[str], what: str) -> None:
    if set(state) != keys:
        raise ValueError(f"the state is not of a loader of {what}: it has {', '.join(sorted(state))}")
