"""`shared_collate` in stock DataLoaders: the bits of direct calls, and nothing left behind."""

import functools
import gc
import logging
import mmap
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import vlmres
from vlmres.integrations.torch import consumer, cuda, segments, shared_collate, worker
from vlmres.outputs import AMBIENT

pytestmark = [
    pytest.mark.skipif(not segments.is_supported(), reason="needs memfd_create"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


def image(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(0, 256, (60 + number % 5 * 28, 84, 3), dtype=np.uint8)


class Images(Dataset):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> np.ndarray:
        return image(index)


PROCESSOR = vlmres.Processor("qwen2-vl", layout="packed", dtype="uint8", num_threads=1)


@functools.cache
def drop_in() -> Any:
    # Here, so that workers that are spawned need not import it.
    from transformers import Qwen2VLImageProcessor

    from vlmres.integrations.transformers import accelerate

    return accelerate(Qwen2VLImageProcessor())


def to_batch(images: list[np.ndarray]) -> vlmres.Batch:
    return PROCESSOR(images)


def to_everything(images: list[np.ndarray]) -> dict[str, Any]:
    """What batches hold: a `Batch`, a `BatchFeature`, tensors of all kinds, and other things."""
    floats = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "batch": PROCESSOR(images),
        "features": drop_in()(images=images, return_tensors="pt"),
        "bfloat16": vlmres.Processor("qwen2-vl", dtype="bfloat16")(images).torch(),
        "views": [floats[1:, ::2], floats.T, floats[0, 0], torch.empty(0, 3), torch.tensor(True)],
        "arrays": [np.arange(6)[::-1], np.array("text"), np.zeros((0, 2)), np.array([{}], dtype=object)],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "text": ["a", None, 1.5],
    }


def same(one: Any, other: Any) -> None:
    if isinstance(other, torch.Tensor):
        assert (one.dtype, one.shape, one.requires_grad) == (other.dtype, other.shape, other.requires_grad)
        assert torch.equal(one, other)
    elif isinstance(other, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.array_equal(one, other)
    elif hasattr(other, "items"):
        assert type(one) is type(other)
        assert list(one) == list(other)
        for key in other:
            same(one[key], other[key])
    elif isinstance(other, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            same(*pair)
    else:
        assert one == other


def loader(count: int, collate: Callable[[Any], Any], slots: int | None = None, **settings: Any) -> DataLoader:
    settings = {"batch_size": 2, "num_workers": 1, "multiprocessing_context": "fork", **settings}
    return DataLoader(Images(count), collate_fn=shared_collate(collate, slots=slots), **settings)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = consumer.mapped()
    yield
    consumer.sweep()
    if consumer.mapped() != before:
        gc.collect()
        consumer.sweep()
    assert consumer.mapped() == before


@pytest.fixture
def slots(nothing_is_left: None) -> Iterator[worker.Slots]:  # noqa: ARG001
    """A worker's, in this process, which is its own consumer."""
    slots = worker.Slots()
    yield slots
    os.close(slots._alive._held)  # the worker ends


@pytest.mark.parametrize("context", ["forkserver", "spawn"])
def test_workers_that_are_spawned(context: str) -> None:
    for number, batch in enumerate(loader(12, to_batch, multiprocessing_context=context)):
        same(batch, to_batch([image(2 * number), image(2 * number + 1)]))
    del batch


def test_batches_of_any_structure() -> None:
    found = list(loader(4, to_everything))
    for number, batch in enumerate(found):
        same(batch, to_everything([image(2 * number), image(2 * number + 1)]))
        assert batch["batch"].plans == PROCESSOR([image(2 * number), image(2 * number + 1)]).plans
    del batch, found


def test_pixels_are_not_copied(slots: worker.Slots, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors that a processor makes are written where the consumer reads them."""
    written: list[int] = []
    copied: list[int] = []
    array = segments.Space.array

    def spy(space: segments.Space, shape: tuple[int, ...], dtype: np.dtype) -> Any:
        (written if AMBIENT.get() is not None else copied).append(int(np.prod(shape)) * dtype.itemsize)
        return array(space, shape, dtype)

    def collate(images: list[np.ndarray]) -> Any:
        return PROCESSOR(images), drop_in()(images=images, return_tensors="pt")

    monkeypatch.setattr(segments.Space, "array", spy)
    drop_in()(images=[image(0)], return_tensors="pt")  # its route is found
    batch, features = collate([image(0), image(1)])
    result = pickle.loads(pickle.dumps(_received(slots.make(collate, [image(0), image(1)], 2))))
    assert sorted(written) == sorted([batch.patches.nbytes, features["pixel_values"].nbytes])
    assert sum(copied) < 20_000
    same(list(result), [batch, features])


def _received(sent: Any) -> Any:
    """A batch as another process gets it, in this one."""

    class Given:
        def __init__(self, fd: int) -> None:
            self.fd = os.dup(fd)

        def detach(self) -> int:
            return self.fd

    if not isinstance(sent, worker._Sent):
        return sent
    handle = sent._handle
    fd = handle.fd and Given(handle.fd.detach())
    alive = handle.alive and Given(handle.alive.detach())
    return consumer.load(handle._replace(fd=fd, alive=alive), sent._payload)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("is_persistent", [False, True])
def test_epochs_of_workers(workers: int, is_persistent: bool) -> None:
    settings: dict[str, Any] = {"num_workers": workers, "persistent_workers": is_persistent and workers > 0}
    if workers == 0:
        settings["multiprocessing_context"] = None
    batches = loader(24, to_batch, **settings)
    for _ in range(3):
        kept = []
        for number, batch in enumerate(batches):
            same(batch, to_batch([image(2 * number), image(2 * number + 1)]))
            kept.append(batch)
        assert len(kept) == 12
        for number, batch in enumerate(kept):
            same(batch, to_batch([image(2 * number), image(2 * number + 1)]))
    del batch, kept, batches


def test_a_slice_that_is_kept_stays_as_it_is() -> None:
    kept = [(number, batch.patches[3:5]) for number, batch in enumerate(loader(40, to_batch, slots=2))]
    for number, rows in kept:
        same(rows, to_batch([image(2 * number), image(2 * number + 1)]).patches[3:5])


def test_slots_are_used_again_and_descriptors_stay() -> None:
    """Segments and descriptors are as many after many batches as after a few."""
    seen = set()
    batches = iter(loader(200, to_batch, slots=4, persistent_workers=True))
    for _ in range(10):
        next(batches)
    before = descriptors() - consumer.mapped()
    for batch in batches:
        seen.add(batch.patches.ctypes.data)
        assert consumer.mapped() <= 4
    assert descriptors() - consumer.mapped() <= before
    assert len({address // segments.WINDOW for address in seen}) <= 4
    del batch, batches


def test_what_a_worker_keeps_is_not_overwritten() -> None:
    kept: list[Any] = []
    wrong = []

    def collate(images: list[np.ndarray]) -> Any:
        for earlier, batch in kept:
            if not np.array_equal(batch.patches, to_batch_alone(earlier).patches):
                wrong.append(1)
        batch = PROCESSOR(images)
        kept.append((images, batch))
        return batch, len(wrong)

    def to_batch_alone(images: list[np.ndarray]) -> vlmres.Batch:
        token = AMBIENT.set(None)
        try:
            return PROCESSOR(images)
        finally:
            AMBIENT.reset(token)

    assert [count for _, count in loader(20, collate, slots=2)] == [0] * 10


def test_without_memory_batches_come_by_value(slots: worker.Slots, caplog: pytest.LogCaptureFixture) -> None:
    """What a full /dev/shm or a small container is to torch's own way, which ends there by SIGBUS."""
    images = [image(0), image(1)]
    expected = to_everything(images)
    limit = os.posix_fallocate

    def little(fd: int, offset: int, length: int) -> None:
        if offset + length > segments.HEADER:
            raise OSError(28, "No space left on device")
        limit(fd, offset, length)

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(os, "posix_fallocate", little)
        for _ in range(2):
            same(_received(slots.make(to_everything, images, 2)), expected)
    assert caplog.text.count("no shared memory for") == 1
    caplog.clear()

    def nothing(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(os, "posix_fallocate", nothing)
        for _ in range(2):
            sent = worker.Slots().make(to_everything, images, 2)
            same(pickle.loads(pickle.dumps(sent)), expected)
    assert "batches are sent by value" in caplog.text
    same(_received(slots.make(to_everything, images, 2)), expected)


def test_a_consumer_that_keeps_batches_is_told(slots: worker.Slots, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        kept = [_received(slots.make(to_batch, [image(number)], 2)) for number in range(10)]
    for number, batch in enumerate(kept):
        same(batch, to_batch([image(number)]))
    assert caplog.text.count("all 2 slots of this worker are in use") == 1


def test_an_error_in_a_worker_is_the_consumers() -> None:
    def collate(images: list[np.ndarray]) -> Any:
        if images[0].shape == image(2).shape:
            raise KeyError("this batch")
        return PROCESSOR(images)

    batches = iter(loader(12, collate, persistent_workers=True))
    next(batches)
    with pytest.raises(KeyError, match="this batch"):
        next(batches)
    assert len(list(batches)) >= 2
    del batches


def test_a_killed_worker_is_an_error_and_leaves_nothing() -> None:
    """In a process of its own, which torch's handler of signals is taken from."""
    code = "from tests.integrations.test_shared_collate import kill_a_worker; kill_a_worker()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after <= before


def kill_a_worker() -> None:
    """Prints how many descriptors there are before, and after, once both workers have ended."""
    list(loader(4, to_batch, num_workers=2))  # what the first loop of a process opens stays open
    batches = loader(4000, to_batch, num_workers=2)
    before = descriptors()
    loop = iter(batches)
    kept = next(loop)
    # torch's handler may find the dead worker again in any line; without it the loader itself does, after 5 s.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.kill(loop._workers[0].pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match=r"worker"):
        list(loop)
    del loop, batches
    gc.collect()
    same(kept, to_batch([image(0), image(1)]))
    del kept
    deadline = time.monotonic() + 20
    consumer.sweep()
    while descriptors() > before and time.monotonic() < deadline:
        time.sleep(0.05)
        consumer.sweep()
    print(before, descriptors())


def test_a_forked_child_does_not_give_slots_back(slots: worker.Slots) -> None:
    """A child has copies of the batches of its parent; dropping them is not dropping the parent's."""
    batch = _received(slots.make(to_batch, [image(0)], 1))
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        del batch
        gc.collect()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not slots._slots[0].is_free()
    same(batch, to_batch([image(0)]))
    del batch
    assert slots._slots[0].is_free()


class Device:
    """A stand-in for CUDA: what is page-locked, and copies that are not done."""

    def __init__(self) -> None:
        self.locked: dict[int, int] = {}
        self.is_done = False
        self.marked = 0

    def query(self) -> bool:
        return self.is_done

    def marks(self) -> list[Any]:
        self.marked += 1
        return [self]

    def register(self, address: int, nbytes: int) -> bool:
        assert address not in self.locked
        self.locked[address] = nbytes
        return True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(cuda, "is_used", lambda: True)
    monkeypatch.setattr(cuda, "register", device.register)
    monkeypatch.setattr(cuda, "unregister", device.locked.pop)
    monkeypatch.setattr(cuda, "marks", device.marks)
    return device


def test_a_slot_is_not_used_before_copies_from_it_are_done(slots: worker.Slots, device: Device) -> None:
    for number in range(2):
        batch = _received(slots.make(to_batch, [image(number)], 2))
        same(batch, to_batch([image(number)]))
        device.is_done = False
        del batch
        assert device.marked == number + 1
    # Both slots wait for copies: another batch has memory of its own.
    assert [segment.is_free() for segment in slots._slots] == [False, False]
    single = _received(slots.make(to_batch, [image(2)], 2))
    same(single, to_batch([image(2)]))
    assert len(device.locked) == 3
    del single
    assert len(device.locked) == 3
    device.is_done = True
    consumer.sweep()
    assert [segment.is_free() for segment in slots._slots] == [True, True]
    assert len(device.locked) == 2


def test_a_slot_is_page_locked_once(slots: worker.Slots, device: Device) -> None:
    device.is_done = True
    registered = []
    for number in (0, 0, 0):
        del_me = _received(slots.make(to_batch, [image(number)], 1))
        registered.append(dict(device.locked))
        del del_me
    assert registered[0] == registered[1] == registered[2]
    ((address, nbytes),) = registered[0].items()
    large = [np.zeros((1400, 1400, 3), np.uint8)] * 2
    batch = _received(slots.make(to_batch, large, 1))
    assert device.locked.keys() == {address}
    assert device.locked[address] > nbytes
    same(batch, to_batch(large))
    del batch


def test_pin_memory_keeps_a_batch_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    from torch.utils.data._utils.pin_memory import pin_memory

    batch = to_batch([image(0)])
    pinned = pin_memory(batch)
    assert isinstance(pinned, vlmres.Batch)
    assert pinned.plans == batch.plans
    same(dict(pinned), batch.torch())


def test_views_may_go_in_any_thread(slots: worker.Slots) -> None:
    for number in range(20):
        batch = _received(slots.make(to_batch, [image(number)], 2))
        holder = [batch]
        del batch
        threads = [threading.Thread(target=holder.clear) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(slots._slots) <= 2


@pytest.mark.parametrize(
    ("collate", "slots", "error"), [(None, None, TypeError), (to_batch, 0, ValueError), (to_batch, 1.5, TypeError)]
)
def test_arguments(collate: Any, slots: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        shared_collate(collate, slots=slots)


def test_without_the_systems_part_it_is_collate(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vlmres.integrations.torch.collate.is_supported", lambda: False)
    monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda: object())
    with caplog.at_level(logging.WARNING):
        same(shared_collate(to_batch)([image(0)]), to_batch([image(0)]))
    assert "no memfd_create" in caplog.text


def test_a_batch_in_another_process_is_an_error(slots: worker.Slots) -> None:
    first = slots.make(to_batch, [image(0)], 1)
    del first
    slots._slots[0]._whole[0] = segments.FREE
    second = slots.make(to_batch, [image(0)], 1)
    with pytest.raises(RuntimeError, match="has not had the ones before"):
        consumer.load(second._handle, second._payload)


def test_address_space_is_no_memory() -> None:
    with open("/proc/self/status") as status:  # noqa: PTH123
        before = next(line for line in status if line.startswith("VmRSS"))
    segment = segments.Segment(None)
    assert segment.held == mmap.PAGESIZE == segments.HEADER
    with open("/proc/self/status") as status:  # noqa: PTH123
        after = next(line for line in status if line.startswith("VmRSS"))
    assert int(after.split()[1]) - int(before.split()[1]) < 1000
    segment.close()
