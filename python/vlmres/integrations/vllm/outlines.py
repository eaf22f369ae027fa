"""A method of vLLM's that reads text and images together, run once more with the pixels already there.

The method's own code counts tokens and puts tensors in order. It is given outlines in place of images, which have their
size and, instead of pixels, the views that vlmres has made; the functions by which it would make views of an image hand
these out.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple


class Local(NamedTuple):
    """The canvas that is cut into tiles: it has them already."""

    tiles: Sequence[Any]
    columns: int

    def crop(self, box: tuple[int, int, int, int]) -> Any:
        """The tile there."""
        left, top, right, bottom = box
        return self.tiles[top // (bottom - top) * self.columns + left // (right - left)]


class Outline:
    """An image's size and its views, in the order in which the method asks for them."""

    def __init__(self, size: tuple[int, int], padded: Sequence[Any], local: Local | None = None) -> None:
        self.size = size
        self.local = local
        self._padded: Iterator[Any] = iter(padded)

    def pad(self) -> Any:
        """The next view that is padded to a size."""
        return next(self._padded)


class PaddingOps:
    """In place of PIL's `ImageOps`."""

    @staticmethod
    def pad(image: Outline, _size: tuple[int, int], **_settings: Any) -> Any:
        """The view that vlmres has made."""
        return image.pad()


class Ready:
    """In place of a transform from pixels to a tensor: views are tensors."""

    def __init__(self, mean: Any) -> None:
        self.mean = mean

    def __call__(self, view: Any) -> Any:
        """The view."""
        return view


def with_globals(function: Any, names: Mapping[str, Any]) -> Any:
    """The function with other values of these global names."""
    made = types.FunctionType(
        function.__code__,
        {**function.__globals__, **names},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    made.__kwdefaults__ = function.__kwdefaults__
    return made
