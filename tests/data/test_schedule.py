"""Schedules: every sample once, ranks alike, and resuming anywhere with any number of ranks."""

import itertools
import json
import pickle
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlmres.data import Schedule, Step

RNG = np.random.default_rng(0)
LENGTHS = RNG.integers(1, 1001, 5000)
COSTS = LENGTHS.astype(float) * RNG.uniform(0.5, 2, 5000)


def schedule(ranks: int = 4, **options: Any) -> Schedule:
    options = {"costs": COSTS, "window": 1024, **options}
    return Schedule(options.pop("lengths", LENGTHS), 2000, ranks=ranks, **options)


def seen(steps: list[Step]) -> list[int]:
    return [int(index) for step in steps for pack in step for index in pack]


def plain(steps: list[Step]) -> list[list[list[int]]]:
    return [[pack.tolist() for pack in step] for step in steps]


@pytest.mark.parametrize("balance", ["steps", "lpt", None])
@pytest.mark.parametrize("method", ["online", "best-fit"])
@pytest.mark.parametrize(("ranks", "each"), [(1, 1), (8, 1), (3, 4), (50, 3)])
def test_every_sample_is_seen_once_and_ranks_have_equally_many_packs(
    ranks: int, each: int, method: Any, balance: Any
) -> None:
    lengths = LENGTHS[:1200]
    found = Schedule(
        lengths, 2000, ranks=ranks, packs_per_rank=each, costs=COSTS[:1200], balance=balance, method=method, window=256
    )
    of_ranks = list(zip(*found.all_steps(), strict=True))
    assert plain(list(found.steps(ranks - 1))) == plain(list(of_ranks[ranks - 1]))
    assert {len(steps) for steps in of_ranks} == {found.num_steps()}
    every = [step for steps in of_ranks for step in steps]
    assert sorted(seen(every)) == list(range(len(lengths)))
    for step in every:
        assert len(step) == len(step.fillers) == each
        for pack, filler in zip(step, step.fillers, strict=True):
            assert LENGTHS[pack].sum() <= 2000
            assert len(pack) or filler


def test_limits_hold_in_a_schedule() -> None:
    found = schedule(2, max_items=3, max_cost=4000.0)
    packs = [pack for rank in range(2) for step in found.steps(rank) for pack in step]
    assert max(len(pack) for pack in packs) == 3
    assert max(COSTS[pack].sum() for pack in packs) <= 4000


def test_epochs_and_seeds_differ_and_repeat() -> None:
    first = plain(list(schedule().steps(1, 0)))
    assert first == plain(list(schedule().steps(1, 0)))
    assert first != plain(list(schedule().steps(1, 1)))
    assert first != plain(list(schedule(seed=5).steps(1, 0)))


@pytest.mark.parametrize("balance", ["steps", "lpt", None])
def test_a_run_resumed_anywhere_is_the_run(balance: Any) -> None:
    found = schedule(3, packs_per_rank=2, balance=balance)
    whole = [plain(list(found.steps(rank, 2))) for rank in range(3)]
    draws = random.Random(1)
    for _ in range(35):
        rank, stop = draws.randrange(3), draws.randrange(len(whole[0]) + 1)
        running = schedule(3, packs_per_rank=2, balance=balance)
        before = list(itertools.islice(running.steps(rank, 2), stop))
        if not stop:
            continue
        state = json.loads(json.dumps(running.state_dict()))
        assert state == before[-1].state
        resumed = schedule(3, packs_per_rank=2, balance=balance)
        resumed.load_state_dict(state)
        assert resumed.epoch == 2
        for other in range(3):
            assert plain(list(resumed.steps(other, resumed.epoch))) == whole[other][stop:]
        assert plain(list(resumed.steps(rank, 3))) == plain(list(found.steps(rank, 3)))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3), st.floats(0, 1)), min_size=1, max_size=5),
    st.integers(1, 400),
    st.sampled_from(["steps", "lpt", None]),
    st.sampled_from(["online", "best-fit"]),
)
def test_after_changes_of_ranks_every_sample_is_seen_once(
    runs: list[tuple[int, int, float]], count: int, balance: Any, method: Any
) -> None:
    lengths = LENGTHS[:count]
    state = None
    done: list[int] = []
    for number, (ranks, each, share) in enumerate(runs):
        running = Schedule(
            lengths, 2000, ranks=ranks, packs_per_rank=each, balance=balance, method=method, window=64, seed=3
        )
        if state is not None:
            running.load_state_dict(state)
        steps = [list(own) for own in zip(*running.all_steps(), strict=True)] or [[] for _ in range(ranks)]
        taken = len(steps[0]) if number == len(runs) - 1 else round(share * len(steps[0]))
        for own in steps:
            assert len(own) == len(steps[0])
            done += seen(own[:taken])
        if taken:
            state = steps[0][taken - 1].state
        elif state is None:
            state = Schedule(
                lengths, 2000, ranks=ranks, packs_per_rank=each, balance=balance, method=method, window=64, seed=3
            ).state_dict()
    assert sorted(done) == list(range(count))


