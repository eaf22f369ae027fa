"""A line as an encoder sees it: crops of the engine's canvases."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vlmres.draw import canvases
from vlmres.legibility import scales
from vlmres.processor import Processor

if TYPE_CHECKING:
    from vlmres._core import Plan
    from vlmres.lab.readers import Box, Pixels

MARGIN = 0.15
"""The margin around a line that a reader is shown, as a share of the line's height."""


class Glimpse(NamedTuple):
    """A line as one view of a plan shows it."""

    pixels: Pixels
    """uint8 of shape (height, width, 3)."""
    scale: float
    """The view's scale: its pixels per pixel of the image, in the direction of the lower scale."""


class Seen:
    """An image as a plan's encoder sees it.

    Args:
        pixels: uint8 of shape (height, width, 3).
        plan: Of the image.
    """

    def __init__(self, pixels: Pixels, plan: Plan) -> None:
        processor = Processor(plan.recipe, "packed", "uint8", num_threads=1)
        self.plan = plan
        self.batch = processor(pixels, input_data_format="channels_last")
        self._canvases = canvases(self.batch)

    def glimpses(self, box: Box) -> list[Glimpse]:
        """The box as shown by each view that contains all of it, the largest scale first."""
        found = []
        for view, scale in enumerate(scales(self.plan, box)):
            if scale > 0:
                canvas = self._canvases[view]
                frame = self.plan.to_model(grown(box, self.plan.size), "pixels", view=view, clip=True)
                found.append(Glimpse(crop(canvas, tuple(frame)), scale))
        return sorted(found, key=lambda glimpse: -glimpse.scale)

    @property
    def unique_share(self) -> float:
        """The share of merged patches that do not equal an earlier one of the image."""
        return self.batch.unique().share


def grown(box: Box, size: tuple[int, int], margin: float = MARGIN) -> Box:
    """A box with a margin, within the image."""
    by = max(1.0, margin * (box[3] - box[1]))
    return max(0.0, box[0] - by), max(0.0, box[1] - by), min(size[0], box[2] + by), min(size[1], box[3] + by)


def crop(pixels: Pixels, box: Box) -> Pixels:
    """The pixels that a box touches, at least one."""
    height, width = pixels.shape[:2]
    left, top = min(max(0, math.floor(box[0])), width - 1), min(max(0, math.floor(box[1])), height - 1)
    right, bottom = max(left + 1, math.ceil(box[2])), max(top + 1, math.ceil(box[3]))
    return np.ascontiguousarray(pixels[top:bottom, left:right])
