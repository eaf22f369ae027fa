"""The size of anything that `plan` takes; of a file from its header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vlmres._core import PlanError
from vlmres._core import image_size as encoded_size
from vlmres._imported import imported
from vlmres.inputs import Loader, handles
from vlmres.inputs.arrays import on_cpu
from vlmres.inputs.errors import kind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres._types import Size
    from vlmres.inputs import Decoder, Limits

_UNLIMITED = 2**63 - 1

# A video of such a height is taken for the shape (height, width, channels) of an array.
CHANNELS = (1, 3, 4)

Sizable: TypeAlias = Any
"""Anything from which `plan` takes a size."""


def image_size(
    image: Any, *, exif: bool = True, decoder: Decoder = "auto", max_image_pixels: int | None = None
) -> Size:
    """Reads (width, height) of an image file from its header; no pixel is decoded.

    Args:
        image: Something that holds a file: a path, bytes, a data URI, an open file, a row of a data set.
        exif: Whether to apply the EXIF orientation; False gives the size as stored.
        decoder: As of `Processor`.
        max_image_pixels: Images of more pixels are refused; by default there is no limit.

    Raises:
        DecodeError: The header cannot be read.
        VlmresError: `image` does not hold an image file.
        OSError: The file cannot be read.
        TypeError: `image` is something else.
    """
    loader = Loader(decoder=decoder, limits=(max_image_pixels, None, None, None))
    loaded = loader.load(image)
    if not isinstance(loaded, (bytes, str)):
        raise TypeError(f"expected a path, bytes or an open file, got {kind(image)}")
    return encoded_size(loaded, exif, _of_headers(loader), loader.decoding)


def _of_headers(loader: Loader) -> Limits:
    """The limits of a loader for reading headers: only those that the caller has set."""
    pixels, file_bytes, decoded, outputs = loader.limits
    return (_UNLIMITED if pixels is None else pixels, file_bytes, _UNLIMITED if decoded is None else decoded, outputs)


def size_of(size: Sizable, loader: Loader) -> tuple[int, int] | tuple[int, int, int]:
    """(width, height) or (frames, width, height) of anything that `plan` takes."""
    pil = imported("PIL.Image", "Image")
    if pil is not None and isinstance(size, pil.Image):
        width, height = size.size
        return width, height
    if not may_be_sides(size):
        encoded = handles.encoded(on_cpu(size), loader.limits[1])
        if isinstance(encoded, handles.Address):
            encoded = loader.content(encoded)
        if encoded is not None:
            return encoded_size(encoded, True, _of_headers(loader), loader.decoding)
    if isinstance(size, np.ndarray) and size.ndim > 1:
        raise TypeError(f"a size is (width, height), got an array of shape {size.shape}: pass its width and height")
    if not isinstance(size, (Sequence, np.ndarray)) or len(size) not in (2, 3):
        raise TypeError(
            "a size is (width, height), (frames, width, height), a PIL image, a path or bytes, "
            f"got {size if isinstance(size, Sequence) else type(size).__qualname__}"
        )
    return sides_of(size)


def sides_of(size: Sequence[int] | NDArray[Any]) -> tuple[int, int] | tuple[int, int, int]:
    """The sides as a tuple.

    Raises:
        PlanError: They read as the shape of an array.
    """
    sides = tuple(size)
    if len(sides) == 3 and sides[2] in CHANNELS:
        raise PlanError(taken_for_shape(sides))
    return sides


def may_be_sides(size: Any) -> bool:
    """Whether it can only be sides: it is a sequence of numbers, not an image or a file."""
    return isinstance(size, (list, tuple, range)) or (isinstance(size, np.ndarray) and size.size <= 3)


def taken_for_shape(sides: Sequence[int]) -> str:
    """The message about three sides that read as the shape of an array."""
    height, width, channels = sides
    return (
        f"size {tuple(map(int, sides))} reads as an array's shape (height, width, channels), because {channels} is a "
        f"number of channels: pass (width, height), here ({width}, {height}); of a video (frames, width, height)"
    )
