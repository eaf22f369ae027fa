"""Which recipes' patches an encoder takes."""

from __future__ import annotations

import logging

import pytest
import torch

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.encoder.published import PUBLISHED
from tests.images import image
from vlmres.encoder import VisionEncoder, load_config
from vlmres.encoder.compatibility import check_recipe

OWN = {
    "llava-hf/llava-1.5-7b-hf": ["llava-1.5", "llava-1.5-pad"],
    "llava-hf/llava-v1.6-mistral-7b-hf": ["llava-next"],
    "openai/clip-vit-large-patch14-336": ["llava-1.5", "llava-next"],
    "google/siglip2-base-patch16-naflex": ["siglip2-naflex", "siglip"],
    "OpenGVLab/InternVL3-1B-hf": ["internvl1.5", "internvl2", "internvl3"],
    "OpenGVLab/InternViT-300M-448px": ["internvl2.5"],
    "Qwen/Qwen2-VL-2B-Instruct": ["qwen2-vl", "nativeres-llava"],
    "Qwen/Qwen2.5-VL-7B-Instruct": ["qwen2.5-vl"],
    "Qwen/Qwen3-VL-4B-Instruct": ["qwen3-vl", "qwen3.5-vl"],
    "mistral-community/pixtral-12b": ["pixtral"],
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": ["mistral-small-3"],
    "moonshotai/Kimi-VL-A3B-Instruct": ["kimi-vl"],
    "moonshotai/Kimi-K2.5": ["kimi-k2.5"],
    "deepseek-ai/DeepSeek-OCR": [
        *(f"deepseek-ocr-{mode}" for mode in ("tiny", "small", "base", "large", "gundam", "gundam-m")),
        "unlimited-ocr",
    ],
    "deepseek-ai/DeepSeek-OCR-2": ["deepseek-ocr-2"],
}


def _check(name: str, recipe: str) -> None:
    check_recipe(load_config(PUBLISHED[name].config), vlmres.Recipe.load(recipe), fold=False)


@pytest.mark.parametrize("name", OWN)
def test_models_own(name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "vlmres.encoder"):
        for recipe in OWN[name]:
            _check(name, recipe)
    assert not caplog.text


@pytest.mark.parametrize(
    ("name", "recipe", "wanted"),
    [
        ("llava-hf/llava-1.5-7b-hf", "qwen2-vl", "makes 8424 tokens, the recipe's model receives 2106"),
        ("llava-hf/llava-1.5-7b-hf", "llava-next", "makes 2880 tokens, the recipe's model receives 2340"),
        ("llava-hf/llava-v1.6-mistral-7b-hf", "llava-1.5", "makes 577 tokens, the recipe's model receives 576"),
        ("OpenGVLab/InternVL3-1B-hf", "llava-1.5", "makes 144 tokens, the recipe's model receives 576"),
        ("deepseek-ai/DeepSeek-OCR-2", "deepseek-ocr-gundam", "makes 1121 tokens, the recipe's model receives 893"),
        ("deepseek-ai/DeepSeek-OCR-2", "deepseek-ocr-base", "makes 257 tokens, the recipe's model receives 273"),
        ("deepseek-ai/DeepSeek-OCR", "deepseek-ocr-2", "makes 1161 tokens, the recipe's model receives 1121"),
        ("deepseek-ai/DeepSeek-OCR", "deepseek-vl-hybrid", "makes 299 tokens, the recipe's model receives 576"),
    ],
)
def test_another_strategy(name: str, recipe: str, wanted: str) -> None:
    """Patches of the right size, of which the encoder would make plausible tokens."""
    start = rf"^recipe {recipe} does not fit the encoder \S+( 2)?: of an image of 1500x1100, the encoder "
    with pytest.raises(ValueError, match=start + wanted):
        _check(name, recipe)


def test_grids_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"1500x1100, segment 0 has 47x64 patches; Qwen3-VL needs multiples of 2"):
        _check("Qwen/Qwen3-VL-4B-Instruct", "pixtral")
    with pytest.raises(ValueError, match="a segment of 400 tokens is larger than all sets of queries"):
        _check("deepseek-ai/DeepSeek-OCR-2", "deepseek-ocr-large")


@pytest.mark.parametrize(
    ("name", "recipe", "wanted"),
    [
        (
            "llava-hf/llava-1.5-7b-hf",
            "clip",
            "LLaVA has learned positions of 24x24 patches, which are resampled to 16x16",
        ),
        ("openai/clip-vit-large-patch14-336", "aya-vision", "24x24 patches, which are resampled to 26x26"),
        ("OpenGVLab/InternVL3-1B-hf", "llama4", "32x32 patches, which are resampled to 24x24"),
        ("google/siglip-so400m-patch14-384", "qwen2-vl", "27x27 patches, which are resampled to 4x4, 64x22, 78x108"),
        ("google/siglip2-base-patch16-naflex", "qwen3-vl", ""),
        ("deepseek-ai/DeepSeek-OCR", "deepseek-ocr-tiny", ""),
    ],
)
def test_tables_of_another_grid(name: str, recipe: str, wanted: str, caplog: pytest.LogCaptureFixture) -> None:
    """transformers resamples them where it is asked to; families that always do are not spoken of."""
    with caplog.at_level(logging.WARNING, "vlmres.encoder"):
        _check(name, recipe)
    assert wanted in caplog.text
    assert bool(wanted) == bool(caplog.text)


def test_every_call_checks(checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture) -> None:
    """Before it does anything, and once for each recipe."""
    recipe = vlmres.Recipe.load("qwen2-vl", min_pixels=3136, max_pixels=12544)
    encoder = VisionEncoder.from_pretrained(checkpoint("llava")[1], "cpu", torch.float32, recipe=recipe)
    wanted = "does not fit the encoder LLaVA"
    with pytest.raises(ValueError, match=wanted):
        encoder.encode(image(64, 64))
    with pytest.raises(ValueError, match=wanted):
        encoder.stream([image(64, 64)])
    with pytest.raises(ValueError, match=wanted):
        encoder(vlmres.Processor(recipe, layout="packed", dtype="uint8")(image(64, 64)))
    clip = vlmres.Recipe.load("clip", crop_height=28, crop_width=28, shortest_edge=28, patch_size=14)
    batch = vlmres.Processor(clip, layout="packed", dtype="uint8")(image(64, 64))
    with caplog.at_level(logging.WARNING, "vlmres.encoder"):
        assert [len(encoder(batch).tokens) for _ in range(2)] == [4, 4]
    assert caplog.text.count("resampled to 2x2") == 1
