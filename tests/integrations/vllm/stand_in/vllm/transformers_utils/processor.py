"""Where processors are loaded."""

from functools import lru_cache
from typing import Any

from transformers import AutoProcessor, BaseVideoProcessor


def get_processor(name: str, processor_cls: Any = AutoProcessor, **kwargs: Any) -> Any:
    return processor_cls(**kwargs) if name == "none" else processor_cls.from_pretrained(name, **kwargs)


def get_image_processor(name: str, processor_cls_overrides: Any, **kwargs: Any) -> Any:
    return processor_cls_overrides(**kwargs)


def get_video_processor(name: str, processor_cls_overrides: type[BaseVideoProcessor], **kwargs: Any) -> Any:
    return processor_cls_overrides(**kwargs)


cached_get_processor = lru_cache(get_processor)
cached_get_image_processor = lru_cache(get_image_processor)
cached_get_video_processor = lru_cache(get_video_processor)
