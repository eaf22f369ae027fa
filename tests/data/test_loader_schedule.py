"""`Loader` with a `Schedule`, a `Mix`, or both: the schedule's packs, drawn recipes, and loops that go on exactly."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.images import pixels
from vlmres.data import Loader, Mix, Schedule

IMAGES = [pixels(56 + 28 * (at % 5), 56 + 28 * (at % 3), seed=at) for at in range(40)]
SIZES = np.array([(image.shape[1], image.shape[0]) for image in IMAGES])
AREAS = Mix.areas("qwen2-vl", 56 * 56, 140 * 140, levels=4, seed=3)
BUDGET = 60


def whole(recipe: Any = "qwen2-vl", **settings: Any) -> Schedule:
    return Schedule(vlmres.plan_many(SIZES, recipe).num_tokens, BUDGET, seed=1, **settings)


def drawn(epoch: int, **settings: Any) -> Schedule:
    return Schedule(AREAS.tokens(SIZES, epoch=epoch), BUDGET, seed=1, **settings)


def seen(loader: Any) -> list[tuple[list[int], list[int]]]:
    """Samples and tokens of every batch."""
    return [(batch.item_indices.tolist(), batch.num_tokens) for batch in loader]


def check(batch: Any, recipes: list[Any]) -> None:
    """A batch has what each image alone has by its recipe."""
    alone = [
        vlmres.Processor(recipe, "packed", "uint8")([IMAGES[at]])
        for recipe, at in zip(recipes, batch.item_indices, strict=True)
    ]
    assert np.array_equal(batch.patches, np.concatenate([one.patches for one in alone]))
    assert [plan.recipe for plan in batch.plans] == recipes
    assert [plan.num_tokens for plan in batch.plans] == [one.num_tokens[0] for one in alone]


def test_packs_of_a_schedule_are_the_batches_of_every_rank() -> None:
    schedule = whole(ranks=3, packs_per_rank=2)
    loaders = [
        Loader(IMAGES, "qwen2-vl", schedule=whole(ranks=3, packs_per_rank=2), rank=rank, sizes=SIZES)
        for rank in range(3)
    ]
    found = [list(loader) for loader in loaders]
    assert [len(batches) for batches in found] == [len(loader) for loader in loaders] == [2 * schedule.num_steps()] * 3
    for rank, batches in enumerate(found):
        packs = [
            (pack, filler) for step in schedule.steps(rank) for pack, filler in zip(step, step.fillers, strict=True)
        ]
        assert [batch.item_indices.tolist() for batch in batches] == [pack.tolist() for pack, _ in packs]
        assert [batch.is_filler for batch in batches] == [filler for _, filler in packs]
    taken = [at for batches in found for batch in batches if not batch.is_filler for at in batch.item_indices.tolist()]
    assert sorted(taken) == list(range(40))


@pytest.mark.parametrize("fill", ["empty", "repeat"])
def test_fillers_keep_ranks_in_step(fill: Any) -> None:
    few = Schedule([9, 9], 10, ranks=3, fill=fill)
    orders = [list(Loader(IMAGES[:2], "qwen2-vl", schedule=few, rank=rank)) for rank in range(3)]
    assert [len(batches) for batches in orders] == [1, 1, 1]
    ((filler,),) = [batches for batches in orders if batches[0].is_filler]
    assert len(filler.item_indices) == (0 if fill == "empty" else 1)
    assert (list(filler) == []) == (fill == "empty")
    assert filler.samples == [None] * len(filler.item_indices)


def test_a_batch_that_is_all_bad_is_empty_where_ranks_run_in_step() -> None:
    items: list[Any] = [*IMAGES[:2], b"no", b"no", *IMAGES[4:6]]
    for rank, expected in ((0, [[0, 1], [4, 5]]), (1, [[], [0, 1]])):
        loader = Loader(items, "qwen2-vl", batch_size=2, errors="skip", rank=rank, world_size=2)
        batches = list(loader)
        assert [batch.item_indices.tolist() for batch in batches] == expected
        assert [batch.is_filler for batch in batches] == [False, False] if rank == 0 else [True, True]


@pytest.mark.parametrize(
    "settings", [{"batch_size": 7}, {"max_tokens": BUDGET}, {"max_tokens": BUDGET, "batch_size": 3}]
)
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_mix_draws_a_recipe_for_each_sample_and_epoch(settings: Any, is_stream: bool) -> None:
    class Stream:
        def __iter__(self) -> Any:
            return iter(IMAGES)

    loader = Loader(Stream() if is_stream else IMAGES, AREAS, shuffle=not is_stream, **settings)
    epochs = []
    for epoch in range(2):
        taken = []
        for batch in loader:
            check(batch, [AREAS.recipe(at, epoch) for at in batch.item_indices.tolist()])
            assert sum(batch.num_tokens) <= BUDGET or "max_tokens" not in settings
            taken += batch.item_indices.tolist()
        assert sorted(taken) == list(range(40))
        epochs.append(AREAS.tokens(SIZES, epoch=epoch).tolist())
    assert epochs[0] != epochs[1]


def test_modes_of_one_model_share_a_batch() -> None:
    modes = Mix(["deepseek-ocr-tiny", "deepseek-ocr-small", "deepseek-ocr-gundam"], seed=2)
    (batch,) = Loader(IMAGES[:6], modes, batch_size=6)
    assert len({plan.recipe.name for plan in batch.plans}) == 3
    check(batch, [modes.recipe(at) for at in range(6)])


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("packs_per_rank", [1, 2])
def test_a_loop_by_a_schedule_goes_on_from_any_point(mixed: bool, packs_per_rank: int) -> None:
    options: dict[str, Any] = {"ranks": 2, "packs_per_rank": packs_per_rank, "window": 16}

    def make() -> Loader:
        recipe: Any = AREAS if mixed else "qwen2-vl"
        schedule: Any = (lambda epoch: drawn(epoch, **options)) if mixed else whole(**options)
        return Loader(IMAGES, recipe, schedule=schedule, rank=1)

    loader = make()
    epochs = [seen(loader), seen(loader)]
    both = epochs[0] + epochs[1]
    assert epochs[0] != epochs[1]
    for point in range(len(epochs[0]) + 1):
        loader = make()
        loop = iter(loader)
        for _ in range(point):
            next(loop)
        state = json.loads(json.dumps(loader.state_dict()))
        loader.close()
        resumed = make()
        resumed.load_state_dict(state)
        rest = seen(resumed)
        if point < len(epochs[0]):
            rest += seen(resumed)
        assert rest == both[point:], point


def test_packs_of_a_mix_go_on_from_any_point() -> None:
    def make() -> Loader:
        return Loader(IMAGES, AREAS, max_tokens=BUDGET, shuffle=True, seed=5)

    loader = make()
    both = seen(loader) + seen(loader)
    for point in (1, 3, 5):
        loader = make()
        loop = iter(loader)
        for _ in range(point):
            next(loop)
        resumed = make()
        resumed.load_state_dict(json.loads(json.dumps(loader.state_dict())))
        assert (seen(resumed) + seen(resumed))[: len(both) - point] == both[point:]
    with pytest.raises(ValueError, match="or recipes differ"):
        Loader(IMAGES, "qwen2-vl", max_tokens=BUDGET, shuffle=True, seed=5).load_state_dict(loader.state_dict())


def test_after_a_change_of_ranks_every_sample_is_seen_once() -> None:
    loaders = [Loader(IMAGES, "qwen2-vl", schedule=whole(ranks=2), rank=rank) for rank in range(2)]
    taken: list[int] = []
    for loader in loaders:
        loop = iter(loader)
        taken += [at for _ in range(2) for at in next(loop).item_indices.tolist()]
    state = loaders[0].state_dict()
    assert state == loaders[1].state_dict()
    for rank in range(3):
        rest = Loader(IMAGES, "qwen2-vl", schedule=whole(ranks=3), rank=rank)
        rest.load_state_dict(state)
        taken += [at for batch in rest if not batch.is_filler for at in batch.item_indices.tolist()]
    assert sorted(taken) == list(range(40))
    middle = Loader(IMAGES, "qwen2-vl", schedule=whole(ranks=2, packs_per_rank=2))
    next(iter(middle))
    with pytest.raises(ValueError, match="behind 1 of a step's 2 packs"):
        Loader(IMAGES, "qwen2-vl", schedule=whole(ranks=3, packs_per_rank=2)).load_state_dict(middle.state_dict())


@pytest.mark.parametrize(
    ("recipe", "settings", "error", "message"),
    [
        ("qwen2-vl", {"schedule": whole(ranks=1), "batch_size": 2}, TypeError, "a schedule says what a batch is"),
        (
            "qwen2-vl",
            {"schedule": whole(ranks=1), "world_size": 2},
            ValueError,
            "world_size is 2, the schedule is of 1 ranks",
        ),
        ("qwen2-vl", {"schedule": whole(ranks=2), "rank": 2}, ValueError, "rank must be below the schedule's ranks"),
        ("qwen2-vl", {"schedule": Schedule([1], 2, ranks=1)}, ValueError, "of 1 samples, items are 40"),
        ("qwen2-vl", {"schedule": 3}, TypeError, "must be a Schedule"),
        (AREAS, {"schedule": whole(ranks=1)}, ValueError, "a function of the epoch"),
        (AREAS, {"max_tokens": 3}, ValueError, "item 0 has 4 tokens with .*, max_tokens is 3"),
    ],
)
def test_what_cannot_be_is_named(recipe: Any, settings: Any, error: type[Exception], message: str) -> None:
    if settings.get("schedule") == 3:
        settings = {"schedule": lambda _: 3}
    with pytest.raises(error, match=message):
        Loader(IMAGES, recipe, **settings)


def test_recipes_that_make_other_values_share_no_batch() -> None:
    mix = Mix(["qwen2-vl", "internvl2"])
    with pytest.raises(vlmres.VlmresError, match="cannot be in one batch: their pixels differ"):
        list(Loader(IMAGES, mix, batch_size=8))


def test_the_longest_sample_is_named_also_where_it_is_shuffled() -> None:
    lengths = vlmres.plan_many(SIZES, "qwen2-vl").num_tokens
    worst = int(np.argmax(lengths))
    with pytest.raises(ValueError, match=rf"item {worst} has {lengths[worst]} tokens"):
        Loader(IMAGES, "qwen2-vl", max_tokens=int(lengths[worst]) - 1, shuffle=True)
