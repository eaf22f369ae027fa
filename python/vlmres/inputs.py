"""What users pass as images, as the compiled part takes it.

The rules are transformers' own: files are turned by their EXIF orientation and lose their transparency; PIL images are
not turned, and are composited on white where the recipe says so; arrays are channels-first where both readings fit.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import ImageFile, Source, VlmresError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DataFormat = Literal["channels_first", "channels_last"]
# Pixels of a file's image, bytes of a file, bytes of decoding, bytes of a call's outputs; None for the default.
Limits = tuple[int | None, int | None, int | None, int | None]

CHANNELS = (1, 3, 4)


def as_list(images: Any) -> tuple[list[Any], list[int] | None]:
    """One image, a list of them, a stack of arrays, or a list of lists, as a list; and the lengths of the inner lists.

    Raises:
        TypeError: Some of a list's items are lists and others are not.
    """
    if isinstance(images, (list, tuple)):
        nested = [isinstance(item, (list, tuple)) for item in images]
        if not any(nested):
            return list(images), None
        if not all(nested):
            index = nested.index(not nested[0])
            kinds = " and ".join(type(images[at]).__qualname__ for at in (0, index))
            raise TypeError(
                f"images are a list of images or of lists of them, got both: items 0 and {index} are {kinds}"
            )
        return [image for sample in images for image in sample], [len(sample) for sample in images]
    if getattr(images, "ndim", None) == 4:
        return list(images), None
    return [images], None


class Loader:
    """Reads images by a recipe's colour rule, its `convert`."""

    def __init__(self, convert: str) -> None:
        self._convert = convert

    def load(self, image: Any, data_format: DataFormat | None = None) -> Source | ImageFile | bytes | str:
        """The image as the compiled part takes it: pixels that are borrowed, bytes of a file, or a path.

        Raises:
            VlmresError: It cannot be used.
            TypeError: It is nothing that holds an image.
        """
        if isinstance(image, (str, os.PathLike, bytes, bytearray, memoryview)):
            return _encoded(image)
        if isinstance(image, ImageFile):
            return image
        pil, torch = sys.modules.get("PIL.Image"), sys.modules.get("torch")
        if pil is not None and isinstance(image, pil.Image):
            return self._from_pil(image, pil)
        if torch is not None and isinstance(image, torch.Tensor):
            if image.device.type != "cpu":
                raise VlmresError(f"a tensor must be on the CPU, got device {image.device}")
            if image.dtype != torch.uint8:
                raise VlmresError(f"an image must be uint8, got {image.dtype}")
            image = image.detach().numpy()
        if isinstance(image, np.ndarray):
            return self._from_array(image, data_format)
        raise TypeError(
            f"an image is a PIL image, numpy array, torch tensor, path or bytes, got {type(image).__qualname__}"
        )

    def source(
        self, image: Any, data_format: DataFormat | None = None, limits: Limits = (None, None, None, None)
    ) -> Source:
        """As `load`, decoded where it is encoded."""
        loaded = self.load(image, data_format)
        if isinstance(loaded, ImageFile):
            raise TypeError("an opened file is for a Processor")
        return loaded if isinstance(loaded, Source) else Source.decode(loaded, limits)

    def _from_pil(self, image: Any, pil: Any) -> Source:
        has_alpha = "A" in image.getbands() or image.info.get("transparency") is not None
        if self._convert == "none":
            if image.mode != "RGB":
                raise self._not_rgb(f"a PIL image of mode {image.mode}")
        elif self._convert == "white" and has_alpha:
            image = image.convert("RGBA")
            white = pil.new("RGBA", image.size, (255, 255, 255, 255))
            image = pil.alpha_composite(white, image)
        elif image.mode not in _READ_IN_PLACE:
            image = image.convert("RGB")
        return _pil_source(image)

    def _from_array(self, array: NDArray[Any], data_format: DataFormat | None) -> Source:
        if array.dtype != np.uint8:
            raise VlmresError(f"an image must be uint8, got {array.dtype}")
        channels_first = False
        channels = 1
        if array.ndim == 3:
            guess = "channels_first" if array.shape[0] in CHANNELS else "channels_last"
            channels_first = (data_format or guess) == "channels_first"
            channels = array.shape[0 if channels_first else 2]
        elif array.ndim != 2:
            raise VlmresError(f"an image has 2 or 3 dimensions, got shape {array.shape}")
        if channels not in CHANNELS:
            raise VlmresError(f"an image has 1, 3 or 4 channels first or last, got shape {array.shape}")
        if self._convert == "none" and channels != 3:
            raise self._not_rgb(f"{channels} channels in shape {array.shape}")
        return Source.from_array(array, channels_first, self._convert == "white")

    @staticmethod
    def _not_rgb(got: str) -> VlmresError:
        return VlmresError(
            f"the recipe takes RGB images, as its reference does; got {got}. "
            'Convert it first, or load the recipe with convert="white"'
        )


# PIL modes whose conversion to RGB only repeats or drops bytes.
_READ_IN_PLACE = ("RGB", "L", "RGBA", "RGBX")

# Pillow's default block of memory, less room for its alignment.
_PIL_BLOCK = 16 * 1024 * 1024 - 4096


def _pil_source(image: Any) -> Source:
    """A PIL image that can be read in place, without a copy where it lies in one block.

    A larger one is copied block by block, which Pillow does several times faster than it makes an array.
    """
    if not hasattr(image, "__arrow_c_array__"):  # Pillow before 11.2.1
        return Source.from_array(np.asarray(image.convert("RGB")), False, False)
    image.load()
    try:
        return Source.from_pil(image)
    except ValueError:
        width, height = image.size
        rows = max(1, _PIL_BLOCK // (width * 4))
        bands = (image.crop((0, y, width, min(y + rows, height))) for y in range(0, height, rows))
        try:
            return Source.from_pil_bands(image.size, bands)
        except ValueError:  # blocks are smaller than by default
            return Source.from_array(np.asarray(image.convert("RGB")), False, False)


def _encoded(image: str | os.PathLike[str] | os.PathLike[bytes] | bytes | bytearray | memoryview) -> bytes | str:
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, bytes):
        return image
    path = os.fsdecode(os.fspath(image))  # a path-like may give bytes
    if path.startswith(("http://", "https://")):
        raise VlmresError(f"vlmres reads local files, got the address {path[:80]!r}")
    return path
