"""Memory that pixel values are written to."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmres._imported import imported

DType: TypeAlias = Literal["float32", "bfloat16", "float16", "uint8"]

Allocate: TypeAlias = Callable[[str, tuple[int, ...], str], Any]
"""A function of an output's key, shape and dtype that returns memory for it: a numpy array or a CPU tensor."""

Out: TypeAlias = "NDArray[Any] | Any | Mapping[str, NDArray[Any] | Any]"
"""Arrays or CPU tensors by key; or a single one, where there is one key."""

Tensors: TypeAlias = Sequence[tuple[str, Sequence[int]]]
"""Key and shape of every tensor of pixel values."""

AMBIENT: ContextVar[Allocate | None] = ContextVar("vlmres_allocate", default=None)
"""Allocates for every `Processor` that has no `allocate` of its own. It may return None: then the processor's own pool
is used."""

# numpy types that may hold each dtype; a new array has the first.
STORAGE: dict[DType, tuple[str, ...]] = {
    "float32": ("float32",),
    "bfloat16": ("uint16", "int16", "bfloat16"),
    "float16": ("float16",),
    "uint8": ("uint8",),
}


def given(out: Out, tensors: Tensors, dtype: DType) -> dict[str, NDArray[Any]]:
    """The caller's `out` as arrays by key.

    Raises:
        ValueError: The keys or a dtype are not those of the tensors.
        TypeError: `out` is neither an array nor a CPU tensor, nor a mapping of these.
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
    """What `allocate` returns for each tensor, as arrays by key.

    Raises:
        ValueError: An array has another dtype.
        TypeError: It returns neither an array nor a CPU tensor.
    """
    return {
        key: as_array(allocate(key, tuple(shape), dtype), f"allocate({key!r}, ...)", dtype) for key, shape in tensors
    }


def as_array(memory: Any, name: str, dtype: DType) -> NDArray[Any]:
    """`memory`, an array or a CPU tensor, as an array that can hold values of `dtype`."""
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
    if _name(memory.dtype) not in STORAGE[dtype] or not memory.dtype.isnative:
        raise ValueError(f"{name} must have dtype {' or '.join(STORAGE[dtype])}, got {memory.dtype}")
    return memory


def first_rows(memory: NDArray[Any], shape: Sequence[int]) -> NDArray[Any] | None:
    """The beginning of `memory` as an array of `shape`; None if it is too small."""
    count = math.prod(shape)
    if count > memory.size:
        return None
    if tuple(shape[1:]) == memory.shape[1:]:
        return memory[: shape[0]]
    return memory.reshape(-1)[:count].reshape(shape)


@lru_cache(maxsize=64)
def _name(dtype: np.dtype[Any]) -> str:
    """The name of a type, which numpy puts together anew each time."""
    return dtype.name


def _is_tensor(value: Any) -> bool:
    torch = imported("torch", "Tensor")
    return torch is not None and isinstance(value, torch.Tensor)
