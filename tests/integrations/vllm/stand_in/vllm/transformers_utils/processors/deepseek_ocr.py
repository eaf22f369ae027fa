"""DeepSeek-OCR's processor."""

from typing import Any

import torch
import torchvision.transforms as T  # noqa: N812
from PIL import Image, ImageOps
from tests.reference.authors import closest_grid

MIN_CROPS = 2


class ImageTransform:
    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], normalize: bool) -> None:
        self.mean = mean
        self.transform = T.Compose([T.ToTensor(), *([T.Normalize(mean, std)] if normalize else [])])

    def __call__(self, image: Image.Image) -> Any:
        return self.transform(image)


def dynamic_preprocess(
    image: Image.Image, min_num: int = MIN_CROPS, max_num: int = 6, image_size: int = 640
) -> tuple[list[Image.Image], tuple[int, int]]:
    columns, rows = closest_grid(*image.size, image_size, min_num, max_num)
    canvas = image.resize((columns * image_size, rows * image_size))
    corners = [(x * image_size, y * image_size) for y in range(rows) for x in range(columns)]
    return [canvas.crop((x, y, x + image_size, y + image_size)) for x, y in corners], (columns, rows)


class DeepseekOCRProcessor:
    def __init__(self, image_size: int = 64, base_size: int = 96, max_crops: int = 6, normalize: bool = True) -> None:
        self.image_size, self.base_size, self.max_crops, self.strategy = image_size, base_size, max_crops, "v1"
        self.image_mean, self.image_std, self.normalize = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), normalize
        self.image_transform = ImageTransform(self.image_mean, self.image_std, normalize)
        self.image_token = "<image>"

    def tokenize_with_images(
        self, conversation: str, images: list[Any], bos: bool = True, eos: bool = True, cropping: bool = True
    ) -> tuple[Any, ...]:
        if conversation.count(self.image_token) != len(images):
            raise ValueError("Number of tokens does not match number of images")
        views, crops, grids, tokens = [], [], [], [0] * bos
        for text, image in zip(conversation.split(self.image_token), images, strict=False):
            tokens += [ord(letter) for letter in text]
            ratio: tuple[int, int] = (1, 1)
            tiles: list[Image.Image] = []
            if image.size[0] > self.image_size or image.size[1] > self.image_size:
                if cropping:
                    tiles, ratio = dynamic_preprocess(image, image_size=self.image_size, max_num=self.max_crops)
                else:
                    image = image.resize((self.image_size, self.image_size))
            color = tuple(int(x * 255) for x in self.image_transform.mean)
            views.append(self.image_transform(ImageOps.pad(image, (self.base_size, self.base_size), color=color)))
            grids.append(list(ratio))
            crops += [self.image_transform(tile) for tile in tiles]
            tokens += [1] * (len(tiles) + 1)
        return tokens, torch.stack(views), torch.stack(crops) if crops else torch.zeros(0), torch.tensor(grids)
