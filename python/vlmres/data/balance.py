"""Divides packs into steps, and the packs of a step among ranks, so that no rank waits for another."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Balance: TypeAlias = Literal["steps", "lpt"] | None
Packs: TypeAlias = "list[NDArray[np.int64]]"


def sort_into_steps(packs: Packs, costs: NDArray[Any], size: int, shuffled: NDArray[np.int64]) -> list[Packs]:
    """Steps of `size` packs that are neighbours by cost, in the order `shuffled`. `size` divides their number."""
    sorted_packs = np.argsort(costs, kind="stable").reshape(-1, size)
    return [[packs[at] for at in step] for step in sorted_packs[shuffled].tolist()]


def share_out(costs: NDArray[Any], ranks: int, balance: Balance, turn: int) -> list[list[int]]:
    """Which packs of a step each rank takes, equally many.

    With a balance: the costliest pack first, each to the rank with the least cost of those that still take some
    (longest processing time first). Ranks are turned by `turn`, so that no rank has the costliest in every step.
    """
    each = len(costs) // ranks
    if balance is None:
        return [list(range(rank * each, (rank + 1) * each)) for rank in range(ranks)]
    taken: list[list[int]] = [[] for _ in range(ranks)]
    loads: list[tuple[Any, int]] = [(0, rank) for rank in range(ranks)]
    for at in np.argsort(-costs, kind="stable").tolist():
        load, rank = heapq.heappop(loads)
        taken[rank].append(at)
        if len(taken[rank]) < each:
            heapq.heappush(loads, (load + costs[at], rank))
    return [taken[(rank + turn) % ranks] for rank in range(ranks)]


def even_packs(packs: Packs, count: int, lengths: NDArray[np.int64]) -> Packs:
    """The same samples in `count` packs, at least as many as there are: the longest of several samples is halved.

    Fewer, where there are not so many samples.
    """
    heap = [(-int(lengths[pack].sum()), at, pack) for at, pack in enumerate(packs)]
    done = [entry[2] for entry in heap if len(entry[2]) < 2]
    heap = [entry for entry in heap if len(entry[2]) >= 2]
    heapq.heapify(heap)
    number = len(packs)
    while heap and len(heap) + len(done) < count:
        _, _, pack = heapq.heappop(heap)
        ends = np.cumsum(lengths[pack])
        # Both halves have a sample.
        middle = 1 + int(np.argmin(np.abs(2 * ends[:-1] - ends[-1])))
        for half in (pack[:middle], pack[middle:]):
            number += 1
            if len(half) < 2:
                done.append(half)
            else:
                heapq.heappush(heap, (-int(lengths[half].sum()), number, half))
    return done + [entry[2] for entry in sorted(heap, key=lambda entry: entry[1])]
