"""Threads, forks, worker processes, and what an import does."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import vlmres
from tests import files
from tests.images import EXAMPLES, REAL, image
from vlmres._core import default_threads
from vlmres.arithmetic import Arithmetic
from vlmres.processor import Layout

RECIPES = ("internvl2", "nativeres-llava", "llava-next", "qwen2-vl", "siglip2-naflex", "deepseek-ocr-gundam")

IMAGES: list[Any] = [
    image(1200, 800, "smooth"),
    image(64, 64),
    image(900, 1500),
    files.encode(image(500, 700), "PNG"),
    EXAMPLES / "photo.jpg",
    image(31, 400),
]


def bits(batch: vlmres.Batch) -> dict[str, bytes]:
    return {key: array.tobytes() for key, array in batch.items()}


@pytest.mark.parametrize("layout", ["hf", "packed"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_any_number_of_threads_gives_the_same_bits(recipe: str, layout: Layout) -> None:
    expected = bits(vlmres.Processor(recipe, layout, num_threads=1)(IMAGES))
    for threads in (2, 3, 8):
        assert bits(vlmres.Processor(recipe, layout, num_threads=threads)(IMAGES)) == expected, threads
    assert bits(vlmres.Processor(recipe, layout)(IMAGES)) == expected


@pytest.mark.parametrize("arithmetic", ["pillow", "pillow-11", "torch"])
def test_resize_on_any_number_of_threads(arithmetic: Arithmetic) -> None:
    """Bands meet at every row."""
    for source, target in [((900, 1500), (700, 1100)), ((300, 200), (900, 1700)), ((40, 4000), (800, 900))]:
        picture = image(*source)
        expected = vlmres.resize(picture, target, "lanczos", arithmetic, num_threads=1)
        for threads in (2, 3, 8):
            got = vlmres.resize(picture, target, "lanczos", arithmetic, num_threads=threads)
            np.testing.assert_array_equal(got, expected)


def test_many_python_threads_share_a_processor() -> None:
    proc = vlmres.Processor("qwen2-vl", num_threads=2)
    jobs = [IMAGES[index % len(IMAGES) :][:2] for index in range(24)]
    expected = [bits(proc(job)) for job in jobs]
    barrier = threading.Barrier(8)

    def work(start: int) -> bool:
        barrier.wait()
        return all(bits(proc(jobs[index])) == expected[index] for index in range(start, len(jobs), 8))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_errors_in_many_threads() -> None:
    proc = vlmres.Processor("qwen2-vl", num_threads=2)

    def work(index: int) -> str:
        try:
            proc([IMAGES[0]] * (index % 3) + [b"broken"])
        except vlmres.DecodeError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(8) as pool:
        messages = list(pool.map(work, range(24)))
    assert all(message.startswith(f"image {index % 3}: ") for index, message in enumerate(messages))


def test_processors_pickle() -> None:
    proc = vlmres.Processor(vlmres.Recipe.load("qwen2-vl", max_pixels=50176), "packed", "bfloat16", "torch", 2)
    copy = pickle.loads(pickle.dumps(proc))
    assert repr(copy) == repr(proc)
    assert bits(copy(IMAGES[0])) == bits(proc(IMAGES[0]))
    batch = pickle.loads(pickle.dumps(proc(IMAGES[:2])))
    assert bits(batch) == bits(proc(IMAGES[:2]))
    assert batch.plans == proc(IMAGES[:2]).plans


def send(connection: Any, work: Callable[[], Any]) -> None:
    connection.send(work())
    connection.close()


def forked(work: Callable[[], Any], seconds: float = 60) -> Any:
    """The result of a function in a forked child."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    with warnings.catch_warnings():
        # Forking with threads about is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=send, args=(sender, work))
        child.start()
    sender.close()
    try:
        assert receiver.poll(seconds), "the forked child hangs"
        return receiver.recv()
    finally:
        child.join(5)
        if child.is_alive():
            child.kill()
        receiver.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_the_pool_has_run() -> None:
    proc = vlmres.Processor("internvl2", num_threads=3)
    expected = bits(proc(IMAGES))
    assert forked(lambda: bits(proc(IMAGES))) == expected
    # A child's child, and the parent after them.
    assert forked(lambda: forked(lambda: bits(proc(IMAGES)))) == expected
    assert bits(proc(IMAGES)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_other_threads_process() -> None:
    proc = vlmres.Processor("qwen2-vl", num_threads=2)
    expected = bits(proc(IMAGES[0]))
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            proc(IMAGES[0])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            assert forked(lambda: bits(proc(IMAGES[0]))) == expected
    finally:
        stop.set()
        for thread in threads:
            thread.join()


class Patches(Dataset[tuple[bytes, int]]):
    """Every item's bits, and the number of threads of its process after making them."""

    def __init__(self) -> None:
        self._processor = vlmres.Processor("internvl2")

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> tuple[bytes, int]:
        before = native_threads()
        batch = self._processor(IMAGES[index])
        return batch["pixel_values"].tobytes(), native_threads() - before


def native_threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


class Photos(Dataset[Any]):
    """Two hundred items made of a few images."""

    def __init__(self) -> None:
        self.images = [image(700, 500, "smooth"), image(90, 400), image(640, 480)]
        self._processor = vlmres.Processor("qwen2-vl")

    def __len__(self) -> int:
        return 200

    def __getitem__(self, index: int) -> Any:
        return self._processor(self.images[index % len(self.images)])["pixel_values"]


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_data_loader_of_every_start_method(method: str) -> None:
    """Two hundred batches by two workers, after the parent's pool has run, equal to the parent's own."""
    photos = Photos()
    expected = [vlmres.Processor("qwen2-vl", num_threads=2)(photo)["pixel_values"] for photo in photos.images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loader = DataLoader(photos, batch_size=None, num_workers=2, multiprocessing_context=method, timeout=120)
        batches = 0
        for index, values in enumerate(loader):
            assert np.array_equal(values, expected[index % len(expected)])
            batches += 1
    assert batches == 200


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads by /proc")
def test_data_loader_workers_use_one_thread() -> None:
    vlmres.Processor("internvl2", num_threads=2)(IMAGES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        loader = DataLoader(Patches(), batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=60)
        items = list(loader)
    expected = [vlmres.Processor("internvl2")(item)["pixel_values"].tobytes() for item in IMAGES]
    assert [item[0] for item in items] == expected
    assert [item[1] for item in items] == [0] * len(IMAGES)


def in_subprocess(script: str, *arguments: str, **environment: str) -> Any:
    """What a fresh interpreter's script prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


COUNT = "import json, os\ndef count(): return len(os.listdir('/proc/self/task'))\n"


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads by /proc")
def test_no_thread_starts_at_import() -> None:
    script = (
        COUNT
        + """
import numpy as np
before = count()
import vlmres
imported = count()
vlmres.plan((640, 480), "internvl2")
proc = vlmres.Processor("internvl2", num_threads=3)
proc_one = vlmres.Processor("internvl2", num_threads=1)
image = np.zeros((900, 1200, 3), dtype=np.uint8)
proc_one(image)
made = count()
proc(image)
print(json.dumps([imported - before, made - before, count() - before]))
"""
    )
    assert in_subprocess(script) == [0, 0, 2]


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads by /proc")
@pytest.mark.parametrize(("value", "threads"), [("1", 1), ("2", 2), ("4", 4), (" 3 ", 3)])
def test_the_environment_variable(value: str, threads: int) -> None:
    script = (
        COUNT
        + """
import numpy as np, vlmres
from vlmres._core import default_threads
before = count()
vlmres.Processor("internvl2")(np.zeros((900, 1200, 3), dtype=np.uint8))
print(json.dumps([default_threads(), count() - before]))
"""
    )
    assert in_subprocess(script, VLMRES_NUM_THREADS=value) == [threads, threads - 1]


@pytest.mark.parametrize("value", ["", "0", "-2", "many", "1.5"])
def test_a_senseless_environment_variable_does_nothing(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.delenv("VLMRES_NUM_THREADS", raising=False)
    expected = default_threads()
    monkeypatch.setenv("VLMRES_NUM_THREADS", value)
    assert default_threads() == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity")
def test_affinity_limits_the_default() -> None:
    script = """
import json, os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from vlmres._core import default_threads
print(json.dumps(default_threads()))
"""
    environment = {"VLMRES_NUM_THREADS": ""}
    assert in_subprocess(script, **environment) == 1


def test_import_needs_numpy_alone() -> None:
    script = """
import json, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "torchvision", "PIL", "transformers", "rich", "typer", "safetensors"}:
            raise ImportError(f"{name} must not be imported")
sys.meta_path.insert(0, Block())
import numpy as np
import vlmres
vlmres.Processor("qwen2-vl")(np.zeros((40, 50, 3), dtype=np.uint8))
vlmres.plan_many([(5, 5)], "internvl2")
vlmres.resize(np.zeros((40, 50, 3), dtype=np.uint8), (7, 8))
vlmres.Processor("llava-1.5", "packed")(sys.argv[1])
print(json.dumps([name for name in ("torch", "torchvision", "PIL", "transformers") if name in sys.modules]))
"""
    assert in_subprocess(script, str(EXAMPLES / REAL[0])) == []


def test_the_gil_is_released() -> None:
    """A Python thread makes progress while one call is under way."""
    picture = image(4000, 3000, "smooth")
    proc = vlmres.Processor("llava-1.5", num_threads=1)
    done = threading.Event()
    ticks = 0

    def work() -> None:
        proc([picture] * 100)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.wait(0.002):
        ticks += 1
    thread.join()
    # With the lock held throughout, the waits would return once, after the call.
    assert ticks > 5


@pytest.mark.parametrize("threads", [1, 2])
def test_a_signals_handler_may_process_images(threads: int) -> None:
    """In the middle of a call, which goes on after it."""
    script = """
import json
import signal
import sys
import numpy as np
import vlmres
proc = vlmres.Processor("siglip", num_threads=int(sys.argv[1]))
small, large = np.full((300, 400, 3), 70, np.uint8), [np.full((1500, 2000, 3), 90, np.uint8)] * 50
expected = [proc(images)["pixel_values"].tobytes() for images in (small, large)]
within, found = [], []
def handle(*_):
    found.append(proc(small)["pixel_values"].tobytes() == expected[0])
    within.append(under_way)
    signal.setitimer(signal.ITIMER_REAL, 0.06)
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.06)
for _ in range(200):
    under_way = True
    batch = proc(large)
    under_way = False
    found.append(batch["pixel_values"].tobytes() == expected[1])
    if sum(within) > 2:
        break
signal.setitimer(signal.ITIMER_REAL, 0)
print(json.dumps([sum(within) > 2, all(found)]))
"""
    assert in_subprocess(script, str(threads)) == [True, True]


def test_torch_threads_are_left_alone() -> None:
    before = torch.get_num_threads()
    vlmres.Processor("internvl2", num_threads=2)(IMAGES[0])
    assert torch.get_num_threads() == before
