"""A double buffer: one group is prepared in one slot while another is encoded from the other slot.

A slot has a processor and memory. On CUDA the memory is page-locked, and both slots share a stream for copies.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmres.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vlmres._core import Recipe
    from vlmres.batch import Batch
    from vlmres.encoder.runtime.chunks import Chunk
    from vlmres.encoder.runtime.executor import Executor
    from vlmres.encoder.runtime.output import EncoderOutput
    from vlmres.encoder.runtime.settings import Kind


class PinnedMemory:
    """Page-locked memory for the patches of one batch, from which they are copied to the device."""

    def __init__(self) -> None:
        self._memory: torch.Tensor | None = None
        self.copied: torch.cuda.Event | None = None
        """Recorded behind the copy that last read the memory."""

    def allocate(self, key: str, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        """The memory as an array for a packed batch's patches, after the last copy from it has finished."""
        assert key == "patches"
        if self.copied is not None:
            self.copied.synchronize()
        wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self._memory is None or len(self._memory) < wanted:
            self._memory = torch.empty(wanted, dtype=torch.uint8, pin_memory=True)
        found: NDArray[Any] = self._memory.numpy()[:wanted].view(dtype).reshape(shape)
        return found


class Slot:
    """A slot, used by every other group: a processor and, on CUDA, memory and the end of its last group."""

    processor: Processor

    def __init__(self, copy_stream: Any) -> None:
        self.copy_stream = copy_stream
        self.memory = PinnedMemory()
        self.encoded: torch.cuda.Event | None = None

    def configure(self, recipe: Recipe, settings: Mapping[str, Any]) -> None:
        """Makes the processor."""
        allocate = None if self.copy_stream is None else self.memory.allocate
        self.processor = Processor(recipe, "packed", allocate=allocate, **settings)

    def prepare(self, executor: Executor, items: Sequence[Any], kind: Kind) -> tuple[Batch, list[Chunk]]:
        """The host's part of a group, on its own thread."""
        batch = self.processor(
            images=list(items) if kind == "images" else None,
            videos=list(items) if kind == "videos" else None,
            errors="return",
        )
        return batch, executor.prepare(batch) if batch.indices else []

    def run(self, executor: Executor, batch: Batch, chunks: Sequence[Chunk]) -> EncoderOutput:
        """Queues the device's part of a group, without waiting for it."""
        if self.copy_stream is None:
            return executor.run(chunks)
        if self.encoded is not None:
            # Otherwise a fast host would queue groups without limit.
            self.encoded.synchronize()
        current = torch.cuda.current_stream(executor.device)
        try:
            patches = self._copied(batch, executor.device, current)
        except torch.OutOfMemoryError:
            # A group that does not fit at once is copied in several pieces.
            torch.cuda.empty_cache()
            patches = None
        output = executor.run(chunks, patches)
        self.encoded = torch.cuda.Event()
        self.encoded.record(current)
        if patches is None:
            self.memory.copied = self.encoded
        return output

    def _copied(self, batch: Batch, device: torch.device, current: Any) -> torch.Tensor:
        """The patches on the device, copied on a stream that the current one waits for."""
        done = torch.cuda.Event()
        with torch.cuda.stream(self.copy_stream):
            patches = torch.from_numpy(batch.patches).to(device, non_blocking=True)
            done.record(self.copy_stream)
        self.memory.copied = done
        current.wait_event(done)
        # Their memory is the copying stream's: it must not be used again before the current one is done with it.
        patches.record_stream(current)
        return patches


class DoubleBuffer:
    """Two slots that groups use in turn and, on CUDA, the stream for their copies."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        copy_stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._slots = [Slot(copy_stream), Slot(copy_stream)]
        self._configured: tuple[Recipe, Mapping[str, Any]] | None = None

    def configure(self, recipe: Recipe, settings: Mapping[str, Any]) -> None:
        """Makes the slots' processors, unless those of the last call have the same settings."""
        if self._configured != (recipe, settings):
            for slot in self._slots:
                slot.configure(recipe, settings)
            self._configured = recipe, settings

    def slot(self, number: int) -> Slot:
        """The slot of a group."""
        return self._slots[number % len(self._slots)]


class SpareBuffer:
    """Keeps the double buffer of the last call for the next one, because page-locked memory is slow to allocate.

    Simultaneous calls have separate buffers. A copy or a pickle of this object is empty.
    """

    def __init__(self) -> None:
        self._kept: DoubleBuffer | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[SpareBuffer], tuple[()]]:
        return SpareBuffer, ()

    @contextlib.contextmanager
    def lend(self, device: torch.device) -> Iterator[DoubleBuffer]:
        """A double buffer for one call."""
        with self._lock:
            found, self._kept = self._kept, None
        buffer = found if found is not None and found.device == device else DoubleBuffer(device)
        try:
            yield buffer
        finally:
            self._kept = buffer

    def drop(self) -> None:
        """Drops the buffer."""
        self._kept = None
