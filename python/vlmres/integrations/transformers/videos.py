"""transformers' video processors on vlmres: as `drop_in` and `route` for image processors."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers.image_utils import ChannelDimension, infer_channel_dimension_format
from transformers.video_processing_utils import BaseVideoProcessor

from vlmres.integrations.operations import log, parts
from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.memo import remembered
from vlmres.integrations.transformers.route import settings_of
from vlmres.integrations.transformers.trial import check_outputs, check_same, expected_of, recipe_of
from vlmres.integrations.transformers.twin import Twin, twin_of
from vlmres.processor import Processor

# Settings of frame sampling, which is done before a video gets here.
_SAMPLING = ("do_sample_frames", "num_frames", "fps", "min_frames", "max_frames", "max_duration")

# (height, width) of the videos on which settings are tried: they have odd numbers of frames, and one is tall.
_SAMPLE_SIZES = ((47, 61), (120, 30))
_SAMPLE_FRAMES = 5
# Sizes of videos that are not resized, for patches of 14 and of 16 pixels, merged by two, within the usual limits.
_WHOLE_SIZES = ((224, 448), (448, 224))


class AcceleratedVideo(Twin):
    """The base of the classes that `accelerate_video` makes.

    Such a class comes before the processor's own. transformers picks the frames; they are not copied to channels first,
    and vlmres computes the pixels.
    """

    def _prepare_input_videos(
        self, videos: Any, *args: Any, input_data_format: Any = None, device: Any = None, **kwargs: Any
    ) -> list[Any]:
        # The other arguments differ between versions.
        views = None if args or (device is not None and str(device) != "cpu") else _views(videos, input_data_format)
        if views is not None:
            return views
        prepared: list[Any] = self._vlmres_original._prepare_input_videos(
            self, videos, *args, input_data_format=input_data_format, device=device, **kwargs
        )
        return prepared

    def _preprocess(self, videos: list[Any], **kwargs: Any) -> Any:
        original = functools.partial(self._vlmres_original._preprocess, self)

        def ours() -> Any:
            floats = [video.is_floating_point() for video in videos]
            frames = [_bytes(video) for video in videos]
            route = find_video_route(self, original, kwargs, floats=any(floats))
            return route.run(frames, kwargs.get("return_tensors"))

        name = self._vlmres_original.__name__
        return answer(name, len(videos), ours, lambda: original([video.contiguous() for video in videos], **kwargs))


def accelerate_video(processor: Any) -> Any:
    """The accelerated twin of a video processor; or itself, if its class prepares videos in its own way."""
    cls = type(processor)
    if isinstance(processor, AcceleratedVideo):
        return processor
    if not all(
        getattr(cls, name) is getattr(BaseVideoProcessor, name) for name in ("preprocess", "_prepare_input_videos")
    ):
        declined = DeclinedError("pipeline", "the class prepares videos in a way of its own")
        log.log_once(cls.__name__, declined)
        parts.left(cls.__name__, declined.reason)
        return processor
    return twin_of(processor, AcceleratedVideo)


@dataclass(frozen=True)
class VideoRoute:
    """A way to compute a call with vlmres, for given settings."""

    processor: Processor
    container: Callable[..., Any]
    """The class of transformers' result."""
    lists: Mapping[str, bool]
    """Keys of the reference, and whether each is a list with a tensor or number for each video."""
    whole: bool = False
    """Whether frames are not resized: they are floats, or `do_resize` is off."""

    def run(self, videos: list[Any], return_tensors: Any) -> Any:
        """The result that transformers would return.

        Raises:
            DeclinedError: vlmres does not read one of the videos, or has an output that the sample videos did not have.
        """
        import torch

        try:
            batch = self.processor(videos=videos, input_data_format="channels_first")
        except (ValueError, TypeError) as error:
            raise DeclinedError(f"input {type(error).__name__}", str(error)) from error
        if self.whole and any(plan is None or plan.views[0].resized != plan.size for plan in batch.plans):
            raise DeclinedError("whole", "a video of floats, or with do_resize=False, would be resized")
        check_outputs(batch, self.lists, "videos")
        data: dict[str, Any] = {}
        for key, array in batch.items():
            tensor = torch.from_numpy(array)
            # One tensor, so that lists of tensors need not be stacked.
            stays = self.lists[key] and not (return_tensors == "pt" and tensor.ndim > 1)
            data[key] = (tensor.tolist() if tensor.ndim == 1 else list(tensor)) if stays else tensor
        return self.container(data=data, tensor_type=return_tensors)


