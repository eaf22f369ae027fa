"""torch by hand: as people write it, and tuned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from benches.compare.work import Work, array
from torch.nn import functional

import vlmres

# Rows of merged patches that are normalised at a time, so that their floats are still in cache when they are copied.
BAND = 8


def _size(work: Work) -> tuple[vlmres.Recipe, int, int]:
    recipe = vlmres.Recipe.load(work.recipe, **work.overrides)
    width, height = vlmres.plan(work.sizes[0], recipe).views[0].canvas
    return recipe, width, height


def process(work: Work, images: list[Any]) -> Callable[[], Any]:
    """Qwen2-VL as people write it: planes, the resize, float, normalise, reshape."""
    torch.set_num_threads(work.threads)
    recipe, width, height = _size(work)
    mean, std = (torch.tensor(recipe.params[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    side, merge, frames = recipe.patch_size, recipe.merge_size, recipe.temporal_patch_size
    rows, cols = height // side, width // side

    def run() -> Any:
        pixels = torch.from_numpy(array(images[0])).permute(2, 0, 1).contiguous()
        planes = functional.interpolate(pixels[None], (height, width), mode="bicubic", antialias=True)[0]
        if work.output != "uint8":
            planes = (planes.float() / 255 - mean) / std
        cut = planes.view(3, rows // merge, merge, side, cols // merge, merge, side)
        patches = cut.permute(1, 4, 2, 5, 0, 3, 6).unsqueeze(5).expand(-1, -1, -1, -1, -1, frames, -1, -1)
        values = patches.reshape(rows * cols, -1)
        return values.to(torch.bfloat16) if work.output == "bfloat16" else values

    return run


def tuned(work: Work, images: list[Any]) -> Callable[[], Any]:
    """Qwen2-VL as fast as torch's operations make it, with the same bits.

    The image stays channels-last; the resize writes to memory kept; rows are normalised band by band in cache, along
    whole rows, by the two operations of transformers; one copy puts a band into patch order. For uint8 one copy makes
    packed patches. Its process has huge pages in torch's allocator.
    """
    torch.set_num_threads(work.threads)
    recipe, width, height = _size(work)
    side, merge, frames = recipe.patch_size, recipe.merge_size, recipe.temporal_patch_size
    rows, cols = height // side // merge, width // side // merge
    small = torch.empty((1, 3, height, width), dtype=torch.uint8, memory_format=torch.channels_last)
    lines = small[0].permute(1, 2, 0)

    def resize() -> None:
        pixels = torch.from_numpy(array(images[0])).permute(2, 0, 1)[None]
        torch.ops.aten._upsample_bicubic2d_aa.out(pixels, (height, width), False, None, None, out=small)

    if work.output == "uint8":
        packed = torch.empty((rows, cols, merge, merge, side, side, 3), dtype=torch.uint8)
        cut = lines.view(rows, merge, side, cols, merge, side, 3).permute(0, 3, 1, 4, 2, 5, 6)

        def run_bytes() -> Any:
            resize()
            packed.copy_(cut)
            return {"patches": packed.view(-1, side * side * 3)}

        return run_bytes

    # transformers folds the rescaling into both, in float32.
    mean, std = (
        (torch.tensor(recipe.params[key]) * (1 / (1 / 255))).repeat(width) for key in ("image_mean", "image_std")
    )
    tall = merge * side
    band = torch.empty((BAND * tall, width * 3))
    cut = band.view(BAND, merge, side, cols, merge, side, 3).permute(0, 3, 1, 4, 6, 2, 5).unsqueeze(5)
    cut = cut.expand(-1, -1, -1, -1, -1, frames, -1, -1)
    dtype = torch.bfloat16 if work.output == "bfloat16" else torch.float32
    patches = torch.empty((rows, cols, merge, merge, 3, frames, side, side), dtype=dtype)
    flat = lines.view(height, width * 3)

    def run() -> Any:
        resize()
        for row in range(0, rows, BAND):
            count = min(BAND, rows - row)
            part = band[: count * tall]
            part.copy_(flat[row * tall : (row + count) * tall])
            part.sub_(mean).div_(std)
            patches[row : row + count].copy_(cut[:count])
        return patches.view(rows * cols * merge * merge, -1)

    return run


def resize(work: Work, images: list[Any], layout: Literal["planes", "channels-last"]) -> Callable[[], Any]:
    """The resize alone, with the bytes in planes, or as they are in an image."""
    torch.set_num_threads(work.threads)
    pixels = torch.from_numpy(images[0]).permute(2, 0, 1)[None]
    if layout == "planes":
        pixels = pixels.contiguous()
    size = (work.to[1], work.to[0])

    def run() -> Any:
        return functional.interpolate(pixels, size, mode="bicubic", antialias=True)[0].permute(1, 2, 0)

    return run
