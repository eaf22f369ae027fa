"""The loader of images."""

from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image, UnidentifiedImageError

from vllm import envs
from vllm.multimodal.image import normalize_image, open_image


@dataclass
class MediaWithBytes:
    media: Any
    original_bytes: bytes
    io_config: Any = None


class ImageMediaIO:
    def __init__(self, image_mode: str | None = "RGB") -> None:
        self.image_mode = image_mode
        self.rgba_background_color = (255, 255, 255)

    def _convert_image_mode(self, image: Image.Image) -> Image.Image:
        return image if self.image_mode in (None, image.mode) else image.convert(self.image_mode)

    def load_bytes(self, data: bytes) -> MediaWithBytes:
        try:
            image = open_image(BytesIO(data))
            if image.width * image.height > envs.VLLM_MAX_IMAGE_PIXELS > 0:
                raise ValueError("Image dimensions exceed the maximum")
            image = normalize_image(image)
            image.load()
            converted = self._convert_image_mode(image)
        except (OSError, UnidentifiedImageError) as e:
            raise ValueError(f"Failed to load image: {e}") from e
        return MediaWithBytes(converted, data, None if converted is image else {"image_mode": self.image_mode})
