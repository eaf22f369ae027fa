"""`resize`: a resize without the rest of preprocessing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from vlmres._core import PlanError, VlmresError, resize_source
from vlmres.arithmetic import Arithmetic, resolve_backend
from vlmres.checks import check_count
from vlmres.inputs import DataFormat, Decoder, Loader
from vlmres.threads import usual_threads

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


def resize(
    image: Any,
    size: tuple[int, int],
    filter: Filter = "bicubic",
    arithmetic: Arithmetic = "pillow",
    *,
    num_threads: int | None = None,
    input_data_format: DataFormat | None = None,
    decoder: Decoder = "auto",
) -> NDArray[np.uint8]:
    """Resizes one image exactly as Pillow or torchvision does.

    Args:
        image: Anything that a `Processor` takes.
        size: (width, height).
        filter: "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos"; torch has neither "box" nor "hamming".
        arithmetic: As of `Processor`.
        num_threads: As of `Processor`.
        input_data_format: As of `Processor.__call__`.
        decoder: As of `Processor`.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        VlmresError: The image cannot be used, the size is impossible, or there is no such filter or arithmetic.
    """
    check_count("num_threads", num_threads)
    threads = num_threads or usual_threads()
    source = Loader("white", decoder).source(image, input_data_format)
    try:
        return resize_source(source, size, filter, resolve_backend(arithmetic), threads)
    except PlanError as error:
        # The image is loaded already, so the bad size is the one that the caller asked for.
        raise VlmresError(f"target {error}") from None
