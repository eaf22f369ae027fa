"""PIL images whose file is decoded on first access to pixels, or never if vlmres takes the file instead."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from vlmres._core import Source, VlmresError

_ORIENTATION = 0x0112


class LazyImage(Image.Image):
    """The result of `ImageOps.exif_transpose` for a JPEG file: an RGB image whose pixels are decoded when needed.

    Size, mode, EXIF and `info` are known from the start. Once decoded it is a plain `PIL.Image.Image`, also by its
    class. If the file turns out to be broken, that is a `ValueError`, as in a server that decodes immediately.
    """

    vlmres_file: bytes | Path
    """The bytes of the file, or its path."""

    @staticmethod
    def of(image: Image.Image, file: bytes | Path) -> LazyImage:
        """The lazy image of an RGB or gray file that PIL has opened."""
        # An image without pixels, so that PIL changes the EXIF data as it does when it rotates an image.
        turned = Image.new(image.mode, (1, 1))
        turned.info = image.info.copy()
        orientation = turned.getexif().get(_ORIENTATION, 1)
        turned = ImageOps.exif_transpose(turned)
        lazy = LazyImage()
        lazy._mode = "RGB"
        lazy._size = image.size[::-1] if orientation in range(5, 9) else image.size
        lazy.info = turned.info
        lazy._exif = turned._exif
        lazy.vlmres_file = file
        return lazy

    def decode(self) -> None:
        """Decodes the file, after which it is a plain image."""
        file = vars(self).get("vlmres_file")
        if file is None:
            return  # another thread has decoded it
        try:
            decoded = Image.fromarray(Source.decode(file).to_array())
        except VlmresError:
            # PIL may read a file that vlmres does not; else its own error is raised.
            try:
                decoded = ImageOps.exif_transpose(Image.open(file if isinstance(file, Path) else BytesIO(file)))
            except (OSError, UnidentifiedImageError) as error:
                raise ValueError(f"Failed to load image: {error}") from error
        self._im = decoded.im
        self.__class__ = Image.Image  # type: ignore[assignment]
        vars(self).pop("vlmres_file", None)

    def copy(self) -> Image.Image:
        """Another image of the same file, which waits for its pixels too."""
        file = vars(self).get("vlmres_file")
        if file is None:
            return self.copy()  # another thread has decoded it
        lazy = LazyImage()
        lazy._mode, lazy._size, lazy.info = self._mode, self._size, self.info.copy()
        lazy.vlmres_file = file
        return lazy

    @property
    def im(self) -> Any:
        """Pillow's pixels."""
        self.decode()
        return self._im

    @im.setter
    def im(self, value: Any) -> None:
        self._im = value

    def load(self) -> Any:
        """Decodes the file."""
        self.decode()
        return self.load()

    def __eq__(self, other: object) -> bool:
        self.decode()
        if isinstance(other, LazyImage):
            other.decode()
        return self == other

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: Any) -> Any:
        self.decode()
        return self.__reduce_ex__(protocol)


def unread(images: Iterable[Any]) -> list[Any]:
    """The images, with each undecoded one replaced by its file, which vlmres decodes during the call."""
    return [getattr(image, "vlmres_file", image) for image in images]
