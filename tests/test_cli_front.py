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
    assert "b.pngisnofile" in "".join(result.output.split())


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


COMMANDS = ("demo", "plan", "explain", "process", "encode", "compare", "lab", "recipes", "verify", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_of_80_columns_breaks_no_name_and_offers_json(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "--json" in result.stdout
    # A choice that is longer than its column ends in the next line without an opening bracket.
    cells = [cell for line in result.stdout.splitlines() for cell in line.split()]
    assert not [cell for cell in cells if "|" in cell and cell.startswith("<") != cell.endswith(">")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "absent.png"], "vlmres demo: invalid value for IMAGE: absent.png is no file"),
        (["demo", "--colour"], "vlmres demo: no such option: --colour"),
        (["plan", "64x64"], "vlmres plan: missing option '--recipe'"),
        (["plan", "64x64", "-r", "qwen2-vi"], "qwen2-vl"),
        (["plan", "64x64", "-r", "clip", "--sort", "size"], "vlmres plan: invalid value for '--sort'"),
        (["plan", "64x64", "-r", "clip", "--max-image-pixels", "0"], "between 1 and"),
        (["plan", "64x64", "-r", "clip", "--max-file-bytes", "much"], "'much'"),
        (["process", ".", "-r", "clip"], "vlmres process: missing option '--out'"),
        (["process", ".", "-r", "clip", "-o", "out", "--dtype", "int8"], "'int8'"),
        (["encode", ".", "-o", "out"], "vlmres encode: missing option '--checkpoint'"),
        (["encode", ".", "-o", "out", "-c", "absent"], "absent"),
        (["compare", "absent.png", "--runs", "0"], "vlmres compare: invalid value for '--runs'"),
        (["compare", "absent.png", "--box", "1,2"], "'1,2' is not X0,Y0,X1,Y1"),
        (["lab", "--budget", "256"], "name files or folders, or take --grid"),
        (["lab", "--grid", "--reader", "eyes"], "eyes"),
        (["recipes", "qwen"], "qwen"),
        (["recipes", "clip", "siglip"], "vlmres recipes: got unexpected extra argument"),
        (["explain", "size_max"], "no recipe has a parameter 'size_max'"),
        (["verify", "--cases", "0"], "vlmres verify: invalid value for '--cases'"),
        (["verify", "-r", "nothing"], "nothing"),
        (["doctor", "absent"], "there is no folder absent"),
        (["doctor", "--vlm"], "--vllm"),
        (["pln"], "vlmres: no such command 'pln'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_is_one_line(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(app, arguments, prog_name="vlmres")
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert result.stderr.startswith("vlmres")


def test_json_of_what_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (60, 40)).save(path)
    (row,) = map(json.loads, run("compare", str(path), "-r", "clip", "--runs", "1", "--json").splitlines())
    assert (row["recipe"], row["num_tokens"]) == ("clip", vlmres.plan((60, 40), "clip").num_tokens)
    assert row["ms"] > 0
    made = json.loads(run("process", str(path), "-r", "clip", "-o", str(tmp_path / "out"), "--json"))
    assert (made["images"], made["failed"], made["shards_written"], made["shards_kept"]) == (1, 0, 1, 0)
    again = json.loads(run("process", str(path), "-r", "clip", "-o", str(tmp_path / "out"), "--json"))
    assert (again["shards_written"], again["shards_kept"], again["nbytes"]) == (0, 1, made["nbytes"])
    rows = [json.loads(line) for line in run("demo", str(path), "-o", str(tmp_path / "seen"), "--json").splitlines()]
    assert {row["strategy"] for row in rows} == {"squash", "tiles", "native", "hybrid"}
    assert (tmp_path / "seen" / "hybrid.png").is_file()


def test_an_option_that_takes_one_value_is_not_given_twice() -> None:
    result = CliRunner().invoke(app, ["plan", "100x100", "-r", "qwen2-vl", "--recipe", "internvl2"])
    assert result.exit_code == 2
    assert "given 2 times" in result.output
    run("plan", "100x100", "-r", "qwen2-vl", "--set", "min_pixels=4", "--set", "max_pixels=100000")


def test_limits_name_only_parameters_that_the_recipe_has() -> None:
    for name in vlmres.recipes():
        recipe = vlmres.Recipe.load(name)
        for parameter in recipe.parameters.values():
            named = {word for word in parameter.limits.split() if word.startswith(("min_", "max_", "video_m"))}
            assert named <= recipe.parameters.keys()
