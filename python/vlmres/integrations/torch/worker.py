"""The worker's side: a batch is made in a segment, and pickled as places in it."""

from __future__ import annotations

import io
import logging
import os
import uuid
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmres.integrations.torch import consumer
from vlmres.integrations.torch.segments import Alive, Segment, Space
from vlmres.outputs import AMBIENT, STORAGE

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("vlmres.integrations.torch")


class Slots:
    """A worker's segments. A batch that finds all in use gets one of its own."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._key = uuid.uuid4().bytes
        self._alive = Alive()
        self._is_known = False
        self._slots: list[Segment] = []
        self._said: set[str] = set()

    @classmethod
    def of_this_process(cls) -> Slots:
        """The process's own: none that it has by a fork."""
        global _slots
        if _slots is None or _slots._process != os.getpid():
            _slots = cls()
        return _slots

    def make(self, collate: Callable[[Any], Any], samples: Any, most: int) -> Any:
        """What `collate` makes of samples, ready to be sent. `most` is the number of segments that are used again."""
        try:
            segment = self._take(most)
        except OSError as error:
            self.say("segment", f"no shared memory: {error}; batches are sent by value")
            return _ByValue(collate(samples))
        try:
            space = segment.begin()
            token = AMBIENT.set(_allocate(space))
            try:
                result = collate(samples)
            finally:
                AMBIENT.reset(token)
            payload = _pickled(result, space)
            del result
            if space.missed:
                self.say(
                    "memory",
                    f"no shared memory for {space.missed:,} bytes of a batch: they are sent by value, which is slow; "
                    "give this machine or container more memory, or use fewer workers, slots or smaller batches",
                )
            return _Sent(self._handle(segment), payload)
        finally:
            if segment.number is None:
                segment.close()

    def _take(self, most: int) -> Segment:
        free = next((segment for segment in self._slots if segment.is_free()), None)
        if free is not None:
            return free
        if len(self._slots) < most:
            self._slots.append(Segment(len(self._slots)))
            return self._slots[-1]
        self.say(
            "slots",
            f"all {most} slots of this worker are in use, because the consumer keeps batches: others get memory of "
            "their own, which costs page faults; slots=... makes more",
        )
        return Segment(None)

    def _handle(self, segment: Segment) -> consumer.Handle:
        fd = None
        if not segment.is_sent:
            fd, segment.is_sent = DupFd(segment.fd), True
        alive = None
        if not self._is_known:
            alive, self._is_known = DupFd(self._alive.fd), True
        segment.send()
        return consumer.Handle(self._key, segment.number, segment.held, fd, alive)

    def say(self, kind: str, message: str) -> None:
        """Warns, once for each kind."""
        if kind not in self._said:
            self._said.add(kind)
            logger.warning("shared_collate: %s", message)


_slots: Slots | None = None


def _allocate(space: Space) -> Callable[[str, tuple[int, ...], str], Any]:
    def allocate(key: str, shape: tuple[int, ...], dtype: str) -> Any:  # noqa: ARG001
        return space.array(shape, np.dtype(STORAGE[dtype][0]))  # type: ignore[index]

    return allocate


class _Sent:
    """A batch in a segment: what crosses the queue. It is unpickled as the batch."""

    def __init__(self, handle: consumer.Handle, payload: bytes) -> None:
        self._handle = handle
        self._payload = payload

    def __reduce__(self) -> tuple[Any, ...]:
        return consumer.load, (self._handle, self._payload)


class _ByValue:
    """A batch whose tensors cross the queue as bytes."""

    def __init__(self, result: Any) -> None:
        self._payload = _pickled(result, None)

    def __reduce__(self) -> tuple[Any, ...]:
        return consumer.load_bytes, (self._payload,)


def _pickled(result: Any, space: Space | None) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, space).dump(result)
    return buffer.getvalue()


class _Pickler(ForkingPickler):
    """Pickles tensors and arrays as places in a segment: those that are there, and copies of others.

    Where there is no memory for a copy the bytes are pickled: torch's own way to share a tensor ends the process
    (SIGBUS) where /dev/shm is full.
    """

    def __init__(self, file: Any, space: Space | None) -> None:
        super().__init__(file, 5)
        self._space = space

    def reducer_override(self, value: Any) -> Any:
        """As `pickle.Pickler` says."""
        if type(value) is np.ndarray and not value.dtype.hasobject:
            place = self._array(value)
            return NotImplemented if place is None else (consumer.array_at, place)
        if type(value) is torch.Tensor and _is_plain(value):
            return self._tensor(value)
        return NotImplemented

    def _array(self, value: np.ndarray) -> tuple[Any, ...] | None:
        if self._space is None or value.dtype.kind == "V" or value.size == 0:
            return None
        place = None
        if min(value.strides, default=0) >= 0:
            used = sum((side - 1) * stride for side, stride in zip(value.shape, value.strides, strict=True))
            place = self._space.place(value.ctypes.data, used + value.itemsize)
        if place is None:
            copy = self._space.array(value.shape, value.dtype)
            if copy is None:
                return None
            copy[...] = value
            value, place = copy, self._space.place(copy.ctypes.data, copy.nbytes)
        return place, value.shape, value.strides, value.dtype.str, value.flags.writeable

    def _tensor(self, value: torch.Tensor) -> tuple[Any, ...]:
        name = str(value.dtype).removeprefix("torch.")
        nbytes = value.untyped_storage().nbytes() if value.numel() else 0
        place = None
        if self._space is not None and value.numel():
            used = sum((side - 1) * stride for side, stride in zip(value.shape, value.stride(), strict=True)) + 1
            place = self._space.place(value.data_ptr(), used * value.element_size())
            if place is not None:
                return consumer.tensor_at, (place, tuple(value.shape), value.stride(), name)
        value = value.detach().contiguous()
        flat = value.reshape(-1).view(torch.uint8).numpy() if nbytes else np.empty(0, np.uint8)
        copy = None if self._space is None else self._space.array(flat.shape, flat.dtype)
        if copy is None or self._space is None:
            return consumer.tensor_of, (flat.tobytes(), tuple(value.shape), name)
        copy[...] = flat
        place = self._space.place(copy.ctypes.data, copy.nbytes)
        return consumer.tensor_at, (place, tuple(value.shape), value.stride(), name)


def _is_plain(value: torch.Tensor) -> bool:
    """Whether a tensor is its values, and nothing else."""
    return (
        value.device.type == "cpu"
        and value.layout == torch.strided
        and not value.requires_grad
        and not value.is_quantized
        and not value.is_conj()
        and not value.is_neg()
    )
