"""What Ray adds: the same tasks in plain processes and on a local cluster (`make test-ray` installs what it needs).

`python -m benches.ray_rate [--images N] [--rounds N]` prints, for each round, wall time and CPU time of the workers.
Both write the same Parquet parts, on as many processes, warmed.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

PROCESSES = 2
COST = 64 << 20


def images(count: int) -> list[bytes]:
    """JPEG files of 1280x720."""
    from PIL import Image

    path = Path(__file__).parent.parent / "python" / "vlmres" / "samples" / "photo.jpg"
    with Image.open(path) as photo:
        scaled = photo.resize((1280, 720))
    file = io.BytesIO()
    scaled.save(file, "JPEG", quality=90)
    return [file.getvalue() + bytes([number % 256, number // 256]) for number in range(count)]


def plain(block: Any, settings: Any, queue: Any, done: Any) -> None:
    """A process that plans and makes half of the rows, each time that it is asked."""
    from vlmres.integrations.ray.scheduler import even_runs
    from vlmres.integrations.ray.work import make_rows, plan_block

    while (out := queue.get()) is not None:
        before = resource.getrusage(resource.RUSAGE_SELF)
        ids, costs = plan_block(block, settings)
        for run in even_runs(costs, COST):
            rows = list(run)
            make_rows(block, rows, [ids[row] for row in rows], out, f"{os.getpid()}-{rows[0]}")
        after = resource.getrusage(resource.RUSAGE_SELF)
        done.put(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def workers_time() -> float:
    """CPU seconds so far of Ray's workers on this machine."""
    import psutil

    total = 0.0
    for process in psutil.process_iter(["name", "cmdline"]):
        if " ".join(process.info["cmdline"] or ()).startswith("ray::"):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def main() -> None:
    """Prints a line for each round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    # By default Ray's workers have the lowest priority, and plain processes have not.
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    import pyarrow as pa
    import ray
    import ray.data

    import vlmres
    from vlmres.integrations.ray import preprocess
    from vlmres.integrations.ray.work import Settings

    table = pa.table({"bytes": pa.array(images(arguments.images), pa.binary())})
    recipe = vlmres.Recipe.load("qwen2-vl", max_pixels=1280 * 28 * 28)
    folder = Path(tempfile.mkdtemp())

    def settings(name: str) -> Settings:
        (folder / name).mkdir(parents=True)
        return Settings(recipe, "uint8", "bytes", None, None, str(folder / name), "parquet", 1)

    context = multiprocessing.get_context("spawn")
    queue, done = context.Queue(), context.Queue()
    half = -(-len(table) // PROCESSES)
    blocks = [table.slice(start, half) for start in range(0, len(table), half)]
    processes = [
        context.Process(target=plain, args=(block, settings(f"warm{number}"), queue, done))
        for number, block in enumerate(blocks)
    ]
    for process in processes:
        process.start()
    ray.init(num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False, object_store_memory=1 << 30)
    ray.data.DataContext.get_current().enable_progress_bars = False
    dataset = ray.data.from_arrow([table.slice(start, 75) for start in range(0, len(table), 75)]).materialize()
    ratios = []
    for number in range(arguments.rounds + 1):
        start = time.perf_counter()
        for _ in processes:
            queue.put(settings(f"plain{number}-{_.name}"))
        alone_cpu = sum(done.get() for _ in processes)
        alone = time.perf_counter() - start
        before, start = workers_time(), time.perf_counter()
        preprocess(dataset, recipe, out=str(folder / f"ray{number}"), block_bytes=COST)
        together = time.perf_counter() - start
        together_cpu = workers_time() - before
        if number:  # the first warms
            ratios.append((together / alone, together_cpu / alone_cpu))
            print(
                f"plain {alone:.2f} s wall, {alone_cpu:.2f} s CPU; Ray {together:.2f} s wall, {together_cpu:.2f} s CPU "
                f"of workers; {ratios[-1][0]:.2f}x, {ratios[-1][1]:.2f}x",
                flush=True,
            )
    wall, cpu = np.median(ratios, axis=0)
    print(f"median: {wall:.2f}x wall, {cpu:.2f}x CPU")
    for _ in processes:
        queue.put(None)
    ray.shutdown()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
