"""Packing: samples are combined into sequences within a budget of tokens and, optionally, of images and cost."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from vlmres._core import pack_samples
from vlmres.data import _draws

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

Method = Literal["online", "best-fit"]

# Open packs of the online method: 64 reach nearly what 256 do, in a third of the time.
_OPEN = 64
# And of best fit under several limits, where all samples are known.
_MOST_OPEN = 256

_PLURALS = {"length": "lengths", "number of images": "numbers of images", "cost": "costs"}


def pack(
    lengths: ArrayLike,
    budget: int,
    *,
    method: Method = "online",
    items: ArrayLike | None = None,
    max_items: int | None = None,
    costs: ArrayLike | None = None,
    max_cost: float | None = None,
    seed: int | None = 0,
) -> list[NDArray[np.int64]]:
    """Packs samples into sequences of at most `budget` tokens.

    "online" shuffles the samples and puts each into the fullest of 64 open packs that has room for it, so every pack is
    a fair sample of the data. "best-fit" sorts all samples, the longest first, which leaves almost no padding, and
    shuffles the packs. With several limits that order would leave packs of many short samples half empty, so "best-fit"
    is then "online" with 256 open packs.

    Args:
        lengths: Tokens of each sample: integers of shape (n,), none negative.
        budget: Most tokens of a pack.
        method: "online" or "best-fit".
        items: Images of each sample, integers of shape (n,); one each by default. Only with `max_items`.
        max_items: Most images of a pack.
        costs: Cost of each sample, numbers of shape (n,), such as p(p + 3h) of its patches (docs/packing.md). Only
            with `max_cost`.
        max_cost: Highest cost of a pack, summed in float64 in the pack's order.
        seed: Seed of the shuffling; None keeps the order of samples and packs.

    Returns:
        int64 arrays of indices, one for each pack, in order of use. Every index is in one pack, once. The same
        arguments give the same packs on every machine.

    Raises:
        ValueError: A single sample is over a limit; the message names it. Or a length, number of images or cost is
            negative or not finite, shapes differ, or an argument has an unsupported value.
        TypeError: Lengths or numbers of images are not integers, or costs are not numbers.
    """
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {', '.join(get_args(Method))}, got {method!r}")
    for what, limited, name, limit in (
        ("items", items, "max_items", max_items),
        ("costs", costs, "max_cost", max_cost),
    ):
        if limited is not None and limit is None:
            raise ValueError(f"{what} limit nothing without {name}")
    samples = Samples.of(lengths, budget, items=items, max_items=max_items, costs=costs, max_cost=max_cost)
    count = len(samples.lengths)
    if seed is None:
        return samples.pack(np.arange(count), method)
    seed = _draws.check_seed(seed)
    packs = samples.pack(_draws.permutation(count, _draws.SHUFFLE, seed), method)
    if method == "online":
        return packs
    # By best fit the packs of the longest samples come first.
    return [packs[at] for at in _draws.permutation(len(packs), _draws.PACKS, seed).tolist()]


@dataclass(frozen=True)
class Samples:
    """Samples to be packed, and the limits of a pack: checked, as arrays of shape (n,)."""

    lengths: NDArray[np.int64]
    budget: int
    items: NDArray[np.int64] | None
    max_items: int | None
    costs: NDArray[np.float64] | None
    max_cost: float | None

    @classmethod
    def of(
        cls,
        lengths: ArrayLike,
        budget: int,
        *,
        items: ArrayLike | None,
        max_items: int | None,
        costs: ArrayLike | None,
        max_cost: float | None,
    ) -> Samples:
        """The arguments of `pack`, checked; `costs` may be there without a limit.

        Raises:
            ValueError, TypeError: As `pack` does.
        """
        checked = _integers("length", lengths)
        limit = _limit("budget", budget)
        _refuse_over("length", checked, limit, f"the budget of {limit}")
        count = len(checked)
        numbers = None
        if max_items is not None:
            most = max_items = _limit("max_items", max_items)
            numbers = np.ones(count, np.int64) if items is None else _integers("number of images", items, count)
            _refuse_over("number of images", numbers, most, f"max_items of {most}")
        values = None if costs is None else _costs(costs, count)
        if max_cost is not None:
            if values is None:
                raise ValueError("max_cost limits nothing without costs")
            max_cost = _cost_limit(max_cost)
            _refuse_over("cost", values, max_cost, f"max_cost of {max_cost:g}")
        return cls(checked, limit, numbers, max_items, values, max_cost)

    def pack(self, order: NDArray[np.int64], method: Method) -> list[NDArray[np.int64]]:
        """Packs of the samples in `order`."""
        limits = (self.max_items is not None) + (self.max_cost is not None)
        opened = _OPEN if method == "online" else (_MOST_OPEN if limits else None)
        found, ends = pack_samples(
            self.lengths,
            order,
            self.budget,
            self.items,
            self.max_items,
            None if self.max_cost is None else self.costs,
            self.max_cost,
            opened,
        )
        bounds = [0, *ends.tolist()]
        return [found[start:end] for start, end in itertools.pairwise(bounds)]


class Segments(NamedTuple):
    """The positions of a pack's samples, for an encoder or a language model that separates them."""

    cu_seqlens: NDArray[np.int32]
    """int32 [samples + 1]: starts of the samples, and the end. Padding counts as one more sample."""
    segment_ids: NDArray[np.int32]
    """int32 [tokens]: the sample of each token, counted from 1; 0 for padding."""
    position_ids: NDArray[np.int64]
    """int64 [tokens]: position of each token in its sample; 0 for padding."""

    @property
    def max_seqlen(self) -> int:
        """Tokens of the longest sample, or of the padding."""
        return int(np.diff(self.cu_seqlens).max(initial=0))


