"""Video files: `Video`, and which of its frames a call uses (`pip install 'vlmres[video]'`)."""

from __future__ import annotations

import functools
import math
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import DecodeError, Deferred, Source, VlmresError
from vlmres.inputs.handles import check_file, content_of
from vlmres.videos.decoder import Decoder, frame_order, open_container, stream_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres._core import Recipe

MAX_FRAME_PIXELS = 178_956_970  # of an image file, too


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says, and which of its frames are used. It corresponds to transformers' `VideoMetadata`."""

    total_frames: int
    """Frames of the whole video."""
    fps: float
    """Average frames per second."""
    width: int
    height: int
    frames: NDArray[np.int64]
    """Indices of the used frames."""
    part_frames: int | None = None
    """Frames of the part from `start` to `end`, if only a part is used."""

    @property
    def duration(self) -> float:
        """Duration in seconds: frames divided by their rate, as transformers counts."""
        return self.total_frames / self.fps if self.fps else 0.0

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """The time of each used frame in seconds: its index divided by the rate, as transformers counts."""
        return np.asarray(self.frames / self.fps)

    @property
    def sampled_fps(self) -> float:
        """Used frames per second of the video, or of its part."""
        return len(self.frames) / (self.part_frames or self.total_frames) * self.fps

    def times(self, temporal_patch_size: int) -> NDArray[np.float64]:
        """The time of each patch along time in seconds: the mean of its first and last frame, as Qwen3-VL writes it."""
        stamps = self.timestamps
        missing = -len(stamps) % temporal_patch_size
        grouped = np.append(stamps, [stamps[-1]] * missing).reshape(-1, temporal_patch_size)
        return np.asarray((grouped[:, 0] + grouped[:, -1]) / 2)


class Video:
    """A video file. `Processor(recipe)(videos=Video("clip.mp4"))` decodes the frames that the reference picks.

    Args:
        source: A path, or something else that holds the file (docs/files.md): bytes, an open file, a data URI, a row of
            a data set.
        fps: Frames per second to pick; by default the recipe's.
        num_frames: Number of frames to pick, in place of a rate.
        frames: Indices of the frames to use, in place of those that the recipe picks.
        start: Start in seconds of the part from which frames are picked, as qwen-vl-utils' `video_start`; only for
            recipes with `sampling="qwen-vl-utils"`.
        end: End of that part in seconds.
        rotate: Whether to rotate frames as the file declares, for example those of a telephone held upright.
            transformers does not rotate them. By default they are not rotated, and a file that declares a rotation
            causes a warning.
        max_file_bytes: Larger files are refused before they are opened. There is no default limit, because videos are
            read piece by piece.

    Frames are numbered in the decoder's order. Their pixels are FFmpeg's RGB (`VideoFrame.to_ndarray`), as with
    transformers' backend "pyav". The decoder skips what it can: if wanted frames are far apart, it seeks to the next
    key frame. Frames are decoded one after another while a call runs, and each is freed after its resize.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
        DecodeError: The file is not a video that FFmpeg reads, or its frames are over a limit.
        OSError: The file cannot be read.
    """

    def __init__(
        self,
        source: Any,
        *,
        fps: float | None = None,
        num_frames: int | None = None,
        frames: Sequence[int] | NDArray[np.integer[Any]] | None = None,
        start: float | None = None,
        end: float | None = None,
        rotate: bool | None = None,
        max_file_bytes: int | None = None,
    ) -> None:
        if sum(option is not None for option in (fps, num_frames, frames)) > 1:
            raise TypeError("give one of fps, num_frames and frames")
        if frames is not None and (start is not None or end is not None):
            raise TypeError("frames exclude start and end")
        self._source = content_of(source, max_file_bytes, "a video")
        self._fps, self._num_frames, self._frames = fps, num_frames, frames
        self._start, self._end = _checked_time("start", start), _checked_time("end", end)
        self._rotate = rotate
        is_bytes = isinstance(self._source, bytes)
        self.name = f"a video of {len(self._source):,} bytes" if is_bytes else str(self._source)
        if max_file_bytes is not None and isinstance(self._source, str):
            check_file(self._source, max_file_bytes)
        with open_container(self._source, self.name) as container:
            stream = stream_of(container, self.name)
            self.width, self.height = stream.width, stream.height
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate else 0.0
            self.total_frames = stream.frames or len(frame_order(container, stream))
        if not self.total_frames:
            raise DecodeError(f"{self.name}: a video without frames")
        if self.width * self.height > MAX_FRAME_PIXELS:
            raise DecodeError(f"{self.name}: frames of {self.width}x{self.height} pixels are over the limit")

    def __repr__(self) -> str:
        return f"Video({self.name}, {self.total_frames} frames of {self.width}x{self.height}, {self.fps:g} fps)"

    def picked(self, recipe: Recipe) -> Frames:
        """The frames that a recipe uses, not decoded yet.

        Raises:
            RecipeError: The recipe takes no videos.
            VlmresError: The recipe's reference picks no frames from a video of this length.
            IndexError: There is no such frame.
        """
        part = None
        if self._frames is not None:
            indices = _checked_frames(self._frames, self.total_frames, self.name)
        else:
            first, count = self._part()
            part = count if count != self.total_frames else None
            indices = recipe.sample_frames(
                count,
                video_fps=self.fps or None,
                duration=count / self.fps if self.fps else None,
                fps=self._fps,
                num_frames=self._num_frames,
                first=first,
            )
        info = VideoInfo(self.total_frames, self.fps, self.width, self.height, indices, part)
        return Frames(Decoder(self._source, self.name, indices.tolist()), info, self._rotate, self.name)

    def _part(self) -> tuple[int, int]:
        """The first frame of the wanted part, and the number of its frames.

        The rule is that of qwen-vl-utils' `calculate_video_frame_range`.
        """
        total = self.total_frames
        if self._start is None and self._end is None:
            return 0, total
        if not self.fps:
            raise VlmresError(f"{self.name}: start and end need a rate, which the file does not tell")
        duration = total / self.fps
        first = 0 if self._start is None else math.ceil(min(self._start, duration) * self.fps)
        last = total - 1
        if self._end is not None:
            last = min(math.floor(min(self._end, duration) * self.fps), last)
        if first >= last:
            end = duration if self._end is None else self._end
            raise VlmresError(f"{self.name}: no frames from {self._start or 0:g} to {end:g} seconds of {duration:g}")
        return first, last - first + 1


