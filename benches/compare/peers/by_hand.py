"""Qwen2-VL written by hand around a resize of bytes, numpy for the rest: what serving stacks do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from benches.compare.work import Work
from numpy.typing import NDArray

import vlmres


class Finish:
    """Normalisation and patch order of Qwen2-VL in numpy, on bytes (height, width, 3)."""

    def __init__(self, work: Work) -> None:
        recipe = vlmres.Recipe.load(work.recipe, **work.overrides)
        width, height = vlmres.plan(work.sizes[0], recipe).views[0].canvas
        self.size = (width, height)
        """(width, height) to resize to."""
        side, merge = recipe.patch_size, recipe.merge_size
        self._cut = (height // side // merge, merge, side, width // side // merge, merge, side, 3)
        self._frames = recipe.temporal_patch_size
        self._bytes = work.output == "uint8"
        mean, std = (np.array(recipe.params[key], np.float32) * 255 for key in ("image_mean", "image_std"))
        # A row at a time: numpy is several times faster along long rows than along three channels.
        self._mean, self._std = np.tile(mean, width), np.tile(std, width)

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """The patches as transformers has them: [patches, channels * frames * side * side]."""
        width, height = self.size
        values: NDArray[Any] = pixels.reshape(height, width * 3)
        if not self._bytes:
            values = values - self._mean
            values /= self._std
        values = values.reshape(self._cut).transpose(0, 3, 1, 4, 6, 2, 5)[:, :, :, :, :, None]
        rows, cols, merge, _, channels, _, side, _ = values.shape
        out = np.empty((rows, cols, merge, merge, channels, self._frames, side, side), values.dtype)
        out[...] = values
        return out.reshape(rows * cols * merge * merge, -1)


def with_resize(work: Work, images: list[Any], resize: Callable[[Any, tuple[int, int]], Any]) -> Callable[[], Any]:
    """A processor of the first image around `resize(image, (width, height))`."""
    finish = Finish(work)
    return lambda: finish(resize(images[0], finish.size))
