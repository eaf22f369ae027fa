"""What a call has for itself while it encodes group after group: memory, processors, and on CUDA a stream of copies."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from vlmres.processor import LimitSettings, Processor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vlmres._core import Recipe
    from vlmres.batch import Batch
    from vlmres.encoder.parts import EncoderOutput, Part
    from vlmres.encoder.pipeline import VisionEncoder
    from vlmres.inputs import Alpha, Decoder
    from vlmres.processor import Arithmetic, Decode

Kind: TypeAlias = Literal["images", "videos"]
"""What a call's items are."""


class Preprocessing(LimitSettings, total=False):
    """How a call preprocesses, as of `Processor`."""

    num_threads: int | None
    arithmetic: Arithmetic | None
    decode: Decode
    decoder: Decoder
    alpha: Alpha


class Staging:
    """Page-locked memory that one batch's patches are written to, and copied to a device from."""

    def __init__(self) -> None:
        self._memory: torch.Tensor | None = None
        self.copied: torch.cuda.Event | None = None
        """Recorded behind the copy that last read the memory."""

    def allocate(self, key: str, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        """The memory as the array of a packed batch's patches, once the last copy from it is done."""
        assert key == "patches"
        if self.copied is not None:
            self.copied.synchronize()
        wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self._memory is None or len(self._memory) < wanted:
            self._memory = torch.empty(wanted, dtype=torch.uint8, pin_memory=True)
        found: NDArray[Any] = self._memory.numpy()[:wanted].view(dtype).reshape(shape)
        return found


class _Lane:
    """Every other group's: its processor, and on CUDA its memory and how far the device is with its last group."""

    processor: Processor

    def __init__(self, copies: Any) -> None:
        self.copies = copies
        self.staging = Staging()
        self.encoded: torch.cuda.Event | None = None

    def use(self, recipe: Recipe, settings: Mapping[str, Any]) -> None:
        """Makes the processor."""
        allocate = None if self.copies is None else self.staging.allocate
        self.processor = Processor(recipe, "packed", allocate=allocate, **settings)

    def prepare(self, encoder: VisionEncoder, items: Sequence[Any], kind: Kind) -> tuple[Batch, list[Part]]:
        """The host's share of a group; on a thread of its own."""
        batch = self.processor(
            images=list(items) if kind == "images" else None,
            videos=list(items) if kind == "videos" else None,
            errors="return",
        )
        return batch, encoder.prepare(batch) if batch.indices else []

    def run(self, encoder: VisionEncoder, batch: Batch, parts: Sequence[Part]) -> EncoderOutput:
        """The device's share of a group, which is not waited for."""
        if self.copies is None:
            return encoder.run(parts)
        if self.encoded is not None:
            # Else a fast host would fill the device with groups that wait.
            self.encoded.synchronize()
        current = torch.cuda.current_stream(encoder.device)
        try:
            patches = self._copied(batch, encoder.device, current)
        except torch.OutOfMemoryError:
            # Then in as many pieces as need be, each copied when its turn comes.
            torch.cuda.empty_cache()
            patches = None
        output = encoder.run(parts, patches)
        self.encoded = torch.cuda.Event()
        self.encoded.record(current)
        if patches is None:
            self.staging.copied = self.encoded
        return output

    def _copied(self, batch: Batch, device: torch.device, current: Any) -> torch.Tensor:
        """The patches on the device, copied on a stream that the current one waits for."""
        done = torch.cuda.Event()
        with torch.cuda.stream(self.copies):
            patches = torch.from_numpy(batch.patches).to(device, non_blocking=True)
            done.record(self.copies)
        self.staging.copied = done
        current.wait_event(done)
        # Their memory is the copying stream's: it must not be used again before the current one is done with it.
        patches.record_stream(current)
        return patches


class Lanes:
    """Two lanes, and on CUDA the stream of their copies: what a call has for itself."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        copies = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._lanes = [_Lane(copies), _Lane(copies)]
        self._used: tuple[Recipe, Mapping[str, Any]] | None = None

    def use(self, recipe: Recipe, settings: Mapping[str, Any]) -> None:
        """Makes the lanes' processors, unless they are those of the last call."""
        if self._used != (recipe, settings):
            for lane in self._lanes:
                lane.use(recipe, settings)
            self._used = recipe, settings

    def of(self, number: int) -> _Lane:
        """That of a group."""
        return self._lanes[number % len(self._lanes)]


class SpareLanes:
    """Lanes of a call that is over, for the next one: their memory, page-locked on CUDA, is dear to make.

    Calls at the same time have lanes of their own. Copies and pickles of this are empty.
    """

    def __init__(self) -> None:
        self._kept: Lanes | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[SpareLanes], tuple[()]]:
        return SpareLanes, ()

    @contextlib.contextmanager
    def lent(self, device: torch.device) -> Iterator[Lanes]:
        """Lanes for a call."""
        with self._lock:
            found, self._kept = self._kept, None
        lanes = found if found is not None and found.device == device else Lanes(device)
        try:
            yield lanes
        finally:
            self._kept = lanes

    def drop(self) -> None:
        """Keeps nothing."""
        self._kept = None
