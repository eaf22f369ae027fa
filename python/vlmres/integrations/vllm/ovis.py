"""vLLM's processors of Ovis and Ovis2.5, which find a size and ask an image processor of transformers for its pixels.

To that processor each size is another setting. Here the size is the recipe's, and settings are tried once.
"""

from __future__ import annotations

import copy
import functools
from types import ModuleType
from typing import Any

from vlmres._core import Recipe
from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import unread
from vlmres.integrations.transformers.memo import frozen
from vlmres.integrations.transformers.twin import original_of
from vlmres.integrations.vllm.hooks import Hook
from vlmres.integrations.vllm.trial import check_rgb, samples, tried
from vlmres.processor import Processor

_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
# Frames of the trial.
_FRAMES = 2


class _Sized:
    """In place of an image processor: makes pixels of the size that it is asked for, else is the original."""

    def __init__(self, original: Any, processor: Processor) -> None:
        self._original = original
        self._processor = processor

    def preprocess(self, image: Any, *, size: dict[str, int], **_settings: Any) -> dict[str, Any]:
        """The pixels, as (1, 3, height, width)."""
        recipe = _squash(self._processor.recipe, size["width"], size["height"])
        return {"pixel_values": self._processor._process([image], None, recipes=[recipe]).torch()["pixel_values"]}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@functools.lru_cache(maxsize=1024)
def _squash(recipe: Recipe, width: int, height: int) -> Recipe:
    return recipe.replace(image_width=width, image_height=height)


def _replace_image(original: Any, _module: ModuleType) -> Any:
    def preprocess_image(
        self: Any, image: Any, max_partition: int, covering_threshold: float, do_convert_rgb: bool, return_tensors: Any
    ) -> Any:
        settings = (max_partition, covering_threshold, do_convert_rgb, return_tensors)

        def run(processor: Processor, picture: Any) -> Any:
            return original(_with(self, _Sized(self.image_processor, processor)), picture, *settings)

        def ours() -> Any:
            check_rgb([image])
            if return_tensors != "pt":
                raise DeclinedError("return_tensors", f"return_tensors is {return_tensors!r}")
            pixels = _pixels(self.image_processor)
            plain = _with(self, original_of(self.image_processor))
            processor = tried(
                ("ovis", *settings, _key(self.image_processor)),
                lambda: Processor("siglip", patch_size=1, **pixels),
                lambda made: [run(made, picture) for picture in samples()],
                lambda: [original(plain, picture, *settings) for picture in samples()],
            )
            return run(processor, image)

        return answer(OVIS.part, 1, ours, lambda: original(self, image, *settings), whose="vLLM")

    return preprocess_image


def _replace_multidata(original: Any, module: ModuleType) -> Any:
    def preprocess_multidata(
        self: Any,
        images: Any = None,
        video: Any = None,
        do_convert_rgb: Any = True,
        min_pixels: Any = module.MIN_PIXELS,
        max_pixels: Any = module.MAX_PIXELS,
        return_tensors: Any = "pt",
    ) -> Any:
        settings = (do_convert_rgb, min_pixels, max_pixels, return_tensors)

        def run(processor: Processor, frames: list[Any], *, is_video: bool) -> Any:
            tensors = processor(unread(frames)).torch()
            grid = [len(frames), *tensors["image_grid_thw"][0, 1:].tolist()]
            placeholders = self.construct_visual_placeholders(grid, is_video)
            return tensors["pixel_values"], placeholders, module.torch.tensor([grid])

        def ours() -> Any:
            frames = _frames(images, video)
            if self.temporal_patch_size != 1:
                raise DeclinedError("temporal_patch_size", "a patch holds several frames")
            if min_pixels is None or max_pixels is None:
                raise DeclinedError("pixels", "a limit of pixels is None")
            numbers = {
                "patch_size": self.patch_size,
                "merge_size": self.hidden_stride,
                "min_pixels": min(min_pixels, max_pixels),
                "max_pixels": max_pixels,
            }
            pixels = _pixels(self.image_processor)
            plain = _with(self, original_of(self.image_processor))

            def expected() -> Any:
                clip = [samples()[0]] * _FRAMES
                return [
                    *(original(plain, picture, None, *settings) for picture in samples()),
                    original(plain, None, clip, *settings),
                ]

            def found(made: Processor) -> Any:
                clip = [samples()[0]] * _FRAMES
                return [
                    *(run(made, [picture], is_video=False) for picture in samples()),
                    run(made, clip, is_video=True),
                ]

            processor = tried(
                ("ovis2.5", *settings, *numbers.items(), _key(self.image_processor)),
                lambda: Processor("ovis2.5", **numbers, **pixels),
                found,
                expected,
            )
            return run(processor, frames, is_video=images is None)

        def theirs() -> Any:
            return original(self, images, video, *settings)

        return answer(OVIS2_5.part, 1, ours, theirs, whose="vLLM")

    return preprocess_multidata


