"""Encoding of images and videos, while preprocessing, copies and the encoder overlap."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlmres._core import ImageFile, VlmresError
from vlmres.documents import Page
from vlmres.encoder.runtime.chunks import split_ranges
from vlmres.inputs import CHANNELS
from vlmres.planning import size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vlmres._core import Recipe
    from vlmres.batch import Batch
    from vlmres.encoder.runtime.chunks import Chunk
    from vlmres.encoder.runtime.double_buffer import SpareBuffer
    from vlmres.encoder.runtime.executor import Executor
    from vlmres.encoder.runtime.output import EncoderOutput
    from vlmres.encoder.runtime.settings import Kind, Preprocessing
    from vlmres.processor import Processor

# A call is split into this many groups, unless they would be so small that the device waits for launches.
_GROUPS = 4
_SMALL_GROUP = 4096


@dataclass
class EncodedGroup:
    """The tokens of some images or videos of a call."""

    first: int
    """Index in the call of the first image."""
    count: int
    indices: list[int] = field(default_factory=list)
    """Indices in the call of the images in `output`."""
    output: EncoderOutput | None = None
    """None if all images were bad."""
    errors: dict[int, Exception] = field(default_factory=dict)
    """The errors of the other images, by index in the call."""


def encode_groups(
    executor: Executor,
    recipe: Recipe,
    runs: Iterable[Sequence[Any]],
    kind: Kind,
    settings: Preprocessing,
    spare: SpareBuffer,
) -> Iterator[EncodedGroup]:
    """Encodes images or videos in groups.

    While the device encodes a group, one thread prepares the next. On CUDA its patches are copied from page-locked
    memory on a separate stream, and at most two groups are on the device.

    Args:
        executor: Runs the model.
        recipe: How items are preprocessed.
        runs: Lists of images or videos, as a `Processor` takes them. A group never spans lists. The preparing thread
            requests the next list when it has finished the one before.
        kind: Whether the lists hold images or videos.
        settings: Settings of preprocessing.
        spare: Lends the double buffer.
    """
    values = {**settings, "dtype": executor.input_dtype}
    with (
        spare.lend(executor.device) as buffer,
        ThreadPoolExecutor(1, thread_name_prefix="vlmres-prepare") as pool,
    ):
        buffer.configure(recipe, values)
        groups = _groups(runs, kind, buffer.slot(0).processor, executor.max_patches)

        def prepare(number: int) -> tuple[EncodedGroup, Batch, list[Chunk]] | None:
            found = next(groups, None)
            if found is None:
                return None
            first, items = found
            batch, chunks = buffer.slot(number).prepare(executor, items, kind)
            group = EncodedGroup(first, len(items), [first + index for index in batch.indices])
            group.errors = {first + index: error for index, error in batch.errors.items()}
            return group, batch, chunks

        number, pending = 0, pool.submit(prepare, 0)
        while (prepared := pending.result()) is not None:
            pending = pool.submit(prepare, number + 1)
            group, batch, chunks = prepared
            if batch.indices:
                group.output = buffer.slot(number).run(executor, batch, chunks)
            number += 1
            yield group


def _groups(
    runs: Iterable[Sequence[Any]], kind: Kind, processor: Processor, most: int
) -> Iterator[tuple[int, Sequence[Any]]]:
    """The items of each group, and the number of items before it."""
    start = 0
    for items in runs:
        counts = [estimate_patches(item, kind, processor) for item in items]
        for first, last in split_ranges(counts, group_budget(counts, most)):
            yield start + first, items[first:last]
        start += len(items)


def group_budget(counts: Sequence[int], most: int) -> int:
    """Most patches of a group: few enough that preparing one group overlaps with encoding another."""
    return min(most, max(sum(counts) // _GROUPS, _SMALL_GROUP))


def estimate_patches(item: Any, kind: Kind, processor: Processor) -> int:
    """Patches of an image or video, from its size; 0 if the size is unknown before it is read."""
    if isinstance(item, ImageFile):
        return item.plan.num_patches
    try:
        if isinstance(item, Page):
            return processor.plan(item.size).num_patches
        size = _size(item, processor) if kind == "images" else (len(item), *_size(item[0], processor))
        return processor.plan(size).num_patches
    except (VlmresError, OSError, TypeError, IndexError):
        return 0


def _size(item: Any, processor: Processor) -> tuple[int, ...]:
    if not hasattr(item, "shape"):
        return size_of(item, processor.loader)
    shape = tuple(getattr(item, "shape", ()))
    if len(shape) == 3:
        shape = shape[1:] if shape[0] in CHANNELS else shape[:2]
    if len(shape) != 2:
        raise TypeError(f"an image has 2 or 3 dimensions, got shape {shape}")
    return shape[1], shape[0]
