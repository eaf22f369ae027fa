"""H2OVL's processor: an image by itself is cut twice."""

from typing import Any

import torch
from PIL import Image

from vllm.transformers_utils.processors.internvl import (
    InternVLImageProcessor,
    calculate_internvl_targets,
    cut,
    get_internvl_target_ratios,
    stacked,
)


def get_h2ovl_target_ratios(
    min_num: int, max_num: int, *, prior_aspect_ratio: tuple[int, int] | None
) -> list[tuple[int, int]]:
    ratios: list[tuple[int, int]] = get_internvl_target_ratios(min_num, max_num)
    if prior_aspect_ratio is None:
        return ratios
    columns, rows = prior_aspect_ratio
    return [ratio for ratio in ratios if columns % ratio[0] and rows % ratio[1]]


def calculate_h2ovl_targets(**arguments: Any) -> tuple[int, int, int, tuple[int, int]]:
    size = arguments["image_size"]
    count, width, height = calculate_internvl_targets(**arguments)
    return count, width, height, (width // size, height // size)


class H2OVLImageProcessor(InternVLImageProcessor):  # type: ignore[misc]
    def __init__(self, *settings: Any, use_msac: bool) -> None:
        super().__init__(*settings)
        self.use_msac = use_msac

    def _images_to_pixel_values_lst(self, images: list[Image.Image], *bounds: Any) -> list[torch.Tensor]:
        least, most, dynamic = (*bounds, None, None, None)[:3]
        fewest, greatest = self.resolve_min_max_num(
            min_dynamic_patch=least, max_dynamic_patch=most, dynamic_image_size=dynamic, use_thumbnail=False
        )

        def one(
            image: Image.Image, fewest: int, prior: tuple[int, int] | None, *, thumbnail: bool
        ) -> tuple[torch.Tensor, tuple[int, int]]:
            _, width, height, grid = calculate_h2ovl_targets(
                orig_width=image.width,
                orig_height=image.height,
                target_ratios=get_h2ovl_target_ratios(fewest, greatest, prior_aspect_ratio=prior),
                image_size=self.image_size,
                use_thumbnail=False,
            )
            return stacked(cut(image, width, height, self.image_size, thumbnail=thumbnail)), grid

        if not (self.use_msac and len(images) == 1):
            return [one(image, fewest, None, thumbnail=self.use_thumbnail)[0] for image in images]
        first, grid = one(images[0], 1, None, thumbnail=True)
        second, _ = one(images[0], 3, grid, thumbnail=True)
        return [torch.cat([second[:-1], first[:-1], second[-1:]])]
