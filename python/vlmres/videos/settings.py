"""A video with settings of its own, in the words of qwen-vl-utils: `(video, {"fps": 2.0})`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vlmres._core import VlmresError, plan_like
from vlmres._core import plan as plan_size
from vlmres.inputs import handles
from vlmres.inputs.errors import kind, shown
from vlmres.inputs.settings import settled, sides_of
from vlmres.videos.files import Video
from vlmres.videos.frames import holds_file

if TYPE_CHECKING:
    from vlmres._core import Plan, Recipe
    from vlmres.inputs import Loaded, Loader

# Settings that a video may have, as qwen-vl-utils names them: which frames are picked, ...
_PICKING = ("fps", "nframes", "video_start", "video_end")
# ... parameters of the recipe, by their names there, ...
_PARAMETERS = {
    "min_frames": "min_frames",
    "max_frames": "max_frames",
    "min_pixels": "video_min_pixels",
    "max_pixels": "video_max_pixels",
    "total_pixels": "total_pixels",
}
# ... and sizes.
_SIDES = ("resized_width", "resized_height", "do_resize")
# If the frames are picked already, their rate is `fps` or, in messages, `sample_fps`.
_SETTINGS = (*_PICKING, "sample_fps", *_PARAMETERS, *_SIDES)


@dataclass(frozen=True)
class VideoSettings:
    """A video, and its own settings."""

    video: Any
    recipe: Recipe
    """The call's, with the video's own parameters."""
    fps: float | None = None
    """Frames per second: of a file those to pick, of frames those at which they were picked."""
    count: int | None = None
    """Frames to pick."""
    start: float | None = None
    """Seconds."""
    end: float | None = None
    sides: Mapping[str, Any] = field(default_factory=dict)
    is_settled: bool = False
    """Whether its plan may differ from the recipe's."""

    def plan(self, frames: int, size: tuple[int, int]) -> Plan:
        """The plan of this many frames of `size` (width, height)."""
        if self.sides.get("do_resize") is False:
            if len(self.sides) > 1:
                raise VlmresError("do_resize=False allows no other size")
            return _unresized(self.recipe, frames, size)
        like = sides_of(size, self.sides)
        if like is None:
            return plan_size((frames, *size), self.recipe)
        return plan_like(size, like, _roomy(self.recipe), frames)


def with_settings(item: Any, recipe: Recipe) -> VideoSettings:
    """A video with the settings of a pair such as `(video, {"fps": 2.0})`, as qwen-vl-utils names them.

    Raises:
        VlmresError: A setting is unknown, or does not fit this video or the recipe.
        RecipeError: The recipe does not allow a budget.
    """
    pair = settled(item)
    if pair is None:
        return VideoSettings(item, recipe)
    video, said = pair
    said = {key: value for key, value in said.items() if value is not None}
    if unknown := [key for key in said if key not in _SETTINGS]:
        raise VlmresError(
            f"a video has no setting {shown(unknown[0])} of its own; it may have {', '.join(_SETTINGS)}. "
            "Video(file, frames=[...]) takes frames by their numbers"
        )
    is_file = holds_file(video)
    if isinstance(video, Video) and (picking := [key for key in said if key in _PICKING]):
        raise VlmresError(
            f"pass {picking[0]} to the Video itself: Video(file, fps=..., num_frames=..., start=..., end=...)"
        )
    if "fps" in said and "nframes" in said:
        raise VlmresError("fps and nframes of a video exclude each other")
    rate = "fps" if "fps" in said else "sample_fps"
    if is_file and "sample_fps" in said:
        raise VlmresError("sample_fps is for frames that are picked already; a file takes fps")
    fps = _number(said, rate, above=0)
    if not is_file and (key := next((key for key in ("nframes", "video_start", "video_end") if key in said), None)):
        raise VlmresError(f"{key} is only for video files: these frames are picked already")
    count = said.get("nframes")
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise VlmresError(f"nframes must be a positive integer, got {shown(count)}")
    own = _with_parameters(recipe, said)
    sides = {key: said[key] for key in _SIDES if key in said}
    start, end = _number(said, "video_start"), _number(said, "video_end")
    return VideoSettings(video, own, fps, count, start, end, sides, bool(sides) or own != recipe)


def _number(said: Mapping[str, Any], key: str, above: float = -math.inf) -> float | None:
    value = said.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not above < value < math.inf:
        raise VlmresError(f"{key} of a video must be a {'positive ' if above == 0 else ''}number, got {shown(value)}")
    return float(value)


def _with_parameters(recipe: Recipe, said: Mapping[str, Any]) -> Recipe:
    changes = {}
    for key, name in _PARAMETERS.items():
        if key not in said:
            continue
        if name not in recipe.params:
            raise VlmresError(f"{key} of a video: the recipe {recipe.name} has no such budget")
        value = said[key]
        # Budgets are often computed in floating point.
        changes[name] = int(value) if isinstance(value, float) and value.is_integer() else value
    return recipe.replace(**changes) if changes else recipe


def _roomy(recipe: Recipe) -> Recipe:
    """The recipe with the budgets that qwen-vl-utils applies to explicit sizes: those of an image."""
    if "total_pixels" not in recipe.params:
        return recipe
    merged = (recipe.patch_size * recipe.merge_size) ** 2
    budgets = {"video_min_pixels": 4 * merged, "video_max_pixels": 16384 * merged}
    return recipe.replace(max_frame_tokens=16384, total_pixels=1 << 50, **budgets)


def _unresized(recipe: Recipe, frames: int, size: tuple[int, int]) -> Plan:
    """The plan of frames that are not resized."""
    side = recipe.patch_size * recipe.merge_size
    pixels = size[0] * size[1]
    least = {"video_min_pixels": pixels}
    most = {
        "video_max_pixels": pixels * (frames + 1),
        "max_frame_tokens": -(-pixels // side**2),
        "total_pixels": 1 << 50,
    }
    known = recipe.params
    changes: dict[str, Any] = {key: min(known[key], value) for key, value in least.items() if key in known}
    changes |= {key: max(known[key], value) for key, value in most.items() if key in known}
    if "cap_pixels_per_frame" in known:
        changes["cap_pixels_per_frame"] = False
    plan = plan_size((frames, *size), recipe.replace(**changes))
    if plan.views[0].resized != size:
        raise VlmresError(
            f"do_resize=False needs sides of whole merged patches, multiples of {side}, got {size[0]}x{size[1]}"
        )
    return plan


def opened(one: VideoSettings, loader: Loader, fps: float | None = None) -> Video:
    """The video file, with frames to pick by its settings or else at `fps` frames per second.

    Raises:
        VlmresError: It cannot be read.
        OSError: The file cannot be read.
    """
    if isinstance(one.video, Video):
        return one.video
    content = handles.encoded(one.video, loader.limits[1], "a video")
    if isinstance(content, handles.Address):
        content = loader.content(content)
    if content is None:
        raise TypeError(f"the file of a video is a path, bytes or an open file, got {kind(one.video)}")
    rate = None if one.count else one.fps or fps
    return Video(content, fps=rate, num_frames=one.count, start=one.start, end=one.end, max_file_bytes=loader.limits[1])


def settle(
    one: VideoSettings, frames: list[Loaded], size: tuple[int, int] | None, loader: Loader
) -> list[Loaded] | tuple[list[Loaded], Plan]:
    """Frames as a call takes them, with a plan if the video's settings change it."""
    if not one.is_settled:
        return frames
    first = frames[0]
    if isinstance(first, handles.Address):
        first = loader.content(first)
    return frames, one.plan(len(frames), size or loader.size(first))
