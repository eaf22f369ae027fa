"""What users pass as videos, as the compiled part takes it.

`decoder` (FFmpeg's frames), `files` (`Video`), `frames` (arrays and lists of frames) and `settings` (of one video).
"""

from vlmres.videos.files import Frames, Video, VideoInfo, is_video
from vlmres.videos.frames import as_videos, holds_file, load
from vlmres.videos.settings import VideoSettings, opened, settle, with_settings

__all__ = [
    "Frames",
    "Video",
    "VideoInfo",
    "VideoSettings",
    "as_videos",
    "holds_file",
    "is_video",
    "load",
    "opened",
    "settle",
    "with_settings",
]
