"""What contestants are given: a job, and its images on disk."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SAMPLES = Path(__file__).parents[2] / "python" / "vlmres" / "samples"

Size = tuple[int, int]
Source = Literal["array", "pil", "jpeg"]
Output = Literal["float32", "bfloat16", "uint8"]


@dataclass(frozen=True)
class Work:
    """A job that every contestant of a row does. Sizes are (width, height)."""

    recipe: str
    """Name of a recipe, or "resize" for a bicubic resize of one image to `to`, bytes to bytes."""
    sizes: tuple[Size, ...]
    """Of the images."""
    source: Source = "array"
    """What a call is given: uint8 arrays (height, width, 3), PIL images, or the bytes of JPEG files."""
    output: Output = "float32"
    """Type of the values; "uint8" are pixels before normalisation."""
    overrides: Mapping[str, int] = field(default_factory=dict)
    """Of the recipe's parameters."""
    to: Size = (0, 0)
    """Target of a resize."""
    threads: int = 1
    """Threads of a call."""

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @staticmethod
    def from_json(fields: dict[str, Any]) -> Work:
        """The inverse of `to_json`."""
        sizes = tuple((width, height) for width, height in fields["sizes"])
        return Work(**{**fields, "sizes": sizes, "to": tuple(fields["to"])})


class Shelf:
    """Images by size in a folder, made when first asked for, so that all processes read the same pixels."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, work: Work) -> list[str]:
        """Paths of the images of a job."""
        return [str(self._file(size, "jpg" if work.source == "jpeg" else "npy")) for size in work.sizes]

    def _file(self, size: Size, suffix: str) -> Path:
        path = self._folder / f"{size[0]}x{size[1]}.{suffix}"
        if not path.exists():
            image = _picture(size)
            if suffix == "jpg":
                image.save(path, quality=90, subsampling="4:2:0")
            else:
                np.save(path, np.asarray(image))
        return path


def _picture(size: Size) -> Any:
    """A real image of this size: the screenshot where it is tall, else the photograph."""
    from PIL import Image

    name = "screenshot.webp" if size[1] > 2 * size[0] else "photo.jpg"
    with Image.open(SAMPLES / name) as image:
        return image.convert("RGB").resize(size)


def load(paths: list[str], source: Source) -> list[Any]:
    """The images of a job as this process's libraries have them."""
    if source == "jpeg":
        return [Path(path).read_bytes() for path in paths]
    arrays = [np.load(path) for path in paths]
    if source == "array":
        return arrays
    from PIL import Image

    return [Image.fromarray(array) for array in arrays]


def pil(image: Any) -> Any:
    """An image of any source as a decoded PIL image."""
    from PIL import Image

    if isinstance(image, bytes):
        return Image.open(io.BytesIO(image)).convert("RGB")
    return Image.fromarray(image) if isinstance(image, np.ndarray) else image


def array(image: Any) -> NDArray[np.uint8]:
    """An image of any source as (height, width, 3)."""
    return image if isinstance(image, np.ndarray) else np.asarray(pil(image))
