"""Tries the drop-in on a checkpoint's processors."""

from __future__ import annotations

import os
from typing import Any

from vlmres.integrations.operations import parts
from vlmres.integrations.operations.counters import IMAGES, counters
from vlmres.integrations.operations.report import Part, example, times_faster
from vlmres.integrations.transformers.drop_in import accelerate

_NOT_LOADED = "it cannot be loaded: "
_FRAMES = 4


def examine(checkpoint: str | os.PathLike[str], *, trust_remote_code: bool = False) -> list[Part]:
    """The image processor of a checkpoint's folder, and its video processor if it has one."""
    import transformers

    found = []
    classes: tuple[Any, ...] = (transformers.AutoImageProcessor, transformers.AutoVideoProcessor)
    for auto, key in zip(classes, ("images", "videos"), strict=True):
        try:
            processor = auto.from_pretrained(checkpoint, trust_remote_code=trust_remote_code)
        except Exception as error:
            if key == "images":
                found.append(Part("image processor", _NOT_LOADED + " ".join(str(error).split())))
            continue
        found.append(_examined(processor, key))
    return found


def _examined(processor: Any, key: str) -> Part:
    name = type(processor).__name__
    accelerated = accelerate(processor)
    if accelerated is processor:
        return Part(name, parts.states().get(name) or "the class prepares images in a way of its own")
    image = example()
    what = image if key == "images" else [[image] * _FRAMES]
    labels = {"class": name, "path": "vlmres"}
    before = counters.value(IMAGES, **labels)
    try:
        accelerated(what, return_tensors="pt")
    except Exception as error:
        return Part(name, f"the class itself fails on an image of {image.width}x{image.height}: {error}")
    if counters.value(IMAGES, **labels) == before:
        return Part(name, parts.states().get(name) or "it was left to transformers")
    faster = times_faster(lambda: accelerated(what, return_tensors="pt"), lambda: processor(what, return_tensors="pt"))
    return Part(name, None, faster)
