"""Files of videos: frames that FFmpeg decodes, through PyAV, when they are needed (`pip install 'vlmres[video]'`)."""

from __future__ import annotations

import bisect
import functools
import io
import math
import stat
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import DecodeError, Deferred, Source, VlmresError
from vlmres.inputs.handles import check_file, content_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from numpy.typing import NDArray

    from vlmres._core import Recipe

# FFmpeg's other readers open playlists, which name other files and addresses.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,ivf,mxf"
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}

MAX_FRAME_PIXELS = 178_956_970  # of an image file, too

# Where needed frames lie closer, decoding those between costs less than to look for key frames.
_SEEK_FROM = 16
# A packet of these is a frame that is shown, and these files find the packet of a time.
_SEEKABLE_CODECS = frozenset({"av1", "h264", "hevc", "mjpeg", "mpeg4", "prores", "vp9"})
_SEEKABLE_FORMATS = frozenset({"mov", "matroska"})


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says, and which of its frames are used: transformers' `VideoMetadata`."""

    total_frames: int
    """Frames of the whole video."""
    fps: float
    """Its frames a second, on average."""
    width: int
    height: int
    frames: NDArray[np.int64]
    """Indices of the used frames."""
    part_frames: int | None = None
    """Frames of the part from `start` to `end`, where a part was asked for."""

    @property
    def duration(self) -> float:
        """Its seconds, by its frames and their rate, as transformers counts."""
        return self.total_frames / self.fps if self.fps else 0.0

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """Seconds of each used frame, by its index, as transformers counts them."""
        return np.asarray(self.frames / self.fps)

    @property
    def sampled_fps(self) -> float:
        """Used frames a second of the video, or of its part."""
        return len(self.frames) / (self.part_frames or self.total_frames) * self.fps

    def times(self, temporal_patch_size: int) -> NDArray[np.float64]:
        """Seconds of each patch along time: between its first and its last frame, as Qwen3-VL writes before it."""
        stamps = self.timestamps
        missing = -len(stamps) % temporal_patch_size
        grouped = np.append(stamps, [stamps[-1]] * missing).reshape(-1, temporal_patch_size)
        return np.asarray((grouped[:, 0] + grouped[:, -1]) / 2)


