"""Tensors of different lengths as Arrow columns, without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray


def rows_of(array: NDArray[Any], counts: NDArray[np.int64], missing: NDArray[np.bool_]) -> pa.Array:
    """A column of matrices, of which each has so many of an array's rows, in order, and the array's memory.

    Args:
        array: C-contiguous, of shape [sum(counts), width].
        counts: Rows of each matrix; 0 where it is missing.
        missing: Which are null.

    Returns:
        large_list<fixed_size_list<values, width>>.
    """
    width = array.shape[1]
    flat = np.ascontiguousarray(array).reshape(-1)
    values = pa.Array.from_buffers(pa.from_numpy_dtype(flat.dtype), flat.size, [None, pa.py_buffer(flat)])
    matrices = pa.FixedSizeListArray.from_arrays(values, width)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    column = pa.LargeListArray.from_arrays(pa.array(bounds, pa.int64()), matrices)
    if not missing.any():
        return column
    valid = np.packbits(~missing, bitorder="little")
    return pa.Array.from_buffers(
        column.type, len(counts), [pa.py_buffer(valid), column.buffers()[1]], children=[matrices]
    )


def matrix(column: pa.ChunkedArray | pa.Array, row: int) -> NDArray[Any] | None:
    """A row of such a column as an array of shape [rows, width], without a copy; None where it is null."""
    if isinstance(column, pa.ChunkedArray):
        for chunk in column.chunks:
            if row < len(chunk):
                return matrix(chunk, row)
            row -= len(chunk)
        raise IndexError(f"the column has no row {row}")
    found = column[row]
    if not found.is_valid:
        return None
    matrices = found.values
    width = matrices.type.list_size
    return np.asarray(matrices.flatten()).reshape(-1, width)


def encoded(column: pa.ChunkedArray | pa.Array) -> list[bytes | str]:
    """Files' bytes, or their paths, of a column of binary or string values.

    Raises:
        TypeError: It holds something else.
    """
    kind = column.type
    if not any(
        check(kind)
        for check in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_string, pa.types.is_large_string)
    ):
        raise TypeError(f"images must be bytes of files or paths, the column holds {kind}")
    return [b"" if value is None else value for value in column.to_pylist()]
