"""The plugin switched on: gates, hooks that wait for their modules, one line in the log."""

import importlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from transformers import Qwen2VLImageProcessor, Qwen2VLVideoProcessor

from tests.images import image
from tests.integrations.vllm.conftest import followed
from vlmres import threads
from vlmres.integrations.transformers.drop_in import Accelerated
from vlmres.integrations.transformers.videos import AcceleratedVideo
from vlmres.integrations.vllm import internvl, plugin, register


@pytest.fixture(autouse=True)
def _enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRES_VLLM", "1")
    monkeypatch.setattr(plugin, "HOOKS", ())


def processor_module() -> Any:
    return importlib.import_module("vllm.transformers_utils.processor")


def test_gates_accelerate_what_they_load() -> None:
    register()
    gates = processor_module()
    for prefix in ("", "cached_"):
        images = getattr(gates, f"{prefix}get_image_processor")("here", Qwen2VLImageProcessor)
        videos = getattr(gates, f"{prefix}get_video_processor")("here", Qwen2VLVideoProcessor)
        assert isinstance(images, Accelerated)
        assert isinstance(videos, AcceleratedVideo)
    assert gates.cached_get_image_processor("here", Qwen2VLImageProcessor) is gates.cached_get_image_processor(
        "here", Qwen2VLImageProcessor
    )
    assert gates.cached_get_image_processor.cache_info().hits >= 2
    assert gates.get_processor("none", lambda: "a processor of its own kind") == "a processor of its own kind"


def test_gates_that_were_imported_before() -> None:
    """vLLM imports the module, and models import its names, before it calls plugins."""
    model = importlib.import_module("vllm.model_executor.models.opencua")
    assert not isinstance(model.loaded(), Accelerated)
    for _ in range(2):
        register()
    assert isinstance(model.loaded(), Accelerated)


def test_models_that_call_a_class() -> None:
    register()
    processor = importlib.import_module("vllm.model_executor.models.opencua").OpenCUAProcessor({"patch_size": 14})
    assert isinstance(processor.image_processor, Accelerated)
    assert isinstance(processor.video_processor, AcceleratedVideo)


def test_hooks_wait_for_their_module(monkeypatch: pytest.MonkeyPatch) -> None:
    hook = followed(internvl.IMAGES)
    for name in [name for name in sys.modules if name.startswith("vllm")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(plugin, "HOOKS", (hook,))
    register()
    assert hook.module not in sys.modules
    module = importlib.import_module(hook.module)
    assert hasattr(module.InternVLImageProcessor._images_to_pixel_values_lst, "_vlmres_original")


def test_one_line_through_vllms_logger(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vllm.vlmres")
    register()
    processor = processor_module().get_image_processor("here", Qwen2VLImageProcessor)
    assert caplog.records == []
    for _ in range(2):
        processor(image(60, 60), return_tensors="pt")
    (record,) = caplog.records
    assert record.name == "vllm.vlmres"
    assert record.getMessage().endswith(": on for Qwen2VLImageProcessor")


def test_processes_share_their_threads() -> None:
    register()
    assert threads.share is not None
    assert threads.usual_threads() >= 1


def test_a_share_of_shadow_mode_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLMRES_VERIFY", "often")
    with pytest.raises(ValueError, match="VLMRES_VERIFY must be a share from 0 to 1"):
        register()


def test_nothing_is_imported_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLMRES_VLLM")
    code = (
        "import sys, vlmres.integrations.vllm as plugin; plugin.register(); "
        "print([name for name in ('torch', 'transformers', 'PIL', 'vllm') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_the_plugin_is_where_vllm_looks() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert '[project.entry-points."vllm.general_plugins"]\nvlmres = "vlmres.integrations.vllm:register"' in text
