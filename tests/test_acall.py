"""`Processor.acall`: an event loop stays free, calls are bounded, and a cancelled one ends."""

import asyncio
import pickle
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.images import image, pixels
from vlmres.arithmetic import installed_pillow
from vlmres.data.buffers import has_cuda
from vlmres.integrations.operations.compare import is_tensor
from vlmres.integrations.transformers import memo


class Gate:
    """Memory for a call that is asked for on its thread, which waits there until it is let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.lock = threading.Lock()
        self.inside = 0
        self.most = 0
        self.threads: set[int] = set()

    def __call__(self, _: str, shape: tuple[int, ...], dtype: str) -> Any:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.threads.add(threading.get_ident())
        assert self.open.wait(60)
        with self.lock:
            self.inside -= 1
        return np.empty(shape, dtype)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_results_are_those_of_a_call() -> None:
    proc = vlmres.Processor("qwen2-vl")
    images = [image(90, 60), image(33, 200)]

    async def run() -> list[vlmres.Batch]:
        calls = proc.acall(images), proc.acall(images[0]), proc.acall(videos=[[pixels(60, 40)] * 4])
        return list(await asyncio.gather(*calls))

    both, one, video = asyncio.run(run())
    for got, expected in ((both, proc(images)), (one, proc(images[0])), (video, proc(videos=[[pixels(60, 40)] * 4]))):
        assert list(got) == list(expected)
        assert all(np.array_equal(got[key], expected[key]) for key in expected)


def test_errors_are_those_of_a_call() -> None:
    proc = vlmres.Processor("clip")
    with pytest.raises(TypeError, match="pass images or videos"):
        asyncio.run(proc.acall())
    with pytest.raises(vlmres.VlmresError, match="image 1"):
        asyncio.run(proc.acall([image(9, 9), b"no image"]))
    with pytest.raises(ValueError, match="max_in_flight must be at least 1, got 0"):
        vlmres.Processor("clip", max_in_flight=0)


def test_the_loop_is_free_and_calls_are_bounded() -> None:
    """The loop lets the calls go, which it could not if one of them held it."""
    gate = Gate()
    proc = vlmres.Processor("clip", allocate=gate, max_in_flight=2)

    async def run() -> list[vlmres.Batch]:
        calls = [asyncio.ensure_future(proc.acall(image(40 + index, 30))) for index in range(6)]
        await until(lambda: gate.inside == 2)
        await asyncio.sleep(0.05)  # a third would have come
        gate.open.set()
        return await asyncio.gather(*calls)

    batches = asyncio.run(run())
    assert gate.most == 2
    assert threading.get_ident() not in gate.threads
    for index, batch in enumerate(batches):
        expected = vlmres.Processor("clip")(image(40 + index, 30))
        np.testing.assert_array_equal(batch["pixel_values"], expected["pixel_values"])


def test_a_call_that_waits_is_never_begun_once_cancelled() -> None:
    gate = Gate()
    proc = vlmres.Processor("clip", allocate=gate, max_in_flight=1)

    async def run() -> None:
        first = asyncio.ensure_future(proc.acall(image(30, 30)))
        await until(lambda: gate.inside == 1)
        second = asyncio.ensure_future(proc.acall(image(31, 30)))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        gate.open.set()
        await first
        await proc.acall(image(32, 30))

    count = 0

    def counted(key: str, shape: tuple[int, ...], dtype: str) -> Any:
        nonlocal count
        count += 1
        return gate(key, shape, dtype)

    proc.allocate = counted
    asyncio.run(run())
    assert count == 2


def test_a_call_under_way_ends_when_cancelled() -> None:
    """Nothing is written to its memory any more, most of it never was, and its place is free."""
    big = pixels(2500, 2500)
    images = [big] * 60
    proc = vlmres.Processor("clip", num_threads=1, max_in_flight=1)
    out = np.full(proc.shapes([(2500, 2500)] * 60)["pixel_values"][0], np.nan, dtype=np.float32)

    async def run() -> None:
        call = asyncio.ensure_future(proc.acall(images, out=out))
        await until(lambda: not np.isnan(out).all())
        call.cancel()
        await asyncio.sleep(0)
        call.cancel()  # once more while it ends
        with pytest.raises(asyncio.CancelledError):
            await call
        written = np.isnan(out).copy()
        await proc.acall(image(30, 30))
        assert np.array_equal(np.isnan(out), written)
        assert written.any()

    asyncio.run(run())


def test_a_time_limit_ends_a_call() -> None:
    proc = vlmres.Processor("clip", num_threads=1)

    async def run() -> None:
        with pytest.raises((asyncio.TimeoutError, TimeoutError)):
            await asyncio.wait_for(proc.acall([pixels(2500, 2500)] * 400), 0.05)

    asyncio.run(run())


def test_it_may_be_awaited_from_several_loops_and_pickled() -> None:
    proc = pickle.loads(pickle.dumps(vlmres.Processor("clip", max_in_flight=3)))
    assert proc.max_in_flight == 3
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(asyncio.run(proc.acall(image(50, 40))))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = proc(image(50, 40))["pixel_values"]
    assert len(results) == 4
    assert all(np.array_equal(batch["pixel_values"], expected) for batch in results)


def test_a_library_that_another_thread_is_importing_is_none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the first images of a process come on several threads, one of which imports Pillow."""
    monkeypatch.setitem(sys.modules, "PIL.Image", ModuleType("PIL.Image"))
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    proc = vlmres.Processor("clip")
    assert proc(pixels(40, 30))["pixel_values"].shape == (1, 3, 224, 224)
    assert vlmres.plan((40, 30), "clip").num_tokens == 256


@pytest.mark.parametrize("name", ["torch", "PIL"])
def test_questions_about_a_library_that_is_being_imported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are answered as if it were not imported, in place of an AttributeError."""
    known = installed_pillow()
    for module in (name, "torch.cuda"):
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    assert installed_pillow() == known
    assert not has_cuda()
    if name == "torch":
        assert not is_tensor(np.zeros(1))
        assert not memo.has_one_thread()
        assert memo.remembered_as(("asked while torch is being imported",), lambda: "route") == "route"
