"""Videos as arrays or lists of frames."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import VlmresError
from vlmres._imported import imported
from vlmres.inputs.arrays import on_cpu
from vlmres.inputs.settings import settled
from vlmres.videos.files import Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.inputs import DataFormat, Loaded, Loader

# transformers' video processors do not accept a fourth channel.
_CHANNELS = (1, 3)


def as_videos(videos: Any) -> list[Any]:
    """One video or several, as a list of videos: files, arrays of four dimensions, or lists of frames."""
    if holds_file(videos) or settled(videos):
        return [videos]
    dimensions = getattr(videos, "ndim", None)
    if dimensions == 5:
        return list(videos)
    if dimensions == 4:
        return [videos]
    if not isinstance(videos, (list, tuple)):
        return [[videos]]  # one frame
    if not videos:
        return []
    nested = [
        isinstance(item, (list, tuple)) or holds_file(item) or getattr(item, "ndim", None) == 4 for item in videos
    ]
    if any(nested) != all(nested):
        raise TypeError(f"videos mixes videos and frames: item {nested.index(not nested[0])} is unlike item 0")
    return list(videos) if all(nested) else [list(videos)]


def holds_file(video: Any) -> bool:
    """Whether a video is a file and not frames: a path, bytes, a data URI, an open file, a row or a `Video`."""
    if isinstance(video, (str, bytes, bytearray, memoryview, os.PathLike, Video)):
        return True
    is_row = isinstance(video, Mapping) and ("bytes" in video or "path" in video)
    return is_row or callable(getattr(video, "read", None))


def load(video: Any, loader: Loader, data_format: DataFormat | None) -> list[Loaded]:
    """The frames of a video as the compiled part takes them.

    Raises:
        VlmresError: There are no frames, or a frame is not uint8 RGB or gray.
        TypeError: A frame is not something that holds an image.
    """
    frames = _frames(video)
    if not frames:
        raise VlmresError("a video has no frames")
    first = next((frame for frame in frames if isinstance(frame, np.ndarray)), None)
    if first is not None:
        data_format = data_format or _data_format(first)
    loaded: list[Loaded] = []
    for index, frame in enumerate(frames):
        try:
            _check_channels(frame, data_format)
            loaded.append(loader.load(frame, data_format))
        except (VlmresError, TypeError) as error:
            raise type(error)(f"frame {index}: {error}") from error
    return loaded


def _frames(video: Any) -> Sequence[Any]:
    if isinstance(video, (list, tuple)):
        return [_whole(on_cpu(frame, "a video", floats=True)) for frame in video]
    video = on_cpu(video, "a video", floats=True)
    if getattr(video, "ndim", None) != 4:
        got = type(video).__qualname__
        raise TypeError(f"a video is an array of four dimensions or a list of frames, got {got}")
    if video.dtype.kind == "f":
        return [_whole(frame) for frame in video]
    if video.dtype != np.uint8:
        raise VlmresError(f"a video must be uint8, got {video.dtype}")
    return list(video)


def _whole(frame: Any) -> Any:
    """A frame of whole numbers as floats, as qwen-vl-utils gives them, as uint8; anything else unchanged."""
    if not isinstance(frame, np.ndarray) or frame.dtype.kind != "f":
        return frame
    with np.errstate(invalid="ignore"):
        whole = frame.astype(np.uint8)
    if not np.array_equal(whole, frame):
        raise VlmresError(f"frames of {frame.dtype} must be whole numbers from 0 to 255, as qwen-vl-utils gives them")
    return whole


def _data_format(frame: NDArray[Any]) -> DataFormat:
    return "channels_first" if frame.ndim == 3 and frame.shape[0] in _CHANNELS else "channels_last"


def _check_channels(frame: Any, data_format: DataFormat | None) -> None:
    """Refuses transparency, which transformers composites in floating point."""
    pil = imported("PIL.Image", "Image")
    if isinstance(frame, np.ndarray) and frame.ndim == 3:
        channels = frame.shape[0 if data_format == "channels_first" else 2]
        if channels not in _CHANNELS:
            raise VlmresError(f"a frame has 1 or 3 channels first or last, got shape {frame.shape}")
    elif (
        pil is not None
        and isinstance(frame, pil.Image)
        and ("A" in frame.getbands() or frame.info.get("transparency") is not None)
    ):
        raise VlmresError(f"a frame has no transparency, got mode {frame.mode}: convert it first")
