"""PIL images whose file is decoded when somebody asks for pixels, or never where vlmres takes the file instead."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from vlmres._core import Source, VlmresError

_ORIENTATION = 0x0112


class LazyImage(Image.Image):
    """What `ImageOps.exif_transpose` makes of a JPEG file: an RGB image in memory, whose pixels come when needed.

    Size, mode, EXIF and `info` are there from the start. With its pixels it is a plain `PIL.Image.Image`, its class
    included. A file that turns out broken then is a `ValueError`, as a server that decodes at once has it.
    """

    vlmres_file: bytes | Path
    """The file, or where it is."""

    @staticmethod
    def of(image: Image.Image, file: bytes | Path) -> LazyImage:
        """The lazy image of an RGB or gray file that PIL has opened."""
        # Without its pixels, to have PIL write what it writes to EXIF data when it turns an image.
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
            return  # another thread has
        try:
            decoded = Image.fromarray(Source.decode(file).to_array())
        except VlmresError:
            # PIL may read what vlmres does not, and says in its words what is wrong.
            try:
                decoded = ImageOps.exif_transpose(Image.open(file if isinstance(file, Path) else BytesIO(file)))
            except (OSError, UnidentifiedImageError) as error:
                raise ValueError(f"Failed to load image: {error}") from error
        self._im = decoded.im
        self.__class__ = Image.Image  # type: ignore[assignment]
        vars(self).pop("vlmres_file", None)

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
    """The images, those that wait for their pixels as their files, which vlmres decodes as it goes."""
    return [getattr(image, "vlmres_file", image) for image in images]
