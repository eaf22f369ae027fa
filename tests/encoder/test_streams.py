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
from tests.encoder.conftest import Checkpoint
from tests.images import image
from vlmres.encoder import EncoderOutput, VisionEncoder, stream


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
    """What `vlmres.encoder.stream` uses of torch, on a device whose copies and kernels run late."""

    def __init__(self) -> None:
        self.compute = self.current = Stream()
        self.recorded: list[Any] = []
        self.cuda = SimpleNamespace(
            Stream=Stream, Event=Event, stream=self.stream, current_stream=lambda _: self.current
        )
        self.uint8 = torch.uint8

    @contextlib.contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        self.current, before = stream, self.current
        yield
        self.current = before

    def empty(self, *size: int, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
        assert pin_memory
        return torch.full(size, 77, dtype=dtype)

    def from_numpy(self, array: Any) -> Any:
        def to(device: torch.device, *, non_blocking: bool) -> Any:
            assert device.type == "cuda"
            assert non_blocking
            copy = torch.zeros(array.shape, dtype=torch.uint8)
            self.current.work.append(functools.partial(copy.copy_, torch.from_numpy(array)))
            return SimpleNamespace(values=copy, record_stream=self.recorded.append)

        return SimpleNamespace(to=to)


LATER: Any = object()


class LateEncoder:
    """An encoder on such a device."""

    def __init__(self, encoder: VisionEncoder, device: LateDevice, most: int) -> None:
        self.encoder, self.late, self.max_patches = encoder, device, most
        self.device, self.recipe, self.input_dtype = torch.device("cuda", 0), encoder.recipe, encoder.input_dtype
        self.prepare = encoder.prepare
        self.outputs: list[EncoderOutput] = []
        self.waiting = 0
        self.most = 0

    def run(self, parts: Any, patches: Any) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)

        def kernels() -> None:
            self.waiting -= 1
            self.outputs.append(self.encoder.run(parts, patches.values))

        self.late.compute.work.append(kernels)
        return LATER


def test_memory_is_not_used_too_early(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = vlmres.Recipe.load("qwen3-vl", min_pixels=1024, max_pixels=16384)
    encoder = VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], "cpu", torch.float32, recipe=recipe)
    images = [image(64 + 16 * (index % 5), 96, seed=index) for index in range(12)]
    wanted = encoder.encode(images)
    device = LateDevice()
    monkeypatch.setattr(stream, "torch", device)
    late = LateEncoder(encoder, device, 40)
    groups = list(stream.encode_groups(late, images, "images"))  # type: ignore[arg-type]
    assert len(groups) > 5
    assert all(group.output is LATER for group in groups)
    assert late.outputs, "a device with two groups is waited for"
    assert late.most <= 2
    assert device.recorded == [device.compute] * len(groups)
    device.compute.run(len(device.compute.work))
    found = EncoderOutput.join(late.outputs)
    assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
    torch.testing.assert_close(found.tokens, wanted.tokens, rtol=1e-5, atol=1e-6)
