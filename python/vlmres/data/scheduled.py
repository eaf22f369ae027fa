"""Batches of a sequence by a `Schedule`: its packs, balanced over ranks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from vlmres.data.batching import check_integer
from vlmres.data.schedule import Schedule
from vlmres.data.sources import Source, Work, check_keys, item_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Schedules: TypeAlias = "Schedule | Callable[[int], Schedule]"
"""One schedule for all epochs, or a function that makes the schedule of an epoch."""


class FromSchedule(Source):
    """Batches of a sequence, which are one rank's packs in order.

    Where the loop is says the schedule's state behind the last whole step, and how many packs of the next one it had.

    Raises:
        ValueError: A schedule has another number of samples, or no such rank.
        TypeError: It is no schedule.
    """

    def __init__(self, items: Sequence[Any], schedules: Schedules, rank: int, world_size: int) -> None:
        self._items = items
        self._schedules = schedules
        check_integer("rank", rank, 0)
        self._rank = rank
        self._world_size = world_size
        self._known: tuple[int, Schedule] | None = None
        self._place: dict[str, Any] = {}
        self._begin(-1)
        self._of(0)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._place = {"schedule": None, "packs": 0}

    def _of(self, epoch: int) -> Schedule:
        """The schedule of an epoch."""
        if self._known is None or self._known[0] != epoch:
            found = self._schedules if isinstance(self._schedules, Schedule) else self._schedules(epoch)
            if not isinstance(found, Schedule):
                raise TypeError(f"schedule must be a Schedule, or give one for an epoch, got {found!r}")
            if len(found) != len(self._items):
                raise ValueError(f"the schedule is of {len(found):,} samples, items are {len(self._items):,}")
            if self._world_size not in (1, found.ranks):
                raise ValueError(f"world_size is {self._world_size}, the schedule is of {found.ranks} ranks")
            if self._rank >= found.ranks:
                raise ValueError(f"rank must be below the schedule's ranks, got {self._rank} of {found.ranks}")
            self._known = epoch, found
        return self._known[1]

    def steps(self) -> int:
        """As `Source` says."""
        epoch = max(self._epoch, 0)
        schedule = self._of(epoch)
        return schedule.packs_per_rank * schedule.num_steps(epoch)

    def begin_epoch(self) -> None:
        """As `Source` says."""
        self._begin(self._epoch + 1)

    def set_epoch(self, epoch: int) -> None:
        """As `Source` says."""
        self._begin(epoch - 1)

    def work(self) -> Iterator[Work]:
        """As `Source` says."""
        epoch, before, had = self._epoch, self._place["schedule"], self._place["packs"]
        for step in self._of(epoch).steps(self._rank, epoch, after=before):
            for at in range(had, len(step)):
                numbers = step[at].tolist()
                is_last = at + 1 == len(step)
                place = {"schedule": step.state, "packs": 0} if is_last else {"schedule": before, "packs": at + 1}
                get = functools.partial(item_at, self._items, numbers)
                yield Work(epoch, numbers, get, (epoch, place), step.fillers[at])
            before, had = step.state, 0

    def taken(self, state: Any) -> None:
        """As `Source` says."""
        self._epoch, self._place = state

    def state(self) -> dict[str, Any]:
        """As `Source` says."""
        epoch = max(self._epoch, 0)
        schedule = self._of(epoch)
        shares = [schedule.ranks, schedule.packs_per_rank]
        return {"epoch": epoch, **self._place, "shares": shares, "digest": schedule.digest}

    def load(self, state: dict[str, Any]) -> None:
        """As `Source` says."""
        check_keys(state, {"epoch", "schedule", "packs", "shares", "digest"}, "a schedule")
        epoch, before, had = state["epoch"], state["schedule"], state["packs"]
        schedule = self._of(epoch)
        if state["digest"] != schedule.digest:
            raise ValueError(
                f"the state is of other samples or settings: its schedule's digest is {state['digest']}, "
                f"this one's {schedule.digest}"
            )
        shares = [schedule.ranks, schedule.packs_per_rank]
        if had and list(state["shares"]) != shares:
            raise ValueError(
                f"the state is behind {had} of a step's {state['shares'][1]} packs of a rank: other ranks, or packs of "
                "a rank, go on from a state between steps"
            )
        self._begin(epoch)
        self._place = {"schedule": before, "packs": had}
        if before is not None and next(schedule.steps(self._rank, epoch, after=before), None) is None:
            self.begin_epoch()
