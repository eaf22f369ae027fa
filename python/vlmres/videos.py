"""What users pass as videos: files, or the frames of each."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import VlmresError
from vlmres.inputs import handles
from vlmres.inputs.arrays import on_cpu
from vlmres.inputs.errors import kind, shown
from vlmres.inputs.settings import settled
from vlmres.video_files import FILES, Video

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.inputs import DataFormat, Loaded, Loader

# transformers' video processors take no fourth channel for one.
_CHANNELS = (1, 3)
# What a video may say of its own, in the words of qwen-vl-utils.
_SETTINGS = ("fps", "nframes")


def as_videos(videos: Any) -> list[Any]:
    """One video or several as a list of them: files, arrays of four dimensions, or lists of frames."""
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
    """Whether it is the file of a video, and no frames: a path, its bytes, a data URI, an open file or a `Video`."""
    return isinstance(video, (*FILES, Video)) or callable(getattr(video, "read", None))


def with_settings(item: Any) -> tuple[Any, float | None, int | None]:
    """A video, and what a pair `(video, {"fps": 2.0})` says beside it: frames a second, and how many frames to pick.

    Raises:
        VlmresError: It says something else, or what frames or a `Video` cannot follow.
    """
    pair = settled(item)
    if pair is None:
        return item, None, None
    video, settings = pair
    unknown = [key for key in settings if key not in _SETTINGS]
    if unknown:
        raise VlmresError(
            f"a video has no setting {shown(unknown[0])} of its own; it may have {', '.join(_SETTINGS)}. "
            "Budgets of pixels are the recipe's, Processor(recipe, max_pixels=...); "
            "Video(file, frames=[...]) takes a part of a file"
        )
    fps, count = settings.get("fps"), settings.get("nframes")
    if isinstance(video, Video):
        raise VlmresError("a Video has its settings itself: Video(file, fps=..., num_frames=...)")
    if fps is not None and count is not None:
        raise VlmresError("fps and nframes of a video exclude each other")
    if fps is not None and not (isinstance(fps, (int, float)) and not isinstance(fps, bool) and 0 < fps < math.inf):
        raise VlmresError(f"fps of a video must be a positive number, got {shown(fps)}")
    if count is not None:
        if not holds_file(video):
            raise VlmresError("nframes is of files of videos: these frames are picked already")
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise VlmresError(f"nframes must be a positive integer, got {shown(count)}")
    return video, fps, count


def opened(video: Any, loader: Loader, fps: float | None, count: int | None) -> Video:
    """The file of a video, `count` frames of which are to be picked, or `fps` a second.

    Raises:
        VlmresError: It cannot be read.
        OSError: The file cannot be read.
    """
    if isinstance(video, Video):
        return video
    content = handles.encoded(video, loader.limits[1])
    if isinstance(content, handles.Address):
        content = loader.content(content)
    if content is None:
        raise TypeError(f"the file of a video is a path, bytes or an open file, got {kind(video)}")
    return Video(content, fps=None if count else fps, num_frames=count, max_file_bytes=loader.limits[1])


def load(video: Any, loader: Loader, data_format: DataFormat | None) -> list[Loaded]:
    """The frames of a video as the compiled part takes them.

    Raises:
        VlmresError: There are no frames, or one is not of uint8 RGB or gray.
        TypeError: A frame is nothing that holds an image.
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
        return [on_cpu(frame, "a video") for frame in video]
    video = on_cpu(video, "a video")
    if getattr(video, "ndim", None) != 4:
        got = type(video).__qualname__
        raise TypeError(f"a video is an array of four dimensions or a list of frames, got {got}")
    if video.dtype != np.uint8:
        raise VlmresError(f"a video must be uint8, got {video.dtype}")
    return list(video)


def _data_format(frame: NDArray[Any]) -> DataFormat:
    return "channels_first" if frame.ndim == 3 and frame.shape[0] in _CHANNELS else "channels_last"


def _check_channels(frame: Any, data_format: DataFormat | None) -> None:
    """Refuses transparency, which transformers composites in numbers that are no bytes."""
    pil = sys.modules.get("PIL.Image")
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