def _frames(images: Any, video: Any) -> list[Any]:
    """An image, or the frames of a video, which have one size."""
    if images is not None:
        frames = images if isinstance(images, list) else [images]
        check_rgb(frames)
        if len(frames) != 1:
            raise DeclinedError("images", "a call has several images")
        return frames
    if isinstance(video, list):
        check_rgb(video)
        if len({frame.size for frame in video}) != 1:
            raise DeclinedError("frames", "a video has frames of several sizes")
        return video
    if getattr(video, "dtype", None) != "uint8" or video.ndim != 4 or video.shape[3] != 3 or not len(video):
        raise DeclinedError("video", "a video is no array of RGB frames of bytes")
    return list(video)


def _pixels(image_processor: Any) -> dict[str, Any]:
    """Arithmetic and parameters of the recipe's pixels."""
    from transformers.image_processing_backends import TorchvisionBackend

    filter_name = _FILTERS.get(int(image_processor.resample))
    if not image_processor.do_resize or filter_name is None:
        raise DeclinedError("resize", "the image processor does not resize, or by an unknown filter")
    return {
        "arithmetic": "torch" if isinstance(image_processor, TorchvisionBackend) else "pillow-installed",
        "filter": filter_name,
        "image_mean": tuple(image_processor.image_mean),
        "image_std": tuple(image_processor.image_std),
        "rescale_factor": image_processor.rescale_factor,
        "do_rescale": bool(image_processor.do_rescale),
        "do_normalize": bool(image_processor.do_normalize),
    }


def _key(image_processor: Any) -> Any:
    try:
        key = type(original_of(image_processor)), frozen(vars(image_processor))
        hash(key)
    except TypeError as error:
        raise DeclinedError("settings", f"a setting has no fixed value: {error}") from error
    return key


def _with(processor: Any, image_processor: Any) -> Any:
    changed = copy.copy(processor)
    changed.image_processor = image_processor
    return changed


OVIS = Hook(
    module="vllm.transformers_utils.processors.ovis",
    cls="OvisProcessor",
    method="preprocess_image",
    sources=("convert_image_mode", "OvisProcessor.get_image_size", "OvisProcessor.preprocess_image"),
    digests=frozenset({"09640e927f2bf4ad"}),
    replace=_replace_image,
    models="Ovis 1.6 and Ovis2",
)
OVIS2_5 = Hook(
    module="vllm.transformers_utils.processors.ovis2_5",
    cls="Ovis2_5Processor",
    method="preprocess_multidata",
    sources=("Ovis2_5Processor.smart_resize", "Ovis2_5Processor.preprocess_multidata"),
    digests=frozenset({"b87a8d266cb94267"}),
    replace=_replace_multidata,
    models="Ovis2.5 and Ovis2.6, videos too",
    left="patches of several frames, and videos of frames of several sizes",
)
