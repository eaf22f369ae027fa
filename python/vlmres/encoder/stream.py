"""Images and videos to tokens with preprocessing, copies and the encoder at work at the same time."""

from __future__ import annotations

import os
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch

from vlmres._core import VlmresError, image_size
from vlmres.encoder.parts import cut
from vlmres.inputs import CHANNELS
from vlmres.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from vlmres._core import Recipe
    from vlmres.batch import Batch
    from vlmres.encoder.parts import EncoderOutput, Part
    from vlmres.encoder.pipeline import VisionEncoder


Kind: TypeAlias = Literal["images", "videos"]
"""What a call's items are."""


@dataclass
class EncodedGroup:
    """The tokens of some images or videos of a call."""

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


class _Lane:
    """Every other group's: its processor, and on CUDA its memory and how far the device is with its last group."""

    def __init__(self, encoder: VisionEncoder, recipe: Recipe, num_threads: int | None, copies: Any) -> None:
        settings: dict[str, Any] = {"layout": "packed", "dtype": encoder.input_dtype, "num_threads": num_threads}
        self.encoder, self.copies = encoder, copies
        self.staging = Staging()
        self.encoded: torch.cuda.Event | None = None
        if copies is None:
            self.processor = Processor(recipe, **settings)
        else:
            staged = _StagedProcessor(recipe, **settings)
            staged.staging = self.staging
            self.processor = staged

    def prepare(self, items: Sequence[Any], kind: Kind) -> tuple[Batch, list[Part]]:
        """The host's share of a group; on a thread of its own."""
        batch = self.processor(
            images=list(items) if kind == "images" else None,
            videos=list(items) if kind == "videos" else None,
            errors="return",
        )
        return batch, self.encoder.prepare(batch) if batch.indices else []

    def run(self, batch: Batch, parts: Sequence[Part]) -> EncoderOutput:
        """The device's share of a group, which is not waited for."""
        if self.copies is None:
            return self.encoder.run(parts)
        if self.encoded is not None:
            # Else a fast host would fill the device with groups that wait.
            self.encoded.synchronize()
        output = self.encoder.run(parts, self._copied(batch))
        self.encoded = torch.cuda.Event()
        self.encoded.record(torch.cuda.current_stream(self.encoder.device))
        return output

    def _copied(self, batch: Batch) -> torch.Tensor:
        """The patches on the device, copied on a stream that the current one waits for."""
        device, done = self.encoder.device, torch.cuda.Event()
        with torch.cuda.stream(self.copies):
            patches = torch.from_numpy(batch.patches).to(device, non_blocking=True)
            done.record(self.copies)
        self.staging.copied = done
        current = torch.cuda.current_stream(device)
        current.wait_event(done)
        # Their memory is the copying stream's: it must not be used again before the current one is done with it.
        patches.record_stream(current)
        return patches


def encode_groups(
    encoder: VisionEncoder, items: Sequence[Any], kind: Kind, *, num_threads: int | None = None
) -> Iterator[EncodedGroup]:
    """Encodes images or videos in groups of at most `encoder.max_patches`.

    While the device encodes a group, one thread prepares the next; on CUDA its patches go from page-locked memory over
    a stream of their own, and at most two groups are on the device.

    Args:
        encoder: With a recipe.
        items: Images or videos, as a `Processor` takes them.
        kind: Which.
        num_threads: Of preprocessing.

    Raises:
        ValueError: The encoder has no recipe.
    """
    if encoder.recipe is None:
        raise ValueError("the checkpoint has no known image processor: give VisionEncoder a recipe")
    copies = torch.cuda.Stream(encoder.device) if encoder.device.type == "cuda" else None
    lanes = [_Lane(encoder, encoder.recipe, num_threads, copies) for _ in range(2)]
    groups = cut([estimate_patches(item, kind, lanes[0].processor) for item in items], encoder.max_patches)

    with ThreadPoolExecutor(1, thread_name_prefix="vlmres-prepare") as pool:

        def prepare(number: int) -> Future[tuple[Batch, list[Part]]]:
            return pool.submit(lanes[number % 2].prepare, items[slice(*groups[number])], kind)

        pending = prepare(0)
        for number, (first, last) in enumerate(groups):
            batch, parts = pending.result()
            if number + 1 < len(groups):
                pending = prepare(number + 1)
            group = EncodedGroup(first, last - first, [first + index for index in batch.indices])
            group.errors = {first + index: error for index, error in batch.errors.items()}
            if batch.indices:
                group.output = lanes[number % 2].run(batch, parts)
            yield group


def estimate_patches(item: Any, kind: Kind, processor: Processor) -> int:
    """Patches of an image or video from its size; 0 where that cannot be told before it is read."""
    try:
        size = _size(item) if kind == "images" else (len(item), *_size(item[0]))
        return processor.plan(size).num_patches
    except (VlmresError, OSError, TypeError, IndexError):
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
