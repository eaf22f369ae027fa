"""Whether vlmres reads an image as transformers does. Each kind of image is tried when the first one comes.

Resizing and everything after it work on RGB pixels of any origin. So a kind of image may use the route of opaque RGB
images, alone or with others, if both libraries read it as the same pixels.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from vlmres.inputs import Loader
from vlmres.integrations.operations.compare import is_tensor
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.kinds import Kind, Pixels, pictures, plain

Read = Callable[[Any], Any]
"""A function that reads an image as transformers does: pixels, channels first."""

# The settings that it depends on.
_SETTINGS = ("do_convert_rgb", "input_data_format", "device")


def reader(processor: Any, kwargs: Mapping[str, Any]) -> Read:
    """The function with which a transformers processor reads an image under these settings."""
    settings = {name: kwargs[name] for name in _SETTINGS if name in kwargs}
    return functools.partial(processor.process_image, **settings)


def alpha_rule(read: Read, *, torch: bool) -> str:
    """The recipe's `convert` that corresponds to how `read` converts transparency of PIL images: "white" or "drop".

    transformers composites since 5.21; before that, most classes drop alpha.
    """
    image = pictures(Kind("PIL image", Pixels("RGBA")))[0]
    try:
        expected = read(image)
    except Exception:
        return "white"
    dropped = _own("drop", torch, image, None)
    return "drop" if np.array_equal(np.moveaxis(np.asarray(expected), 0, -1), dropped) else "white"


class Readings:
    """The kinds of images that were tried with some settings.

    Args:
        convert: The recipe's rule of colours.
        torch: Whether the backend is torchvision.
        data_format: Where the channels of arrays are.
    """

    def __init__(self, convert: str, *, torch: bool, data_format: str | None) -> None:
        self._convert = convert
        self._torch = torch
        self._data_format = data_format
        self._tried: dict[Kind, DeclinedError | None] = {}

    def check(self, kinds: Iterable[Kind], read: Read) -> None:
        """Tries new kinds.

        Raises:
            DeclinedError: vlmres does not read one of the kinds as `read` does.
        """
        for kind in kinds:
            if kind not in self._tried:
                self._tried[kind] = self._try(kind, read)
            declined = self._tried[kind]
            if declined is not None:
                raise DeclinedError(declined.kind, declined.reason)

    def _try(self, kind: Kind, read: Read) -> DeclinedError | None:
        try:
            images = pictures(kind)[0], pictures(plain(kind.source, self._data_format))[0]
        except DeclinedError as declined:
            return declined.with_traceback(None)
        try:
            expected, opaque = map(read, images)
        except Exception as error:
            return DeclinedError(f"kind {kind}", f"transformers does not read {kind}: {error}")
        try:
            got = _own(self._convert, self._torch, images[0], self._data_format)
        except Exception as error:
            return DeclinedError(f"kind {kind}", f"{kind}: {error}")
        # torch has different kernels for each memory layout.
        alike = _strides(expected) == _strides(opaque)
        pixels = np.asarray(expected)
        if alike and pixels.dtype == np.uint8 and np.array_equal(pixels, np.moveaxis(got, -1, 0)):
            return None
        return DeclinedError(f"kind {kind}", f"transformers reads {kind} as other pixels")


def _own(convert: str, torch: bool, image: Any, data_format: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The pixels that vlmres reads: (height, width, 3)."""
    source = Loader(convert).source(image, getattr(data_format, "value", data_format))
    return source.to_array("torch" if torch else "pillow")


def _strides(pixels: Any) -> Any:
    return pixels.stride() if is_tensor(pixels) else None
