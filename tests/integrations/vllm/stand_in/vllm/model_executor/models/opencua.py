"""A model whose processor is made of transformers' classes, and one that imports a gate by its name."""

from typing import Any

from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

from vllm.transformers_utils.processor import cached_get_image_processor


class OpenCUAProcessor:
    def __init__(self, vision_config: dict[str, Any], tokenizer: Any = None) -> None:
        self.image_processor = Qwen2VLImageProcessor(**vision_config)
        self.video_processor = Qwen2VLVideoProcessor(**vision_config)


def loaded() -> Any:
    return cached_get_image_processor("here", Qwen2VLImageProcessor)
