"""The long proof of `shared_collate` and `Loader`.

    python -m benches.loading_proof [--quick]

200 batches for each start method, number of workers and kind of loader, with a consumer that keeps ten, equal to direct
calls; then 10,000 small batches each way, over which descriptors, mapped segments and memory have to stay.
"""

from __future__ import annotations

import argparse
import functools
import gc
import time
import warnings
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

import vlmres
from vlmres.data import Loader
from vlmres.integrations.torch import consumer, shared_collate

SIZE = 2
KEPT = 10


def image(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """One of 28 images, by its number."""
    number %= 28
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (60 + number % 5 * 28, 84, 3), dtype=np.uint8)


class Images(Dataset[Any]):
    """So many of them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return image(index)


@functools.cache
def processor() -> vlmres.Processor:
    """The same in each process."""
    return vlmres.Processor("qwen2-vl", "packed", "uint8", num_threads=1)


def collate(images: list[Any]) -> Any:
    """A batch, as a worker makes it."""
    return processor()(images)


@functools.cache
def expected(number: int) -> vlmres.Batch:
    """A batch by a direct call; they repeat after 14."""
    return processor()([image(number * SIZE + at) for at in range(SIZE)])


def check(number: int, batch: Any) -> None:
    """Raises where a batch is not what a direct call gives."""
    wanted = expected(number % 14)
    assert list(batch) == list(wanted)
    for key in wanted:
        assert np.array_equal(batch[key], wanted[key]), (number, key)


def run(batches: Any, count: int) -> None:
    """Checks each batch when it comes, and again ten batches later."""
    kept: deque[tuple[int, Any]] = deque()
    number = -1
    for number, batch in enumerate(batches):
        check(number, batch)
        kept.append((number, batch))
        if len(kept) > KEPT:
            check(*kept.popleft())
    for pair in kept:
        check(*pair)
    assert number + 1 == count, (number, count)


def resources() -> tuple[int, int, int]:
    """Descriptors, mapped segments, and resident KiB without what is shared."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    resident = int(status["RssAnon"].split()[0])
    return len(list(Path("/proc/self/fd").iterdir())), consumer.mapped(), resident


def flat(name: str, batches: Any, count: int) -> None:
    """Fails where resources grow between the first tenth and the end."""
    start = time.perf_counter()
    early = (0, 0, 0)
    most = early
    for number, batch in enumerate(batches):
        if number % 97 == 0:
            check(number, batch)
        del batch
        if number == count // 10:
            early = resources()
        if number > count // 10 and number % 50 == 0:
            now = resources()
            most = (max(most[0], now[0]), max(most[1], now[1]), max(most[2], now[2]))
    seconds = time.perf_counter() - start
    print(f"{name}: {count:,} batches in {seconds:.0f} s; descriptors {early[0]} -> {most[0]}, ", end="")
    print(f"segments {early[1]} -> {most[1]}, memory {early[2]:,} -> {most[2]:,} KiB", flush=True)
    # A slot more may be made late; then it stays.
    assert most[0] <= early[0] + 8, "descriptors grow"
    assert most[1] <= 8, "segments grow"
    assert most[2] <= early[2] * 1.05 + 4096, "memory grows"


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fork alone, and 1,000 batches")
    parser.add_argument("--contexts", nargs="*", default=["fork", "forkserver", "spawn"])
    parser.add_argument("--workers", nargs="*", type=int, default=[0, 1, 2, 4, 8])
    parser.add_argument("--flat", type=int, default=10_000)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.contexts, arguments.flat = ["fork"], 1000
    warnings.filterwarnings("ignore", "This DataLoader will create")
    shared = shared_collate(collate)
    for context in arguments.contexts:
        for workers in arguments.workers:
            for persistent in (False, True) if workers else (False,):
                settings: dict[str, Any] = {"num_workers": workers, "persistent_workers": persistent}
                if workers:
                    settings["multiprocessing_context"] = context
                batches = DataLoader(Images(200 * SIZE), SIZE, collate_fn=shared, **settings)
                start = time.perf_counter()
                epochs = 2 if persistent else 1
                for _ in range(epochs):
                    run(batches, 200)
                del batches
                gc.collect()
                consumer.sweep()
                assert consumer.mapped() == 0, consumer.mapped()
                what = f"{context}, {workers} workers{', persistent' if persistent else ''}"
                print(f"{what}: {epochs * 200} batches equal, {time.perf_counter() - start:.0f} s", flush=True)
    count = arguments.flat
    flat("shared_collate", DataLoader(Images(count * SIZE), SIZE, collate_fn=shared, num_workers=2), count)
    items = [image(number) for number in range(28)] * (count * SIZE // 28 + 1)
    flat("Loader", Loader(items[: count * SIZE], processor(), batch_size=SIZE, num_threads=2), count)


if __name__ == "__main__":
    main()
