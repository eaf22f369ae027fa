"""Reusable memory for batches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from vlmres._core import Memory
from vlmres._imported import imported
from vlmres.outputs import STORAGE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.outputs import DType

# From so many bytes on, fresh memory costs page faults.
_POOLED_BYTES = 1 << 16


class Buffers:
    """Allocates the tensors of batches, and reuses memory when the last view of it is gone.

    It keeps memory for `batches` batches. If the caller keeps a batch, its memory is not reused, and the next batch
    gets fresh memory.
    """

    def __init__(self, batches: int) -> None:
        self._memory = Memory(batches)

    def allocate(self, key: str, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:  # noqa: ARG002
        """As `Processor(allocate=...)`."""
        storage = np.dtype(STORAGE[cast("DType", dtype)][0])
        nbytes = math.prod(shape) * storage.itemsize
        if nbytes < _POOLED_BYTES:
            return np.empty(shape, storage)
        return np.ndarray(shape, storage, buffer=self._memory.take(nbytes))

    def finish(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """The arrays as the caller gets them."""
        return arrays


class PinnedBuffers:
    """The same in page-locked memory, as tensors.

    The memory comes from torch's caching host allocator. It tracks copies with `non_blocking=True` on all streams, so
    memory is not reused before its copies are done. An instance serves one batch.
    """

    def __init__(self) -> None:
        self._tensors: dict[str, Any] = {}

    def allocate(self, key: str, shape: tuple[int, ...], dtype: str) -> Any:
        """As `Processor(allocate=...)`."""
        import torch

        tensor = page_locked(shape, getattr(torch, dtype))
        self._tensors[key] = tensor
        return tensor

    def finish(self, arrays: dict[str, Any]) -> dict[str, Any]:
        """The arrays as tensors, of page-locked memory where they are large."""
        import torch

        found = {}
        for key, array in arrays.items():
            tensor = self._tensors.get(key)
            if tensor is None:
                found[key] = torch.from_numpy(array)
            else:
                # Where images were left out, the beginning of it.
                found[key] = tensor.reshape(-1)[: array.size].reshape(array.shape)
        return found


def has_cuda() -> bool:
    """Whether torch is imported and has a CUDA device. torch is not imported for that."""
    cuda = imported("torch.cuda", "is_available")
    return cuda is not None and bool(cuda.is_available())


def page_locked(shape: tuple[int, ...], dtype: Any) -> Any:
    """A tensor of page-locked memory."""
    import torch

    return torch.empty(shape, dtype=dtype, pin_memory=True)
