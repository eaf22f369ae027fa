"""Packing and balance of a million samples: `python -m benches.packing [--samples N]`.

The samples are a mix of what people train on, because no list of a million real sizes is at hand: photographs of the
web (half), document pages, screenshots, figures and icons, and photographs of phones. Their tokens are Qwen2-VL's at
most 4096, and a text of log-normal length. Times are CPU time of one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

import vlmres
from vlmres.data import Schedule, padding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.data.balance import Balance

BUDGET = 8192
# Hidden size of Qwen2-VL's tower: a sample of p patches costs p(p + 3h) there.
HIDDEN = 1280
MOST_IMAGES = 24
BALANCES: tuple[Balance, ...] = (None, "lpt", "steps")

Result = TypeVar("Result")


class Mix(NamedTuple):
    """Samples of one to six images."""

    lengths: NDArray[np.int64]
    items: NDArray[np.int64]
    costs: NDArray[np.float64]


def sizes(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(width, height) of images: photographs, pages, screenshots, figures, phones' photographs."""
    kind = rng.choice(5, count, p=[0.5, 0.15, 0.15, 0.12, 0.08])
    result = np.empty((count, 2))
    for number, draw in enumerate((_web, _pages, _screens, _figures, _phones)):
        of_kind = kind == number
        result[of_kind] = draw(int(of_kind.sum()), rng)
    return np.clip(np.rint(result), 16, 20_000).astype(np.int64)


def _web(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    area = rng.lognormal(np.log(0.35e6), 0.9, count)
    ratio = rng.choice([4 / 3, 3 / 2, 16 / 9, 1, 3 / 4, 2 / 3, 9 / 16], count)
    return np.stack([np.sqrt(area * ratio), np.sqrt(area / ratio)], axis=1)


def _pages(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    inches = np.array([(8.27, 11.69), (8.5, 11)])[rng.integers(0, 2, count)]
    return np.asarray(inches * rng.choice([72, 96, 110, 150, 200, 300], count)[:, None])


def _screens(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    known = np.array([(1920, 1080), (2560, 1440), (1366, 768), (1440, 900), (1080, 2400), (1170, 2532), (750, 1334)])
    result = known[rng.integers(0, len(known), count)].astype(np.float64)
    result[:, 1] *= np.where(rng.random(count) < 0.2, rng.uniform(2, 6, count), 1)
    return result


def _figures(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.exp(rng.uniform(np.log(48), np.log(900), (count, 2)))


def _phones(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return np.where(rng.random((count, 1)) < 0.5, (4032.0, 3024.0), (3024.0, 4032.0))


def one_image(count: int, seed: int = 0) -> Mix:
    """Samples of one image and a text."""
    rng = np.random.default_rng(seed)
    table = vlmres.plan_many(sizes(count, rng), vlmres.Recipe.load("qwen2-vl", max_pixels=4096 * 28 * 28))
    text = np.rint(rng.lognormal(np.log(140), 0.9, count)).astype(np.int64).clip(1, 2000)
    patches = table.num_patches.astype(np.float64)
    return Mix(table.num_tokens + text, np.ones(count, np.int64), patches * (patches + 3 * HIDDEN))


def several_images(count: int, seed: int = 0) -> Mix:
    """Samples of one to six images, of at most 1024 tokens each, and a text."""
    rng = np.random.default_rng(seed)
    items = rng.choice(np.arange(1, 7), count, p=[0.6, 0.15, 0.1, 0.06, 0.05, 0.04])
    table = vlmres.plan_many(sizes(int(items.sum()), rng), vlmres.Recipe.load("qwen2-vl", max_pixels=1024 * 28 * 28))
    text = np.rint(rng.lognormal(np.log(140), 0.9, count)).astype(np.int64).clip(1, 2000)
    starts = np.concatenate([[0], np.cumsum(items)[:-1]])
    patches = table.num_patches.astype(np.float64)
    costs = np.add.reduceat(patches * (patches + 3 * HIDDEN), starts)
    return Mix(np.add.reduceat(table.num_tokens, starts) + text, items, costs)


def cost_limit(mix: Mix) -> float:
    """A quarter over the cost of a pack of mean samples."""
    return float(1.25 * mix.costs.sum() / mix.lengths.sum() * BUDGET)


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """CPU seconds and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def packing_rows(count: int) -> list[str]:
    """A row for each way to pack: padding and CPU seconds."""
    one, many = one_image(count), several_images(count)
    limits = {"items": many.items, "max_items": MOST_IMAGES, "costs": many.costs, "max_cost": cost_limit(many)}
    cases: list[tuple[str, NDArray[np.int64], int, dict[str, Any]]] = [
        ("tokens, best-fit", one.lengths, BUDGET, {"method": "best-fit"}),
        ("tokens, online", one.lengths, BUDGET, {}),
        ("tokens, best-fit", one.lengths, 2 * BUDGET, {"method": "best-fit"}),
        ("tokens, online", one.lengths, 2 * BUDGET, {}),
        (f"tokens, images ({MOST_IMAGES}) and cost, online", many.lengths, BUDGET, limits),
        (f"tokens, images ({MOST_IMAGES}) and cost, best-fit", many.lengths, BUDGET, {**limits, "method": "best-fit"}),
    ]
    rows = ["| limits and method | budget | packs | padding | CPU seconds |", "|---|---|---|---|---|"]
    for name, lengths, budget, options in cases:
        seconds, packs = timed(lambda: vlmres.pack(lengths, budget, **options))  # noqa: B023 - called at once
        empty = padding(lengths, packs, budget)
        rows.append(f"| {name} | {budget:,} | {len(packs):,} | {100 * empty:.4f} % | {seconds:.2f} |")
    return rows


def balance_rows(count: int) -> list[str]:
    """A row for each number of ranks and packs: imbalance (slowest rank over mean, less 1; mean of steps) of cost."""
    mix = one_image(count)
    rows = [
        "| ranks, packs each | none | lpt | steps | padding of steps | CPU seconds an epoch |",
        "|---|---|---|---|---|---|",
    ]
    for ranks, each in ((8, 1), (8, 4), (8, 16), (64, 1), (64, 4)):
        cells = []
        for balance in BALANCES:
            schedule = Schedule(mix.lengths, BUDGET, ranks=ranks, packs_per_rank=each, costs=mix.costs, balance=balance)
            found, steps = imbalance(schedule, mix.costs)
            cells.append(f"{100 * found:.2f} %")
        seconds, _ = timed(lambda: sum(1 for _ in schedule.steps(0)))  # noqa: B023 - called at once
        empty = 1 - mix.lengths.sum() / (BUDGET * steps * ranks * each)
        rows.append(f"| {ranks}, {each} | {' | '.join(cells)} | {100 * empty:.3f} % | {seconds:.2f} |")
    return rows


def imbalance(schedule: Schedule, costs: NDArray[np.float64]) -> tuple[float, int]:
    """Mean over the steps of an epoch of the slowest rank's cost over the mean rank's, less 1; and how many steps."""
    found = []
    for steps in schedule.all_steps():
        loads = [sum(costs[pack].sum() for pack in step) for step in steps]
        found.append(max(loads) / np.mean(loads) - 1)
    return float(np.mean(found)), len(found)


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000, help="how many")
    count = parser.parse_args().samples
    print(f"{count:,} samples\n")
    for rows in (packing_rows(count), balance_rows(count)):
        print("\n".join(rows), end="\n\n")


if __name__ == "__main__":
    main()