def segments(lengths: ArrayLike, pack: ArrayLike, *, budget: int | None = None) -> Segments:
    """Bounds, segment ids and position ids of a pack's tokens.

    Args:
        lengths: Tokens of each sample, as in `vlmres.pack`; or patches, for a vision tower's `cu_seqlens`.
        pack: Indices of the pack's samples, in their order.
        budget: Tokens to pad to; by default there is no padding. Padding is a segment of its own in `cu_seqlens`.

    Raises:
        ValueError: The pack is over `budget`.
    """
    counts = _integers("length", lengths)[np.asarray(pack, dtype=np.int64)]
    total = int(counts.sum())
    if budget is not None and total > budget:
        raise ValueError(f"the pack has {total} tokens, over the budget of {budget}")
    padding = 0 if budget is None else budget - total
    bounds = np.concatenate([[0], np.cumsum(counts), *([[budget]] if padding else [])])
    if bounds[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"the pack has {bounds[-1]} tokens, more than int32 bounds can hold")
    ids = np.repeat(np.arange(1, len(counts) + 1, dtype=np.int32), counts)
    positions = np.arange(total) - np.repeat(bounds[: len(counts)], counts)
    return Segments(bounds.astype(np.int32), np.pad(ids, (0, padding)), np.pad(positions, (0, padding)))


def padding(lengths: ArrayLike, packs: Sequence[NDArray[np.int64]], budget: int) -> float:
    """The share of `budget` that the packs leave empty, all together; 0 without packs."""
    if not packs:
        return 0.0
    used = int(_integers("length", lengths)[np.concatenate(packs)].sum())
    return 1 - used / (budget * len(packs))


def _integers(what: str, values: ArrayLike, count: int | None = None) -> NDArray[np.int64]:
    """Numbers of shape (n,) that are integers and not negative, as int64."""
    array = _flat(what, values, count)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{_PLURALS[what]} must be integers, got {array.dtype}")
    _refuse(what, array, array < 0, "is negative")
    if array.dtype.kind == "u" and array.dtype.itemsize == 8:
        _refuse(what, array, array > np.uint64(np.iinfo(np.int64).max), "is over 2**63 - 1")
    return np.ascontiguousarray(array, dtype=np.int64)


def _costs(values: ArrayLike, count: int) -> NDArray[np.float64]:
    array = _flat("cost", values, count)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"costs must be numbers, got {array.dtype}")
    floats = np.ascontiguousarray(array, dtype=np.float64)
    _refuse("cost", array, ~np.isfinite(floats), "is not finite")
    _refuse("cost", array, floats < 0, "is negative")
    return floats


def _flat(what: str, values: ArrayLike, count: int | None) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{_PLURALS[what]} must have shape (n,), got {array.shape}")
    if count is not None and len(array) != count:
        raise ValueError(f"{_PLURALS[what]} of {len(array)} samples, lengths of {count}")
    # An empty list has no type of its own.
    return array.astype(np.int64) if not array.size else array


def _refuse(what: str, array: NDArray[Any], wrong: NDArray[np.bool_], why: str) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(f"sample {at}: {what} {array[at]} {why}")


def _refuse_over(what: str, array: NDArray[Any], most: float, limit: str) -> None:
    _refuse(what, array, array > most, f"is over {limit}")


def _limit(what: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what} must be an integer, got {value!r}")
    if not 1 <= value < 2**63:
        raise ValueError(f"{what} must be from 1 to 2**63 - 1, got {value}")
    return int(value)


def _cost_limit(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"max_cost must be a number, got {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"max_cost must be positive and finite, got {value}")
    return float(value)
