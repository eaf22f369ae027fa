"""vLLM's processor of Kimi K2.5: its images, and its videos as chunks of frames."""

from __future__ import annotations

import copy
import itertools
from types import ModuleType
from typing import Any, NamedTuple

from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import unread
from vlmres.integrations.vllm.hooks import Hook
from vlmres.integrations.vllm.trial import check_rgb, samples, tried
from vlmres.processor import Processor


class _Medium(NamedTuple):
    """An image, or a chunk of frames of one size."""

    frames: list[Any]
    max_patches: int
    """Of a frame."""


def _replace(original: Any, module: ModuleType) -> Any:
    def preprocess(
        self: Any, medias: Any, return_tensors: Any = None, do_rescale: bool = True, do_normalize: bool = True
    ) -> Any:
        items = medias if isinstance(medias, list) else [medias]

        def ours() -> Any:
            if do_rescale != do_normalize:
                raise DeclinedError("settings", "do_rescale is not do_normalize")
            read = [_medium(module._ensure_media_type(item), self.media_proc_cfg) for item in items]
            check_rgb([frame for medium in read for frame in medium.frames])
            patches, grids = zip(*(_run(run, self, original, do_normalize) for run in _runs(read)), strict=True)
            data = {"pixel_values": module.torch.cat(patches) if len(patches) > 1 else patches[0]}
            data["grid_thws"] = module.torch.cat(grids)
            return module.BatchFeature(data=data, tensor_type=return_tensors)

        def theirs() -> Any:
            return original(self, medias, return_tensors, do_rescale, do_normalize)

        return answer(HOOK.part, len(items), ours, theirs, whose="vLLM")

    return preprocess


def _medium(item: Any, settings: Any) -> _Medium:
    most = settings["in_patch_limit"]
    if item["type"] == "image":
        return _Medium([item["image"]], most)
    frames = list(item["video_chunk"])
    if len({frame.size for frame in frames}) != 1:
        raise DeclinedError("frames", "a video chunk has frames of several sizes")
    most = settings["in_patch_limit_each_frame"] or most
    whole = settings["in_patch_limit_video"]
    return _Medium(frames, most if whole is None else min(round(whole / len(frames)), most))


def _runs(media: list[_Medium]) -> list[list[_Medium]]:
    """What one processor computes at once: neighbours of the same limit."""
    return [list(run) for _, run in itertools.groupby(media, lambda medium: medium.max_patches)]


def _run(media: list[_Medium], theirs: Any, original: Any, normalize: bool) -> tuple[Any, Any]:
    """Patches and grids (time, height, width) of neighbours."""
    config = theirs.media_proc_cfg
    most = media[0].max_patches
    settings: dict[str, Any] = {
        "patch_size": int(config["patch_size"]),
        "merge_size": int(config["merge_kernel_size"]),
        "max_patches": most,
        "max_side_patches": int(config["patch_limit_on_one_side"]),
        "image_mean": tuple(config["image_mean"]),
        "image_std": tuple(config["image_std"]),
    }
    dtype: Any = "float32" if normalize else "uint8"

    def expected() -> tuple[Any, Any]:
        # A frame is an image of another limit.
        limited = copy.copy(theirs)
        limited.media_proc_cfg = {**config, "in_patch_limit": most}
        items = [{"type": "image", "image": image} for image in samples()]
        got = original(limited, items, None, normalize, normalize)
        return got["pixel_values"], got["grid_thws"]

    processor = tried(
        ("kimi-k2.5", *settings.items(), dtype),
        lambda: Processor("kimi-vl", dtype=dtype, arithmetic="pillow-installed", **settings),
        lambda made: _patches(made, [_Medium([image], most) for image in samples()]),
        expected,
    )
    return _patches(processor, media)


def _patches(processor: Processor, media: list[_Medium]) -> tuple[Any, Any]:
    import torch

    tensors = processor(unread(frame for medium in media for frame in medium.frames)).torch()
    grids, first = [], 0
    for medium in media:
        grids.append([len(medium.frames), *tensors["image_grid_hws"][first].tolist()])
        first += len(medium.frames)
    return tensors["pixel_values"], torch.tensor(grids)


HOOK = Hook(
    module="vllm.transformers_utils.processors.kimi_k25_vision_fused",
    cls="KimiK25FusedVisionProcessor",
    method="preprocess",
    sources=(
        "_write_fused_patches",
        "navit_resize_image",
        "navit_resize_video",
        "_to_pil",
        "_ensure_media_type",
        "KimiK25FusedVisionProcessor.__init__",
        "KimiK25FusedVisionProcessor.get_resize_config",
        "KimiK25FusedVisionProcessor.resize_image",
        "KimiK25FusedVisionProcessor.preprocess",
    ),
    digests=frozenset({"e0a937d4cd3cad47"}),
    replace=_replace,
    models="Kimi K2.5, K2.6 and K3, videos too",
    left="chunks of frames of several sizes",
)
