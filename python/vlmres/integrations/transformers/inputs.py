"""Which images vlmres reads just as transformers' backends do."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from transformers.image_utils import ChannelDimension

from vlmres.inputs import CHANNELS
from vlmres.integrations.transformers.decline import DeclinedError


def check_images(images: list[Any], backend: str, kwargs: dict[str, Any]) -> None:
    """Declines a list of images of which one is not uint8 on the CPU, or may be read in two ways, or not by `backend`.

    Raises:
        DeclinedError: With the first reason.
    """
    device = kwargs.get("device")
    if device is not None and str(device) != "cpu":
        raise DeclinedError("device", f"device={str(device)!r} is not the CPU")
    data_format = kwargs.get("input_data_format")
    if data_format is not None and data_format not in tuple(ChannelDimension):
        raise DeclinedError("input_data_format", f"input_data_format={data_format!r} is unknown")
    if len(images) == 0:
        raise DeclinedError("empty", "there are no images")
    torch = sys.modules.get("torch")
    for image in images:
        if torch is not None and isinstance(image, torch.Tensor):
            if image.device.type != "cpu":
                raise DeclinedError("device", f"a tensor is on device {image.device}")
            _check_array(image, str(image.dtype).removeprefix("torch."), kwargs)
        elif isinstance(image, np.ndarray):
            if backend == "torchvision" and min(image.strides, default=0) < 0:
                raise DeclinedError("strides", f"an array has negative strides, {image.strides}")
            _check_array(image, str(image.dtype), kwargs)


def _check_array(image: Any, dtype: str, kwargs: dict[str, Any]) -> None:
    if dtype != "uint8":
        raise DeclinedError(f"dtype {dtype}", f"an image is {dtype}, not uint8")
    if image.ndim != 3:
        raise DeclinedError("dimensions", f"an image has shape {tuple(image.shape)}")
    if kwargs.get("input_data_format") is None and image.shape[0] in CHANNELS and image.shape[2] in CHANNELS:
        raise DeclinedError("ambiguous", f"shape {tuple(image.shape)} may be channels first or last")
