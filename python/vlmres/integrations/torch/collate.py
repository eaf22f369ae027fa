"""`shared_collate`: a DataLoader's workers write batches into memory that the consumer reads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch.utils.data

from vlmres.integrations.torch import consumer
from vlmres.integrations.torch.segments import is_supported
from vlmres.integrations.torch.worker import Slots, logger

# With torch's prefetch_factor of 2: two that wait, one that the consumer has and one that is made.
SLOTS = 4


class SharedCollate:
    """What `shared_collate` gives. It is pickled with its `collate`, for workers that are spawned."""

    def __init__(self, collate: Callable[[Any], Any], slots: int) -> None:
        self.collate = collate
        self.slots = slots

    def __repr__(self) -> str:
        return f"shared_collate({self.collate!r}, slots={self.slots})"

    def __call__(self, samples: Any) -> Any:
        """The batch; in a worker, what becomes the batch in the consumer."""
        if torch.utils.data.get_worker_info() is None:
            return self.collate(samples)
        if not is_supported():
            _say_unsupported()
            return self.collate(samples)
        return Slots.of_this_process().make(self.collate, samples, self.slots)


def shared_collate(collate: Callable[[Any], Any], *, slots: int | None = None) -> SharedCollate:
    """A `collate_fn` whose batches leave a DataLoader's workers without a copy and without fresh memory.

    While `collate` runs in a worker, a `Processor` or an accelerated transformers processor writes pixel values into a
    slot: memory that worker and consumer share. Other tensors and arrays of the batch are copied into it. The consumer
    gets views, and the slot returns to the worker when the last view is gone. It works with fork, forkserver and spawn,
    with persistent workers and with `pin_memory`, and leaves no files behind.

    In the main process (`num_workers=0`), and on systems other than Linux, it only calls `collate`. If there is no free
    slot or no memory, it warns once, and the batch gets memory of its own or is sent by value.

    If the consumer uses CUDA, each slot is page-locked once, and `pin_memory` copies nothing. A slot is reused after
    the work that was queued on the current streams when its last view was dropped. If a batch is copied on another
    stream, keep it until that stream is synchronised.

    Args:
        collate: The `collate_fn`: a list of samples to a batch of any structure.
        slots: Most slots of each worker. The default of 4 is enough for `prefetch_factor=2` and a consumer that keeps
            one batch. Slots are made when they are needed.

    Raises:
        TypeError: `collate` is not callable, or `slots` is not an integer.
        ValueError: `slots` is below 1.
    """
    if not callable(collate):
        raise TypeError(f"collate must be callable, got {collate!r}")
    if slots is None:
        slots = SLOTS
    if isinstance(slots, bool) or not isinstance(slots, int):
        raise TypeError(f"slots must be an integer, got {slots!r}")
    if slots < 1:
        raise ValueError(f"slots must be at least 1, got {slots}")
    consumer.sweep()
    return SharedCollate(collate, slots)


@functools.cache
def _say_unsupported() -> None:
    logger.warning("shared_collate: this system has no memfd_create: batches go torch's way")
