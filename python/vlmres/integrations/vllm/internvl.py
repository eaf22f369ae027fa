"""vLLM's InternVL processors, and those of H2OVL and Nemotron VL, which derive from them.

InternVL chat 1.5 to 3.5, SkyworkR1V, Eagle 2.5, Qianfan-OCR and NVLM-D have the first class.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.vllm.chosen import Grid, Tiling, tiler, tiles
from vlmres.integrations.vllm.hooks import Hook
from vlmres.integrations.vllm.trial import check_rgb, samples, tried
from vlmres.processor import DType, Processor

_PROCESSORS = "vllm.transformers_utils.processors"
_METHOD = "_images_to_pixel_values_lst"

Choose = Callable[[tuple[int, int], int, int], Tiling]
"""From (width, height) and the fewest and most tiles to the grids."""


@dataclass(frozen=True)
class Family:
    """How a class cuts and normalises."""

    part: str
    chooser: Callable[[ModuleType, int, bool, bool], Choose]
    """Of the module, the side of a tile, whether there is a thumbnail, and whether there are two passes."""
    normalisation: Callable[[Any], dict[str, Any]] = lambda _processor: {}
    dtype: Callable[[Any], DType] = lambda _processor: "float32"


def _closest(targets: str, ratios: str) -> Callable[[ModuleType, int, bool, bool], Choose]:
    """One pass, by these functions of the module."""

    def chooser(module: ModuleType, image_size: int, thumbnail: bool, _two_passes: bool) -> Choose:
        candidates = functools.lru_cache(maxsize=16)(getattr(module, ratios))
        calculate = getattr(module, targets)

        def choose(size: tuple[int, int], fewest: int, most: int) -> Tiling:
            grid = _grid(calculate, size, image_size, candidates(fewest, most))
            return Tiling(grid, None, thumbnail and grid != (1, 1))

        return choose

    return chooser


def _h2ovl(module: ModuleType, image_size: int, thumbnail: bool, two_passes: bool) -> Choose:
    """Where there are two passes, the tiles of the second come first, and one thumbnail after all of them."""
    candidates = functools.lru_cache(maxsize=256)(module.get_h2ovl_target_ratios)

    def one(size: tuple[int, int], fewest: int, most: int, prior: Grid | None = None) -> Grid:
        ratios = candidates(fewest, most, prior_aspect_ratio=prior)
        return _grid(module.calculate_h2ovl_targets, size, image_size, ratios)

    def choose(size: tuple[int, int], fewest: int, most: int) -> Tiling:
        if not two_passes:
            grid = one(size, fewest, most)
            return Tiling(grid, None, thumbnail and grid != (1, 1))
        first = one(size, 1, most)
        second = one(size, 3, most, first)
        return Tiling(_several(second), _several(first), thumbnail=True)

    return choose


def _several(grid: Grid) -> Grid | None:
    """The grid, unless its only tile is the thumbnail."""
    return None if grid == (1, 1) else grid


def _grid(calculate: Callable[..., Any], size: tuple[int, int], image_size: int, ratios: Any) -> Grid:
    _, width, height, *_ = calculate(
        orig_width=size[0], orig_height=size[1], target_ratios=ratios, image_size=image_size, use_thumbnail=False
    )
    return width // image_size, height // image_size


def _replace_images(family: Family, original: Any, module: ModuleType) -> Any:
    chooser = functools.lru_cache(maxsize=16)(functools.partial(family.chooser, module))

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
            fewest, most = self.resolve_min_max_num(
                min_dynamic_patch=min_dynamic_patch,
                max_dynamic_patch=max_dynamic_patch,
                dynamic_image_size=dynamic_image_size,
                use_thumbnail=False,
            )
            two_passes = len(images) == 1 and getattr(self, "use_msac", False)
            choose = chooser(self.image_size, self.use_thumbnail, two_passes)
            normalisation, dtype = family.normalisation(self), family.dtype(self)

            def run(made: Processor, pictures: list[Any]) -> list[Any]:
                return tiles(made, pictures, [choose(picture.size, fewest, most) for picture in pictures])

            def expected() -> list[Any]:
                if two_passes:  # each sample alone
                    return [one for sample in samples() for one in original(self, [sample], *bounds)]
                return list(original(self, samples(), *bounds))

            settings = (self.image_size, fewest, most, self.use_thumbnail, two_passes)
            processor = tried(
                (family.part, *settings, *normalisation.items(), dtype),
                lambda: tiler(self.image_size, dtype, **normalisation),
                lambda made: run(made, samples()),
                expected,
            )
            return run(processor, images)

        return answer(family.part, len(images), ours, lambda: original(self, images, *bounds), whose="vLLM")

    return images_to_pixel_values


def _replace_videos(original: Any, _module: ModuleType) -> Any:
    def videos_to_pixel_values(self: Any, videos: list[Any]) -> list[Any]:
        def ours() -> list[Any]:
            for video in videos:
                if getattr(video, "dtype", None) != "uint8" or video.ndim != 4 or video.shape[3] != 3 or not len(video):
                    raise DeclinedError("video", "a video is no array of RGB frames of bytes")
            processor = tried(
                ("internvl video", self.image_size),
                lambda: Processor(
                    "internvl2",
                    arithmetic="pillow-installed",
                    image_size=self.image_size,
                    max_tiles=1,
                    use_thumbnail=False,
                ),
                lambda made: _frames(made, _sample_videos()),
                lambda: original(self, _sample_videos()),
            )
            return _frames(processor, videos)

        return answer(VIDEOS.part, len(videos), ours, lambda: original(self, videos), whose="vLLM")

    return videos_to_pixel_values


def _frames(processor: Processor, videos: list[Any]) -> list[Any]:
    frames = [frame for video in videos for frame in video]
    return list(processor(frames).torch()["pixel_values"].split([len(video) for video in videos]))


def _sample_videos() -> list[Any]:
    import numpy as np

    stack = [np.asarray(image) for image in samples()]
    return [np.stack(stack[:2]), stack[2][None]]


def _hook(module: str, family: Family, models: str, sources: tuple[str, ...], digest: str) -> Hook:
    own = ("InternVLImageProcessor.resolve_min_max_num", f"{family.part}.{_METHOD}")
    return Hook(
        module=f"{_PROCESSORS}.{module}",
        cls=family.part,
        method=_METHOD,
        sources=(*sources, *own),
        digests=frozenset({digest}),
        replace=functools.partial(_replace_images, family),
        models=models,
    )


_FUNCTIONS = (
    "build_transform",
    "find_closest_aspect_ratio",
    "resolve_internvl_min_max_num",
    "get_internvl_target_ratios",
    "calculate_internvl_targets",
    "dynamic_preprocess_internvl",
)
_NEMOTRON_FUNCTIONS = (
    "convert_image_mode",
    "build_transform",
    "find_closest_aspect_ratio",
    "calculate_nemotron_vl_targets",
    "dynamic_preprocess_nemotron_vl",
    "get_nemotron_vl_target_ratios",
    "image_to_pixel_values_nemotron_vl",
)
_HALF = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
_NEMOTRON = _closest("calculate_nemotron_vl_targets", "get_nemotron_vl_target_ratios")

IMAGES = _hook(
    "internvl",
    Family("InternVLImageProcessor", _closest("calculate_internvl_targets", "get_internvl_target_ratios")),
    "InternVL chat, SkyworkR1V, Eagle 2.5, Qianfan-OCR, NVLM-D",
    (*_FUNCTIONS, "image_to_pixel_values_internvl"),
    "820d513a89579057",
)
H2OVL = _hook(
    "h2ovl",
    Family("H2OVLImageProcessor", _h2ovl),
    "H2OVL Mississippi",
    (
        "build_transform",
        "find_closest_aspect_ratio",
        "get_internvl_target_ratios",
        "resolve_h2ovl_min_max_num",
        "get_h2ovl_target_ratios",
        "calculate_h2ovl_targets",
        "dynamic_preprocess_h2ovl",
        "_preprocess_image",
        "image_to_pixel_values_h2ovl",
        "H2OVLImageProcessor.resolve_min_max_num",
    ),
    "ba3f5aa306af959b",
)
NEMOTRON = _hook(
    "nemotron_vl",
    Family("LlamaNemotronNanoVLImageProcessor", _NEMOTRON, lambda _processor: {"do_normalize": False}),
    "Llama Nemotron Nano VL",
    _NEMOTRON_FUNCTIONS,
    "d7267d8497bb0e18",
)
NEMOTRON_EMBED = _hook(
    "nemotron_vl",
    Family(
        "LlamaNemotronVLEmbedImageProcessor",
        _NEMOTRON,
        lambda _processor: _HALF,
        lambda processor: "float32" if processor.normalize_on_cpu else "uint8",
    ),
    "Llama Nemotron Embed VL and Rerank VL",
    (*_NEMOTRON_FUNCTIONS, "build_siglip_transform"),
    "ef414511f70c1cb9",
)
VIDEOS = Hook(
    module=f"{_PROCESSORS}.internvl",
    cls="InternVLVideoProcessor",
    method="_videos_to_pixel_values_lst",
    sources=(*_FUNCTIONS, "video_to_pixel_values_internvl", "InternVLVideoProcessor._videos_to_pixel_values_lst"),
    digests=frozenset({"6b0e791c730f17a6"}),
    replace=_replace_videos,
    models="InternVL chat",
)