def find_video_route(
    processor: Any, original: Callable[..., Any], kwargs: dict[str, Any], *, floats: bool = False
) -> VideoRoute:
    """The route of a video processor for the resolved settings `kwargs`; found once, then cached.

    Args:
        processor: transformers' processor.
        original: Its own implementation, called with videos and settings.
        kwargs: Every setting, as transformers resolved it.
        floats: Whether frames are floats that are whole numbers.

    Raises:
        DeclinedError: There is none, with the reason.
    """
    settings = {name: value for name, value in kwargs.items() if name not in ("return_tensors", "video_metadata")}
    make = functools.partial(_make_route, processor, original, kwargs, floats=floats)
    return remembered(processor, settings, make, ("floats", floats))


def make_video_processor(processor: Any, kwargs: Mapping[str, Any]) -> Processor:
    """The vlmres `Processor` for a transformers video processor with the resolved settings `kwargs`.

    Raises:
        DeclinedError: No recipe follows them.
    """
    settings = {name: value for name, value in settings_of(processor, kwargs).items() if name not in _SAMPLING}
    settings["video_processor_type"] = settings.pop("image_processor_type")
    try:
        recipe, dtype = recipe_of(settings)
        return Processor(recipe, dtype=dtype, arithmetic="torch")
    except (ValueError, TypeError) as error:
        raise DeclinedError("recipe", str(error)) from error


def _make_route(processor: Any, original: Callable[..., Any], kwargs: dict[str, Any], *, floats: bool) -> VideoRoute:
    ours = make_video_processor(processor, kwargs)
    whole = floats or kwargs.get("do_resize") is False
    videos = list(_samples(_WHOLE_SIZES if whole else _SAMPLE_SIZES))
    given = [video.float() for video in videos] if floats else videos
    expected = expected_of(original, given, **{**kwargs, "return_tensors": None})
    lists = {key: isinstance(value, list) for key, value in expected.items()}
    route = VideoRoute(ours, type(expected), lists, whole)
    check_same(ours.recipe.name, route.run(videos, None), expected, "videos")
    return route


@functools.cache
def _samples(sizes: tuple[tuple[int, int], ...]) -> tuple[Any, ...]:
    import torch

    generator = np.random.default_rng(0)
    shapes = [(_SAMPLE_FRAMES, 3, *size) for size in sizes]
    return tuple(torch.from_numpy(generator.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes)


def _views(videos: Any, data_format: Any) -> list[Any] | None:
    """uint8 RGB videos as tensors with channels first, sharing their memory; None if one is not such a video."""
    torch = sys.modules["torch"]
    views = []
    for video in videos:
        if isinstance(video, np.ndarray):
            if any(stride < 0 for stride in video.strides):
                return None  # torch refuses it
            video = torch.from_numpy(video)
        if not isinstance(video, torch.Tensor) or video.ndim != 4 or video.dtype != torch.uint8:
            return None
        # The format of the first video applies to all, as in the original.
        data_format = data_format or infer_channel_dimension_format(video)
        view = video.permute(0, 3, 1, 2) if data_format == ChannelDimension.LAST else video
        if view.shape[1] != 3:
            return None
        views.append(view)
    return views


def _bytes(video: Any) -> Any:
    """A uint8 RGB video on the CPU; or one of floats that are whole numbers, as from qwen-vl-utils.

    Raises:
        DeclinedError: It is not such a video.
    """
    if video.device.type != "cpu":
        raise DeclinedError("device", f"a video is on device {video.device}")
    if video.shape[1] != 3:
        raise DeclinedError("channels", f"a video has {video.shape[1]} channels")
    if not video.is_floating_point() and str(video.dtype) != "torch.uint8":
        raise DeclinedError(f"dtype {video.dtype}", f"a video is {video.dtype}, not torch.uint8")
    if not video.is_floating_point():
        return video
    frames = video.byte()
    if not frames.to(video.dtype).equal(video):
        raise DeclinedError(f"dtype {video.dtype}", f"a video is {video.dtype}, and not of whole values from 0 to 255")
    return frames
