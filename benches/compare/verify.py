"""How far an output is from the reference's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from benches.compare.work import Work
from numpy.typing import NDArray

import vlmres

Arrays = dict[str, NDArray[Any]]


def read(path: Path) -> Arrays:
    """An output as a worker wrote it."""
    with np.load(path) as file:
        return dict(file)


def difference(got: Arrays, reference: Arrays, work: Work) -> float:
    """The largest difference in levels of 8 bits; 0 only where shapes, types and all bits are the same.

    Raises:
        ValueError: The outputs do not have the same keys, shapes and types, or differ by no number.
    """
    if "patches" in got and "patches" not in reference:
        reference = {"patches": _packed(reference["pixel_values"], work)}
    if got.keys() != reference.keys():
        raise ValueError(f"keys {', '.join(got)}, reference {', '.join(reference)}")
    return max(_levels(got[key], reference[key], work) for key in reference)


def _packed(values: NDArray[Any], work: Work) -> NDArray[Any]:
    """Patches of transformers' order, (channel, frame, row, column), as packed ones, (row, column, channel)."""
    recipe = vlmres.Recipe.load(work.recipe)
    side, frames = recipe.patch_size, recipe.temporal_patch_size
    first = values.reshape(-1, 3, frames, side, side)[:, :, 0]
    return first.transpose(0, 2, 3, 1).reshape(-1, side * side * 3)


def _levels(got: NDArray[Any], reference: NDArray[Any], work: Work) -> float:
    if got.shape != reference.shape or got.dtype != reference.dtype:
        raise ValueError(f"{got.dtype}{got.shape}, reference {reference.dtype}{reference.shape}")
    if np.array_equal(got.view(f"u{got.itemsize}"), reference.view(f"u{got.itemsize}")):
        return 0.0
    if got.dtype == np.uint8:
        return float(np.abs(got.astype(np.int16) - reference).max())
    if got.dtype == np.uint16:  # the bits of bfloat16
        got, reference = ((values.astype(np.uint32) << 16).view(np.float32) for values in (got, reference))
    # Channels come before all that is within a patch or tile.
    off = np.abs(got - reference).reshape(len(got), 3, -1).max(axis=(0, 2))
    std = np.array(vlmres.Recipe.load(work.recipe, **work.overrides).params["image_std"])
    levels = float((off * std * 255).max())
    if not levels > 0:
        raise ValueError("bits differ where values do not, or some are not numbers")
    return levels