class Frames:
    """The used frames of a video file, each decoded once."""

    def __init__(self, decoder: Decoder, info: VideoInfo, rotate: bool | None, name: str) -> None:
        self.info = info
        self._decoder = decoder
        self._lock = threading.Lock()
        self._rotate = rotate
        self._name = name
        self._turns: int | None = None

    def __len__(self) -> int:
        return len(self.info.frames)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of a frame after rotation."""
        size = (self.info.width, self.info.height)
        return size[::-1] if self.turns % 2 else size

    @property
    def turns(self) -> int:
        """Quarter turns by which frames are rotated, counterclockwise."""
        if self._turns is None:
            with self._lock:
                rotation = self._decoder.rotation()
            if rotation % 360 and self._rotate is None:
                warnings.warn(
                    f"{self._name} declares a rotation of {rotation} degrees; transformers does not rotate frames, "
                    "so they stay as they are: pass Video(..., rotate=True) to rotate them, or rotate=False",
                    stacklevel=2,
                )
            self._turns = round(rotation / 90) % 4 if self._rotate else 0
        return self._turns

    def frame(self, position: int) -> NDArray[np.uint8]:
        """Pixels of the used frame at this position, uint8 of shape (height, width, 3)."""
        turns = self.turns
        with self._lock:
            frame = self._decoder.take(position)
        pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        return np.rot90(pixels, turns) if turns else pixels

    def deferred(self) -> list[Deferred]:
        """The frames as a call takes them: each is decoded just before its resize."""
        return [Deferred(self.size, functools.partial(self._source, position)) for position in range(len(self))]

    def _source(self, position: int) -> Source:
        return Source.from_array(self.frame(position), False, False)


def is_video(beginning: bytes) -> bool:
    """Whether first bytes are those of a video format."""
    return (
        (beginning[4:8] == b"ftyp" and beginning[8:12] not in _IMAGE_BRANDS)
        or beginning[:4] == b"\x1aE\xdf\xa3"  # Matroska, WebM
        or (beginning[:4] == b"RIFF" and beginning[8:12] == b"AVI ")
        or beginning[:4] == b"FLV\x01"
        or beginning[:4] == b"OggS"
        or beginning[:4] in (b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3")
        or (beginning[:1] == b"G" and beginning[188:189] == b"G")
    )


_IMAGE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"jxl ")


def _checked_time(name: str, seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number of seconds, got {seconds!r}")
    if not math.isfinite(seconds):
        raise ValueError(f"{name} must be finite, got {seconds}")
    return max(0.0, float(seconds))


def _checked_frames(frames: Sequence[int] | NDArray[np.integer[Any]], total: int, name: str) -> NDArray[np.int64]:
    indices = np.asarray(frames)
    if indices.ndim != 1 or not indices.size or indices.dtype.kind not in "iu":
        raise TypeError(f"frames are integers, at least one, got {indices.dtype} of shape {indices.shape}")
    if indices.min() < 0 or indices.max() >= total:
        raise IndexError(f"{name} has {total} frames, from 0 to {total - 1}; got {indices.min()} to {indices.max()}")
    return indices.astype(np.int64)
