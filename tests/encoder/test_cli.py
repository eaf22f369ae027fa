"""`vlmres encode` as a user runs it."""

import json
import logging
import shutil
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress
from safetensors.torch import load_file
from typer.testing import CliRunner

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.images import image
from vlmres.cli.app import app
from vlmres.cli.jobs import base, command
from vlmres.cli.jobs.base import Done
from vlmres.cli.jobs.encode import EncodeJob
from vlmres.encoder import VisionEncoder, VisionModel

PROCESSOR = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "min_pixels": 1024,
    "max_pixels": 16384,
    "patch_size": 16,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "Qwen3VLProcessor",
}


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    """A checkpoint with a processor's configuration, and images beside it."""
    copied = tmp_path / "checkpoint"
    shutil.copytree(checkpoint("qwen3-vl")[1], copied)
    (copied / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    images = tmp_path / "images"
    images.mkdir()
    for index, size in enumerate([(100, 60), (64, 200), (90, 90)]):
        image(*size, seed=index).save(images / f"{index}.png")
    return tmp_path


def test_shards_hold_the_tokens(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "images" / "3.png").write_bytes(b"no image")
    arguments = ["encode", str(folder / "images"), "-c", str(folder / "checkpoint"), "-o", str(folder / "out")]
    with caplog.at_level(logging.WARNING, "vlmres.encoder"):
        result = CliRunner().invoke(app, [*arguments, "--shard-size", "2"])
    assert result.exit_code == 1, result.output
    if not torch.cuda.is_available():
        assert "the encoder runs on the CPU" in caplog.text
    assert "3 images, 1 failed; 2 shards written, 0 kept" in result.output
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    encoder = VisionEncoder.from_pretrained(folder / "checkpoint", "cpu")
    wanted = encoder.encode([folder / "images" / f"{index}.png" for index in range(3)])
    assert [item.get("tokens") for item in manifest["images"]] == [*torch.diff(wanted.cu_seqlens).tolist(), None]
    shards = [load_file(folder / "out" / name) for name in manifest["shards"]]
    assert torch.equal(torch.cat([shard["tokens"] for shard in shards]), wanted.tokens)
    assert torch.equal(torch.cat([shard["deepstack.1"] for shard in shards]), wanted.deepstack[1])
    for item, tokens in zip(manifest["images"], wanted.split(), strict=False):
        first, last = item["rows"]["tokens"]
        shard = shards[manifest["shards"].index(item["shard"])]
        assert torch.equal(shard["tokens"][first:last], tokens)
    again = CliRunner().invoke(app, [*arguments, "--shard-size", "2"])
    assert "0 shards written, 2 kept" in again.output
    other = CliRunner().invoke(app, [*arguments, "--dtype", "bfloat16"])
    assert other.exit_code == 2
    assert "dtype" in other.output


def _words(text: str) -> str:
    """Without the frame that help is set in, and its line breaks."""
    return " ".join(text.split())


def test_wrong_usage(folder: Path) -> None:
    out = str(folder / "out")
    images = str(folder / "images")
    empty = folder / "empty"
    empty.mkdir()
    result = CliRunner().invoke(app, ["encode", images, "-c", str(empty), "-o", out])
    assert result.exit_code == 2
    assert "has no known image processor" in _words(result.output)
    result = CliRunner().invoke(app, ["encode", images, "-c", str(empty), "-o", out, "-r", "qwen3-vl"])
    assert result.exit_code == 2
    assert "config.json" in result.output
    checkpoint = str(folder / "checkpoint")
    for device in ("abacus", "meta"):
        result = CliRunner().invoke(app, ["encode", images, "-c", checkpoint, "-o", out, "--device", device])
        assert result.exit_code == 2
        assert f"invalid value for --device: {device}: " in _words(result.output)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["-r", "qwen2-vl"], "recipe qwen2-vl has patch_size 14, the encoder 16"),
        (
            ["-r", "pixtral", "--set", "image_mean=[0.5,0.5,0.5]", "--set", "image_std=[0.5,0.5,0.5]"],
            "has 47x64 patches",
        ),
        (["--set", "image_std=[0.5,0.5,0.4]"], "recipe qwen3-vl has image_std (0.5, 0.5, 0.4), the encoder (0.5, "),
    ],
)
def test_recipes_that_do_not_fit(options: list[str], wanted: str, folder: Path) -> None:
    """Said before anything is made."""
    out = folder / "out"
    arguments = ["encode", str(folder / "images"), "-c", str(folder / "checkpoint"), "-o", str(out), *options]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "invalid value for --recipe: recipe " in _words(result.output)
    assert wanted in _words(result.output)
    assert not out.exists()


