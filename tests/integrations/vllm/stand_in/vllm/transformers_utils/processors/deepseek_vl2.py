"""DeepSeek-VL2's processor."""

from typing import Any

import torch
from PIL import ImageOps
from tests.reference.authors_vl import best_canvas

from vllm.transformers_utils.processors.deepseek_ocr import ImageTransform


class DeepseekVLV2Processor:
    def __init__(self, candidate_resolutions: tuple[tuple[int, int], ...]) -> None:
        self.candidate_resolutions = candidate_resolutions
        self.image_size = candidate_resolutions[0][0]
        self.image_mean, self.image_std, self.normalize = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), True
        self.image_transform = ImageTransform(self.image_mean, self.image_std, normalize=True)
        self.image_token = "<image>"

    def select_best_resolution(self, size: tuple[int, int]) -> tuple[int, int]:
        return best_canvas(*size, list(self.candidate_resolutions))

    def tokenize_with_images(
        self, conversation: str, images: list[Any], bos: bool = True, eos: bool = True, cropping: bool = True
    ) -> tuple[Any, ...]:
        side = self.image_size
        color = tuple(int(x * 255) for x in self.image_transform.mean)
        views, grids = [], []
        for image in images:
            width, height = self.select_best_resolution(image.size) if cropping else (side, side)
            views.append(self.image_transform(ImageOps.pad(image, (side, side), color=color)))
            local = ImageOps.pad(image, (width, height), color=color)
            for y in range(0, height, side):
                for x in range(0, width, side):
                    views.append(self.image_transform(local.crop((x, y, x + side, y + side))))
            grids.append([width // side, height // side])
        return conversation.split(self.image_token), torch.stack(views), grids
