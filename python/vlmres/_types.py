"""Small value types that the compiled module returns."""

from typing import NamedTuple


class Size(NamedTuple):
    """Width and height in pixels, in PIL's order."""

    width: int
    height: int


class Grid(NamedTuple):
    """Rows and columns of tiles or patches."""

    rows: int
    cols: int
