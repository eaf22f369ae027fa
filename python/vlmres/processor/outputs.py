"""Where a call's pixel values are written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres.outputs import AMBIENT, STORAGE, Allocate, DType, Out, Tensors, allocated, as_array, first_rows, given

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres._core import Memory

# From this size on, the pool is cheaper than the page faults of fresh memory.
_POOLED_BYTES = 1 << 20


@dataclass(frozen=True)
class Outputs:
    """The caller's `out`, or else what `allocate` gives, or else the processor's pool."""

    dtype: DType
    pool: Memory
    allocate: Allocate | None = None
    out: Out | None = None
    is_part: bool = False
    """Whether `out` may have keys of the call's other part: images beside videos."""

    def take(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """An array for each tensor, by key.

        Raises:
            ValueError: `out`, or an array that `allocate` gave, does not fit.
            TypeError: One of them is neither an array nor a CPU tensor.
        """
        if self.out is not None and tensors:
            return given(self._own(self.out, tensors), tensors, self.dtype)
        if self.allocate is not None:
            return allocated(self.allocate, tensors, self.dtype)
        return {key: self._empty(key, shape, np.dtype(STORAGE[self.dtype][0])) for key, shape in tensors}

    def shrunk(self, values: dict[str, NDArray[Any]], tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Arrays for the tensors that are left after images turned out bad: the first rows of `values`.

        Raises:
            ValueError: A tensor does not fit into the memory that the caller gave.
        """
        first = {key: first_rows(values[key], shape) if key in values else None for key, shape in tensors}
        kept = {key: array for key, array in first.items() if array is not None}
        missing = [(key, shape) for key, shape in tensors if key not in kept]
        if missing and self.out is not None:
            key, shape = missing[0]
            raise ValueError(f"without the images that turned out bad, out[{key!r}] must have shape {tuple(shape)}")
        return {**kept, **self.take(missing)} if missing else kept

    def _own(self, out: Out, tensors: Tensors) -> Out:
        if not (self.is_part and isinstance(out, Mapping)):
            return out
        return {key: out[key] for key, _ in tensors if key in out}

    def _empty(self, key: str, shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
        ambient = AMBIENT.get()
        if ambient is not None and (memory := ambient(key, tuple(shape), self.dtype)) is not None:
            return as_array(memory, f"memory for {key!r}", self.dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < _POOLED_BYTES:
            return np.empty(shape, dtype=dtype)
        return np.ndarray(shape, dtype, buffer=self.pool.take(nbytes))
