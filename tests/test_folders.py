"""What the commands make of folders: which files are images, what is skipped, what is said."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

import vlmres
from tests.commands import run, shards
from tests.images import image, pixels


def test_folders_are_searched_by_content(tmp_path: Path) -> None:
    folder, linked = tmp_path / "in", tmp_path / "linked"
    folder.mkdir()
    linked.mkdir()
    for name, form in (("a", "PNG"), ("b.jpe", "JPEG"), ("c.mpo", "JPEG"), ("d.dat", "AVIF"), ("e.avif", "AVIF")):
        image(40, 30).save(folder / name, form)
    image(40, 30).save(linked / "f.png")
    for name in ("notes.txt", "more.txt", "._a.png", "data.json"):
        (folder / name).write_text("not an image")
    (folder / "link").symlink_to(linked)
    (linked / "loop").symlink_to(folder)
    result = run("plan", folder, "-r", "qwen2-vl", "--json")
    found = [Path(json.loads(line)["path"]).name for line in result.stdout.splitlines()]
    assert found == ["a", "b.jpe", "c.mpo", "d.dat", "e.avif"]
    assert "skipped 5 (not images: " in result.stderr
    assert "2 .txt" in result.stderr
    assert "1 linked folders (--follow-links)" in result.stderr
    assert str(folder / "notes.txt") in result.stderr
    result = run("plan", folder, "-r", "qwen2-vl", "--json", "--follow-links", "--quiet")
    assert len(result.stdout.splitlines()) == 6
    assert result.stderr == ""


def test_many_skipped_files_are_counted(tmp_path: Path) -> None:
    image(40, 30).save(tmp_path / "a.png")
    for index in range(30):
        (tmp_path / f"{index}.txt").write_text("text")
    stderr = run("plan", tmp_path, "-r", "qwen2-vl").stderr
    assert "skipped 30 (" in stderr
    assert "and 20 more" in stderr


def test_quiet_prints_errors_alone(photos: Path, tmp_path: Path) -> None:
    result = run("process", photos, "-o", tmp_path / "out", "-r", "qwen2-vl", "--quiet")
    assert (result.stdout, result.stderr) == ("", "")
    (photos / "bad.png").write_bytes(b"junk")
    result = run("process", photos, "-o", tmp_path / "out", "-r", "qwen2-vl", "-q", code=1)
    assert result.stdout == ""
    assert "bad.png" in result.stderr


def test_a_long_job_is_told_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(260):
        image(56, 56).save(folder / f"{index:03}.png")
    stderr = run("process", folder, "-o", tmp_path / "out", "-r", "qwen2-vl", "--dtype", "uint8").stderr
    # 4 x 4 patches of 2 x 3 x 14 x 14 bytes each.
    assert f"260 images, about {260 * 16 * 1176 / 1024 / 1024:.1f} MiB" in stderr


def test_transparency_and_decoder_of_commands(tmp_path: Path) -> None:
    rgba = Image.fromarray(pixels(56, 56, channels=4))
    rgba.save(tmp_path / "a.png")
    rgba.save(tmp_path / "b.avif")
    options = ["-r", "llava-1.5", "--dtype", "uint8"]
    run("process", tmp_path, "-o", tmp_path / "white", *options, "--alpha", "white")
    expected = vlmres.Processor("llava-1.5", dtype="uint8", alpha="white")([tmp_path / "a.png", tmp_path / "b.avif"])
    np.testing.assert_array_equal(load_file(shards(tmp_path / "white")[0])["pixel_values"], expected["pixel_values"])
    result = run("process", tmp_path / "b.avif", "-o", tmp_path / "native", *options, "--decoder", "native", code=1)
    assert "not read natively" in result.stderr
    assert (
        "excludes"
        in run(
            "process", tmp_path, "-o", tmp_path / "x", *options, "--alpha", "reject", "--decoder", "native", code=2
        ).stderr
    )
