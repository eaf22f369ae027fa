"""vlmres itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from benches.compare.work import Work

import vlmres


def process(
    work: Work, images: list[Any], arithmetic: vlmres.arithmetic.Arithmetic, out: bool = False
) -> Callable[[], Any]:
    """A processor: the reference's layout, or packed patches where the output is uint8. `out` writes to memory kept."""
    recipe = vlmres.Recipe.load(work.recipe, **work.overrides)
    layout: vlmres.processor.Layout = "packed" if work.output == "uint8" else "hf"
    processor = vlmres.Processor(recipe, layout, work.output, arithmetic, work.threads)
    if not out:
        return lambda: processor(images)
    first = processor(images)
    keys = ("pixel_values", "images_crop", "patches")
    memory = {key: np.empty_like(first[key]) for key in keys if key in first}
    return lambda: processor(images, out=memory)


def resize(work: Work, images: list[Any], arithmetic: vlmres.arithmetic.Arithmetic) -> Callable[[], Any]:
    """The resize alone, to the canvas of the first view where the job is a recipe's."""
    to = target(work)
    return lambda: vlmres.resize(images[0], to, arithmetic=arithmetic, num_threads=work.threads)


def target(work: Work) -> tuple[int, int]:
    """(width, height) to which a job resizes its first image."""
    if work.recipe == "resize":
        return work.to
    width, height = vlmres.plan(work.sizes[0], vlmres.Recipe.load(work.recipe, **work.overrides)).views[0].resized
    return width, height


def memcpy(work: Work, images: list[Any]) -> Callable[[], Any]:
    """A copy of the output to memory kept: no processor that writes as much can be faster than memory is."""
    layout: vlmres.processor.Layout = "packed" if work.output == "uint8" else "hf"
    processor = vlmres.Processor(vlmres.Recipe.load(work.recipe, **work.overrides), layout, work.output, "torch", 1)
    batch = processor(images)
    source = batch["patches" if layout == "packed" else "pixel_values"]
    memory = np.empty_like(source)

    def run() -> Any:
        np.copyto(memory, source)
        return memory

    return run


def decode(_: Work, images: list[Any]) -> Callable[[], Any]:
    """The decoding of a JPEG file alone."""
    return lambda: [vlmres._core.Source.decode(image) for image in images]
