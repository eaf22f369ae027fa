"""Arrays and tensors of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import VlmresError
from vlmres._imported import imported
from vlmres.inputs.errors import kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

DataFormat = Literal["channels_first", "channels_last"]

CHANNELS = (1, 3, 4)


def on_cpu(value: Any, what: str = "an image", *, floats: bool = False) -> Any:
    """A tensor's memory as an array; anything else unchanged. Messages call it `what`.

    Raises:
        VlmresError: It is a tensor on another device, or of another type than uint8 (with `floats`, also than float
            types).
    """
    torch = imported("torch", "Tensor")
    if torch is None or not isinstance(value, torch.Tensor):
        return value
    if value.device.type != "cpu":
        raise VlmresError(f"a tensor must be on the CPU, got device {value.device}")
    if value.dtype != torch.uint8 and not (floats and value.dtype in (torch.float16, torch.float32, torch.float64)):
        raise VlmresError(f"{what} must be uint8, got {value.dtype}")
    return value.detach().numpy()


def refuse_foreign(value: Any) -> None:
    """Refuses an array of another library, and says how to pass it.

    Raises:
        TypeError: It is one.
    """
    if hasattr(value, "__cuda_array_interface__"):
        raise TypeError(f"an array must be on the CPU, got {kind(value)} on a GPU: copy it to a numpy array")
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__dlpack__")):
        raise TypeError(f"an array is numpy's or torch's, got {kind(value)}: pass numpy.asarray(image)")


def data_format_of(arrays: Iterable[Any]) -> DataFormat | None:
    """The axis order of the arrays of a call whose shape fits one order only; None if these arrays differ."""
    found = set()
    for array in arrays:
        shape: tuple[int, ...] = getattr(array, "shape", ())
        if len(shape) == 3 and not _is_ambiguous(shape):
            if shape[0] in CHANNELS:
                found.add("channels_first")
            elif shape[2] in CHANNELS:
                found.add("channels_last")
    return found.pop() if len(found) == 1 else None  # type: ignore[return-value]


def check_pixels(array: NDArray[Any], data_format: DataFormat | None) -> tuple[int, bool]:
    """The number of channels of an image, and whether they are the first axis.

    Raises:
        VlmresError: The array is not an image, or its shape fits both axis orders.
    """
    if array.dtype != np.uint8:
        raise VlmresError(f"an image must be uint8, got {array.dtype}")
    if array.ndim == 2:
        return 1, False
    if array.ndim != 3:
        raise VlmresError(f"an image has 2 or 3 dimensions, got shape {array.shape}")
    if data_format is None and _is_ambiguous(array.shape):
        raise VlmresError(
            f"shape {array.shape} may be channels first or last: "
            'pass input_data_format="channels_first" or "channels_last"'
        )
    guess = "channels_first" if array.shape[0] in CHANNELS else "channels_last"
    is_first = (data_format or guess) == "channels_first"
    channels: int = array.shape[0 if is_first else 2]
    if channels not in CHANNELS:
        raise VlmresError(f"an image has 1, 3 or 4 channels first or last, got shape {array.shape}")
    return channels, is_first


def _is_ambiguous(shape: tuple[int, ...]) -> bool:
    """Whether the first and the last axis may both be the channels. A single pixel is not ambiguous."""
    return shape[0] in CHANNELS and shape[2] in CHANNELS and shape != (1, 1, 3)
