"""One image or many, from any kind of container."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from vlmres._core import VlmresError
from vlmres.inputs.handles import buffer_of
from vlmres.inputs.settings import settled

# Most images of a call that an iterator gives: more are too many for one batch, or the iterator has no end.
MOST_ITEMS = 100_000
# Most bytes of these images in memory, as far as they tell their size.
_MOST_BYTES = 8 << 30


def as_list(images: Any) -> tuple[list[Any], list[int] | None]:
    """One image, a list of them, a stack of arrays, or a list of lists, as a list; and the lengths of the inner lists.

    A pair of an image and a dict is an image with settings, not a list.

    Raises:
        TypeError: Some of a list's items are lists and others are not.
        VlmresError: An iterator gives too much.
    """
    if isinstance(images, np.ndarray) and images.dtype != object:
        return (list(images) if images.ndim == 4 else [images]), None
    if is_many(images):
        items = _taken(images)
        nested = [is_many(item) for item in items]
        if not any(nested):
            return items, None
        if not all(nested):
            index = nested.index(not nested[0])
            kinds = " and ".join(type(items[at]).__qualname__ for at in (0, index))
            raise TypeError(
                f"images are a list of images or of lists of them, got both: items 0 and {index} are {kinds}"
            )
        samples = [_taken(sample) for sample in items]
        return [image for sample in samples for image in sample], [len(sample) for sample in samples]
    if getattr(images, "ndim", None) == 4:
        return list(images), None
    return [images], None


def is_many(value: Any) -> bool:
    """Whether it is an iterable of images and not an image itself."""
    if isinstance(value, (list, tuple)):
        return settled(value) is None
    if isinstance(value, Iterator):
        return not _is_file(value)
    if isinstance(value, (str, bytes, bytearray, memoryview, os.PathLike, Mapping)) or _is_file(value):
        return False
    if hasattr(value, "ndim"):
        # An array of objects, or a column of a table.
        return value.ndim == 1 and str(getattr(value, "dtype", "")) == "object"
    return isinstance(value, Iterable) and hasattr(value, "__len__") and buffer_of(value) is None


def _is_file(value: Any) -> bool:
    return isinstance(value, io.IOBase) or callable(getattr(value, "read", None))


def _taken(images: Any) -> list[Any]:
    """All items of an iterable, within limits if its length is not known."""
    if isinstance(images, (list, tuple)):
        return list(images)
    taken: list[Any] = []
    held = 0
    for image in images:
        taken.append(image)
        nbytes = len(image) if isinstance(image, (bytes, bytearray)) else getattr(image, "nbytes", 0)
        held += nbytes if isinstance(nbytes, int) else 0
        if len(taken) > MOST_ITEMS or held > _MOST_BYTES:
            raise VlmresError(
                f"{len(taken):,} images of {held:,} bytes came from one iterator, over the limit of "
                f"{MOST_ITEMS:,} or of {_MOST_BYTES:,} bytes: process them in batches"
            )
    return taken
