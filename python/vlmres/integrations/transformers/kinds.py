"""The kinds of images that a reader may treat differently, and small images of each kind."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from vlmres._imported import imported
from vlmres.inputs import CHANNELS
from vlmres.integrations.operations.decline import DeclinedError

if TYPE_CHECKING:
    from PIL.Image import Image

Source = Literal["PIL image", "array", "tensor", "strided tensor"]
"""The layout of pixels in memory. Some backends keep the strides, and torch has kernels for each memory format."""

Axes = Literal["HW", "CHW", "HWC"]

# (width, height) of the images on which settings are tried: two of one size, which a backend may process together, and
# elongated ones in both directions, which tile recipes cut.
SIZES = ((61, 47), (61, 47), (900, 100), (100, 900))
# Sizes of images that are not resized, for patches of 14 and of 16 pixels, merged by two.
WHOLE_SIZES = ((224, 448), (224, 448), (672, 224), (448, 672))


class Pixels(NamedTuple):
    """A kind of PIL image."""

    mode: str
    transparency: type = type(None)
    """The type of `info["transparency"]`: an index or a gray value, a colour, or the alpha of a palette."""
    palette: str | None = None
    """The palette's mode."""


class Shape(NamedTuple):
    """A kind of array or tensor."""

    axes: Axes
    channels: int


class Kind(NamedTuple):
    """A kind of image. All images of a kind are read alike."""

    source: Source
    form: Pixels | Shape

    def __str__(self) -> str:
        if isinstance(self.form, Shape):
            axes = ", ".join(str(self.form.channels) if axis == "C" else axis for axis in self.form.axes)
            return f"{'an' if self.source == 'array' else 'a'} {self.source} of shape ({axes})"
        transparent = "" if self.form.transparency is type(None) else " with a transparent colour"
        return f"a PIL image of mode {self.form.mode}{transparent}"


def kind_of(image: Any, data_format: str | None) -> Kind:
    """The kind of an image on the CPU. `data_format` gives the axes of arrays.

    Raises:
        DeclinedError: vlmres does not read such images, or their axes are ambiguous.
    """
    torch, pil = imported("torch", "Tensor"), imported("PIL.Image", "Image")
    if pil is not None and isinstance(image, pil.Image):
        palette = getattr(image, "palette", None)
        return Kind("PIL image", Pixels(image.mode, type(image.info.get("transparency")), palette and palette.mode))
    if torch is not None and type(image) is torch.Tensor:
        if hasattr(image, "vlmres_kind"):  # a stand-in of a file that is not decoded yet
            kind: Kind = image.vlmres_kind
            return kind
        if image.device.type != "cpu":
            raise DeclinedError("device", f"a tensor is on device {image.device}")
        shape = _shape(image, str(image.dtype).removeprefix("torch."), data_format)
        return Kind("tensor" if image.is_contiguous() else "strided tensor", shape)
    if type(image) in (np.ndarray, np.memmap):
        return Kind("array", _shape(image, str(image.dtype), data_format))
    name = type(image).__qualname__
    raise DeclinedError(f"type {name}", f"an image is a {name}")


def _shape(array: Any, dtype: str, data_format: str | None) -> Shape:
    if dtype != "uint8":
        raise DeclinedError(f"dtype {dtype}", f"an image is {dtype}, not uint8")
    if array.ndim == 2:
        return Shape("HW", 1)
    if array.ndim != 3:
        raise DeclinedError("dimensions", f"an image has shape {tuple(array.shape)}")
    first, last = array.shape[0], array.shape[2]
    if data_format is None and first in CHANNELS and last in CHANNELS:
        raise DeclinedError("ambiguous", f"shape {tuple(array.shape)} may be channels first or last")
    if data_format == "channels_first" or (data_format is None and first in CHANNELS):
        return Shape("CHW", first)
    return Shape("HWC", last)


def plain(source: Source, data_format: str | None) -> Kind:
    """The kind of opaque RGB images with this memory layout."""
    if source == "PIL image":
        return Kind(source, Pixels("RGB"))
    planar = data_format == "channels_first" or (data_format is None and source != "array")
    return Kind(source, Shape("CHW" if planar else "HWC", 3))


@functools.cache
def pictures(kind: Kind, sizes: tuple[tuple[int, int], ...] = SIZES) -> tuple[Any, ...]:
    """Small images of a kind, of these sizes, that contain all values of the kind.

    Raises:
        DeclinedError: There is none.
    """
    generator = np.random.default_rng(0)
    if isinstance(kind.form, Pixels):
        try:
            return tuple(_pil(kind.form, size, generator) for size in sizes)
        except Exception as error:
            raise DeclinedError(f"kind {kind}", f"no sample could be made of {kind}: {error}") from error
    return tuple(_array(kind, kind.form, size, generator, sliced=index % 2 > 0) for index, size in enumerate(sizes))


def _pil(form: Pixels, size: tuple[int, int], generator: np.random.Generator) -> Image:
    from PIL import Image

    def random(count: int) -> bytes:
        if form.mode == "F":
            return generator.uniform(-20, 300, count // 4).astype(np.float32).tobytes()
        return generator.integers(0, 256, count, dtype=np.uint8).tobytes()

    image = Image.frombytes(form.mode, size, random(len(Image.new(form.mode, size).tobytes())))
    if form.palette is not None:
        image.putpalette(random(256 * len(form.palette)), form.palette)
    if form.transparency is bytes:
        image.info["transparency"] = random(256)
    elif form.transparency is not type(None):
        value: Any = image.getpixel((0, 0))
        if form.transparency.__name__ != type(value).__name__:
            raise TypeError(f"its transparency is a {form.transparency.__qualname__}")
        image.paste(value, (0, 0, 20, 20))
        image.info["transparency"] = value
    return image


# The order of axes in memory of images that were permuted to channels first, as those of PIL or of a decoder.
_PERMUTED: dict[Axes, str] = {"HW": "WH", "CHW": "HWC", "HWC": "CHW"}


def _array(kind: Kind, form: Shape, size: tuple[int, int], generator: np.random.Generator, *, sliced: bool) -> Any:
    sides = {"H": size[1], "W": size[0], "C": form.channels}
    strided = kind.source == "strided tensor"
    order = _PERMUTED[form.axes] if strided and not sliced else form.axes
    array = generator.integers(0, 256, [sides[axis] for axis in order], dtype=np.uint8)
    if strided and sliced:
        array = np.repeat(array, 2, axis=-1)[..., ::2]
    array = array.transpose([order.index(axis) for axis in form.axes])
    if kind.source == "array":
        return array
    import torch

    return torch.from_numpy(array)
