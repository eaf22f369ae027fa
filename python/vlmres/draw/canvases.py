"""The canvases of an image's views, reassembled from packed patches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.batch import Batch


def canvases(batch: Batch, image: int = 0) -> list[NDArray[np.uint8]]:
    """Reassembles the canvases of an image's views from packed patches.

    Args:
        batch: Made with `layout="packed"`, `dtype="uint8"`.
        image: Index of the image in the call.

    Returns:
        uint8 of shape (height, width, 3) for every view of the image's plan, padding included.

    Raises:
        ValueError: The batch has another layout or dtype, or the image is not in it.
    """
    if "patches" not in batch or batch.dtype != "uint8":
        raise ValueError(f'canvases needs a batch of layout="packed", dtype="uint8", got {batch!r}')
    plan = batch.plans[image]
    if plan is None:
        raise ValueError(f"image {image} is not in the batch: {batch.errors[image]}")
    segments = iter(np.flatnonzero(batch.image_index == image).tolist())
    result = []
    for view in plan.views:
        width, height = (side - view.overlap for side in view.tile_size)
        canvas = np.zeros((*view.canvas[::-1], 3), dtype=np.uint8)
        for row in range(view.tiles.rows):
            for col in range(view.tiles.cols):
                tile = _segment(batch, next(segments))
                canvas[row * height :, col * width :][: tile.shape[0], : tile.shape[1]] = tile
        result.append(canvas)
    return result


def as_bytes(batch: Batch) -> Batch:
    """A packed batch with uint8 values: the batch itself, or a copy with the normalisation undone.

    Raises:
        ValueError: The batch is not packed, has videos, or holds tensors.
    """
    if "patches" not in batch or not isinstance(batch.patches, np.ndarray):
        raise ValueError(f'a picture needs arrays of layout="packed", got {batch!r}')
    plans = [plan for plan in batch.plans if plan is not None]
    if any(plan.frames is not None for plan in plans):
        raise ValueError(f"a picture is of an image, got {batch!r}")
    if batch.dtype == "uint8":
        return batch
    values = batch.patches
    if batch.dtype == "bfloat16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    params = plans[0].recipe.params
    values = values.astype(np.float32).reshape(*values.shape[:-1], -1, 3)
    if params["do_normalize"]:
        values = values * np.float32(params["image_std"]) + np.float32(params["image_mean"])
    if params["do_rescale"]:
        values = values / np.float32(params["rescale_factor"])
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8).reshape(batch.patches.shape)
    arrays = {**dict(batch), "patches": pixels}
    return type(batch)(arrays, batch.plans, batch.errors, values=frozenset({"patches"}), dtype="uint8")


def _segment(batch: Batch, segment: int) -> NDArray[np.uint8]:
    start, stop = batch.cu_seqlens[segment : segment + 2].tolist()
    rows, cols = batch.grids[segment].tolist()
    patches = batch.patches[start:stop]
    size = math.isqrt(patches.shape[1] // 3)
    cells = np.zeros((rows, cols, size, size, 3), dtype=np.uint8)
    cells[tuple(batch.positions[start:stop].T)] = patches.reshape(-1, size, size, 3)
    return cells.swapaxes(1, 2).reshape(rows * size, cols * size, 3)
