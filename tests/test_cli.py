"""The command line as a user runs it: in its own process, with files."""

from __future__ import annotations

import json
import os
import pydoc
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

import vlmres
from tests.commands import ARGUMENTS, ENVIRONMENT, assert_whole, manifest, run, save, shards, states
from tests.images import EXAMPLES, REAL, pixels
from vlmres.cli.options import parse_bytes

COMMANDS = ("plan", "process", "compare", "recipes", "verify", "doctor")


# plan


def test_plan_table() -> None:
    result = run("plan", EXAMPLES, "--recipe", "qwen3-vl")
    for name in REAL:
        path = EXAMPLES / name
        size = vlmres.image_size(path)
        planned = vlmres.plan(size, "qwen3-vl")
        (line,) = [line for line in result.stdout.splitlines() if str(path) in line]
        for cell in (f"{size[0]}x{size[1]}", f"{planned.num_tokens:,}", f"{planned.num_patches:,}", "global"):
            assert cell in line.split()
    (total,) = [line for line in result.stdout.splitlines() if "5 images" in line]
    tokens = sum(vlmres.plan(vlmres.image_size(EXAMPLES / name), "qwen3-vl").num_tokens for name in REAL)
    assert f"{tokens:,}" in total.split()
    # Where the pictures are from.
    assert result.stderr.startswith("vlmres: skipped 1 (not images: 1 .md): ")


@pytest.mark.parametrize(("layout", "dtype"), [("hf", "float32"), ("packed", "uint8"), ("packed", "bfloat16")])
@pytest.mark.parametrize("recipe", ["qwen2-vl", "internvl2", "deepseek-ocr-gundam"])
def test_plan_json_foretells_what_process_makes(recipe: str, layout: Any, dtype: Any) -> None:
    options = ["-r", recipe, "--layout", layout, "--dtype", dtype, "--json"]
    result = run("plan", EXAMPLES / "page.png", EXAMPLES / "line.png", *options)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["page.png", "line.png"]
    for row in rows:
        batch = vlmres.Processor(recipe, layout, dtype)(row["path"])
        planned = batch.plans[0]
        assert planned is not None
        counts = ("num_tiles", "num_patches", "num_tokens", "layout", "dtype", "nbytes")
        assert list(row) == ["path", "recipe", "size", "frames", "grid", *counts, "views"]
        assert row["nbytes"] == sum(array.nbytes for key, array in batch.items() if key in PIXEL_KEYS)
        assert row["size"] == list(planned.size)
        assert row["num_tokens"] == planned.num_tokens
        assert [view["canvas"] for view in row["views"]] == [list(view.canvas) for view in planned.views]


PIXEL_KEYS = ("patches", "pixel_values", "images_crop")


