"""An epoch's packs, window by window: which samples are together, and in which step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres.data import _draws
from vlmres.data.balance import even_packs, sort_into_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vlmres.data.balance import Balance, Packs
    from vlmres.data.packing import Method, Samples

Fill = Literal["empty", "repeat"]


@dataclass(frozen=True)
class Position:
    """A place in an epoch."""

    window: int
    step: int
    """Steps of the window that are done."""
    cuts: tuple[tuple[int, int, int], ...]
    """(window, step, packs of a step): from where on steps have so many packs. One more for each change of ranks."""


class Windows:
    """The windows of a `Schedule`, which has the meaning of each argument. What they give follows from these alone."""

    def __init__(self, samples: Samples, method: Method, balance: Balance, fill: Fill, seed: int, window: int) -> None:
        self.samples, self.method, self.balance, self.fill = samples, method, balance, fill
        self.seed, self.window = seed, window
        self._costs = samples.lengths if samples.costs is None else samples.costs
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def packs(self, start: Position, epoch: int) -> Iterator[tuple[Position, Packs, list[bool]]]:
        """The packs of all ranks in every step from `start` on, the position after it, and which packs are fillers."""
        last = self.count
        for window in range(start.window, last):
            steps, _ = self._cut(window, epoch, start.cuts)
            for number in range(start.step if window == start.window else 0, len(steps)):
                yield Position(window, number + 1, start.cuts), steps[number], [False] * len(steps[number])
        steps, rest = self._cut_tail(epoch, start.cuts)
        first = start.step if start.window == last else 0
        for number in range(first, len(steps)):
            yield Position(last, number + 1, start.cuts), steps[number], [False] * len(steps[number])
        if rest and first <= len(steps):  # else this was done
            packs, fillers = self._filled(rest, start.cuts[-1][2])
            yield Position(last, len(steps) + 1, start.cuts), packs, fillers

    @property
    def count(self) -> int:
        """How many windows there are."""
        return -(-len(self.samples.lengths) // self.window)

    def _cut(self, window: int, epoch: int, cuts: tuple[tuple[int, int, int], ...]) -> tuple[list[Packs], Packs]:
        """A window's steps, and the packs that are left over."""
        of_window = self._epoch_order(epoch)[window * self.window : (window + 1) * self.window]
        return self._cut_samples(of_window, window, epoch, cuts)

    def _cut_tail(self, epoch: int, cuts: tuple[tuple[int, int, int], ...]) -> tuple[list[Packs], Packs]:
        """Steps of all that windows left over, and what is left of it."""
        over = [pack for window in range(self.count) for pack in self._cut(window, epoch, cuts)[1]]
        last = self.count
        samples = np.concatenate(over) if over else np.empty(0, np.int64)
        mixed = samples[_draws.permutation(len(samples), _draws.WINDOW, self.seed, epoch, last)]
        return self._cut_samples(mixed, last, epoch, cuts)

    def _cut_samples(
        self, order: NDArray[np.int64], window: int, epoch: int, cuts: tuple[tuple[int, int, int], ...]
    ) -> tuple[list[Packs], Packs]:
        """Packs of samples cut into steps, by every cut that concerns the window."""
        rest = self.samples.pack(order, self.method)
        if self.method == "best-fit":
            shuffled = _draws.permutation(len(rest), _draws.PACKS, self.seed, epoch, window)
            rest = [rest[at] for at in shuffled.tolist()]
        before = [cut for cut in cuts if cut[0] < window]
        # The one that holds where the window begins, then those within it.
        own = [(0, before[-1][2])] if before else []
        own += [(step, packs) for at, step, packs in cuts if at == window]
        done: list[Packs] = []
        for number, (_, packs) in enumerate(own):
            until = own[number + 1][0] if number + 1 < len(own) else None
            steps, left = self._arrange(rest, packs, window, epoch, len(done))
            kept = steps if until is None else steps[: until - len(done)]
            done += kept
            if until is not None and until > len(done):  # the step that ends the epoch took the rest
                return done, []
            rest = [pack for step in steps[len(kept) :] for pack in step] + left
        return done, rest

    def _arrange(self, packs: Packs, size: int, window: int, epoch: int, done: int) -> tuple[list[Packs], Packs]:
        """Steps of `size` packs, and the emptiest packs, which are left over."""
        over = len(packs) % size
        if over:
            tokens = _sums(self.samples.lengths, packs)
            emptiest = np.argsort(tokens, kind="stable")[:over]
            chosen = np.zeros(len(packs), bool)
            chosen[emptiest] = True
            left = [pack for pack, out in zip(packs, chosen, strict=True) if out]
            packs = [pack for pack, out in zip(packs, chosen, strict=True) if not out]
        else:
            left = []
        if self.balance == "steps":
            # A window that is cut anew is shuffled anew.
            number = window * 2**20 + done
            shuffled = _draws.permutation(len(packs) // size, _draws.STEPS, self.seed, epoch, number)
            return sort_into_steps(packs, self.costs_of(packs), size, shuffled), left
        return [packs[start : start + size] for start in range(0, len(packs), size)], left

    def _filled(self, rest: Packs, size: int) -> tuple[Packs, list[bool]]:
        """The epoch's last step: `rest` as `size` packs, and which of them are fillers."""
        packs = even_packs(rest, size, self.samples.lengths)
        missing = size - len(packs)
        empty = np.empty(0, np.int64)
        fillers = [packs[at % len(packs)] if self.fill == "repeat" else empty for at in range(missing)]
        return packs + fillers, [False] * len(packs) + [True] * missing

    def costs_of(self, packs: Packs) -> NDArray[Any]:
        """The cost of each pack."""
        return _sums(self._costs, packs)

    def _epoch_order(self, epoch: int) -> NDArray[np.int64]:
        """All samples, shuffled for the epoch; the latest epoch's is kept."""
        kept = self._order
        if kept is None or kept[0] != epoch:
            kept = (epoch, _draws.permutation(len(self.samples.lengths), _draws.SHUFFLE, self.seed, epoch))
            self._order = kept
        return kept[1]


def _sums(values: NDArray[Any], packs: Packs) -> NDArray[Any]:
    """The sum of each pack's values; 0 of an empty one."""
    if not packs:
        return np.zeros(0, values.dtype)
    ends = np.cumsum([len(pack) for pack in packs])
    running = np.concatenate([[0], np.cumsum(values[np.concatenate(packs)])])
    return np.diff(running[np.concatenate([[0], ends])])
