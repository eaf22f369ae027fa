"""Core-milliseconds an image in a training loop: what all processes of a loader use, user and system time.

    python -m benches.loading [--rounds 3] [--batches 24] [--batch-size 8] [case ...]

Every case runs in a process of its own, over the same 1920x1080 JPEG files, with Qwen2-VL at most 1280 tokens and two
workers or threads. Memory is touched first, some batches are not counted, and a case is repeated in turn with the
others; the table has medians over the rounds, ratios being those of one round. "read" is the same with a consumer that
copies every batch once into kept memory. With --write the table goes to docs/loading.md.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).resolve().parents[1] / "docs" / "loading.md"
PLACE = re.compile(r"(<!-- measured: loading -->\n).*?(<!-- end -->)", re.DOTALL)

RECIPE = "qwen2-vl"
MAX_PIXELS = 1280 * 28 * 28
WORKERS = 2
# Cases that are also run with a consumer that reads: those whose memory is used again.
READ = ("drop-in-shared", "loader-float32", "packed-shared", "loader-uint8")
# Batches that are not counted: a worker takes another slot whenever the consumer is late, and touches it first. After
# ten batches that still was a tenth of the time.
WARM = 60
TOUCHED = 1 << 30

Loop = Callable[[list[str], int], Iterable[Any]]


def _dataloader(paths: list[str], size: int, collate: Any) -> Iterable[Any]:
    from torch.utils.data import DataLoader

    batches: Iterable[Any] = DataLoader(paths, size, collate_fn=collate, num_workers=WORKERS)  # type: ignore[arg-type]
    return batches


def _transformers(accelerated: bool) -> Any:
    from PIL import Image
    from transformers import Qwen2VLImageProcessor

    processor: Any = Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=MAX_PIXELS)
    if accelerated:
        from vlmres.integrations.transformers import accelerate

        processor = accelerate(processor)

    def collate(paths: list[str]) -> Any:
        images: list[Any] = list(paths)
        if not accelerated:
            images = [Image.open(path).convert("RGB") for path in paths]
        return dict(processor(images=images, return_tensors="pt"))

    return collate


def _vlmres(layout: Any, dtype: Any) -> Any:
    import vlmres

    return vlmres.Processor(RECIPE, layout, dtype, max_pixels=MAX_PIXELS)


def _tensors(processor: Any) -> Any:
    return lambda paths: processor(paths).torch()


def _shared(collate: Any) -> Any:
    from vlmres.integrations.torch import shared_collate

    return shared_collate(collate)


def _loader(layout: Any, dtype: Any) -> Loop:
    def loop(paths: list[str], size: int) -> Iterable[Any]:
        from vlmres.data import Loader

        return Loader(paths, _vlmres(layout, dtype), batch_size=size, num_threads=WORKERS)

    return loop


def _spdl(layout: Any, dtype: Any) -> Loop:
    def loop(paths: list[str], size: int) -> Iterator[Any]:
        from spdl.pipeline import PipelineBuilder

        processor = _vlmres(layout, dtype)
        processor.num_threads = 1
        builder = PipelineBuilder().add_source(paths).aggregate(size).pipe(processor, concurrency=WORKERS)
        pipeline: Any = builder.add_sink(2).build(num_threads=WORKERS)
        with pipeline.auto_stop():
            yield from pipeline.get_iterator()

    return loop


def _bound(layout: Any, dtype: Any) -> Loop:
    """Two processes that decode and process into memory that they keep, and pass nothing on."""

    def loop(paths: list[str], size: int) -> Iterator[Any]:
        context = multiprocessing.get_context("fork")
        # No worker ends before its time is read.
        done: Any = context.Queue(2 * WORKERS)

        def work(first: int) -> None:
            processor = _vlmres(layout, dtype)
            processor.num_threads = 1
            kept: Any = None
            for at in range(first * size, len(paths), WORKERS * size):
                chosen = paths[at : at + size]
                if kept is None:
                    shape, _ = next(iter(processor.shapes(chosen).values()))
                    kept = np.empty(shape, dtype)
                processor(chosen, out=kept)
                done.put(at)

        workers = [context.Process(target=work, args=(first,)) for first in range(WORKERS)]
        for worker in workers:
            worker.start()
        for _ in range(0, len(paths), size):
            yield done.get()
        for worker in workers:
            worker.join()

    return loop


def _stock(collate: Callable[[], Any]) -> Loop:
    return lambda paths, size: _dataloader(paths, size, collate())


CASES: dict[str, tuple[str, Loop]] = {
    "transformers": ("transformers, DataLoader", _stock(lambda: _transformers(False))),
    "drop-in": ("drop-in, DataLoader, float32", _stock(lambda: _transformers(True))),
    "drop-in-shared": ("drop-in, shared_collate, float32", _stock(lambda: _shared(_transformers(True)))),
    "loader-float32": ("Loader, float32", _loader("hf", "float32")),
    "spdl-float32": ("SPDL with vlmres, float32", _spdl("hf", "float32")),
    "bound-float32": ("bound, float32", _bound("hf", "float32")),
    "packed": ("Processor, DataLoader, uint8 packed", _stock(lambda: _tensors(_vlmres("packed", "uint8")))),
    "packed-shared": (
        "Processor, shared_collate, uint8 packed",
        _stock(lambda: _shared(_tensors(_vlmres("packed", "uint8")))),
    ),
    "loader-uint8": ("Loader, uint8 packed", _loader("packed", "uint8")),
    "spdl-uint8": ("SPDL with vlmres, uint8 packed", _spdl("packed", "uint8")),
    "bound-uint8": ("bound, uint8 packed", _bound("packed", "uint8")),
}


def make_files(folder: Path, count: int) -> list[str]:
    """1920x1080 JPEG files of quality 90: crops of an example."""
    from PIL import Image

    source = Path(__file__).resolve().parents[1] / "python" / "vlmres" / "samples" / "photo.jpg"
    with Image.open(source) as opened:
        photo = opened.convert("RGB").resize((2100, 1260), Image.Resampling.LANCZOS)
    paths = []
    for at in range(count):
        left, top = at * 13 % 180, at * 29 % 180
        path = folder / f"{at}.jpg"
        photo.crop((left, top, left + 1920, top + 1080)).save(path, quality=90)
        paths.append(str(path))
    return paths


def _cpu() -> float:
    """Seconds of user and system time of this process and its children until now."""
    total = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    tick = os.sysconf("SC_CLK_TCK")
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / tick
    return total


def _arrays(batch: Any) -> Iterator[Any]:
    for value in batch.values() if hasattr(batch, "values") else ():
        if hasattr(value, "nbytes"):
            yield np.asarray(value)


def run_case(name: str, folder: Path, batches: int, size: int, read: bool) -> dict[str, float]:
    """Core-ms and wall-ms an image of one case, in this process."""
    files = sorted(map(str, folder.iterdir()))
    np.ones(TOUCHED, np.uint8)
    # Those that are made ahead at the end are not counted either.
    # All batches are whole.
    count = (WARM + batches + 3 * WORKERS) * size
    paths = (files * (count // len(files) + 1))[:count]
    kept = np.empty(1 << 20, np.uint8)
    loop = CASES[name][1](paths, size)
    begun = (0.0, 0.0)
    ended = (0.0, 0.0)
    for number, batch in enumerate(loop):
        if read:
            for array in _arrays(batch):
                if array.nbytes > kept.nbytes:
                    kept = np.ones(array.nbytes, np.uint8)
                np.copyto(kept[: array.nbytes].view(array.dtype).reshape(array.shape), array)
        del batch
        if number + 1 == WARM:
            begun = (_cpu(), time.perf_counter())
        if number + 1 == WARM + batches:
            ended = (_cpu(), time.perf_counter())
    images = batches * size
    return {"core": (ended[0] - begun[0]) * 1000 / images, "wall": (ended[1] - begun[1]) * 1000 / images}


def measure(names: list[str], arguments: argparse.Namespace) -> dict[tuple[str, bool], list[dict[str, float]]]:
    """Core-ms and wall-ms of every case in every round; the cases take turns. What a case cannot do is told."""
    results: dict[tuple[str, bool], list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        make_files(Path(folder), 16)
        for number in range(arguments.rounds):
            for name in names:
                for read in (False, True) if arguments.read and name in READ else (False,):
                    command = [sys.executable, "-m", "benches.loading", "--one", name, folder]
                    command += [f"--batches={arguments.batches}", f"--batch-size={arguments.batch_size}"]
                    command += ["--read"] if read else []
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                        continue
                    found = json.loads(done.stdout.splitlines()[-1])
                    results.setdefault((name, read), []).append({**found, "round": number})
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    return results


def table(results: dict[tuple[str, bool], list[dict[str, float]]]) -> str:
    """The results in Markdown: medians over rounds, and ratios of the same round."""
    by_round = {key: {one["round"]: one["core"] for one in found} for key, found in results.items()}
    lines = [
        "| case | core-ms an image | of the bound | transformers takes | wall-ms | rounds |",
        "|---|---|---|---|---|---|",
    ]
    for (name, read), found in results.items():
        bound = by_round.get((f"bound-{'uint8' if 'packed' in CASES[name][0] else 'float32'}", False), {})
        whole = by_round.get(("transformers", False), {})
        ratios = [one["core"] / bound[one["round"]] for one in found if one["round"] in bound]
        times = [whole[one["round"]] / one["core"] for one in found if one["round"] in whole]
        core, wall = ([one[key] for one in found] for key in ("core", "wall"))
        of_bound = f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else ""
        faster = f"{statistics.median(times):.1f}x" if times else ""
        cells = [
            CASES[name][0] + (", read" if read else ""),
            f"{statistics.median(core):.1f} ({min(core):.1f} to {max(core):.1f})",
            of_bound,
            faster,
            f"{statistics.median(wall):.0f}",
            str(len(found)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Runs the cases in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--read", action="store_true", help="some of them also with a consumer that reads")
    parser.add_argument("--write", action="store_true", help="put the table into docs/loading.md")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        name, folder = arguments.one
        print(json.dumps(run_case(name, Path(folder), arguments.batches, arguments.batch_size, arguments.read)))
        return
    found = table(measure(arguments.cases or list(CASES), arguments))
    print(found)
    if arguments.write:
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(PLACE.sub(lambda place: f"{place[1]}{found}\n{place[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
