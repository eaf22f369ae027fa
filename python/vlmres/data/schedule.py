"""`Schedule`: which rank takes which packs in each step of an epoch.

It is balanced, resumable, and the same on every rank.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from vlmres.data import _draws
from vlmres.data.balance import Balance, share_out
from vlmres.data.packing import Method, Samples
from vlmres.data.windows import Fill, Position, Windows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

# Of states. Another version could not read them.
_VERSION = 1


class Step(tuple["NDArray[np.int64]", ...]):
    """A rank's packs of one step: a tuple of int64 index arrays, `packs_per_rank` of them."""

    fillers: tuple[bool, ...]
    """For each pack, whether it only fills the epoch's last step: it is empty, or repeats a pack of this epoch."""
    state: dict[str, Any]
    """The value of `Schedule.state_dict` after this step, for a consumer that reads ahead."""

    def __new__(cls, packs: Iterable[NDArray[np.int64]], fillers: Iterable[bool], state: dict[str, Any]) -> Self:
        """Packs, which of them are fillers, and the state after them."""
        step = super().__new__(cls, packs)
        step.fillers, step.state = tuple(fillers), state
        return step

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (tuple(self), self.fillers, self.state)


class Schedule:
    """Packs of a data set for every rank and step.

    An epoch shuffles the samples and takes them in windows of `window` samples. The samples of a window are packed, and
    its packs divided into steps of ranks x packs_per_rank. The emptiest packs are left over; their samples are packed
    again at the epoch's end. So all ranks have the same number of packs in every step. If the last step lacks packs,
    packs of several samples are split. Only if there are not enough samples, the step is filled with empty or repeated
    packs, which `Step.fillers` marks.

    Everything follows from the arguments, the epoch and the window. So ranks need not communicate, and a state is a few
    integers and a digest of the arguments. After a change of the number of ranks, or of packs per rank, the rest of the
    epoch is divided again; every sample is still seen exactly once.

    Args:
        lengths: Tokens of each sample, as of `vlmres.pack`.
        budget: Tokens of a pack.
        items: Images of each sample.
        max_items: Images of a pack.
        costs: Cost of each sample, which is balanced, also without `max_cost`; by default its tokens.
        max_cost: Cost of a pack.
        ranks: Number of ranks.
        packs_per_rank: Packs of a rank in a step.
        balance: "lpt" distributes the packs of a step so that ranks have nearly equal costs: the costliest pack first,
            each to the rank with the least cost. "steps" also forms steps of packs with similar cost: a window's packs
            are sorted by cost, divided into steps, and the steps shuffled. Gradients of successive steps differ more
            then. None does neither.
        seed: Seed of all shuffling.
        method: As of `vlmres.pack`, within a window.
        window: Samples of a window.
        fill: How the epoch's last step is filled if there are not enough samples: with "empty" packs, or with a
            "repeat" of packs of this epoch.

    Raises:
        ValueError, TypeError: As `vlmres.pack` does.
    """

    def __init__(
        self,
        lengths: ArrayLike,
        budget: int,
        *,
        ranks: int,
        packs_per_rank: int = 1,
        items: ArrayLike | None = None,
        max_items: int | None = None,
        costs: ArrayLike | None = None,
        max_cost: float | None = None,
        balance: Balance = "steps",
        seed: int = 0,
        method: Method = "online",
        window: int = 65_536,
        fill: Fill = "empty",
    ) -> None:
        for what, value in (("ranks", ranks), ("packs_per_rank", packs_per_rank), ("window", window)):
            _check_count(what, value)
        for what, choice, kinds in (("method", method, Method), ("fill", fill, Fill)):
            if choice not in get_args(kinds):
                raise ValueError(f"{what} must be one of {', '.join(get_args(kinds))}, got {choice!r}")
        if balance not in ("steps", "lpt", None):
            raise ValueError(f'balance must be "steps", "lpt" or None, got {balance!r}')
        if items is not None and max_items is None:
            raise ValueError("items limit nothing without max_items")
        self._samples = Samples.of(lengths, budget, items=items, max_items=max_items, costs=costs, max_cost=max_cost)
        self.ranks, self.packs_per_rank = int(ranks), int(packs_per_rank)
        self.balance, self.method, self.fill = balance, method, fill
        self.seed = _draws.check_seed(seed)
        self.window = int(window)
        self._windows = Windows(self._samples, method, balance, fill, self.seed, self.window)
        self.digest = self._digest()
        """Of all arguments but ranks, packs_per_rank and fill, which may change between runs."""
        self._start = self._latest = (0, self._beginning)

    def __repr__(self) -> str:
        return (
            f"Schedule({len(self._samples.lengths)} samples, budget {self._samples.budget}, {self.ranks} ranks, "
            f"{self.packs_per_rank} packs per rank, balance={self.balance!r}, seed={self.seed})"
        )

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self._samples.lengths)

    @property
    def epoch(self) -> int:
        """The epoch of the latest step, or of the loaded state."""
        return self._latest[0]

    def steps(self, rank: int, epoch: int = 0, *, after: Mapping[str, Any] | None = None) -> Iterator[Step]:
        """The steps of a rank in an epoch, in order; after `load_state_dict`, the remaining steps.

        Args:
            rank: From 0 to ranks - 1.
            epoch: The epoch. An epoch before that of a loaded state is an error.
            after: A state of this epoch to continue from, in place of a loaded one.

        Raises:
            ValueError: There is no such rank or epoch, or `after` is not a state of this schedule and epoch.
        """
        _check_index("rank", rank, self.ranks)
        if after is None:
            return (steps[rank] for steps in self.all_steps(epoch))
        of, position = self._read(after)
        if of != epoch:
            raise ValueError(f"the state is of epoch {of}, not {epoch}")
        return (steps[rank] for steps in self._all_steps(position, epoch))

    def all_steps(self, epoch: int = 0) -> Iterator[list[Step]]:
        """The steps of all ranks together, for a process that feeds or simulates all ranks.

        Raises:
            ValueError: There is no such epoch.
        """
        return self._all_steps(self._from(epoch), epoch)

    def num_steps(self, epoch: int = 0) -> int:
        """The number of steps that `steps` gives. It takes as long as packing the epoch."""
        return sum(1 for _ in self._windows.packs(self._from(epoch), epoch))

    def state_dict(self) -> dict[str, Any]:
        """The state after the latest step that any iterator of `steps` gave: integers, and the digest.

        A consumer that reads ahead takes `Step.state` of the step that it has finished.
        """
        return self._state(*self._latest)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from a state of a schedule with the same arguments, of which only the number of ranks may differ.

        Raises:
            ValueError: The state belongs to other samples, limits or settings, or is not a state of a schedule.
        """
        self._start = self._latest = self._read(state)

    def _read(self, state: Mapping[str, Any]) -> tuple[int, Position]:
        """The epoch and the place of a state, with a cut more where ranks have changed."""
        try:
            version, digest, epoch = state["version"], state["digest"], int(state["epoch"])
            cuts = tuple((int(window), int(step), int(packs)) for window, step, packs in state["cuts"])
            window, step = int(state["window"]), int(state["step"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no state of a Schedule: {type(error).__name__} {error}") from None
        if version != _VERSION:
            raise ValueError(f"the state has version {version}, this vlmres reads {_VERSION}")
        if digest != self.digest:
            raise ValueError(
                f"the state is of other samples or settings: its digest is {digest}, this schedule's {self.digest}"
            )
        if not cuts or min(epoch, window, step, *(min(cut[:2]) for cut in cuts)) < 0 or min(c[2] for c in cuts) < 1:
            raise ValueError(f"this is no state of a Schedule: {state}")
        now = self.ranks * self.packs_per_rank
        if cuts[-1][2] != now:
            if cuts[-1][:2] == (window, step):  # nothing was done with the last cut
                cuts = cuts[:-1]
            cuts = (*cuts, (window, step, now))
        return epoch, Position(window, step, cuts)

    @property
    def _beginning(self) -> Position:
        return Position(0, 0, ((0, 0, self.ranks * self.packs_per_rank),))

    def _from(self, epoch: int) -> Position:
        _check_index("epoch", epoch, None)
        started, position = self._start
        if epoch < started:
            raise ValueError(f"the state that was loaded is of epoch {started}: ask for epoch={started}, not {epoch}")
        return position if epoch == started else self._beginning

    def _state(self, epoch: int, position: Position) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "digest": self.digest,
            "epoch": epoch,
            "window": position.window,
            "step": position.step,
            "cuts": [list(cut) for cut in position.cuts],
        }

    def _all_steps(self, start: Position, epoch: int) -> Iterator[list[Step]]:
        for position, packs, fillers in self._windows.packs(start, epoch):
            shares = share_out(self._windows.costs_of(packs), self.ranks, self.balance, position.window + position.step)
            state = self._state(epoch, position)
            self._latest = (epoch, position)
            yield [Step([packs[at] for at in own], [fillers[at] for at in own], dict(state)) for own in shares]

    def _digest(self) -> str:
        samples = self._samples
        limits = (samples.budget, samples.max_items, samples.max_cost)
        text = repr((limits, self.seed, self.window, self.method, self.balance))
        found = hashlib.sha256(text.encode())
        for array in (samples.lengths, samples.items, samples.costs):
            found.update(b"-" if array is None else array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        return found.hexdigest()[:16]


def _check_count(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{what} must be at least 1, got {value}")


def _check_index(what: str, value: object, count: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {value!r}")
    if value < 0 or (count is not None and value >= count):
        limit = "at least 0" if count is None else f"from 0 to {count - 1}"
        raise ValueError(f"{what} must be {limit}, got {value}")
    return int(value)
