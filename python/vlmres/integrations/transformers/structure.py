"""The containers in which transformers returns its values: tensors, arrays, or lists of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Structure:
    """How to put an array into the containers of an example."""

    kind: type
    item: Structure | None = None

    @staticmethod
    def of(example: Any) -> Structure | None:
        """The structure of `example`, or None where an array could not be put into it."""
        if isinstance(example, (list, tuple)):
            items = {Structure.of(item) for item in example}
            item = items.pop() if len(items) == 1 else None
            return None if item is None else Structure(type(example), item)
        if isinstance(example, (np.ndarray, np.generic, int, float)) or is_tensor(example):
            return Structure(type(example))
        return None

    def build(self, array: NDArray[Any]) -> Any:
        """`array` in these containers; tensors and arrays share its memory."""
        if self.item is not None:
            return self.kind(self.item.build(part) for part in array)
        if self.kind is np.ndarray:
            return array
        if issubclass(self.kind, (int, float)):
            return array.item()
        if issubclass(self.kind, np.generic):
            return array[()]
        import torch

        return torch.from_numpy(array)


def same(first: Any, second: Any) -> bool:
    """Whether two results agree in containers, types, shapes and every bit of their values."""
    if type(first) is not type(second):
        return False
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(same(a, b) for a, b in zip(first, second, strict=True))
    if is_tensor(first):
        if first.device.type != "cpu" or second.device.type != "cpu":
            return False  # vlmres makes none there
        return first.dtype == second.dtype and first.shape == second.shape and _bits(first) == _bits(second)
    if isinstance(first, np.ndarray):
        return (
            first.dtype == second.dtype
            and first.shape == second.shape
            and np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(second).tobytes()
        )
    return bool(first == second)


def _bits(tensor: Any) -> bytes:
    import torch

    # numpy has no bfloat16.
    data: bytes = tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes()
    return data


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor of torch, which is not imported for the question."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
