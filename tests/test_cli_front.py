"""`vlmres demo`, `vlmres explain`, and `vlmres plan` of many images."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import vlmres
from vlmres.cli.app import app

SIZES = [(64 * (1 + index % 7), 40 * (1 + index % 5)) for index in range(20)]
NAMES = [f"{width}x{height}" for width, height in dict.fromkeys(SIZES)]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_demo_runs_on_the_samples_that_are_installed(tmp_path: Path) -> None:
    output = run("demo", "-o", str(tmp_path / "pictures"))
    assert "hybrid, as deepseek-ocr-gundam does" in output
    for strategy in ("squash", "tiles", "native", "hybrid"):
        with Image.open(tmp_path / "pictures" / f"{strategy}.png") as picture:
            assert picture.width > 100


def test_the_demo_takes_images_and_names_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (60, 40)).save(path)
    assert "a.png" in run("demo", str(path), "-o", str(tmp_path / "out"))
    result = CliRunner().invoke(app, ["demo", str(tmp_path / "b.png")])
    assert result.exit_code == 2
    assert "b.pngisnofile" in "".join(result.output.replace("│", " ").split())


def test_a_parameter_is_explained_with_its_values() -> None:
    found = json.loads(run("explain", "max_pixels", "--json"))
    assert found["parameter"] == "max_pixels"
    for name, parameter in found["recipes"].items():
        assert vlmres.Recipe.load(name).params["max_pixels"] == parameter["value"]
    having = {name for name in vlmres.recipes() if "max_pixels" in vlmres.Recipe.load(name).params}
    assert set(found["recipes"]) == having
    text = run("explain", "max_pixels")
    assert "qwen2-vl" in text
    assert "pixels" in text


def test_an_unknown_parameter_suggests_near_ones() -> None:
    result = CliRunner().invoke(app, ["explain", "max_pixel"])
    assert result.exit_code == 2
    assert "max_pixels" in result.output


def test_a_summary_has_percentiles_of_the_plans() -> None:
    found = json.loads(run("plan", *NAMES, "-r", "qwen2-vl", "--summary", "--json"))
    tokens = [vlmres.plan(size, "qwen2-vl").num_tokens for size in dict.fromkeys(SIZES)]
    assert found["images"] == len(tokens)
    assert found["tokens"]["total"] == sum(tokens)
    assert found["tokens"]["median"] == np.percentile(tokens, 50, method="nearest")
    assert (found["tokens"]["min"], found["tokens"]["max"]) == (min(tokens), max(tokens))
    text = run("plan", *NAMES, "-r", "qwen2-vl", "--summary")
    assert f"{len(tokens)} images" in text
    assert f"{sum(tokens):,}" in text


def test_images_are_sorted_and_limited() -> None:
    rows = [
        json.loads(line)
        for line in run("plan", *NAMES, "-r", "qwen2-vl", "--sort", "tokens", "--limit", "3", "--json").splitlines()
    ]
    tokens = sorted((vlmres.plan(size, "qwen2-vl").num_tokens for size in dict.fromkeys(SIZES)), reverse=True)
    assert [row["num_tokens"] for row in rows] == tokens[:3]
    text = run("plan", *NAMES, "-r", "qwen2-vl", "--sort", "name", "--limit", "2")
    assert f"{len(NAMES)} images, 2 shown" in text
    assert f"{sum(tokens):,}" in text  # the sums are of all
    first = run("plan", *NAMES, "-r", "qwen2-vl", "--limit", "1", "--json")
    assert [json.loads(line)["path"] for line in first.splitlines()] == NAMES[:1]


@pytest.mark.parametrize("option", [("--sort", "tokens"), ("--limit", "3"), ("-o", "index.npy")])
def test_a_summary_has_no_images_to_show(option: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, ["plan", *NAMES, "-r", "qwen2-vl", "--summary", *option])
    assert result.exit_code == 2
