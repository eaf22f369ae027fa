"""hf-processors-rs, a Rust port of transformers' processors (CLIP and Qwen2-VL among them)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import hf_processors_rs
from benches.compare.work import Work

from vlmres.verify import references as hf


def process(work: Work, images: list[Any], backend: Literal["pil", "torchvision"]) -> Callable[[], Any]:
    """Its processor of the same checkpoint."""
    reference = hf.REFERENCES[work.recipe]
    config = {**reference.settings, "image_processor_type": reference.name}
    if "max_pixels" in work.overrides:
        config["size"] = {**config["size"], "longest_edge": work.overrides["max_pixels"]}
    processor = hf_processors_rs.AutoImageProcessor.from_dict(config, backend)
    return lambda: processor(images, num_threads=work.threads)
