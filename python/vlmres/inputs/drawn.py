"""Images that are drawn when their pixels are needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Drawn:
    """An image of a known size, such as a page of a document."""

    __slots__ = ("size",)

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        """(width, height) in pixels."""

    def draw(self) -> NDArray[np.uint8]:
        """Pixels, uint8 of shape (height, width, 3)."""
        raise NotImplementedError
