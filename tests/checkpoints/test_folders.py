"""Where files lie: folders, files, models in the Hugging Face cache; and files that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import vlmres
from tests.checkpoints.published import PUBLISHED, qwen, siglip

QWEN = PUBLISHED["Qwen3-VL-8B-Instruct"]
NAME = "Qwen/Qwen3-VL-8B-Instruct"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_the_file_itself(tmp_path: Path) -> None:
    folder = QWEN.write(tmp_path)
    alone = vlmres.Recipe.from_pretrained(folder / "preprocessor_config.json")
    assert (alone.name, alone.patch_size) == ("qwen3-vl", 16)  # its processor's class says so
    (folder / "mine.json").write_text(json.dumps({"image_processor": siglip(384)}))
    assert vlmres.Recipe.from_pretrained(str(folder / "mine.json")).params["image_width"] == 384
    with pytest.raises(vlmres.RecipeError, match=r"config\.json"):
        vlmres.Recipe.from_pretrained(folder / "config.json")
    videos = vlmres.Recipe.from_pretrained(folder / "video_preprocessor_config.json")
    assert videos.params["video_max_pixels"] == 25165824


@pytest.mark.parametrize("content", ["{", "[1, 2]", "", '"text"', '{"a": NaN}', "[" * 100_000])
def test_what_is_no_configuration(content: str, tmp_path: Path) -> None:
    for path in (tmp_path / "preprocessor_config.json", tmp_path / "other.json"):
        path.write_text(content)
        with pytest.raises(vlmres.RecipeError, match=path.name):
            vlmres.Recipe.from_pretrained(path)
    with pytest.raises(vlmres.RecipeError, match=r"preprocessor_config\.json"):
        vlmres.Recipe.from_pretrained(tmp_path)


def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(FileNotFoundError, match=r"preprocessor_config\.json.*" + tmp_path.name):
        vlmres.Recipe.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        vlmres.Recipe.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=f"(?s)cache.*{NAME}"):
        vlmres.Recipe.from_pretrained(NAME)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no /dev/zero")
@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "video_preprocessor_config.json"])
def test_a_file_without_an_end(name: str, tmp_path: Path) -> None:
    QWEN.write(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(vlmres.RecipeError, match=rf"{name} is no regular file"):
            vlmres.Recipe.from_pretrained(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    QWEN.write(tmp_path)
    (tmp_path / "config.json").unlink()
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(vlmres.RecipeError, match=r"config\.json is no regular file"):
        vlmres.Recipe.from_pretrained(tmp_path)


def test_a_file_of_many_bytes(tmp_path: Path) -> None:
    QWEN.write(tmp_path)
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(vlmres.RecipeError, match=r"config\.json has 5242880 bytes, over the limit of 4194304"):
        vlmres.Recipe.from_pretrained(tmp_path)


def cached(hub: Path, name: str = NAME) -> Path:
    """A model's files as `huggingface_hub` stores them: links from a snapshot to blobs."""
    model = hub / f"models--{name.replace('/', '--')}"
    for part in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (model / part).mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    for path in QWEN.write(model / "blobs").iterdir():
        blob = path.rename(path.with_suffix(".blob"))
        (model / "snapshots" / COMMIT / path.name).symlink_to(Path("../../blobs") / blob.name)
    return model


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"])
def test_a_model_in_the_cache(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    below = {
        "HF_HUB_CACHE": ".",
        "HF_HOME": "hub",
        "XDG_CACHE_HOME": "huggingface/hub",
        "HOME": ".cache/huggingface/hub",
    }
    monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cached(tmp_path / below[variable])
    recipe = vlmres.Recipe.from_pretrained(NAME)
    assert (recipe.name, recipe.params["video_max_pixels"]) == ("qwen3-vl", 25165824)


def test_a_cache_without_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    model = cached(tmp_path)
    for content in ("fedcba", "../../..", ""):
        (model / "refs" / "main").write_text(content)
        with pytest.raises(FileNotFoundError, match="snapshot"):
            vlmres.Recipe.from_pretrained(NAME)
    for name in ("../Qwen3-VL", "a/b/c", ".hidden/model", "Qwen/.."):
        with pytest.raises(FileNotFoundError):
            vlmres.Recipe.from_pretrained(f"{name}x")


def test_a_folder_comes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    cached(tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    (tmp_path / NAME).mkdir(parents=True)
    (tmp_path / NAME / "preprocessor_config.json").write_text(json.dumps(qwen(processor_class="Qwen2VLProcessor")))
    assert vlmres.Recipe.from_pretrained(NAME).name == "qwen2-vl"
