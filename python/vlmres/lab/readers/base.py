"""The interface of readers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

Pixels: TypeAlias = "NDArray[np.uint8]"
"""RGB of shape (height, width, 3)."""
Box: TypeAlias = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of the image."""


class Reader(Protocol):
    """Reads lines of text. It must be thread-safe and deterministic: the lab calls it from several threads."""

    name: str
    """Its name in the report, which is part of the key of stored results."""

    def read(self, lines: Sequence[Pixels], /) -> list[str]:
        """The text of each line."""


@runtime_checkable
class Finder(Protocol):
    """A reader that finds lines, too."""

    def find(self, page: Pixels, /) -> list[Box]:
        """Boxes of the lines of a page."""
