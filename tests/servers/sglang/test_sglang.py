"""SGLang's own plugin loader and processor base, with stand-ins for CUDA: `make test-servers`.

No model is served here: SGLang's kernels need a GPU.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.images import image
from tests.integrations import tiny
from vlmres.integrations.operations.counters import IMAGES, counters
from vlmres.integrations.transformers import uninstall
from vlmres.integrations.transformers.drop_in import Accelerated
from vlmres.verify import references as hf

plugins: Any = pytest.importorskip("sglang.srt.plugins", reason="run make test-servers")
base: Any = pytest.importorskip("sglang.srt.multimodal.processors.base_processor", reason="run make test-servers")

from sglang.srt.plugins.hook_registry import HookRegistry  # noqa: E402

ROOT = Path(__file__).parents[3]
HOOKED = ("_fast_image_processor_device", "_preprocessing_competes_with_the_scheduler")


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """SGLang's loading of plugins, with the entry point that the wheel has, undone at the end."""
    section = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split('[project.entry-points."sglang.srt.plugins"]')
    entry = section[1].strip().splitlines()[0].replace('"', "")
    info = tmp_path / "vlmres-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vlmres\nVersion: 0\n")
    (info / "entry_points.txt").write_text(f"[sglang.srt.plugins]\n{entry}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = {name: vars(base.BaseMultimodalProcessor)[name] for name in HOOKED}
    monkeypatch.setattr(plugins, "_plugins_loaded", False)
    HookRegistry.reset()
    counters.clear()
    yield plugins.load_plugins
    for name, function in before.items():
        setattr(base.BaseMultimodalProcessor, name, function)
    HookRegistry.reset()
    uninstall()


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What SGLang asks of a machine that serves on its fourth GPU."""
    monkeypatch.setattr(
        base.platforms,
        "current_platform",
        SimpleNamespace(is_cuda_alike=lambda: True, device_type="cuda"),
        raising=False,
    )
    deterministic = SimpleNamespace(rl_on_policy_target=None)
    monkeypatch.setattr(base, "get_exec", lambda: SimpleNamespace(deterministic=deterministic))


class Serving(base.BaseMultimodalProcessor):  # type: ignore[misc]
    """SGLang's base around a processor, its server's settings as they are by default."""

    FEATURE_NAMES = ("pixel_values",)

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self.server_args = SimpleNamespace(base_gpu_id=3)
        self.disable_fast_image_processor = False
        config: dict[str, Any] = {}
        self.image_config = self.video_config = self.audio_config = config
        self._tokenizer_auto_adds_specials = False
        self.mm_feature_transport = "cpu"
        self._tokenizer = processor.tokenizer

    async def process_mm_data_async(self, *_: Any, **__: Any) -> None:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint's processor."""
    tiny.processor("qwen2-vl", hf.processor("qwen2-vl", "torch")).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def load_processor(folder: Path) -> Any:
    """As SGLang loads it (srt/utils/hf_transformers/processor.py)."""
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(folder)


PROMPT = "<|vision_start|><|image_pad|><|vision_end|> what is it"


@pytest.mark.usefixtures("cuda")
def test_it_does_nothing_unless_asked(load: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLMRES_SGLANG", raising=False)
    before = {name: vars(base.BaseMultimodalProcessor)[name] for name in HOOKED}
    load()
    assert {name: vars(base.BaseMultimodalProcessor)[name] for name in HOOKED} == before
    serving = Serving(load_processor(folder))
    assert not isinstance(serving._processor.image_processor, Accelerated)
    assert serving._fast_image_processor_device(serving._processor) == "cuda:3"
    assert serving._resolve_auto_mm_processor_worker_num() == 1


@pytest.mark.usefixtures("cuda")
def test_images_stay_on_the_cpu_and_run_on_vlmres(
    load: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [image(90, 60), image(333, 200)]
    plain = load_processor(folder)
    expected = plain(text=[PROMPT * 2], images=images, padding=True, return_tensors="pt")
    # Without vlmres the call goes to a GPU, of which there is none here.
    with pytest.raises((RuntimeError, AssertionError), match=r"(?i)cuda|nvidia"):
        Serving(plain).process_mm_data(PROMPT * 2, images=images)

    monkeypatch.setenv("VLMRES_SGLANG", "1")
    load()
    serving = Serving(load_processor(folder))
    assert isinstance(serving._processor.image_processor, Accelerated)
    result = serving.process_mm_data(PROMPT * 2, images=images)
    assert counters.value(IMAGES, path="vlmres") == 2
    assert counters.value(IMAGES, path="original") == 0
    for key, value in expected.items():
        assert np.array_equal(np.asarray(result[key]), np.asarray(value)), key
    assert result["pixel_values"].device == torch.device("cpu")


@pytest.mark.usefixtures("cuda")
def test_the_device_of_others_and_the_cap_of_workers(
    load: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = load_processor(folder)
    monkeypatch.setenv("VLMRES_SGLANG", "1")
    load()
    left, ours = Serving(plain), Serving(load_processor(folder))
    assert left._fast_image_processor_device(plain) == "cuda:3"
    assert ours._fast_image_processor_device(ours._processor) is None
    # One worker where the GPU preprocesses, those of the CPU where it does not.
    assert left._resolve_auto_mm_processor_worker_num() == 1
    assert ours._resolve_auto_mm_processor_worker_num() == 2


@pytest.mark.usefixtures("cuda", "folder")
def test_other_accelerators_keep_their_device(load: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRES_SGLANG", "1")
    load()
    assert "sglang.srt.plugins" in sys.modules
    monkeypatch.setattr(base, "_is_xpu", True)
    ours = Serving(SimpleNamespace(image_processor=None, tokenizer=None))
    assert ours._fast_image_processor_device(ours._processor) == "xpu"
