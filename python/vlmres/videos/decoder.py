"""Decoding of chosen frames of a video file with FFmpeg, through PyAV."""

from __future__ import annotations

import bisect
import io
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmres._core import DecodeError

if TYPE_CHECKING:
    from types import ModuleType

# FFmpeg's other formats include playlists, which name other files and addresses.
_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif,h264,hevc,ivf,mxf"
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}

# If the wanted frames are closer together than this, decoding those between is cheaper than seeking.
_SEEK_FROM = 16
# In these codecs each packet is one shown frame, and in these formats a packet can be found by its time.
_SEEKABLE_CODECS = frozenset({"av1", "h264", "hevc", "mjpeg", "mpeg4", "prores", "vp9"})
_SEEKABLE_FORMATS = frozenset({"mov", "matroska"})


class Decoder:
    """Decodes the frames of a file whose numbers are in `wanted`, in order."""

    def __init__(self, source: str | bytes, name: str, wanted: list[int]) -> None:
        self._source, self._name = source, name
        self._wanted = wanted
        # A frame may be wanted several times, and may be decoded before it is taken.
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
        """The rotation that the first frame declares, in degrees counterclockwise."""
        with open_container(self._source, self._name) as container:
            for frame in container.decode(stream_of(container, self._name)):
                return int(frame.rotation)
        return 0

    def take(self, position: int) -> Any:
        """The frame at a position in `wanted`. It is kept only while later positions want the same frame."""
        index = self._wanted[position]
        while index not in self._waiting:
            self._step(index)
        frame = self._waiting[index]
        self._left[index] -= 1
        if not self._left[index]:
            del self._waiting[index]
        return frame

    def _step(self, index: int) -> None:
        """Decodes up to the next wanted frame, or starts again if frame `index` is already past."""
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
        self._container = open_container(self._source, self._name)
        stream = stream_of(self._container, self._name)
        if self._seeks and not self._times and _is_seekable(self._container, stream):
            order = frame_order(self._container, stream)
            self._times = sorted(time for time, _ in order)
            self._keys = sorted(bisect.bisect_left(self._times, time) for time, key in order if key)
            self._container.close()
            self._container = open_container(self._source, self._name)
            stream = stream_of(self._container, self._name)
        stream.thread_type = "AUTO"
        self._stream = stream
        self._frames = self._container.decode(stream)
        self._next = 0

    def _jump(self, target: int) -> bool:
        """Seeks to the last key frame before the target, if that skips frames."""
        at = bisect.bisect_right(self._keys, target) - 1
        if at < 0 or self._keys[at] <= self._next:
            return False
        self._container.seek(self._times[self._keys[at]], stream=self._stream, backward=True)
        self._frames = self._container.decode(self._stream)
        return True

    def _index_of(self, frame: Any) -> int | None:
        """A frame's number: a count or, after seeking, the index of its time among the packets' times."""
        if not self._times:
            return self._next
        at = bisect.bisect_left(self._times, frame.pts) if frame.pts is not None else len(self._times)
        return at if at < len(self._times) and self._times[at] == frame.pts else None

    def _give_up_seeking(self) -> None:
        """Starts again and decodes every frame, because times do not identify frames or the file's index is wrong."""
        self._seeks, self._times, self._keys = False, [], []
        self._waiting.clear()
        self._start()

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = self._frames = None

    def __del__(self) -> None:
        self._close()


def _counted(wanted: list[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for index in wanted:
        counts[index] = counts.get(index, 0) + 1
    return counts


def _is_seekable(container: Any, stream: Any) -> bool:
    formats = container.format.name.split(",")
    return stream.codec_context.name in _SEEKABLE_CODECS and not _SEEKABLE_FORMATS.isdisjoint(formats)


def frame_order(container: Any, stream: Any) -> list[tuple[int, bool]]:
    """For each shown frame, its time and whether it is a key frame, from the packets without decoding."""
    return [
        (packet.pts, packet.is_keyframe)
        for packet in container.demux(stream)
        if packet.pts is not None and not packet.is_discard
    ]


def open_container(source: str | bytes, name: str) -> Any:
    """The file as PyAV's container.

    Raises:
        DecodeError: It is not a regular file, or not a video that FFmpeg reads.
        OSError: There is no such file.
    """
    av = _av()
    if isinstance(source, str):
        status = Path(source).stat()
        if not stat.S_ISREG(status.st_mode):
            raise DecodeError(f"{name}: not a regular file")
    try:
        return av.open(io.BytesIO(source) if isinstance(source, bytes) else source, options=_OPTIONS)
    except av.FFmpegError as error:
        raise DecodeError(f"{name}: not a video that FFmpeg reads ({_said(error)})") from None


def stream_of(container: Any, name: str) -> Any:
    """The first video stream of a container.

    Raises:
        DecodeError: There is none.
    """
    if not container.streams.video:
        raise DecodeError(f"{name}: no video in the file")
    return container.streams.video[0]


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _av() -> ModuleType:
    try:
        import av
    except ModuleNotFoundError:
        raise ModuleNotFoundError("Video files need PyAV: pip install 'vlmres[video]'", name="av") from None
    module: ModuleType = av
    return module
