"""The consumer's side: views of workers' segments, which go back when the last view is gone."""

from __future__ import annotations

import mmap
import os
import pickle
import select
import threading
import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from vlmres.integrations.torch import cuda
from vlmres.integrations.torch.segments import FREE, WINDOW

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Handle(NamedTuple):
    """A batch's segment, as it crosses the queue."""

    worker: bytes
    number: int | None
    """Of a segment that is used again."""
    held: int
    """Bytes that there is memory for."""
    fd: Any
    """The segment, where the consumer has not got it yet."""
    alive: Any
    """What tells that the worker is gone, where the consumer has not got it yet."""


class _Mapping:
    """A segment in this process."""

    def __init__(self, fd: int) -> None:
        try:
            self._map = mmap.mmap(fd, WINDOW)
        finally:
            os.close(fd)
        self._whole = np.frombuffer(self._map, np.uint8)
        self._registered = 0
        # A view may go in any thread, and in the middle of anything.
        self._lock = threading.RLock()
        self._owner: weakref.ref[NDArray[np.uint8]] | None = None
        self._marks: list[Any] | None = None

    def batch(self, held: int) -> NDArray[np.uint8]:
        """An array over all of it, of which the batch's tensors are views."""
        owner = np.frombuffer(self._map, np.uint8)
        with self._lock:
            self._owner = weakref.ref(owner)
            if cuda.is_used() and self._registered < held:
                self._unregister()
                if cuda.register(self._whole.ctypes.data, held):
                    self._registered = held
        return owner

    def give_back(self) -> bool:
        """Lets the worker use the segment again once the last view is gone; whether it is given back.

        Copies to a device may still read the memory where it is page-locked. Until they are done this is to be called
        again.
        """
        with self._lock:
            if self._owner is None:
                return True
            if self._owner() is not None:
                return False
            if self._marks is None:
                self._marks = cuda.marks() if self._registered else []
            if not all(mark.query() for mark in self._marks):
                return False
            self._owner = self._marks = None
            self._whole[0] = FREE
            return True

    def close(self) -> None:
        """Unmaps it, as soon as nobody has a view."""
        self._unregister()
        del self._whole, self._map

    def _unregister(self) -> None:
        if self._registered:
            cuda.unregister(self._whole.ctypes.data)
            self._registered = 0


class _Worker:
    """A worker's segments in this process."""

    def __init__(self, alive: int) -> None:
        self._alive = alive
        self.slots: dict[int, _Mapping] = {}
        self.is_gone = False

    def look(self) -> bool:
        """Whether the worker is gone; what it has left behind is then unmapped where nobody uses it."""
        if not self.is_gone:
            poll = select.poll()
            poll.register(self._alive, select.POLLIN)
            self.is_gone = bool(poll.poll(0))
            if self.is_gone:
                os.close(self._alive)
        if self.is_gone:
            for number in [number for number, mapping in self.slots.items() if mapping.give_back()]:
                self.slots.pop(number).close()
        return self.is_gone and not self.slots


class _Consumer:
    """All workers' segments in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._workers: dict[bytes, _Worker] = {}
        # Segments of one batch each.
        self._singles: list[_Mapping] = []

    def attach(self, handle: Handle) -> NDArray[np.uint8]:
        """The array of which a batch's tensors are views; when it is gone the segment goes back.

        Raises:
            RuntimeError: The worker has ended, or the batch came to another process than the worker's others.
        """
        with self._lock:
            self._sweep()
            fd = _received(handle.fd)
            if handle.alive is not None:
                self._workers[handle.worker] = _Worker(_received(handle.alive))
            if handle.number is None:
                mapping = _Mapping(fd)
                self._singles.append(mapping)
            else:
                worker = self._workers.get(handle.worker)
                if worker is None or (fd is None and handle.number not in worker.slots):
                    raise RuntimeError("a batch of shared_collate came to a process that has not had the ones before")
                if fd is not None:
                    worker.slots[handle.number] = _Mapping(fd)
                mapping = worker.slots[handle.number]
            owner = mapping.batch(handle.held)
            weakref.finalize(owner, self._released, mapping).atexit = False
            return owner

    def _released(self, mapping: _Mapping) -> None:
        if os.getpid() != self._process:
            return  # a fork's copy of the batch is not the batch
        mapping.give_back()
        self.sweep()

    def sweep(self) -> None:
        """Gives back what was still being copied, and forgets workers that are gone.

        Where another thread does so, or this one in the middle of which a view went, it is left to that.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._sweep()
        finally:
            self._lock.release()

    def _sweep(self) -> None:
        for mapping in [mapping for mapping in list(self._singles) if mapping.give_back()]:
            self._singles.remove(mapping)
            mapping.close()
        for worker in self._workers.values():
            for mapping in worker.slots.values():
                mapping.give_back()
        for key in [key for key, worker in self._workers.items() if worker.look()]:
            del self._workers[key]

    def count(self) -> int:
        """How many segments are mapped."""
        with self._lock:
            return sum(len(worker.slots) for worker in self._workers.values()) + len(self._singles)


_consumer = _Consumer()


def _after_fork() -> None:
    # The child's copies are closed with the last reference to them.
    global _consumer
    _consumer = _Consumer()


os.register_at_fork(after_in_child=_after_fork)


def _received(fd: Any) -> Any:
    if fd is None:
        return None
    try:
        return fd.detach()
    except (OSError, EOFError) as error:
        raise RuntimeError(f"a worker ended before its batch was received: {error}") from error


# What the batch that this thread unpickles is a view of.
_loading = threading.local()


def load(handle: Handle, payload: bytes) -> Any:
    """The batch that a worker sent."""
    before = getattr(_loading, "owner", None)
    _loading.owner = _consumer.attach(handle)
    try:
        return pickle.loads(payload)
    finally:
        _loading.owner = before


def load_bytes(payload: bytes) -> Any:
    """The batch that a worker sent by value."""
    return pickle.loads(payload)


def array_at(
    place: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: str, is_writeable: bool
) -> NDArray[Any]:
    """The array at a place."""
    array: NDArray[Any] = np.ndarray(shape, np.dtype(dtype), buffer=_loading.owner, offset=place, strides=strides)
    array.flags.writeable = is_writeable
    return array


def tensor_at(place: int, shape: tuple[int, ...], stride: tuple[int, ...], dtype: str) -> torch.Tensor:
    """The tensor at a place."""
    kind: torch.dtype = getattr(torch, dtype)
    if 0 in shape:
        return torch.empty(shape, dtype=kind)
    used = sum((side - 1) * step for side, step in zip(shape, stride, strict=True)) + 1
    flat = torch.from_numpy(_loading.owner[place : place + used * kind.itemsize])
    return flat.view(kind).as_strided(shape, stride)


def tensor_of(data: bytes, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """The tensor of these bytes."""
    kind: torch.dtype = getattr(torch, dtype)
    if 0 in shape:
        return torch.empty(shape, dtype=kind)
    return torch.frombuffer(bytearray(data), dtype=kind).reshape(shape)


def sweep() -> None:
    """Unmaps what workers that are gone have left behind."""
    _consumer.sweep()


def mapped() -> int:
    """How many segments this process has mapped."""
    return _consumer.count()
