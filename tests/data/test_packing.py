"""Packs: what each may hold, what is refused, and that nothing is lost."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vlmres
from vlmres.data import padding, segments

METHODS = ("online", "best-fit")
SAMPLES = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 4), st.integers(0, 50)), max_size=300)


def indices(packs: list[Any]) -> list[int]:
    return sorted(int(index) for pack in packs for index in pack)


@settings(max_examples=60, deadline=None)
@given(SAMPLES, st.sampled_from(METHODS), st.booleans(), st.booleans(), st.one_of(st.none(), st.integers(0, 2**64 - 1)))
def test_every_sample_is_in_one_pack_and_no_pack_is_over_a_limit(
    samples: list[tuple[int, int, int]], method: Any, count_items: bool, count_cost: bool, seed: int | None
) -> None:
    lengths, items, costs = (np.array([sample[at] for sample in samples], dtype=np.int64) for at in range(3))
    limits: dict[str, Any] = {"items": items, "max_items": 4} if count_items else {}
    limits |= {"costs": costs.astype(float), "max_cost": 50.0} if count_cost else {}
    packs = vlmres.pack(lengths, 100, method=method, seed=seed, **limits)
    assert indices(packs) == list(range(len(samples)))
    for pack in packs:
        assert pack.dtype == np.int64
        assert len(pack)
        assert lengths[pack].sum() <= 100
        assert not count_items or items[pack].sum() <= 4
        assert not count_cost or costs[pack].sum() <= 50
    again = vlmres.pack(lengths.tolist(), 100, method=method, seed=seed, **limits)
    assert [pack.tolist() for pack in again] == [pack.tolist() for pack in packs]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=200), st.sampled_from(METHODS))
def test_at_most_one_pack_is_half_empty(lengths: list[int], method: Any) -> None:
    # Two such packs would fit into one, and with fewer than 64 open packs none is closed early.
    packs = vlmres.pack(lengths, 100, method=method)
    used = [int(np.array(lengths)[pack].sum()) for pack in packs]
    assert len(packs) >= 64 or sum(tokens <= 50 for tokens in used) <= 1


def test_the_same_seed_gives_these_packs_for_ever() -> None:
    lengths = [5, 3, 8, 1, 9, 2, 2, 7]
    online = vlmres.pack(lengths, 10, seed=1)
    best = vlmres.pack(lengths, 10, method="best-fit", seed=1)
    assert [pack.tolist() for pack in online] == [[3, 5, 7], [2, 6], [0, 1], [4]]
    assert [pack.tolist() for pack in best] == [[7, 1], [3, 4], [5, 2], [0, 6]]
    assert [pack.tolist() for pack in vlmres.pack(lengths, 10, seed=2)] != [pack.tolist() for pack in online]


def test_without_a_seed_the_order_stays() -> None:
    assert [pack.tolist() for pack in vlmres.pack([6, 5, 4, 5], 10, seed=None)] == [[0, 2], [1, 3]]
    assert [pack.tolist() for pack in vlmres.pack([6, 5, 4, 5], 10, method="best-fit", seed=None)] == [[0, 2], [1, 3]]


def test_equal_samples_are_packed_without_loss() -> None:
    for method in METHODS:
        packs = vlmres.pack(np.full(1000, 25), 100, method=method)  # type: ignore[arg-type]
        assert len(packs) == 250
        assert padding(np.full(1000, 25), packs, 100) == 0


def test_packs_by_best_fit_are_shuffled() -> None:
    lengths = np.arange(1, 101)
    first = [int(lengths[pack].max()) for pack in vlmres.pack(lengths, 100, method="best-fit")]
    assert first != sorted(first, reverse=True)


def test_there_may_be_no_samples() -> None:
    assert vlmres.pack([], 10) == []
    assert vlmres.pack(np.empty(0, np.int32), 10, method="best-fit", items=[], max_items=1) == []
    assert padding([], [], 10) == 0


def test_images_are_one_each_by_default() -> None:
    assert max(len(pack) for pack in vlmres.pack([1] * 10, 100, max_items=3)) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1, 11, 3], 10), ValueError, "sample 1: length 11 is over the budget of 10"),
        (([1, -2], 10), ValueError, "sample 1: length -2 is negative"),
        (([1.0, 2.0], 10), TypeError, "lengths must be integers, got float64"),
        (([1, float("nan")], 10), TypeError, "lengths must be integers, got float64"),
        (([True], 10), TypeError, "lengths must be integers, got bool"),
        (([[1, 2]], 10), ValueError, r"lengths must have shape \(n,\), got \(1, 2\)"),
        ((5, 10), ValueError, r"lengths must have shape \(n,\), got \(\)"),
        ((["a"], 10), TypeError, "lengths must be integers"),
        ((np.array([2**64 - 1], np.uint64), 10), ValueError, r"sample 0: length 18446744073709551615 is over 2\*\*63"),
        (([1], 0), ValueError, "budget must be from 1"),
        (([1], 1.5), TypeError, "budget must be an integer, got 1.5"),
        (([1], True), TypeError, "budget must be an integer, got True"),
    ],
)
def test_what_cannot_be_packed_is_named(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vlmres.pack(*arguments)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "next-fit"}, ValueError, "method must be one of online, best-fit, got 'next-fit'"),
        ({"items": [1, 2]}, ValueError, "items limit nothing without max_items"),
        ({"costs": [1, 2]}, ValueError, "costs limit nothing without max_cost"),
        ({"max_cost": 2.0}, ValueError, "max_cost limits nothing without costs"),
        ({"items": [1], "max_items": 2}, ValueError, "images of 1 samples, lengths of 2"),
        ({"items": [1, 3], "max_items": 2}, ValueError, "sample 1: number of images 3 is over max_items of 2"),
        ({"items": [1.5, 3], "max_items": 2}, TypeError, "numbers of images must be integers, got float64"),
        ({"costs": [1, float("nan")], "max_cost": 2}, ValueError, "sample 1: cost nan is not finite"),
        ({"costs": [1, float("inf")], "max_cost": 2}, ValueError, "sample 1: cost inf is not finite"),
        ({"costs": [1, -1.5], "max_cost": 2}, ValueError, "sample 1: cost -1.5 is negative"),
        ({"costs": [1, 3], "max_cost": 2}, ValueError, "sample 1: cost 3.0 is over max_cost of 2"),
        ({"costs": [1, 1], "max_cost": 0}, ValueError, "max_cost must be positive and finite, got 0"),
        ({"costs": [1, 1], "max_cost": float("nan")}, ValueError, "max_cost must be positive and finite, got nan"),
        ({"seed": -1}, ValueError, r"seed must be from 0 to 2\*\*64 - 1, got -1"),
        ({"seed": 1.0}, TypeError, "seed must be an integer, got 1.0"),
    ],
)
def test_an_option_that_cannot_be_is_named(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vlmres.pack([1, 2], 10, **options)


def test_segments_of_a_pack() -> None:
    found = segments([4, 0, 2, 3], [2, 1, 0])
    assert found.cu_seqlens.tolist() == [0, 2, 2, 6]
    assert found.segment_ids.tolist() == [1, 1, 3, 3, 3, 3]
    assert found.position_ids.tolist() == [0, 1, 0, 1, 2, 3]
    assert found.max_seqlen == 4
    padded = segments([4, 0, 2, 3], [3], budget=5)
    assert padded.cu_seqlens.tolist() == [0, 3, 5]
    assert padded.segment_ids.tolist() == [1, 1, 1, 0, 0]
    assert padded.position_ids.tolist() == [0, 1, 2, 0, 0]
    assert [array.dtype.name for array in padded] == ["int32", "int32", "int64"]
    empty = segments([4], np.empty(0, np.int64))
    assert (empty.cu_seqlens.tolist(), empty.max_seqlen, len(empty.position_ids)) == ([0], 0, 0)
    with pytest.raises(ValueError, match="the pack has 4 tokens, over the budget of 3"):
        segments([4], [0], budget=3)


def test_the_bars_of_padding_hold() -> None:
    from benches.packing import BUDGET, MOST_IMAGES, cost_limit, one_image, several_images

    one = one_image(200_000)
    assert padding(one.lengths, vlmres.pack(one.lengths, BUDGET, method="best-fit"), BUDGET) < 1e-4
    assert padding(one.lengths, vlmres.pack(one.lengths, BUDGET), BUDGET) < 4e-3
    many = several_images(200_000)
    packs = vlmres.pack(
        many.lengths, BUDGET, items=many.items, max_items=MOST_IMAGES, costs=many.costs, max_cost=cost_limit(many)
    )
    assert padding(many.lengths, packs, BUDGET) < 5e-3
