"""The containers in which transformers returns values: tensors, arrays, or lists of them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vlmres.integrations.operations.compare import is_tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

# How a list's items lie in an array: each is one row; or several consecutive rows (the tiles of an image); or the
# beginning of a row (the images of a padded sample).
Cut = Literal["whole", "runs", "parts"]


class Lengths(NamedTuple):
    """The numbers that give the lengths of lists in a batch."""

    images: Sequence[int]
    """Number of images of each sample."""
    tiles: Sequence[int]
    """Number of tiles of each image."""


@dataclass(frozen=True)
class Structure:
    """Puts an array into the containers of an example."""

    kind: type
    item: Structure | None = None
    cut: Cut = "whole"
    dtype: Any = None
    """The type of a tensor of whole numbers, for which some classes use floats."""

    @staticmethod
    def of(example: Any, array: Any, lengths: Lengths) -> Structure | None:
        """The structure of `example`, which has the values of `array`; None if they do not fit."""
        if isinstance(example, (list, tuple)):
            if array.ndim == 0:
                return None
            cut = _cut(example, array, lengths)
            pairs = zip(example, _parts(array, cut, lengths), strict=False)
            # An empty list has the structure of its neighbours.
            items = {Structure.of(*pair, lengths) for pair in pairs if not isinstance(pair[0], list) or pair[0]}
            item = items.pop() if len(items) == 1 else None
            return None if item is None else Structure(type(example), item, cut)
        if is_tensor(example):
            whole = getattr(array.dtype, "kind", "") in "iu"
            return Structure(type(example), dtype=example.dtype if whole else None)
        if isinstance(example, (np.ndarray, np.generic, int, float)):
            return Structure(type(example))
        return None

    def build(self, array: Any, lengths: Lengths) -> Any:
        """An array or tensor in these containers; the tensors and arrays in them share its memory."""
        if self.item is not None:
            return self.kind(self.item.build(part, lengths) for part in _parts(array, self.cut, lengths))
        if self.kind is np.ndarray or is_tensor(array):
            return array
        if issubclass(self.kind, (int, float)):
            return array.item()
        if issubclass(self.kind, np.generic):
            return array[()]
        import torch

        tensor = torch.from_numpy(array)
        return tensor if self.dtype is None else tensor.to(self.dtype)


def _cut(example: Sequence[Any], array: Any, lengths: Lengths) -> Cut:
    """How the items of `example` lie in `array`."""
    counts = [len(item) if np.ndim(item) or isinstance(item, (list, tuple)) else -1 for item in example]
    if array.ndim > 1 and counts != [array.shape[1]] * len(array):
        if counts == list(lengths.images):
            return "parts"
        if counts == list(lengths.tiles):
            return "runs"
    return "whole"


def _parts(array: Any, cut: Cut, lengths: Lengths) -> Any:
    """The items of a list, taken from `array`."""
    if cut == "runs":
        ends = itertools.accumulate(lengths.tiles)
        return (array[end - count : end] for count, end in zip(lengths.tiles, ends, strict=True))
    if cut == "parts":
        return (row[:count] for row, count in zip(array, lengths.images, strict=True))
    return array