class Video:
    """A file of a video: `Processor(recipe)(videos=Video("clip.mp4"))` decodes the frames that the reference picks.

    Args:
        source: A path, or what else holds the file (docs/files.md): bytes, an open file, a data URI, a row of a set.
        fps: Frames a second to pick; by default the recipe's.
        num_frames: How many frames to pick, in place of a rate.
        frames: Indices of the frames to take; the recipe picks none then.
        start: Seconds with which the part begins that frames are picked of, as qwen-vl-utils' `video_start`: for
            recipes with `sampling="qwen-vl-utils"`.
        end: Seconds with which it ends.
        rotate: Whether frames are turned as the file says, as a telephone's held upright. transformers does not turn
            them; where this is not given, a file that is to be turned is warned of once and left as it lies.
        max_file_bytes: Files of more bytes are refused before they are opened; by default none is, as videos are read
            piece by piece.

    Frames are numbered as they come out of the decoder, and are FFmpeg's pixels in RGB (`VideoFrame.to_ndarray`), as
    transformers' backend "pyav" has them. Only as much is decoded as is needed for the frames that are used: between
    frames that lie far apart the decoder jumps to the next key frame. Frames are decoded one after another while a call
    works, and each is dropped when it has been resized.

    Raises:
        ModuleNotFoundError: PyAV is not installed.
        DecodeError: It holds no video that FFmpeg reads, or its frames are over a limit.
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
            raise TypeError("frames say themselves where they begin and end")
        self._source = content_of(source, max_file_bytes, "a video")
        self._fps, self._num_frames, self._frames = fps, num_frames, frames
        self._start, self._end = _checked_time("start", start), _checked_time("end", end)
        self._rotate = rotate
        is_bytes = isinstance(self._source, bytes)
        self.name = f"a video of {len(self._source):,} bytes" if is_bytes else str(self._source)
        if max_file_bytes is not None and isinstance(self._source, str):
            check_file(self._source, max_file_bytes)
        with _opened(self._source, self.name) as container:
            stream = _stream(container, self.name)
            self.width, self.height = stream.width, stream.height
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate else 0.0
            self.total_frames = stream.frames or len(_order(container, stream))
        if not self.total_frames:
            raise DecodeError(f"{self.name}: a video without frames")
        if self.width * self.height > MAX_FRAME_PIXELS:
            raise DecodeError(f"{self.name}: frames of {self.width}x{self.height} pixels are over the limit")

    def __repr__(self) -> str:
        return f"Video({self.name}, {self.total_frames} frames of {self.width}x{self.height}, {self.fps:g} fps)"

    def picked(self, recipe: Recipe) -> Frames:
        """The frames that are used with a recipe, not decoded yet.

        Raises:
            RecipeError: The recipe takes no videos.
            VlmresError: Its reference picks none of so many frames.
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
        return Frames(_Decoder(self._source, self.name, indices.tolist()), info, self._rotate, self.name)

    def _part(self) -> tuple[int, int]:
        """The first frame of the part that is asked for, and how many it has: `calculate_video_frame_range`."""
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

    def __init__(self, decoder: _Decoder, info: VideoInfo, rotate: bool | None, name: str) -> None:
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
        """(width, height) of a frame as it is given."""
        size = (self.info.width, self.info.height)
        return size[::-1] if self.turns % 2 else size

    @property
    def turns(self) -> int:
        """Quarters by which frames are turned, against the clock."""
        if self._turns is None:
            with self._lock:
                rotation = self._decoder.rotation()
            if rotation % 360 and self._rotate is None:
                warnings.warn(
                    f"{self._name} says that it is to be turned by {rotation} degrees; transformers does not turn it, "
                    "so it is left as it lies: pass Video(..., rotate=True) to turn it, or rotate=False",
                    stacklevel=2,
                )
            self._turns = round(rotation / 90) % 4 if self._rotate else 0
        return self._turns

    def frame(self, position: int) -> NDArray[np.uint8]:
        """Pixels of the used frame at a position, uint8 of shape (height, width, 3)."""
        turns = self.turns
        with self._lock:
            frame = self._decoder.take(position)
        pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        return np.rot90(pixels, turns) if turns else pixels

    def deferred(self) -> list[Deferred]:
        """The frames as a call takes them: each is decoded when it is resized."""
        return [Deferred(self.size, functools.partial(self._source, position)) for position in range(len(self))]

    def _source(self, position: int) -> Source:
        return Source.from_array(self.frame(position), False, False)


