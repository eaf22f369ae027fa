"""vLLM's processor of Step3-VL."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import unread
from vlmres.integrations.vllm.hooks import Hook
from vlmres.integrations.vllm.trial import check_rgb, samples, tried
from vlmres.processor import Processor


def _replace(original: Any, module: ModuleType) -> Any:
    def call(self: Any, images: Any, return_tensors: Any = None) -> Any:
        pictures = images if isinstance(images, list) else [images]

        def ours() -> Any:
            check_rgb(pictures)
            if not self.patcher.enable_patch:
                raise DeclinedError("enable_patch", "enable_patch=False cuts no windows")
            sizes = {
                "image_size": self.image_size,
                "window_size": self.patch_size,
                "max_image_size": module.MAX_IMAGE_SIZE,
            }
            processor = tried(
                ("step3-vl", *sizes.items()),
                lambda: Processor("step3-vl", arithmetic="pillow-installed", **sizes),
                lambda made: _outputs(made, samples()),
                lambda: dict(original(self, samples())),
            )
            return module.BatchFeature(_outputs(processor, pictures), tensor_type=return_tensors)

        return answer(HOOK.part, len(pictures), ours, lambda: original(self, images, return_tensors), whose="vLLM")

    return call


def _outputs(processor: Processor, images: list[Any]) -> dict[str, Any]:
    """As vLLM's class names them."""
    import torch

    tensors = processor(unread(images)).torch()
    counts = tensors["num_local_patches"].tolist()
    side = processor.recipe.params["window_size"]
    ends = tensors.get("patch_newline_masks")
    masks = [] if ends is None else [ends[index][:count] for index, count in enumerate(counts)]
    return {
        "pixel_values": tensors["pixel_values"],
        "num_patches": counts,
        "patch_pixel_values": tensors.get("pixel_values_local", torch.empty((0, 3, side, side))),
        "patch_newline_mask": torch.cat(masks) if masks else torch.empty(0, dtype=torch.bool),
    }


HOOK = Hook(
    module="vllm.transformers_utils.processors.step3_vl",
    cls="Step3VLImageProcessor",
    method="__call__",
    sources=(
        "Step3VisionProcessor",
        "ImagePatcher",
        "Step3VLImageProcessor",
    ),
    digests=frozenset({"6008bde7bc088ae8"}),
    replace=_replace,
    models="Step3-VL",
    left="`enable_patch=False`",
)
