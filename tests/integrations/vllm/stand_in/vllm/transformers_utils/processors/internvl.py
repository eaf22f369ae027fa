"""InternVL's processors."""

from typing import Any

import torch
import torchvision.transforms as T  # noqa: N812
from PIL import Image
from tests.reference.authors import closest_grid


def resolve_internvl_min_max_num(
    *, min_dynamic_patch: int, max_dynamic_patch: int, dynamic_image_size: bool, use_thumbnail: bool
) -> tuple[int, int]:
    most = max_dynamic_patch if dynamic_image_size else 1
    return min_dynamic_patch if dynamic_image_size else 1, most + (use_thumbnail and most != 1)


def dynamic_preprocess_internvl(
    image: Image.Image, min_num: int, max_num: int, size: int, use_thumbnail: bool
) -> list[Image.Image]:
    columns, rows = closest_grid(*image.size, size, min_num, max_num)
    canvas = image.resize((columns * size, rows * size))
    corners = [(x * size, y * size) for y in range(rows) for x in range(columns)]
    tiles = [canvas.crop((x, y, x + size, y + size)) for x, y in corners]
    return [*tiles, image.resize((size, size))] if use_thumbnail and len(tiles) > 1 else tiles


def image_to_pixel_values_internvl(
    image: Image.Image, *, input_size: int, min_num: int, max_num: int, use_thumbnail: bool
) -> torch.Tensor:
    transform = T.Compose([T.ToTensor(), T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    tiles = dynamic_preprocess_internvl(image, min_num, max_num, input_size, use_thumbnail)
    return torch.stack([transform(tile) for tile in tiles])


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

    def _images_to_pixel_values_lst(
        self,
        images: list[Image.Image],
        min_dynamic_patch: int | None = None,
        max_dynamic_patch: int | None = None,
        dynamic_image_size: bool | None = None,
    ) -> list[torch.Tensor]:
        fewest, most = resolve_internvl_min_max_num(
            min_dynamic_patch=min_dynamic_patch or self.min_dynamic_patch,
            max_dynamic_patch=max_dynamic_patch or self.max_dynamic_patch,
            dynamic_image_size=self.dynamic_image_size if dynamic_image_size is None else dynamic_image_size,
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
