"""vLLM's DeepSeek-OCR and DeepSeek-VL2 processors, each of which reads text and images in one method."""

from __future__ import annotations

import copy
from types import ModuleType
from typing import TYPE_CHECKING, Any

from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import unread
from vlmres.integrations.vllm.hooks import Hook
from vlmres.integrations.vllm.outlines import Local, Outline, PaddingOps, Ready, with_globals
from vlmres.integrations.vllm.trial import check_rgb, samples, tried
from vlmres.processor import Processor

if TYPE_CHECKING:
    from vlmres._core import Plan
    from vlmres.batch import Batch


def _replace_ocr(original: Any, module: ModuleType) -> Any:
    def dynamic_preprocess(image: Outline, **_settings: Any) -> tuple[Any, tuple[int, int]]:
        assert image.local is not None
        return image.local.tiles, (image.local.columns, len(image.local.tiles) // image.local.columns)

    reading = with_globals(original, {"ImageOps": PaddingOps, "dynamic_preprocess": dynamic_preprocess})

    def outlines(processor: Processor, images: list[Any]) -> list[Outline]:
        batch = processor(unread(images))
        tensors = batch.torch()
        crops = iter(tensors["images_crop"].unbind())
        found = []
        for image, plan, view in zip(images, _plans(batch), tensors["pixel_values"].unbind(), strict=True):
            tiles = [next(crops) for _ in range(plan.num_tiles - 1)]
            found.append(Outline(image.size, [view], Local(tiles or [view], plan.grid.cols)))
        return found

    def tokenize_with_images(
        self: Any, conversation: str, images: list[Any], bos: bool = True, eos: bool = True, cropping: bool = True
    ) -> Any:
        def ours() -> Any:
            _check(self, conversation, images)
            if not cropping:
                raise DeclinedError("cropping", "cropping=False squeezes an image before it is padded")
            settings = _normalisation(self)
            sizes = {"tile_size": self.image_size, "base_size": self.base_size, "max_tiles": self.max_crops}
            processor = tried(
                ("deepseek-ocr", *settings.items(), *sizes.items(), self.strategy, module.MIN_CROPS),
                lambda: Processor(
                    "deepseek-ocr-gundam",
                    arithmetic="pillow-installed",
                    tile_over=self.image_size,
                    min_tiles=module.MIN_CROPS,
                    **sizes,
                    **settings,
                ),
                lambda made: reading(_ready(self), _prompt(self), outlines(made, samples())),
                lambda: original(self, _prompt(self), samples()),
            )
            return reading(_ready(self), conversation, outlines(processor, images), bos, eos, cropping)

        theirs = lambda: original(self, conversation, images, bos, eos, cropping)  # noqa: E731
        return answer(OCR.part, len(images), ours, theirs, whose="vLLM")

    return tokenize_with_images


def _replace_vl2(original: Any, _module: ModuleType) -> Any:
    reading = with_globals(original, {"ImageOps": PaddingOps})

    def outlines(processor: Processor, images: list[Any]) -> list[Outline]:
        batch = processor(unread(images))
        views = iter(batch.torch()["images"].unbind())
        found = []
        for image, plan in zip(images, _plans(batch), strict=True):
            view = next(views)
            local = Local([next(views) for _ in range(plan.num_tiles - 1)], plan.grid.cols)
            found.append(Outline(image.size, [view, local]))
        return found

    def tokenize_with_images(
        self: Any, conversation: str, images: list[Any], bos: bool = True, eos: bool = True, cropping: bool = True
    ) -> Any:
        def ours() -> Any:
            _check(self, conversation, images)
            settings = _normalisation(self)
            side = self.image_size
            candidates = [list(map(int, pair)) for pair in self.candidate_resolutions] if cropping else [[side, side]]
            processor = tried(
                ("deepseek-vl2", *settings.items(), side, tuple(map(tuple, candidates)), cropping),
                lambda: Processor(
                    "deepseek-vl2",
                    arithmetic="pillow-installed",
                    image_size=side,
                    candidate_resolutions=candidates,
                    **settings,
                ),
                lambda made: reading(_ready(self), _prompt(self), outlines(made, samples()), cropping=cropping),
                lambda: original(self, _prompt(self), samples(), cropping=cropping),
            )
            return reading(_ready(self), conversation, outlines(processor, images), bos, eos, cropping)

        theirs = lambda: original(self, conversation, images, bos, eos, cropping)  # noqa: E731
        return answer(VL2.part, len(images), ours, theirs, whose="vLLM")

    return tokenize_with_images


def _plans(batch: Batch) -> list[Plan]:
    return [plan for plan in batch.plans if plan is not None]


def _check(processor: Any, conversation: str, images: list[Any]) -> None:
    check_rgb(images)
    if conversation.count(processor.image_token) != len(images):
        raise DeclinedError("prompt", "the prompt has not one token for each image")


def _normalisation(processor: Any) -> dict[str, Any]:
    return {
        "image_mean": tuple(processor.image_mean),
        "image_std": tuple(processor.image_std),
        "do_normalize": bool(processor.normalize),
    }


def _prompt(processor: Any) -> str:
    return str(processor.image_token) * len(samples())


def _ready(processor: Any) -> Any:
    """The processor, which takes views as they are."""
    ready = copy.copy(processor)
    ready.image_transform = Ready(processor.image_transform.mean)
    return ready


OCR = Hook(
    module="vllm.transformers_utils.processors.deepseek_ocr",
    cls="DeepseekOCRProcessor",
    method="tokenize_with_images",
    sources=(
        "find_closest_aspect_ratio",
        "calculate_aspect_ratios",
        "dynamic_preprocess",
        "ImageTransform",
        "DeepseekOCRProcessor.tokenize_with_images",
    ),
    digests=frozenset({"2a9f4c39741f4b5a"}),
    replace=_replace_ocr,
    models="DeepSeek-OCR and OCR 2, Unlimited-OCR of one image",
    left="`cropping=False`",
)
VL2 = Hook(
    module="vllm.transformers_utils.processors.deepseek_vl2",
    cls="DeepseekVLV2Processor",
    method="tokenize_with_images",
    sources=(
        "ImageTransform",
        "DeepseekVLV2Processor.select_best_resolution",
        "DeepseekVLV2Processor.tokenize_with_images",
    ),
    digests=frozenset({"23bb40691cec6fe7"}),
    replace=_replace_vl2,
    models="DeepSeek-VL2",
)
