"""vLLM's InternVL processors: InternVL chat 1.5 to 3.5, SkyworkR1V, Eagle 2.5, Qianfan-OCR and NVLM-D have the same."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import unread
from vlmres.integrations.vllm.hooks import Hook
from vlmres.integrations.vllm.trial import check_rgb, samples, tried
from vlmres.processor import Processor

_MODULE = "vllm.transformers_utils.processors.internvl"
_FUNCTIONS = (
    "build_transform",
    "find_closest_aspect_ratio",
    "resolve_internvl_min_max_num",
    "get_internvl_target_ratios",
    "calculate_internvl_targets",
    "dynamic_preprocess_internvl",
)


def _replace_images(original: Any, module: ModuleType) -> Any:
    def images_to_pixel_values(
        self: Any,
        images: list[Any],
        min_dynamic_patch: int | None = None,
        max_dynamic_patch: int | None = None,
        dynamic_image_size: bool | None = None,
    ) -> list[Any]:
        bounds = (min_dynamic_patch, max_dynamic_patch, dynamic_image_size)

        def ours() -> list[Any]:
            check_rgb(images)
            own = (self.min_dynamic_patch, self.max_dynamic_patch, self.dynamic_image_size)
            least, most, dynamic = (one if given is None else given for given, one in zip(bounds, own, strict=True))
            fewest, greatest = module.resolve_internvl_min_max_num(
                min_dynamic_patch=least, max_dynamic_patch=most, dynamic_image_size=dynamic, use_thumbnail=False
            )
            processor = tried(
                ("internvl", self.image_size, fewest, greatest, self.use_thumbnail),
                lambda: _processor(self.image_size, fewest, greatest, self.use_thumbnail),
                lambda made: _tiles(made, samples()),
                lambda: original(self, samples(), *bounds),
            )
            return _tiles(processor, images)

        return answer(IMAGES.part, len(images), ours, lambda: original(self, images, *bounds), whose="vLLM")

    return images_to_pixel_values


def _replace_videos(original: Any, _module: ModuleType) -> Any:
    def videos_to_pixel_values(self: Any, videos: list[Any]) -> list[Any]:
        def ours() -> list[Any]:
            for video in videos:
                if getattr(video, "dtype", None) != "uint8" or video.ndim != 4 or video.shape[3] != 3 or not len(video):
                    raise DeclinedError("video", "a video is no array of RGB frames of bytes")
            processor = tried(
                ("internvl video", self.image_size),
                lambda: _processor(self.image_size, 1, 1, False),
                lambda made: _frames(made, _sample_videos()),
                lambda: original(self, _sample_videos()),
            )
            return _frames(processor, videos)

        return answer(VIDEOS.part, len(videos), ours, lambda: original(self, videos), whose="vLLM")

    return videos_to_pixel_values


def _processor(image_size: int, fewest: int, most: int, use_thumbnail: bool) -> Processor:
    return Processor(
        "internvl2",
        arithmetic="pillow-installed",
        image_size=image_size,
        min_tiles=fewest,
        max_tiles=most,
        use_thumbnail=use_thumbnail,
    )


def _tiles(processor: Processor, images: list[Any]) -> list[Any]:
    """The tiles of each image as a tensor, of one buffer."""
    batch = processor(unread(images))
    return list(batch.torch()["pixel_values"].split([plan.num_tiles for plan in batch.plans if plan]))


def _frames(processor: Processor, videos: list[Any]) -> list[Any]:
    frames = [frame for video in videos for frame in video]
    return list(processor(frames).torch()["pixel_values"].split([len(video) for video in videos]))


def _sample_videos() -> list[Any]:
    import numpy as np

    stack = [np.asarray(image) for image in samples()]
    return [np.stack(stack[:2]), stack[2][None]]


IMAGES = Hook(
    module=_MODULE,
    cls="InternVLImageProcessor",
    method="_images_to_pixel_values_lst",
    sources=(*_FUNCTIONS, "image_to_pixel_values_internvl", "InternVLImageProcessor._images_to_pixel_values_lst"),
    digests=frozenset({"ba2b5a77bca1d924"}),
    replace=_replace_images,
)
VIDEOS = Hook(
    module=_MODULE,
    cls="InternVLVideoProcessor",
    method="_videos_to_pixel_values_lst",
    sources=(*_FUNCTIONS, "video_to_pixel_values_internvl", "InternVLVideoProcessor._videos_to_pixel_values_lst"),
    digests=frozenset({"6b0e791c730f17a6"}),
    replace=_replace_videos,
)
