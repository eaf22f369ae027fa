"""transformers' processors, both backends, with the settings of real checkpoints; and authors' code restated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from benches.compare.work import Work, pil
from tests.reference import authors

from vlmres.verify import references as hf


def process(work: Work, images: list[Any], arithmetic: Literal["pillow", "torch"]) -> Callable[[], Any]:
    """`arithmetic` is the backend: "torch" the torchvision classes, "pillow" the PIL classes."""
    torch.set_num_threads(work.threads)
    settings: dict[str, Any] = {}
    if "max_pixels" in work.overrides:
        least = hf.REFERENCES[work.recipe].settings["size"]["shortest_edge"]
        settings["size"] = {"shortest_edge": least, "longest_edge": work.overrides["max_pixels"]}
    if work.output == "uint8":
        settings |= {"do_rescale": False, "do_normalize": False}
    processor = hf.processor(work.recipe, arithmetic, **settings)

    def run() -> Any:
        decoded = [pil(image) for image in images] if work.source == "jpeg" else images
        batch = processor(decoded, return_tensors="pt")
        if work.output == "bfloat16":
            batch["pixel_values"] = batch["pixel_values"].to(torch.bfloat16)
        return batch

    return run


def deepseek_ocr(work: Work, images: list[Any], arithmetic: Literal["pillow", "torch"]) -> Callable[[], Any]:
    """The authors' code of DeepSeek-OCR as the tests restate it."""
    torch.set_num_threads(work.threads)
    mode = authors.MODES[work.recipe.removeprefix("deepseek-ocr-")]
    return lambda: authors.deepseek_ocr([pil(image) for image in images], mode, arithmetic)
