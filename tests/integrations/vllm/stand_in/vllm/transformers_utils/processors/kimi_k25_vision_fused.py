"""Kimi K2.5's processor: images, and videos as chunks of frames."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from tests.reference.authors_vl import kimi_vl
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor


def _ensure_media_type(media: dict[str, Any]) -> dict[str, Any]:
    if media["type"] == "image":
        media["image"] = media["image"].convert("RGB")
    else:
        media["video_chunk"] = [frame.convert("RGB") for frame in media["video_chunk"]]
    return media


class KimiK25FusedVisionProcessor(BaseImageProcessor):
    def __init__(self, media_proc_cfg: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.media_proc_cfg = media_proc_cfg

    def get_resize_config(self, media: dict[str, Any]) -> int:
        limits = self.media_proc_cfg
        if media["type"] == "image":
            return int(limits["in_patch_limit"])
        each = limits["in_patch_limit_each_frame"] or limits["in_patch_limit"]
        total = limits["in_patch_limit_video"]
        return int(each if total is None else min(round(total / len(media["video_chunk"])), each))

    @staticmethod
    def resize_image(image: Image.Image, limit: int) -> tuple[Any, Any]:
        made = kimi_vl([image], "pillow", limit)
        return made["pixel_values"], made["image_grid_hws"][0].tolist()

    def preprocess(
        self, medias: Any, return_tensors: Any = None, do_rescale: bool = True, do_normalize: bool = True
    ) -> BatchFeature:
        patches, grids = [], []
        for media in map(_ensure_media_type, medias if isinstance(medias, list) else [medias]):
            limit = self.get_resize_config(media)
            frames = [media["image"]] if media["type"] == "image" else media["video_chunk"]
            made = [self.resize_image(frame.resize(frames[0].size), limit) for frame in frames]
            patches += [torch.as_tensor(np.asarray(values)) for values, _ in made]
            grids.append([len(frames), *made[0][1]])
        values = torch.cat(patches)
        if not do_normalize:
            values = ((values * 0.5 + 0.5) * 255).round().to(torch.uint8)
        data = {"pixel_values": values, "grid_thws": torch.tensor(grids)}
        return BatchFeature(data=data, tensor_type=return_tensors)