class _Decoder:
    """Frames of a file by their places in `wanted`, decoded in order."""

    def __init__(self, source: str | bytes, name: str, wanted: list[int]) -> None:
        self._source, self._name = source, name
        self._wanted = wanted
        # Several places may want one frame, and neighbours may come before it is asked for.
        self._left = _counted(wanted)
        self._waiting: dict[int, Any] = {}
        self._frames: Any = None
        self._next = 0
        self._container: Any = None
        self._times: list[int] = []
        self._keys: list[int] = []
        gaps = max(1, len(wanted) - 1)
        self._seeks = wanted[0] >= _SEEK_FROM or (max(wanted) - min(wanted)) / gaps >= _SEEK_FROM

    def rotation(self) -> int:
        """Degrees against the clock by which the first frame says that it is to be turned."""
        with _opened(self._source, self._name) as container:
            for frame in container.decode(_stream(container, self._name)):
                return int(frame.rotation)
        return 0

    def take(self, position: int) -> Any:
        """The frame at a place; it is kept for other places of the same frame alone."""
        index = self._wanted[position]
        while index not in self._waiting:
            self._step(index)
        frame = self._waiting[index]
        self._left[index] -= 1
        if not self._left[index]:
            del self._waiting[index]
        return frame

    def _step(self, index: int) -> None:
        """Decodes up to the next frame that is wanted, or to `index` where it lies behind."""
        if self._frames is None or index < self._next:
            self._start()
        target = min((at for at, left in self._left.items() if left and at >= self._next), default=index)
        jumped = self._jump(target)
        try:
            for frame in self._frames:
                at = self._index_of(frame)
                if at is None or (at > target if jumped else at != self._next):
                    return self._give_up_seeking()
                self._next = at + 1
                if self._left.get(at):
                    self._waiting.setdefault(at, frame)
                    return None
        except _av().FFmpegError as error:
            raise DecodeError(f"{self._name}, frame {target}: {_said(error)}") from None
        raise DecodeError(
            f"{self._name}: frame {index} cannot be decoded, the video ends after {self._next} frames; its header "
            "promises more"
        )

    def _start(self) -> None:
        self._close()
        self._container = _opened(self._source, self._name)
        stream = _stream(self._container, self._name)
        if self._seeks and not self._times and _is_seekable(self._container, stream):
            order = _order(self._container, stream)
            self._times = sorted(time for time, _ in order)
            self._keys = sorted(bisect.bisect_left(self._times, time) for time, key in order if key)
            self._container.close()
            self._container = _opened(self._source, self._name)
            stream = _stream(self._container, self._name)
        stream.thread_type = "AUTO"
        self._stream = stream
        self._frames = self._container.decode(stream)
        self._next = 0

    def _jump(self, target: int) -> bool:
        """Goes on at the last key frame before the target, where that spares frames."""
        at = bisect.bisect_right(self._keys, target) - 1
        if at < 0 or self._keys[at] <= self._next:
            return False
        self._container.seek(self._times[self._keys[at]], stream=self._stream, backward=True)
        self._frames = self._container.decode(self._stream)
        return True

    def _index_of(self, frame: Any) -> int | None:
        """A frame's number: the count of those before it, or after a jump its time's place among the packets' times."""
        if not self._times:
            return self._next
        at = bisect.bisect_left(self._times, frame.pts) if frame.pts is not None else len(self._times)
        return at if at < len(self._times) and self._times[at] == frame.pts else None

    def _give_up_seeking(self) -> None:
        """Begins anew and decodes all frames: times do not tell which frame it is, or the file is not indexed well."""
        self._seeks, self._times, self._keys = False, [], []
        self._waiting.clear()
        self._start()

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = self._frames = None

    def __del__(self) -> None:
        self._close()


def is_video(beginning: bytes) -> bool:
    """Whether a file that begins so is of a format of videos, by its first bytes."""
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


def _counted(wanted: list[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for index in wanted:
        counts[index] = counts.get(index, 0) + 1
    return counts


def _is_seekable(container: Any, stream: Any) -> bool:
    formats = container.format.name.split(",")
    return stream.codec_context.name in _SEEKABLE_CODECS and not _SEEKABLE_FORMATS.isdisjoint(formats)


def _order(container: Any, stream: Any) -> list[tuple[int, bool]]:
    """The time of each frame that is shown and whether it is a key frame, from packets, without decoding."""
    return [
        (packet.pts, packet.is_keyframe)
        for packet in container.demux(stream)
        if packet.pts is not None and not packet.is_discard
    ]


def _opened(source: str | bytes, name: str) -> Any:
    av = _av()
    if isinstance(source, str):
        status = Path(source).stat()
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError(f"{name}: not a regular file")
    try:
        return av.open(io.BytesIO(source) if isinstance(source, bytes) else source, options=_OPTIONS)
    except av.FFmpegError as error:
        raise DecodeError(f"{name}: not a video that FFmpeg reads ({_said(error)})") from None


def _stream(container: Any, name: str) -> Any:
    if not container.streams.video:
        raise DecodeError(f"{name}: no video in the file")
    return container.streams.video[0]


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


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


def _av() -> ModuleType:
    try:
        import av
    except ModuleNotFoundError:
        raise ModuleNotFoundError("Files of videos need PyAV: pip install 'vlmres[video]'", name="av") from None
    module: ModuleType = av
    return module
