"""vLLM's own processor pipelines with vlmres and without: `make test-vllm`."""

from pathlib import Path
from typing import Any

import pytest

from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.counters import IMAGES, counters

vllm: Any = pytest.importorskip("vllm", reason="run make test-vllm")

from vllm.config import ModelConfig  # noqa: E402
from vllm.multimodal import MULTIMODAL_REGISTRY  # noqa: E402

from tests.servers.vllm.checkpoints import Case, of_transformers, of_videos  # noqa: E402
from tests.servers.vllm.inspection import inspect_here  # noqa: E402
from tests.servers.vllm.own import OWN  # noqa: E402
from vlmres.integrations.vllm.plugin import enable  # noqa: E402

SIZES = [(1280, 720), (300, 900), (333, 517), (120, 90), (448, 448)]
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
]
CASES: dict[str, Case] = {
    **{name: of_transformers(name) for name in FAMILIES},
    "qwen2-vl (video)": of_videos("qwen2-vl", "Qwen2VLVideoProcessor"),
    "qwen3-vl (video)": of_videos("qwen3-vl", "Qwen3VLVideoProcessor"),
    **OWN,
}
# Six frames each.
VIDEO_SIZES = [(640, 360), (300, 420), (90, 120)]


def sizes(name: str) -> list[tuple[int, int]]:
    return VIDEO_SIZES if name.endswith("(video)") else SIZES


def processed(folder: str, name: str) -> list[dict[str, Any]]:
    """What the multimodal processor of a checkpoint makes of each image or video."""
    config = ModelConfig(model=folder, tokenizer=folder, dtype="bfloat16", max_model_len=4096, enforce_eager=True)
    processor = MULTIMODAL_REGISTRY.create_processor(config)
    results = []
    for size in sizes(name):
        items = processor.info.parse_mm_data(CASES[name].data(size))
        made = processor(CASES[name].prompt, mm_items=items)
        ranges = {key: [(one.offset, one.length) for one in places] for key, places in made["mm_placeholders"].items()}
        data = made["mm_kwargs"].get_data()
        results.append({"ids": made["prompt_token_ids"], "ranges": ranges, "data": data})
    return results


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, tuple[str, Any]]:
    """Of the selected cases: folders, and the results without vlmres, or what vLLM itself raised."""
    inspect_here()
    root: Path = tmp_path_factory.mktemp("checkpoints")
    found: dict[str, tuple[str, Any]] = {}
    selected = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    for index, name in enumerate(call.params["name"] for call in selected if call is not None):
        folder = root / str(index)
        folder.mkdir()
        try:
            CASES[name].make(folder)
            found[name] = str(folder), processed(str(folder), name)
        except Exception as error:
            found[name] = str(folder), error
    enable()
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_pipeline_is_the_same(name: str, plain: dict[str, tuple[str, Any]]) -> None:
    folder, expected = plain[name]
    if isinstance(expected, Exception):
        raise AssertionError("vLLM does not take this checkpoint") from expected
    counters.clear()
    results = processed(folder, name)
    for size, got, wanted in zip(sizes(name), results, expected, strict=True):
        assert got["ids"] == wanted["ids"], size
        assert got["ranges"] == wanted["ranges"], size
        assert same(got["data"], wanted["data"]), size
    # At least the pictures; where vLLM asks for other images, such as to count tokens, those too.
    assert counters.value(IMAGES, path="vlmres", **{"class": CASES[name].by}) >= len(results), counters.text()
    assert counters.value(IMAGES, path="original") == 0, counters.text()