def test_out_of_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTry less.")

    arguments = ["encode", str(folder / "images"), "-c", str(folder / "checkpoint"), "-o", str(folder / "out")]
    monkeypatch.setattr(VisionModel, "forward", full)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    words = _words(result.output)
    assert "invalid value for --device: no room for an image beside the encoder: CUDA out of memory" in words
    monkeypatch.setattr(VisionModel, "__init__", full)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "no room for the encoder: CUDA out of memory" in _words(result.output)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [("config", "hidden_act", "gelu"), ("preprocessor_config", "image_mean", [0.4, 0.5, 0.5])],
)
def test_another_configuration_of_the_same_weights(folder: Path, name: str, key: str, value: object) -> None:
    """Tokens depend on it, so shards made before are not those asked for."""
    arguments = ["encode", str(folder / "images"), "-c", str(folder / "checkpoint"), "-o", str(folder / "out")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    path = folder / "checkpoint" / f"{name}.json"
    found = json.loads(path.read_text())
    section = found["vision_config"] if name == "config" else found
    assert section[key] != value
    section[key] = value
    path.write_text(json.dumps(found))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "holds results with" in _words(result.output)
    result = CliRunner().invoke(app, [*arguments, "--force"])
    assert "1 shard written, 0 kept" in result.output
    (shard,) = (folder / "out").glob("*.safetensors")
    encoder = VisionEncoder.from_pretrained(folder / "checkpoint", "cpu")
    wanted = encoder.encode([folder / "images" / f"{index}.png" for index in range(3)])
    assert torch.equal(load_file(shard)["tokens"], wanted.tokens)


class _Steps:
    """What a run says of its progress."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, bool]] = []

    def __call__(self, count: int, *, kept: bool) -> None:
        self.steps.append((count, kept))


def _job(folder: Path, shard_size: int, max_patches: int = 30) -> EncodeJob:
    encoder = VisionEncoder.from_pretrained(folder / "checkpoint", "cpu", max_patches=max_patches)
    files = sorted((folder / "images").iterdir())
    return EncodeJob(files, folder / "out", encoder, folder / "checkpoint", shard_size, {})


def _run(job: EncodeJob, steps: _Steps | None = None) -> list[Done]:
    with job.opened(force=False, tell=pytest.fail):
        return list(job.run(steps or _Steps()))


def test_progress_is_of_groups_and_of_what_is_kept(folder: Path) -> None:
    for index in range(3, 7):
        image(64, 64, seed=index).save(folder / "images" / f"{index}.png")
    (folder / "images" / "5.png").write_bytes(b"no image")
    steps = _Steps()
    done = _run(_job(folder, 3), steps)
    assert [len(shard.images) for shard in done] == [3, 3, 1]
    assert len(steps.steps) > len(done)
    assert sum(count for count, _ in steps.steps) == 7
    assert not any(kept for _, kept in steps.steps)
    manifest = (folder / "out" / "manifest.json").read_bytes()
    (folder / "out" / "shard-00001.safetensors").unlink()
    again = _Steps()
    resumed = _run(_job(folder, 3), again)
    assert [(shard.number, shard.kept) for shard in resumed] == [(0, True), (1, False), (2, True)]
    assert [shard.images for shard in resumed] == [shard.images for shard in done]
    assert sorted(again.steps) == [(1, False), (1, True), (2, False), (3, True)]
    assert (folder / "out" / "manifest.json").read_bytes() == manifest
    kept = _Steps()
    assert all(shard.kept for shard in _run(_job(folder, 3), kept))
    assert kept.steps == [(3, True), (3, True), (1, True)]


def test_the_bar_counts_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of every group; what is kept does not make the speed."""
    bars: list[Progress] = []
    seen: list[float] = []

    class Bar(Progress):
        def __init__(self, *columns: Any, console: Any, disable: bool) -> None:
            assert disable
            super().__init__(*columns, console=console, disable=True)
            bars.append(self)

        def advance(self, task_id: Any, advance: float = 1) -> None:
            super().advance(task_id, advance)
            seen.append(self.tasks[0].completed)

    monkeypatch.setattr(command, "Progress", Bar)
    arguments = ["encode", str(folder / "images"), "-c", str(folder / "checkpoint"), "-o", str(folder / "out")]
    arguments += ["--max-patches", "30"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert seen == [1, 2, 3]
    assert (bars[0].tasks[0].completed, bars[0].tasks[0].total) == (3, 3)
    assert bars[0].tasks[0].speed is not None
    result = CliRunner().invoke(app, arguments)
    assert seen == [1, 2, 3, 3]
    assert (bars[1].tasks[0].completed, bars[1].tasks[0].speed) == (3, None)
    assert "3 images, 0 failed; 0 shards written, 1 kept" in result.output
    assert "images/s" not in result.output


def test_tokens_leave_the_device_group_by_group(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(3, 9):
        image(90, 90, seed=index).save(folder / "images" / f"{index}.png")
    alive: set[int] = set()
    most: list[int] = []
    forward = VisionModel.forward

    def counted(self: VisionModel, *arguments: Any) -> Any:
        found = forward(self, *arguments)
        alive.add(id(found.tokens))
        weakref.finalize(found.tokens, alive.discard, id(found.tokens))
        most.append(len(alive))
        return found

    monkeypatch.setattr(VisionModel, "forward", counted)
    assert len(_run(_job(folder, 100))) == 1
    assert len(most) == 9
    assert max(most) <= 3


def test_the_next_shard_is_prepared_before_one_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = threading.Event()
    call = vlmres.Processor.__call__
    calls: list[int] = []

    def prepare(self: vlmres.Processor, *arguments: Any, **settings: Any) -> vlmres.Batch:
        calls.append(1)
        if len(calls) == 2:
            second.set()
        return call(self, *arguments, **settings)

    monkeypatch.setattr(vlmres.Processor, "__call__", prepare)
    job = _job(folder, 1)
    with job.opened(force=False, tell=pytest.fail):
        for shard in job.run(_Steps()):
            assert second.wait(30)
            assert not shard.kept
    assert len(calls) == 3


def test_shards_are_cut_by_their_tokens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = _job(folder, 100)
    encoder, recipe = job.encoder, job.processor.recipe
    plans = [vlmres.plan(vlmres.image_size(item.path), recipe) for item in job.items]
    tokens = [plan.num_tokens * encoder.config.hidden * 4 * 3 for plan in plans]
    inputs = [plan.num_patches * 768 + plan.size.width * plan.size.height * 3 for plan in plans]
    assert [job.tensor_bytes(plan) for plan in plans] == [
        count + plan.num_patches * 768 for count, plan in zip(tokens, plans, strict=True)
    ]
    monkeypatch.setattr(base, "_MAX_BYTES", sum(inputs))
    assert len(_run(job)) > 1
    monkeypatch.setattr(base, "_MAX_BYTES", sum(inputs) + sum(tokens))
    assert len(_run(job)) == 1


def test_settings_of_preprocessing(folder: Path) -> None:
    """As a processor's, and part of what a shard was made with."""
    image(400, 300).resize((800, 600)).save(folder / "images" / "3.jpg")
    arguments = ["encode", str(folder / "images"), "-c", str(folder / "checkpoint"), "-o", str(folder / "out")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    encoder = VisionEncoder.from_pretrained(folder / "checkpoint", "cpu")
    files = [folder / "images" / name for name in ("0.png", "1.png", "2.png", "3.jpg")]
    before = encoder.encode(files).tokens
    others: list[dict[str, Any]] = [{"decode": "scaled"}, {"arithmetic": "pillow"}]
    for settings in others:
        options = [text for key, value in settings.items() for text in (f"--{key}", value)]
        result = CliRunner().invoke(app, [*arguments, *options])
        assert result.exit_code == 2
        assert "holds results with" in _words(result.output)
        assert CliRunner().invoke(app, [*arguments, *options, "--force"]).exit_code == 0
        (shard,) = (folder / "out").glob("*.safetensors")
        wanted = encoder.encode(files, **settings).tokens
        assert torch.equal(load_file(shard)["tokens"], wanted)
        assert not torch.equal(wanted, before)
    result = CliRunner().invoke(app, [*arguments, "--max-image-pixels", "100000", "--force"])
    assert result.exit_code == 1
    assert "3 images, 1 failed" in result.output
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    (error,) = (item["error"] for item in manifest["images"] if "error" in item)
    assert "100000" in error
    result = CliRunner().invoke(app, [*arguments, "--arithmetic", "abacus"])
    assert result.exit_code == 2
