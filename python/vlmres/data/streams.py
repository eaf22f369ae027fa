"""Batches of an iterable, and how a loop over it goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres.data.packing import pack
from vlmres.data.samples import as_sample, key_of
from vlmres.data.sizes import tokens_of
from vlmres.data.sources import Source, Work, check_keys
from vlmres.item_errors import with_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from vlmres.data.batching import Batching
    from vlmres.data.recipes import Recipes
    from vlmres.inputs import Loader as ImageLoader

logger = logging.getLogger("vlmres.data")

# So many samples of an iterable are packed together.
WINDOW = 256


class FromIterable(Source):
    """Batches of an iterable. It goes on by the iterable's own state where that has one, else by skipping."""

    def __init__(
        self,
        items: Iterable[Any],
        batching: Batching,
        recipes: Recipes,
        reader: ImageLoader,
        *,
        skips: bool,
    ) -> None:
        self._items = items
        self._batching = batching
        self._recipes = recipes
        self._reader = reader
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
            batches = self._cut(window, epoch)
            for at in range(step, len(batches)):
                batch = [window[index] for index in batches[at]]
                done = {"seen": seen, "items": state, "step": at + 1}
                where = after if at + 1 == len(batches) else done
                numbers, taken = [number for number, _ in batch], [item for _, item in batch]
                yield Work(epoch, numbers, taken.__getitem__, (epoch, where))
            seen, state, step = after["seen"], after["items"], 0

    def _window(self, items: Iterator[Any], seen: int) -> tuple[list[tuple[int, Any]], int]:
        """This rank's next samples with their numbers, and how many samples were read for them."""
        batching = self._batching
        most = WINDOW if batching.max_tokens is not None else batching.batch_size or 1
        window: list[tuple[int, Any]] = []
        read = 0
        for item in items:
            number = seen + read
            read += 1
            if number % batching.world_size == batching.rank:
                window.append((number, item))
                if len(window) == most:
                    break
        return window, read

    def _cut(self, window: list[tuple[int, Any]], epoch: int) -> Sequence[NDArray[np.int64]]:
        most = self._batching.max_tokens
        if most is None:
            return [np.arange(len(window))]
        lengths = [self._tokens(number, item, epoch, most) for number, item in window]
        packs: list[NDArray[np.int64]] = pack(lengths, most, max_items=self._batching.batch_size, seed=None)
        return packs

    def _tokens(self, number: int, item: Any, epoch: int, most: int) -> int:
        key = key_of(item, number)
        try:
            sample = as_sample(item, number)
            key = sample.key
            recipes = self._recipes.may_be(number, epoch)
            tokens = max(tokens_of(sample, recipe, self._reader) for recipe in recipes)
        except Exception as error:
            if self._skips:
                return 0  # it fails again where it is loaded, and is counted there
            raise with_index(error, key, "item") from error
        if tokens > most:
            raise ValueError(f"item {key} has {tokens:,} tokens, max_tokens is {most:,}")
        return tokens

    def taken(self, state: Any) -> None:
        """As `Source` says."""
        self._epoch, self._place = state

    def state(self) -> dict[str, Any]:
        """As `Source` says."""
        return {"epoch": max(self._epoch, 0), **self._place}

    def load(self, state: dict[str, Any]) -> None:
        """As `Source` says."""
        check_keys(state, {"epoch", "seen", "items", "step"}, "an iterable")
        self._begin(state["epoch"])
        self._place = {key: state[key] for key in ("seen", "items", "step")}
