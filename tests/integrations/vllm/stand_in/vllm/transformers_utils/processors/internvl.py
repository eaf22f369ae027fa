"""InternVL's processors."""

from typing import Any

import torch
import torchvision.transforms as T  # noqa: N812
from PIL import Image
from tests.reference.authors import closest_of


def resolve_internvl_min_max_num(
    *, min_dynamic_patch: int, max_dynamic_patch: int, dynamic_image_size: bool, use_thumbnail: bool
) -> tuple[int, int]:
    most = max_dynamic_patch if dynamic_image_size else 1
    return min_dynamic_patch if dynamic_image_size else 1, most + (use_thumbnail and most != 1)


def get_internvl_target_ratios(min_num: int, max_num: int) -> list[tuple[int, int]]:
    sides = range(1, max_num + 1)
    ratios = {(columns, rows) for columns in sides for rows in sides if min_num <= columns * rows <= max_num}
    return sorted(ratios, key=lambda ratio: ratio[0] * ratio[1])


def calculate_internvl_targets(
    *,
    orig_width: int,
    orig_height: int,
    target_ratios: list[tuple[int, int]],
    image_size: int,
    use_thumbnail: bool,
) -> tuple[int, int, int]:
    columns, rows = closest_of(orig_width, orig_height, image_size, target_ratios)
    count = columns * rows
    return count + (use_thumbnail and count != 1), image_size * columns, image_size * rows


def cut(image: Image.Image, width: int, height: int, size: int, *, thumbnail: bool) -> list[Image.Image]:
    canvas = image.resize((width, height))
    corners = [(x, y) for y in range(0, height, size) for x in range(0, width, size)]
    tiles = [canvas.crop((x, y, x + size, y + size)) for x, y in corners]
    return [*tiles, image.resize((size, size))] if thumbnail and len(tiles) > 1 else tiles


def dynamic_preprocess_internvl(
    image: Image.Image, min_num: int, max_num: int, size: int, use_thumbnail: bool
) -> list[Image.Image]:
    _, width, height = calculate_internvl_targets(
        orig_width=image.width,
        orig_height=image.height,
        target_ratios=get_internvl_target_ratios(min_num, max_num),
        image_size=size,
        use_thumbnail=False,
    )
    return cut(image, width, height, size, thumbnail=use_thumbnail)


def stacked(tiles: list[Image.Image]) -> torch.Tensor:
    transform = T.Compose([T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    return torch.stack([transform(tile) for tile in tiles])


def image_to_pixel_values_internvl(
    image: Image.Image, *, input_size: int, min_num: int, max_num: int, use_thumbnail: bool
) -> torch.Tensor:
    return stacked(dynamic_preprocess_internvl(image, min_num, max_num, input_size, use_thumbnail))


class InternVLImageProcessor:
    def __init__(
        self,
        image_size: int,
        min_dynamic_patch: int,
        max_dynamic_patch: int,
        dynamic_image_size: bool,
        use_thumbnail: bool,
    ) -> None:
        self.image_size = image_size
        self.min_dynamic_patch = min_dynamic_patch
        self.max_dynamic_patch = max_dynamic_patch
        self.dynamic_image_size = dynamic_image_size
        self.use_thumbnail = use_thumbnail

    def resolve_min_max_num(
        self,
        *,
        min_dynamic_patch: int | None = None,
        max_dynamic_patch: int | None = None,
        dynamic_image_size: bool | None = None,
        use_thumbnail: bool | None = None,
    ) -> tuple[int, int]:
        return resolve_internvl_min_max_num(
            min_dynamic_patch=min_dynamic_patch or self.min_dynamic_patch,
            max_dynamic_patch=max_dynamic_patch or self.max_dynamic_patch,
            dynamic_image_size=self.dynamic_image_size if dynamic_image_size is None else dynamic_image_size,
            use_thumbnail=self.use_thumbnail if use_thumbnail is None else use_thumbnail,
        )

    def _images_to_pixel_values_lst(
        self,
        images: list[Image.Image],
        min_dynamic_patch: int | None = None,
        max_dynamic_patch: int | None = None,
        dynamic_image_size: bool | None = None,
    ) -> list[torch.Tensor]:
        fewest, most = self.resolve_min_max_num(
            min_dynamic_patch=min_dynamic_patch,
            max_dynamic_patch=max_dynamic_patch,
            dynamic_image_size=dynamic_image_size,
            use_thumbnail=False,
        )
        settings: dict[str, Any] = {"input_size": self.image_size, "use_thumbnail": self.use_thumbnail}
        return [image_to_pixel_values_internvl(image, min_num=fewest, max_num=most, **settings) for image in images]


class InternVLVideoProcessor:
    def __init__(self, image_size: int) -> None:
        self.image_size = image_size

    def _videos_to_pixel_values_lst(self, videos: list[Any]) -> list[torch.Tensor]:
        settings: dict[str, Any] = {"input_size": self.image_size, "min_num": 1, "max_num": 1, "use_thumbnail": False}
        return [
            torch.cat([image_to_pixel_values_internvl(Image.fromarray(frame), **settings) for frame in video])
            for video in videos
        ]
