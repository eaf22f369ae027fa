"""The images that vlmres reads exactly as transformers' backends do."""

from __future__ import annotations

from typing import Any

import numpy as np
from transformers.image_utils import ChannelDimension

from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.kinds import Kind, kind_of


def kinds_of(images: list[Any], backend: str, kwargs: dict[str, Any]) -> frozenset[Kind]:
    """The kinds of a call's images, which must be uint8 on the CPU.

    Raises:
        DeclinedError: An image is not, or its axes are ambiguous, or `backend` does not read it; with the first reason.
    """
    device = kwargs.get("device")
    if device is not None and str(device) != "cpu":
        raise DeclinedError("device", f"device={str(device)!r} is not the CPU")
    data_format = kwargs.get("input_data_format")
    if data_format is not None and data_format not in tuple(ChannelDimension):
        raise DeclinedError("input_data_format", f"input_data_format={data_format!r} is unknown")
    if len(images) == 0:
        raise DeclinedError("empty", "there are no images")
    if backend == "torchvision":
        for image in images:
            if isinstance(image, np.ndarray) and min(image.strides, default=0) < 0:
                raise DeclinedError("strides", f"an array has negative strides, {image.strides}")
    return frozenset([kind_of(image, data_format) for image in images])


def number_of(images: Any) -> int:
    """The number of images of a call, nested or not."""
    if isinstance(images, (list, tuple)):
        return sum(map(number_of, images))
    return len(images) if getattr(images, "ndim", 0) == 4 else 1
