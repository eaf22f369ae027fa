"""Whether two results are the same: in containers, types, shapes and every bit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vlmres._imported import imported


def same(first: Any, second: Any) -> bool:
    """Whether two results agree in containers, types, shapes and every bit of their values."""
    if type(first) is not type(second):
        return False
    if isinstance(first, Mapping):
        return list(first) == list(second) and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    if is_tensor(first):
        if first.device.type != "cpu" or second.device.type != "cpu":
            return False  # vlmres does not make such values
        return first.dtype == second.dtype and first.shape == second.shape and _bits(first) == _bits(second)
    if isinstance(first, np.ndarray):
        return (
            first.dtype == second.dtype
            and first.shape == second.shape
            and np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(second).tobytes()
        )
    return bool(first == second)


def is_tensor(value: Any) -> bool:
    """Whether a value is a torch tensor; torch is not imported for that."""
    torch = imported("torch", "Tensor")
    return torch is not None and isinstance(value, torch.Tensor)


def _bits(tensor: Any) -> bytes:
    import torch

    # numpy has no bfloat16.
    data: bytes = tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
    return data
