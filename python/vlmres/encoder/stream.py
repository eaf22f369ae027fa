"""Images to tokens with preprocessing, copies and the encoder at work at the same time."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmres._core import VlmresError, image_size
from vlmres.inputs import CHANNELS
from vlmres.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vlmres.batch import Batch
    from vlmres.encoder.parts import EncoderOutput, Part
    from vlmres.encoder.pipeline import VisionEncoder


@dataclass
class EncodedGroup:
    """The tokens of some images of a call."""

    first: int
    """Index in the call of the first image."""
    count: int
    indices: list[int] = field(default_factory=list)
    """Indices in the call of the images in `output`."""
    output: EncoderOutput | None = None
    """None where all images were bad."""
    errors: dict[int, Exception] = field(default_factory=dict)
    """What was wrong with the others, by index in the call."""


class Staging:
    """Page-locked memory that one batch's patches are written to, and copied to a device from."""

    def __init__(self) -> None:
        self._memory: torch.Tensor | None = None
        self.copied: torch.cuda.Event | None = None
        """Recorded behind the copy that last read the memory."""

    def array(self, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        """The memory as an array, once the last copy from it is done."""
        if self.copied is not None:
            self.copied.synchronize()
        wanted = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self._memory is None or len(self._memory) < wanted:
            self._memory = torch.empty(wanted, dtype=torch.uint8, pin_memory=True)
        found: NDArray[Any] = self._memory.numpy()[:wanted].view(dtype).reshape(shape)
        return found


class _StagedProcessor(Processor):
    """Writes patches straight into page-locked memory."""

    staging: Staging

    def _outputs(
        self, tensors: Sequence[tuple[str, list[int]]], out: NDArray[Any] | Mapping[str, NDArray[Any]] | None
    ) -> dict[str, NDArray[Any]]:
        if out is not None:
            return super()._outputs(tensors, out)
        return {key: self.staging.array(shape, self.dtype) for key, shape in tensors}


def encode_groups(
    encoder: VisionEncoder, items: Sequence[Any], *, num_threads: int | None = None
) -> Iterator[EncodedGroup]:
    """Encodes images in groups of at most `encoder.max_patches`.

    While the device encodes a group, one thread prepares the next; on CUDA its patches go from page-locked memory over
    a stream of their own.

    Args:
        encoder: With a recipe.
        items: Images, as a `Processor` takes them.
        num_threads: Of preprocessing.

    Raises:
        ValueError: The encoder has no recipe.
    """
    if encoder.recipe is None:
        raise ValueError("the checkpoint has no known image processor: give VisionEncoder a recipe")
    cuda = encoder.device.type == "cuda"
    settings: dict[str, Any] = {"layout": "packed", "dtype": encoder.input_dtype, "num_threads": num_threads}
    processors = [(_StagedProcessor if cuda else Processor)(encoder.recipe, **settings) for _ in range(2)]
    for processor in processors:
        if isinstance(processor, _StagedProcessor):
            processor.staging = Staging()
    copies = torch.cuda.Stream(encoder.device) if cuda else None
    counts = [estimate_patches(item, processors[0]) for item in items]
    groups = cut(counts, encoder.max_patches)

    def prepare(number: int) -> tuple[Batch, list[Part]]:
        first, last = groups[number]
        batch = processors[number % 2](list(items[first:last]), errors="return")
        return batch, encoder.prepare(batch) if batch.indices else []

    with ThreadPoolExecutor(1, thread_name_prefix="vlmres-prepare") as pool:
        pending = pool.submit(prepare, 0)
        for number, (first, last) in enumerate(groups):
            batch, parts = pending.result()
            if number + 1 < len(groups):
                pending = pool.submit(prepare, number + 1)
            group = EncodedGroup(first, last - first, [first + index for index in batch.indices])
            group.errors = {first + index: error for index, error in batch.errors.items()}
            if batch.indices:
                processor = processors[number % 2]
                staging = processor.staging if isinstance(processor, _StagedProcessor) else None
                patches = None if copies is None else _copied(encoder.device, batch, staging, copies)
                group.output = encoder.run(parts, patches)
            yield group


def _copied(device: torch.device, batch: Batch, staging: Staging | None, copies: torch.cuda.Stream) -> torch.Tensor:
    """A batch's patches on the device, copied on a stream that the current one waits for."""
    with torch.cuda.stream(copies):
        patches = torch.from_numpy(batch.patches).to(device, non_blocking=True)
        done = torch.cuda.Event()
        done.record(copies)
    if staging is not None:
        staging.copied = done
    current = torch.cuda.current_stream(device)
    current.wait_event(done)
    patches.record_stream(current)
    return patches


def estimate_patches(item: Any, processor: Processor) -> int:
    """Patches of an image from its size; 0 where that cannot be told before it is read."""
    try:
        return processor.plan(_size(item)).num_patches
    except (VlmresError, OSError, TypeError):
        return 0


def _size(item: Any) -> tuple[int, int]:
    if isinstance(item, (bytearray, memoryview)):
        item = bytes(item)
    if isinstance(item, (str, bytes, os.PathLike)):
        return image_size(item, exif=True)
    pil = sys.modules.get("PIL.Image")
    if pil is not None and isinstance(item, pil.Image):
        size: tuple[int, int] = item.size
        return size
    shape = tuple(getattr(item, "shape", ()))
    if len(shape) == 3:
        shape = shape[1:] if shape[0] in CHANNELS else shape[:2]
    if len(shape) != 2:
        raise TypeError(f"an image has 2 or 3 dimensions, got shape {shape}")
    return shape[1], shape[0]


def cut(counts: Sequence[int], budget: int) -> list[tuple[int, int]]:
    """Ranges of consecutive items of at most `budget` together, or of one item."""
    ranges, first, total = [], 0, 0
    for index, count in enumerate(counts):
        if index > first and total + count > budget:
            ranges.append((first, index))
            first, total = index, 0
        total += count
    return [*ranges, (first, len(counts))]
