"""Copies beside the encoder, on a device that does everything as late as it may."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import vlmres
from tests.images import image
from vlmres.encoder import EncoderOutput, VisionEncoder
from vlmres.encoder.runtime import double_buffer
from vlmres.encoder.runtime.stream import EncodedGroup, encode_groups


class Stream:
    """Work in order, done when something waits for it."""

    def __init__(self, *_: Any) -> None:
        self.work: list[Callable[[], object]] = []
        self.done = 0
        self.lock = threading.RLock()

    def run(self, end: int) -> None:
        with self.lock:
            while self.done < end:
                self.done += 1
                self.work[self.done - 1]()

    def wait_event(self, event: Event) -> None:
        self.work.append(event.synchronize)


class Event:
    """The end of what a stream had to do when it was recorded."""

    def __init__(self) -> None:
        self.end: tuple[Stream, int] | None = None

    def record(self, stream: Stream) -> None:
        self.end = stream, len(stream.work)

    def synchronize(self) -> None:
        assert self.end is not None
        self.end[0].run(self.end[1])


class LateDevice:
    """What `vlmres.encoder.runtime.double_buffer` uses of torch, on a device whose copies and kernels run late."""

    def __init__(self) -> None:
        self.compute = self.current = Stream()
        self.recorded: list[Any] = []
        self.streams = 0
        self.cuda = SimpleNamespace(
            Stream=self.new_stream,
            Event=Event,
            stream=self.stream,
            current_stream=lambda _: self.current,
            empty_cache=lambda: None,
        )
        self.uint8 = torch.uint8
        self.OutOfMemoryError = torch.OutOfMemoryError
        self.allocated = self.pinned = 0
        self.room: Callable[[int], bool] = lambda _: True
        """Whether there is memory for the copy of this number."""

    def new_stream(self, _: torch.device) -> Stream:
        self.streams += 1
        return Stream()

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        self.current, before = stream, self.current
        try:
            yield
        finally:
            self.current = before

    def empty(self, *size: int, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
        assert pin_memory
        self.pinned += 1
        return torch.full(size, 77, dtype=dtype)

    def from_numpy(self, array: Any) -> Any:
        def to(device: torch.device, *, non_blocking: bool) -> Any:
            assert device.type == "cuda"
            assert non_blocking
            self.allocated += 1
            if not self.room(self.allocated):
                raise torch.OutOfMemoryError("no room for patches")
            copy = torch.zeros(array.shape, dtype=torch.uint8)
            self.current.work.append(functools.partial(copy.copy_, torch.from_numpy(array)))
            return SimpleNamespace(values=copy, record_stream=self.recorded.append)

        return SimpleNamespace(to=to)


LATER: Any = object()


class LateExecutor:
    """The executor of an encoder on such a device."""

    def __init__(self, encoder: VisionEncoder, device: LateDevice, max_patches: int) -> None:
        self.encoder, self.late, self.max_patches = encoder, device, max_patches
        self.device, self.input_dtype, self.prepare = torch.device("cuda", 0), encoder.input_dtype, encoder.prepare
        self.outputs: list[EncoderOutput] = []
        self.waiting = 0
        self.most = 0

    def run(self, chunks: Any, patches: Any) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)

        def kernels() -> None:
            self.waiting -= 1
            # Without patches on the device they are read from the host, as late.
            self.outputs.append(self.encoder.run(chunks, None if patches is None else patches.values))

        self.late.compute.work.append(kernels)
        return LATER

    def groups(self, images: list[Any]) -> Iterator[EncodedGroup]:
        executor: Any = self
        assert self.encoder.recipe is not None
        return encode_groups(executor, self.encoder.recipe, [images], "images", {}, self.encoder._spare)


IMAGES = [image(64 + 16 * (index % 5), 96, seed=index) for index in range(12)]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> LateDevice:
    found = LateDevice()
    monkeypatch.setattr(double_buffer, "torch", found)
    return found


def _groups(late: LateExecutor, images: list[Any]) -> list[EncodedGroup]:
    return list(late.groups(images))


def _check(late: LateExecutor, wanted: EncoderOutput) -> None:
    late.late.compute.run(len(late.late.compute.work))
    found = EncoderOutput.join(late.outputs)
    assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
    torch.testing.assert_close(found.tokens, wanted.tokens, rtol=1e-5, atol=1e-6)


def test_memory_is_not_used_too_early(encoder: VisionEncoder, device: LateDevice) -> None:
    wanted = encoder(_batch(encoder))
    late = LateExecutor(encoder, device, 40)
    groups = _groups(late, IMAGES)
    assert len(groups) > 5
    assert all(group.output is LATER for group in groups)
    assert late.outputs, "a device with two groups is waited for"
    assert late.most <= 2
    assert device.recorded == [device.compute] * len(groups)
    _check(late, wanted)


def _batch(encoder: VisionEncoder) -> vlmres.Batch:
    assert encoder.recipe is not None
    return vlmres.Processor(encoder.recipe, layout="packed", dtype="uint8")(IMAGES)


@pytest.mark.parametrize("every", [1, 2, 3])
def test_no_room_for_a_copy(every: int, encoder: VisionEncoder, device: LateDevice) -> None:
    """Patches that are not copied at once are left to `run`, which halves; it reads them before others come."""
    wanted = encoder(_batch(encoder))
    device.room = lambda number: number % every != 0
    late = LateExecutor(encoder, device, 40)
    groups = _groups(late, IMAGES)
    assert device.allocated == len(groups)
    assert len(device.recorded) == len(groups) - len(groups) // every
    _check(late, wanted)


def test_a_double_buffer_is_kept_for_the_next_call(encoder: VisionEncoder, device: LateDevice) -> None:
    wanted = encoder(_batch(encoder))
    late = LateExecutor(encoder, device, 40)
    _groups(late, IMAGES)
    pinned = device.pinned
    assert pinned >= 2
    _check(late, wanted)
    late.outputs.clear()
    _groups(late, IMAGES)
    assert (device.streams, device.pinned) == (1, pinned)
    _check(late, wanted)
    # A call that is left in the middle gives its buffer back; one beside another has its own.
    calls = [late.groups(IMAGES) for _ in range(2)]
    for call in calls:
        next(call)
    assert device.streams == 2
    for call in calls:
        call.close()  # type: ignore[attr-defined]
    late.outputs.clear()
    device.compute.run(len(device.compute.work))
    late.outputs.clear()
    _groups(late, IMAGES)
    assert device.streams == 2
    _check(late, wanted)
    encoder.trim()
    _groups(late, IMAGES)
    assert device.streams == 3
