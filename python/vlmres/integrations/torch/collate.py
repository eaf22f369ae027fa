"""`shared_collate`: batches of a DataLoader's workers are made where the consumer reads them."""

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
    """A `collate_fn` whose batches cost no copy and no fresh memory on their way out of a DataLoader's workers.

    While `collate` runs in a worker, pixel values that a `Processor` or an accelerated transformers processor makes are
    written into a slot, memory that worker and consumer share. What else the batch holds of tensors and arrays is
    copied there. The consumer gets views, and the slot goes back to the worker when the last of them is gone. It works
    with fork, forkserver and spawn, with persistent workers and with `pin_memory`, and leaves nothing behind.

    In the main process (`num_workers=0`) it is `collate`. Where a slot is missing, or memory, a warning says so once,
    and the batch comes in memory of its own, or by value. It needs Linux; elsewhere it is `collate`.

    Where the consumer uses CUDA the slots are page-locked, once, and `pin_memory` copies nothing. A slot is used again
    when all is done that was asked of the devices, on the streams that were current where the last view was dropped. A
    batch that is copied on another stream must be kept until that stream has been waited for.

    Args:
        collate: The `collate_fn`: a list of samples to a batch of any structure.
        slots: How many batches' memory each worker keeps: by default 4, which is enough for `prefetch_factor=2` and a
            consumer that keeps one batch. More are made when they are needed, up to this number.

    Raises:
        TypeError: `collate` cannot be called, or `slots` is no integer.
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
