"""vLLM's own processor pipelines with vlmres and without: `make test-vllm`."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.images import image
from vlmres.integrations.operations.counters import IMAGES, counters

vllm: Any = pytest.importorskip("vllm", reason="run make test-vllm")

from vllm.config import ModelConfig  # noqa: E402
from vllm.multimodal import MULTIMODAL_REGISTRY  # noqa: E402

from tests.servers.vllm.checkpoints import PROMPTS, make  # noqa: E402
from vlmres.integrations.vllm.plugin import enable  # noqa: E402

SIZES = [(1920, 1080), (640, 480), (300, 900), (333, 517), (120, 90), (448, 448)]
# Those of transformers' classes that vLLM loads by its gates.
FAMILIES = [
    "qwen2-vl",
    "qwen2.5-vl",
    "qwen3-vl",
    "llava-1.5",
    "llava-next",
    "llava-onevision",
    "idefics3",
    "gemma3",
    "pixtral",
    "mistral-small-3",
    "internvl3",
    "glm-4v",
    "aya-vision",
    "aria",
    "lfm2-vl",
    "paddleocr-vl",
    "cohere2-vision",
    "ovis2",
]


def pictures() -> list[Image.Image]:
    """As vLLM's loader of media gives them."""
    return [image(*size) for size in SIZES]


def processed(folder: str, name: str) -> list[dict[str, Any]]:
    """What the multimodal processor of a checkpoint makes of each picture."""
    config = ModelConfig(model=folder, tokenizer=folder, dtype="bfloat16", max_model_len=4096, enforce_eager=True)
    processor = MULTIMODAL_REGISTRY.create_processor(config)
    results = []
    for picture in pictures():
        made = processor(PROMPTS[name], mm_items=processor.info.parse_mm_data({"image": [picture]}))
        ranges = {key: [(one.offset, one.length) for one in places] for key, places in made["mm_placeholders"].items()}
        data = made["mm_kwargs"].get_data()
        results.append({"ids": made["prompt_token_ids"], "ranges": ranges, "data": data})
    return results


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Any]]:
    """Folders, and the results without vlmres; an exception where vLLM itself does not take the checkpoint."""
    root: Path = tmp_path_factory.mktemp("checkpoints")
    found: dict[str, tuple[str, Any]] = {}
    for name in FAMILIES:
        folder = make(name, root / name, small=False, weights=False)
        try:
            found[name] = folder, processed(folder, name)
        except Exception as error:
            found[name] = folder, error
    enable()
    return found


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pipeline_is_the_same(name: str, plain: dict[str, tuple[str, Any]]) -> None:
    folder, expected = plain[name]
    if isinstance(expected, Exception):
        pytest.skip(f"vLLM does not take this checkpoint: {expected}")
    counters.clear()
    results = processed(folder, name)
    for size, got, wanted in zip(SIZES, results, expected, strict=True):
        assert got["ids"] == wanted["ids"], size
        assert got["ranges"] == wanted["ranges"], size
        assert got["data"].keys() == wanted["data"].keys(), size
        for key, value in wanted["data"].items():
            assert type(got["data"][key]) is type(value), f"{size} {key}"
            if isinstance(value, torch.Tensor):
                assert got["data"][key].dtype == value.dtype, f"{size} {key}"
                assert torch.equal(got["data"][key], value), f"{size} {key}"
            else:
                assert np.array_equal(np.asarray(got["data"][key]), np.asarray(value)), f"{size} {key}"
    # At least the pictures; where vLLM asks for other images, such as to count tokens, those too.
    assert counters.value(IMAGES, path="vlmres") >= len(SIZES), counters.text()
    assert counters.value(IMAGES, path="original") == 0, counters.text()


def test_there_are_fourteen_families(plain: dict[str, tuple[str, Any]]) -> None:
    taken = [name for name, (_, expected) in plain.items() if not isinstance(expected, Exception)]
    assert len(taken) >= 14, {name: str(expected) for name, (_, expected) in plain.items() if name not in taken}
