"""`vlmres doctor`: what is accelerated, what is left and why."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import Qwen2VLImageProcessor

from tests.commands import run
from tests.integrations.vllm.conftest import followed
from vlmres.cli import doctor as command
from vlmres.cli import servers
from vlmres.integrations.operations import report as reports
from vlmres.integrations.transformers import report
from vlmres.integrations.vllm import deepseek, internvl, media
from vlmres.integrations.vllm import report as vllm_report
from vlmres.integrations.vllm.classes import Left


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "EXAMPLE", (240, 160))


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(Path(__file__).parent / "vllm" / "stand_in")
    yield
    for name in [name for name in sys.modules if name == "vllm" or name.startswith("vllm.")]:
        del sys.modules[name]


def test_a_checkpoint(tmp_path: Path) -> None:
    Qwen2VLImageProcessor().save_pretrained(tmp_path)
    part = report.examine(tmp_path)[0]
    assert (part.name, part.reason) == ("Qwen2VLImageProcessor", None)
    assert part.faster is not None
    assert part.faster > 0


def test_settings_that_no_recipe_follows(tmp_path: Path) -> None:
    Qwen2VLImageProcessor(do_resize=False).save_pretrained(tmp_path)
    part = report.examine(tmp_path)[0]
    assert (part.name, part.faster) == ("Qwen2VLImageProcessor", None)
    assert part.reason


def test_a_folder_without_a_processor(tmp_path: Path) -> None:
    (part,) = report.examine(tmp_path)
    assert part.name == "image processor"
    assert str(part.reason).startswith("it cannot be loaded: ")


@pytest.mark.usefixtures("_stand_in")
def test_the_classes_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(deepseek.OCR, digests=frozenset({"0" * 16}), sources=("ImageTransform",))
    gone = dataclasses.replace(deepseek.VL2, module="vllm.gone")
    hooks = (followed(internvl.IMAGES), followed(media.LOADER), followed(internvl.VIDEOS), other, gone)
    monkeypatch.setattr(vllm_report, "HOOKS", hooks)
    modules = ("vllm.multimodal.image", "vllm.gone", "vllm.gone.too")
    left = [Left(module, f"Left{number}", "A model", "no recipe") for number, module in enumerate(modules)]
    monkeypatch.setattr(vllm_report, "LEFT", left)
    parts = {part.name: part for part in vllm_report.examine()}
    assert [name for name, part in parts.items() if part.reason is None] == [
        "InternVLImageProcessor",
        "ImageMediaIO",
        "InternVLVideoProcessor",
    ]
    for name in ("InternVLImageProcessor", "ImageMediaIO"):
        assert parts[name].faster is not None
    assert "another than vlmres follows" in str(parts["DeepseekOCRProcessor"].reason)
    assert "it cannot be imported" in str(parts["DeepseekVLV2Processor"].reason)
    assert parts["Left0"].reason == "A model: no recipe"
    assert not {"Left1", "Left2"} & set(parts)


def test_what_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLMRES_VLLM", raising=False)
    monkeypatch.setenv("VLLM_PLUGINS", "other")
    monkeypatch.setenv("VLMRES_DISABLE", "ImageMediaIO")
    monkeypatch.setattr(servers, "installed", lambda _server: "0.32.0")
    monkeypatch.setattr(servers, "entry_points", lambda **_: [])
    assert servers.in_the_way(servers.VLLM) == [
        "no plugin vlmres is registered in the group vllm.general_plugins: install vlmres as a package",
        "VLMRES_VLLM is not 1, so the plugin does nothing: set VLMRES_VLLM=1",
        "VLLM_PLUGINS lists plugins, and not vlmres",
        "VLMRES_DISABLE switches off ImageMediaIO",
    ]
    monkeypatch.setattr(servers, "installed", lambda _server: None)
    reason = f"SGLang is not installed in this Python ({sys.prefix}): run this where it serves"
    assert servers.in_the_way(servers.SGLANG)[0] == reason


def test_the_command(tmp_path: Path) -> None:
    Qwen2VLImageProcessor().save_pretrained(tmp_path)
    said = json.loads(run("doctor", tmp_path, "--sglang", "--json").stdout)
    assert (said["parts"][0]["name"], said["parts"][0]["reason"]) == ("Qwen2VLImageProcessor", None)
    assert said["hints"]["SGLang"]
    assert "there is no folder" in run("doctor", tmp_path / "nowhere", code=2).stderr


def test_without_transformers_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "vlmres.integrations.transformers", None)
    with caplog.at_level("CRITICAL", logger="vlmres"):  # the command sets the level, for its process
        (part,) = command._examined(tmp_path, vllm=False, trust_remote_code=False)
    assert part.name == str(tmp_path)
    assert "pip install 'vlmres[transformers]'" in str(part.reason)
