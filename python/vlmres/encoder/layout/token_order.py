"""The order in which a language model receives an image's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres._core import Plan
    from vlmres.encoder.config import Arrangement

    Integers = NDArray[np.int64]

# Places of the embeddings that are no patches', behind all tokens.
NEWLINE, SEPARATOR = 0, 1
EXTRA_TOKENS = 2


@dataclass(frozen=True)
class ViewTokens:
    """A view of an image: `rows` by `cols` segments."""

    role: str
    rows: int = 1
    cols: int = 1


@dataclass(frozen=True)
class ImageTokens:
    """What is known of an image, or of a part of a video."""

    size: tuple[int, int]
    """(width, height)."""
    views: tuple[ViewTokens, ...]
    """In the order of their segments."""
    frames: int = 1
    """Segments along time, which follow each other and of which the encoder makes one."""
    ends: bool = True
    """Whether the image or video ends here."""

    @classmethod
    def of(cls, plan: Plan, *, joins: bool = False) -> list[ImageTokens]:
        """What of a plan goes through the encoder on its own: an image, or each part of a video.

        Args:
            plan: The plan.
            joins: Whether the encoder puts the patches along time of a row of `Plan.grid_thw` together.
        """
        views = tuple(ViewTokens(view.role, view.tiles.rows, view.tiles.cols) for view in plan.views)
        frames = [1]
        if plan.frames is not None:
            times = [times for times, _, _ in plan.grid_thw]
            frames = times if joins else [1] * sum(times)
        size, last = (plan.size.width, plan.size.height), len(frames) - 1
        return [cls(size, views, count, ends=index == last) for index, count in enumerate(frames)]

    @property
    def tiles(self) -> int:
        """Tiles of all views, an uncut view counting as one."""
        return sum(view.rows * view.cols for view in self.views)

    @property
    def segments(self) -> int:
        """Tiles of all frames."""
        return self.tiles * self.frames

    @property
    def clips(self) -> list[int]:
        """Segments of each tile."""
        return [self.frames] * self.tiles


def arrange(
    config: Arrangement, images: Sequence[ImageTokens], grids: Sequence[tuple[int, int]]
) -> tuple[Integers, Integers]:
    """Where each token that the language model receives comes from.

    Args:
        config: The model's order.
        images: The images, whose tiles follow each other.
        grids: (rows, cols) of the tokens of each tile, which are in raster order.

    Returns:
        int64 [tokens], indices of the segments' tokens, or their number plus `NEWLINE` or `SEPARATOR`; and int64
        [images + 1], where images start.
    """
    starts = np.cumsum([0, *(rows * cols for rows, cols in grids)])
    total = int(starts[-1])
    parts: list[Integers] = []
    bounds, segment = [0], 0
    for image in images:
        own: list[Integers] = []
        for view in image.views:
            count = view.rows * view.cols
            tiles = [
                np.arange(starts[index], starts[index + 1]).reshape(grids[index])
                for index in range(segment, segment + count)
            ]
            segment += count
            own.extend(_view(config, image, view, tiles, total + NEWLINE))
        if config.lone_newline and image.tiles == 1:
            own.append(np.array([total + NEWLINE]))
        if config.separator:
            own.append(np.array([total + SEPARATOR]))
        parts.extend(own)
        bounds.append(bounds[-1] + sum(map(len, own)))
    return np.concatenate(parts).astype(np.int64), np.array(bounds)


def _view(
    config: Arrangement, image: ImageTokens, view: ViewTokens, tiles: list[Integers], newline: int
) -> list[Integers]:
    if config.transpose:
        tiles = [tile.T for tile in tiles]
    if view.role in config.stitch:
        rows = [np.concatenate(tiles[row * view.cols : (row + 1) * view.cols], axis=1) for row in range(view.rows)]
        tiles = [np.concatenate(rows)]
    if view.role in config.unpad:
        tiles = [_unpad(tile, image.size) for tile in tiles]
    if view.role in config.newline:
        tiles = [np.pad(tile, ((0, 0), (0, 1)), constant_values=newline) for tile in tiles]
    return [tile.ravel() for tile in tiles]


def _unpad(tokens: Integers, size: tuple[int, int]) -> Integers:
    """Without the rows or columns over padding. Source: transformers' LLaVA-NeXT `unpad_image`."""
    width, height = size
    rows, cols = tokens.shape
    if width / height > cols / rows:
        cut = (rows - int(round(height * (cols / width), 7))) // 2
        return tokens[cut : rows - cut]
    cut = (cols - int(round(width * (rows / height), 7))) // 2
    return tokens[:, cut : cols - cut]