def test_plan_follows_exif_and_overrides(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    path = tmp_path / "turned.jpg"
    Image.fromarray(pixels(300, 100)).save(path, exif=exif)
    row = json.loads(run("plan", path, "-r", "qwen2-vl", "--set", "max_pixels=50176", "--json").stdout)
    assert row["size"] == [100, 300]
    assert row["num_tokens"] == vlmres.plan((100, 300), vlmres.Recipe.load("qwen2-vl", max_pixels=50176)).num_tokens
    assert vlmres.Processor("qwen2-vl")(path).plans[0].size == (100, 300)  # type: ignore[union-attr]


def test_plan_searches_folders_and_reports_bad_files(photos: Path) -> None:
    broken = photos / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnot really")
    absent = photos / "absent.png"
    result = run("plan", photos, absent, photos / "0.png", "-r", "qwen2-vl", "--json", code=1)
    found = [Path(json.loads(line)["path"]).relative_to(photos).as_posix() for line in result.stdout.splitlines()]
    assert found == ["0.png", "1.png", "2.png", "3.png", "more/0.png", "more/deep/z.jpg"]
    skipped, *errors = result.stderr.splitlines()
    assert skipped == f"vlmres: skipped 1 (not images: 1 .txt): {photos / 'notes.txt'}"
    assert len(errors) == 2
    assert errors[0].startswith(f"vlmres: {broken}: ")
    assert errors[1] == f"vlmres: {absent}: No such file or directory"


def test_plan_of_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images and videos that do not exist yet; a file of such a name is a file."""
    arguments = ("1500x4500", EXAMPLES / "line.png", "16x640x360", "-r", "qwen3-vl")
    rows = [json.loads(line) for line in run("plan", *arguments, "--json").stdout.splitlines()]
    assert [row["path"] for row in rows] == [str(EXAMPLES / "line.png"), "1500x4500", "16x640x360"]
    assert [row["frames"] for row in rows] == [None, None, 16]
    image, video = vlmres.plan((1500, 4500), "qwen3-vl"), vlmres.plan((16, 640, 360), "qwen3-vl")
    assert [row["num_tokens"] for row in rows[1:]] == [image.num_tokens, video.num_tokens]
    made = vlmres.Processor("qwen3-vl")(videos=np.zeros((16, 360, 640, 3), np.uint8))
    assert rows[2]["nbytes"] == made["pixel_values_videos"].nbytes
    table = run("plan", *arguments).stdout
    assert "16x640x360" in table
    assert "3 items" in table
    error = run("plan", "0x5", "16x640x360", "-r", "llava-1.5", code=1).stderr
    assert "0x5: image size 0x5" in error
    assert "takes no videos" in error
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLES / "line.png", "64x64")
    assert json.loads(run("plan", "64x64", "-r", "qwen3-vl", "--json").stdout)["size"] == [128, 16]
    assert "64x65x66x67: No such file" in run("plan", "64x65x66x67", "-r", "qwen3-vl", code=1).stderr


def test_plan_of_long_and_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    plain = save(folder / "[red]x y[/red].png", 30, 30)
    result = run("plan", folder, "-r", "qwen2-vl")
    assert str(plain) in result.stdout
    if sys.platform == "linux":
        (folder / os.fsdecode(b"\xff\n.png")).write_bytes(plain.read_bytes())
        rows = [json.loads(line) for line in run("plan", folder, "-r", "qwen2-vl", "--json").stdout.splitlines()]
        assert len(rows) == 2
        assert "\\n" in run("plan", folder, "-r", "qwen2-vl").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-r", "Qwen/Qwen3-VL-8B-Instruct"], 'did you mean "qwen3-vl"'),
        (["-r", "internvl4"], "internvl3"),
        (["-r", "qwen2-vl", "--set", "max_pixel=1"], 'did you mean "max_pixels"'),
        (["-r", "qwen2-vl", "--set", "max_pixels"], "KEY=VALUE"),
        (["-r", "qwen2-vl", "--set", "max_pixels=many"], "must be an integer"),
        (["-r", "qwen2-vl", "--dtype", "int8"], "--dtype"),
        (["-r", "qwen2-vl", "--max-file-bytes", "many"], "'many' is not a size such as 256MB or 2GiB"),
        (["-r", "qwen2-vl", "--max-file-bytes", "0"], "must be between 1 and 18446744073709551615, got '0'"),
        (["-r", "qwen2-vl", "--max-output-bytes", "16384PiB"], "is not a size"),
        (["-r", "qwen2-vl", "--max-decoded-bytes", "99999999TB"], "must be between 1 and"),
        (["-r", "qwen2-vl", "--max-image-pixels", "0"], "--max-image-pixels"),
        ([], "--recipe"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], message: str) -> None:
    result = run("plan", EXAMPLES / "line.png", *arguments, code=2)
    assert message in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_folder_without_images(tmp_path: Path) -> None:
    assert "no images in" in run("plan", tmp_path, "-r", "qwen2-vl", code=2).stderr


def test_recipe_of_a_checkpoint_folder(tmp_path: Path) -> None:
    config = {"image_processor_type": "Qwen2VLImageProcessor", "min_pixels": 3136, "max_pixels": 100352}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    row = json.loads(run("plan", EXAMPLES / "page.png", "-r", tmp_path, "--json").stdout)
    assert row["num_tokens"] <= 128


# process


@pytest.mark.parametrize(
    ("recipe", "layout", "dtype"),
    [
        ("qwen2-vl", "hf", "float32"),
        ("qwen2-vl", "packed", "uint8"),
        ("internvl2", "hf", "float16"),
        ("llava-next", "packed", "float32"),
        ("deepseek-ocr-gundam", "hf", "uint8"),
        ("siglip2-naflex", "hf", "uint8"),
    ],
)
def test_process(photos: Path, tmp_path: Path, recipe: str, layout: str, dtype: str) -> None:
    out = tmp_path / "out"
    options = ["-r", recipe, "--layout", layout, "--dtype", dtype, "--shard-size", "4"]
    # One over 640 pixels, so that DeepSeek-OCR cuts it, in a shard with smaller ones.
    save(photos / "large.png", 900, 500)
    result = run("process", photos, "-o", out, *options)
    assert len(shards(out)) == 2
    assert len(manifest(out)["images"]) == 7
    assert "7 images, 0 failed; 2 shards written" in result.stdout
    assert result.stderr == f"vlmres: skipped 1 (not images: 1 .txt): {photos / 'notes.txt'}\n"
    assert_whole(out)
    paths = [image["path"] for image in manifest(out)["images"]]
    assert len(set(paths)) == len(paths) == 7


def test_shards_equal_one_call(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("process", photos, "-o", out, "-r", "llava-next", "--threads", "1", "--arithmetic", "pillow")
    paths = [image["path"] for image in manifest(out)["images"]]
    expected = vlmres.Processor("llava-next", arithmetic="pillow")(paths)
    found = load_file(shards(out)[0])
    assert set(found) == set(expected)
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array)
    assert manifest(out)["settings"]["arithmetic"] == "pillow-13"


def test_scaled_decoding(tmp_path: Path) -> None:
    run("process", EXAMPLES / "photo.jpg", "-o", tmp_path, "-r", "llava-1.5", "--dtype", "uint8", "--decode", "scaled")
    found = load_file(shards(tmp_path)[0])["pixel_values"]
    proc = vlmres.Processor("llava-1.5", dtype="uint8", decode="scaled")
    np.testing.assert_array_equal(found, proc(EXAMPLES / "photo.jpg")["pixel_values"])
    assert manifest(tmp_path)["settings"]["decode"] == "scaled"


def test_bfloat16_is_stored_as_such(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("process", photos, "-o", out, "-r", "qwen2-vl", "--dtype", "bfloat16")
    with safe_open(shards(out)[0], "pt") as file:
        assert file.get_slice("pixel_values").get_dtype() == "BF16"
    found = load_torch(shards(out)[0])["pixel_values"]
    paths = [image["path"] for image in manifest(out)["images"]]
    expected = vlmres.Processor("qwen2-vl", dtype="bfloat16")(paths).torch()["pixel_values"]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found.view(torch.int16), expected.view(torch.int16))


def test_running_again_keeps_finished_shards(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("process", photos, "-o", out, "-r", "qwen2-vl", "--shard-size", "2")
    run(*command)
    before, listed = states(out), (out / "manifest.json").read_bytes()
    assert len(before) == 3
    assert "0 shards written, 3 kept" in run(*command).stdout
    assert states(out) == before
    assert (out / "manifest.json").read_bytes() == listed

    save(photos / "2.png", 77, 55, 77)  # in the second shard
    assert "1 shard written, 2 kept" in run(*command).stdout
    after = states(out)
    assert [name for name in before if before[name] != after[name]] == ["shard-00001.safetensors"]
    assert_whole(out)

    (photos / "more" / "deep" / "z.jpg").unlink()
    (photos / "more" / "0.png").unlink()
    assert "0 shards written, 2 kept" in run(*command).stdout
    assert list(states(out)) == ["shard-00000.safetensors", "shard-00001.safetensors"]
    assert_whole(out)


def test_half_written_and_damaged_shards_are_redone(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("process", photos, "-o", out, "-r", "qwen2-vl", "--shard-size", "2")
    run(*command)
    first, second, third = shards(out)
    kept = states(out)[third.name]
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    second.unlink()
    leftover = out / f".{second.name}.{'0' * 16}.vlmres-tmp"
    leftover.write_bytes(whole[:100])
    (out / "manifest.json").unlink()
    other = out / "notes.tmp"
    other.write_text("not ours")
    assert "2 shards written, 1 kept" in run(*command).stdout
    assert first.read_bytes() == whole
    assert states(out)[third.name] == kept
    assert not leftover.exists()
    assert other.exists()
    assert_whole(out)


def test_other_settings_are_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("process", photos, "-o", out, "--shard-size", "3")
    run(*command, "-r", "qwen2-vl")
    before = states(out)
    for options in (
        ["--dtype", "uint8"],
        ["--layout", "packed"],
        ["--set", "max_pixels=50176"],
        ["--arithmetic", "pillow"],
        ["--max-image-pixels", "100"],
        ["--max-file-bytes", "10kB"],
        ["--max-decoded-bytes", "1MiB"],
        ["--max-output-bytes", "1GB"],
    ):
        result = run(*command, "-r", "qwen2-vl", *options, code=2)
        assert "--force" in result.stderr
    assert "internvl2" in run(*command, "-r", "internvl2", code=2).stderr
    # Without a manifest, as after an interruption, the shards speak.
    (out / "manifest.json").unlink()
    run(*command, "-r", "qwen2-vl", "--dtype", "uint8", code=2)
    assert states(out) == before
    run("process", EXAMPLES / "line.png", "-o", out, "-r", "qwen2-vl", code=2)  # none of the images in there
    assert states(out) == before
    run("process", photos / "1.png", "-o", out, "-r", "qwen2-vl", "--dtype", "uint8", "--force")
    assert len(shards(out)) == 1
    assert manifest(out)["settings"]["dtype"] == "uint8"
    assert_whole(out)


def test_bad_files_are_skipped_and_recorded(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = (EXAMPLES / "photo.jpg").read_bytes()
    (photos / "1a.jpg").write_bytes(b"no image")
    (photos / "1b.png").write_bytes((EXAMPLES / "page.png").read_bytes()[:5000])
    (photos / "1c.jpg").write_bytes(whole)
    save(photos / "3a.png", 2000, 4)  # an aspect ratio over the limit
    command = ("process", photos, photos / "absent.png", "-o", out, "-r", "qwen2-vl", "--shard-size", "3")
    result = run(*command, code=1)
    assert len(result.stderr.splitlines()) == 5  # one of them says what is no image
    found = manifest(out)
    failed = {Path(image["path"]).name: image["error"] for image in found["images"] if "error" in image}
    assert set(failed) == {"1a.jpg", "1b.png", "3a.png", "absent.png"}
    assert "aspect ratio 500" in failed["3a.png"]
    assert failed["absent.png"] == "No such file or directory"
    assert (found["num_images"], found["num_failed"]) == (7, 4)
    assert_whole(out)
    before = states(out)
    assert run(*command, code=1).stderr == result.stderr
    assert states(out) == before

    save(photos / "1a.jpg", 60, 60)
    save(photos / "1b.png", 60, 60)
    save(photos / "3a.png", 60, 60)
    save(photos / "absent.png", 60, 60)
    run(*command)
    assert_whole(out)


# Each is met by the page alone.
LIMITS = [
    ("--max-image-pixels", "500000", "over the limit of 500000"),
    ("--max-file-bytes", "150kB", "over the limit of 150000 (max_file_bytes)"),
    ("--max-decoded-bytes", "4MiB", "over the limit of 4194304 (max_decoded_bytes)"),
    ("--max-output-bytes", "1.5MB", "over the limit of 1500000 (max_output_bytes)"),
]


@pytest.mark.parametrize(("option", "value", "message"), LIMITS)
def test_limits(option: str, value: str, message: str, tmp_path: Path) -> None:
    """A file over a limit costs itself, and the plan foretells it."""
    out = tmp_path / "out"
    files = [save(tmp_path / "a.png", 200, 150), EXAMPLES / "page.png", save(tmp_path / "b.png", 50, 90)]
    planned = run("plan", *files, "-r", "qwen2-vl", "--dtype", "uint8", "--json", option, value, code=1)
    made = run("process", *files, "-r", "qwen2-vl", "--dtype", "uint8", "-o", out, option, value, code=1)
    assert len(planned.stdout.splitlines()) == 2
    for result in (planned, made):
        assert f"vlmres: {EXAMPLES / 'page.png'}: " in result.stderr
        assert message in result.stderr
    found = manifest(out)
    assert [("error" in image) for image in found["images"]] == [False, True, False]
    assert_whole(out)
    run("process", *files, "-r", "qwen2-vl", "--dtype", "uint8", "-o", out, option, "4000000000", "--force")
    assert manifest(out)["num_failed"] == 0


def test_a_shard_over_the_limit_of_outputs_is_a_message(tmp_path: Path) -> None:
    """Where padding to the largest image of a shard takes what its images alone do not."""
    sizes = [(800, 200), (200, 800)]
    files = [save(tmp_path / f"{width}.png", width, height) for width, height in sizes]
    processor = vlmres.Processor("idefics2", dtype="uint8")

    def count(sizes: list[tuple[int, int]]) -> int:
        shapes = processor.shapes(sizes).values()
        return sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes)

    limit = 2 * count(sizes[:1])
    assert count(sizes) > limit
    command: tuple[str | Path, ...] = (
        "process",
        *files,
        "-r",
        "idefics2",
        "--dtype",
        "uint8",
        "--max-output-bytes",
        str(limit),
    )
    result = run(*command, "-o", tmp_path / "out", code=1)
    assert f"over the limit of {limit} (max_output_bytes)" in result.stderr
    run(*command, "-o", tmp_path / "out", "--shard-size", "1")
    assert manifest(tmp_path / "out")["num_images"] == 2


def test_sizes_of_bytes() -> None:
    for text, count in {
        "7": 7,
        "256MB": 256_000_000,
        "256mib": 256 << 20,
        "1.5 GiB": 3 << 29,
        "2kB": 2000,
        "3B": 3,
    }.items():
        assert parse_bytes(text) == count


def test_packed_image_index_counts_bad_images(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (photos / "0a.png").write_bytes(b"no image")
    run("process", photos, "-o", out, "-r", "internvl2", "--layout", "packed", "--dtype", "uint8", code=1)
    assert_whole(out)


def test_a_shard_of_bad_files_only_is_recorded(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    out = tmp_path / "out"
    run("process", bad, "-o", out, "-r", "qwen2-vl", code=1)
    assert load_file(shards(out)[0]) == {}
    before = states(out)
    assert "0 shards written, 1 kept" in run("process", bad, "-o", out, "-r", "qwen2-vl", code=1).stdout
    assert states(out) == before


def test_out_that_is_a_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("")
    said = run("process", photos, "-o", out, "-r", "qwen2-vl", code=2).stderr
    assert "File exists" in " ".join(said.split())


# compare, recipes, info


def test_compare(tmp_path: Path) -> None:
    picture = tmp_path / "views.png"
    result = run("compare", EXAMPLES / "page.png", "--picture", picture, "--runs", "1")
    strategies = {cell for line in result.stdout.splitlines() for cell in line.split()[1:2]}
    assert strategies >= {"squash", "tiles", "native", "hybrid"}
    (line,) = [line for line in result.stdout.splitlines() if line.strip().startswith("internvl2")]
    planned = vlmres.plan((1240, 1754), "internvl2")
    assert f"{planned.num_tokens:,}" in line.split()
    assert "median of 1 after a warm-up" in result.stdout
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"
        assert min(drawn.size) > 500


def test_compare_chosen_recipes_and_bad_images(tmp_path: Path) -> None:
    strip = save(tmp_path / "strip.png", 500, 2)
    result = run("compare", strip, "-r", "qwen2-vl", "-r", "llava-1.5", "--runs", "1", code=1)
    assert "llava-1.5" in result.stdout
    assert "qwen2-vl" not in result.stdout
    assert "aspect ratio 250" in result.stderr
    assert "No such file" in run("compare", tmp_path / "absent.png", code=1).stderr
    picture = tmp_path / "picture.nonsense"
    result = run("compare", EXAMPLES / "line.png", "-r", "qwen2-vl", "--runs", "1", "--picture", picture, code=2)
    assert "cannot write" in result.stderr


def test_recipes() -> None:
    listed = json.loads(run("recipes", "--json").stdout)
    assert [recipe["name"] for recipe in listed] == vlmres.recipes()
    table = run("recipes").stdout
    assert all(recipe["name"] in table and recipe["reference"] in table for recipe in listed)
    one = json.loads(run("recipes", "qwen3-vl", "--json").stdout)
    assert one["params"] == dict(vlmres.Recipe.load("qwen3-vl").params)
    assert one["video_reference"] == "transformers Qwen3VLVideoProcessor"
    assert re.search(r"max_pixels\s+16777216", run("recipes", "qwen3-vl").stdout)
    assert "transformers Qwen3VLVideoProcessor" in run("recipes", "qwen3-vl").stdout
    assert "VideoProcessor" not in run("recipes", "clip").stdout
    assert "did you mean" in run("recipes", "qwen9-vl", code=2).stderr
    for asked in ("qwen3vl", "Qwen3-VL"):
        assert json.loads(run("recipes", asked, "--json").stdout) == one


def test_recipes_say_what_their_parameters_mean() -> None:
    recipe = vlmres.Recipe.load("qwen3-vl")
    one = json.loads(run("recipes", "qwen3-vl", "--json").stdout)
    assert one["coordinates"] == {"convention": "0-1000", "frame": "canvas"}
    assert one["parameters"]["max_pixels"] == recipe.parameters["max_pixels"]._asdict()
    shown = " ".join(run("recipes", "qwen3-vl", COLUMNS="200").stdout.split())
    assert "0 to 1000 over the canvas of the main view" in shown
    for text in (shown, " ".join(pydoc.plain(pydoc.render_doc(recipe)).split())):
        assert "Side of the encoder's patches" in text
        assert "between 1 and 1024" in text
        assert all(name in text for name in recipe.params)


def test_doctor() -> None:
    facts = json.loads(run("doctor", "--json", VLMRES_NUM_THREADS="3").stdout)
    assert facts["vlmres"] == vlmres.__version__
    assert facts["simd"] == vlmres.build_info()["simd"]
    assert facts["threads"] == 3
    assert facts["VLMRES_NUM_THREADS"] == "3"
    assert facts["arithmetic"].startswith("pillow-")
    assert facts["torch"] == version("torch")
    assert re.search(r"VLMRES_NUM_THREADS\s+not set", run("doctor").stdout)


def test_commands_do_not_import_torch() -> None:
    code = (
        "import sys; sys.argv = ['vlmres', 'doctor']\n"
        "from vlmres.cli import main\n"
        "try: main()\n"
        "finally: assert not {'torch', 'transformers', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=ENVIRONMENT)


# help, version, completion, installation


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(command: str) -> None:
    short, long = (run(command, option).stdout for option in ("-h", "--help"))
    assert short == long
    assert re.search(rf"Examples?: vlmres {command}", long)


def test_version_and_module() -> None:
    assert run("--version").stdout == f"vlmres {vlmres.__version__}\n"
    result = subprocess.run(
        [sys.executable, "-m", "vlmres", "--help"], capture_output=True, text=True, env=ENVIRONMENT, check=True
    )
    assert all(command in result.stdout for command in COMMANDS)


def test_shells_complete_recipe_names() -> None:
    words = {"_VLMRES_COMPLETE": "complete_bash", "COMP_WORDS": "vlmres plan --recipe qwen", "COMP_CWORD": "3"}
    result = subprocess.run(ARGUMENTS, capture_output=True, text=True, env=ENVIRONMENT | words)
    assert result.stdout.split() == [name for name in vlmres.recipes() if name.startswith("qwen")]


@pytest.mark.parametrize("package", ["typer", "rich", "safetensors", "PIL"])
def test_a_missing_extra_is_named(package: str) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nfrom vlmres.cli import main\nmain()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.endswith("pip install 'vlmres[cli]'")
    assert {"PIL": "Pillow"}.get(package, package) in line
