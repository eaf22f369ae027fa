"""Memory that pixel values are written to."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmres._imported import imported

DType: TypeAlias = Literal["float32", "bfloat16", "float16", "uint8"]

Allocate: TypeAlias = Callable[[str, tuple[int, ...], str], Any]
"""Memory for an output from its key, shape and dtype: a numpy array or a CPU tensor."""

Out: TypeAlias = "NDArray[Any] | Any | Mapping[str, NDArray[Any] | Any]"
"""Arrays or CPU tensors by key, or the only one."""

Tensors: TypeAlias = Sequence[tuple[str, Sequence[int]]]
"""Key and shape of every tensor of pixel values."""

AMBIENT: ContextVar[Allocate | None] = ContextVar("vlmres_allocate", default=None)
"""What gives memory to every `Processor` that has no `allocate` of its own. It may return None: then the processor's
own memory is used."""

# numpy types that may hold each dtype; the first is what a fresh array has.
STORAGE: dict[DType, tuple[str, ...]] = {
    "float32": ("float32",),
    "bfloat16": ("uint16", "int16", "bfloat16"),
    "float16": ("float16",),
    "uint8": ("uint8",),
}


def given(out: Out, tensors: Tensors, dtype: DType) -> dict[str, NDArray[Any]]:
    """Memory of the caller's as arrays.

    Raises:
        ValueError: The keys or a dtype are not those of the tensors.
        TypeError: It is no array or tensor, nor a mapping of them.
    """
    keys = [key for key, _ in tensors]
    if not isinstance(out, Mapping):
        if not isinstance(out, np.ndarray) and not _is_tensor(out):
            got = type(out).__qualname__
            raise TypeError(f"out must be a numpy array, a CPU tensor or a mapping of them, got {got}")
        if len(keys) != 1:
            raise ValueError(f"out must be a dict with arrays for {', '.join(keys)}")
        out = {keys[0]: out}
    if set(out) != set(keys):
        raise ValueError(f"out must have exactly the keys {', '.join(keys)}, got {', '.join(map(str, out))}")
    return {key: as_array(out[key], f"out[{key!r}]", dtype) for key in keys}


def allocated(allocate: Allocate, tensors: Tensors, dtype: DType) -> dict[str, NDArray[Any]]:
    """Memory that `allocate` gives, as arrays.

    Raises:
        ValueError: An array has another dtype.
        TypeError: It gives something else.
    """
    return {
        key: as_array(allocate(key, tuple(shape), dtype), f"allocate({key!r}, ...)", dtype) for key, shape in tensors
    }


def as_array(memory: Any, name: str, dtype: DType) -> NDArray[Any]:
    """An array, or a CPU tensor's memory as one, that may hold values of `dtype`."""
    if _is_tensor(memory):
        torch = sys.modules["torch"]
        if memory.device.type != "cpu":
            raise ValueError(f"{name} must be on the CPU, got device {memory.device}")
        memory = memory.detach()
        if memory.dtype == torch.bfloat16:
            # numpy has no such type.
            memory = memory.view(torch.int16)
        memory = memory.numpy()
    if not isinstance(memory, np.ndarray):
        raise TypeError(f"{name} must be a numpy array or a CPU tensor, got {type(memory).__qualname__}")
    if memory.dtype.name not in STORAGE[dtype] or not memory.dtype.isnative:
        raise ValueError(f"{name} must have dtype {' or '.join(STORAGE[dtype])}, got {memory.dtype}")
    return memory


def first_rows(memory: NDArray[Any], shape: Sequence[int]) -> NDArray[Any] | None:
    """The beginning of some memory as an array of `shape`; None where it is too small."""
    count = int(np.prod(shape, dtype=np.int64))
    if count > memory.size:
        return None
    if tuple(shape[1:]) == memory.shape[1:]:
        return memory[: shape[0]]
    return memory.reshape(-1)[:count].reshape(shape)


def _is_tensor(value: Any) -> bool:
    torch = imported("torch", "Tensor")
    return torch is not None and isinstance(value, torch.Tensor)