def test_the_last_step_divides_packs_before_it_fills() -> None:
    # Ten samples fit into one pack; eight ranks each want one.
    found = Schedule([10] * 10, 100, ranks=8)
    steps = [list(found.steps(rank)) for rank in range(8)]
    assert [len(own) for own in steps] == [1] * 8
    assert all(len(own[0][0]) for own in steps)
    assert not any(own[0].fillers[0] for own in steps)


@pytest.mark.parametrize("fill", ["empty", "repeat"])
def test_fillers_are_marked(fill: Any) -> None:
    found = Schedule([10] * 3, 100, ranks=5, fill=fill)
    packs = [(step[0].tolist(), step.fillers[0]) for rank in range(5) for step in found.steps(rank)]
    assert sorted(index for pack, filler in packs if not filler for index in pack) == [0, 1, 2]
    fillers = [pack for pack, filler in packs if filler]
    assert len(fillers) == 2
    assert all(pack == [] if fill == "empty" else len(pack) == 1 for pack in fillers)


def test_balance_lowers_the_time_that_ranks_wait() -> None:
    def imbalance(balance: Any) -> float:
        found = schedule(4, packs_per_rank=2, balance=balance)
        loads = np.array([[sum(COSTS[pack].sum() for pack in step) for step in found.steps(rank)] for rank in range(4)])
        return float((loads.max(axis=0) / loads.mean(axis=0) - 1).mean())

    assert imbalance("steps") < 0.5 * imbalance("lpt") < 0.5 * imbalance(None)


def test_every_rank_is_the_costliest_at_times() -> None:
    found = schedule(4)
    loads = np.array([[COSTS[step[0]].sum() for step in found.steps(rank)] for rank in range(4)])
    assert set(loads.argmax(axis=0)) == {0, 1, 2, 3}


def test_a_state_of_something_else_is_refused() -> None:
    state = schedule().state_dict()
    for other in (
        schedule(seed=1),
        schedule(lengths=LENGTHS[::-1]),
        schedule(balance="lpt"),
        schedule(window=1000),
        schedule(costs=None),
    ):
        with pytest.raises(ValueError, match="the state is of other samples or settings"):
            other.load_state_dict(state)
    for broken in ({}, {**state, "cuts": []}, {**state, "window": -1}, {**state, "cuts": [[0, 0, 0]]}):
        with pytest.raises(ValueError, match="no state of a Schedule"):
            schedule().load_state_dict(broken)
    with pytest.raises(ValueError, match="the state has version 0"):
        schedule().load_state_dict({**state, "version": 0})


def test_an_epoch_before_the_state_is_an_error() -> None:
    found = schedule()
    next(found.steps(0, 3))
    resumed = schedule()
    resumed.load_state_dict(found.state_dict())
    with pytest.raises(ValueError, match="state that was loaded is of epoch 3: ask for epoch=3, not 0"):
        resumed.steps(0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ranks": 0}, ValueError, "ranks must be at least 1, got 0"),
        ({"ranks": 1.0}, TypeError, "ranks must be an integer, got 1.0"),
        ({"packs_per_rank": -1}, ValueError, "packs_per_rank must be at least 1, got -1"),
        ({"balance": "best"}, ValueError, 'balance must be "steps", "lpt" or None, got'),
        ({"fill": "none"}, ValueError, "fill must be one of empty, repeat"),
        ({"method": "best"}, ValueError, "method must be one of"),
        ({"items": [1] * 5000}, ValueError, "items limit nothing without max_items"),
    ],
)
def test_an_argument_that_cannot_be_is_named(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        schedule(**{"ranks": 2, **options})


def test_a_rank_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="rank must be from 0 to 3, got 4"):
        schedule(4).steps(4)
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        schedule(4).steps(0, -1)


def test_there_may_be_no_samples() -> None:
    assert list(Schedule([], 10, ranks=2).steps(1)) == []


def test_steps_can_be_pickled() -> None:
    step = next(schedule().steps(0))
    again = pickle.loads(pickle.dumps(step))
    assert plain([again]) == plain([step])
    assert (again.fillers, again.state) == (step.fillers, step.state)
