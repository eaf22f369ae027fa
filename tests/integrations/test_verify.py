"""`vlmres verify`, as a user runs it and from inside."""

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import vlmres
from tests.commands import run
from tests.integrations import versions
from tests.integrations.tiny import processor
from vlmres.cli.app import app
from vlmres.inputs import CHANNELS
from vlmres.verify import references as hf
from vlmres.verify import tokens, videos
from vlmres.verify.cases import FORMS, PLAIN_FORMS, draw
from vlmres.verify.report import row
from vlmres.verify.run import Arithmetic, Subject, Tally, verify

pytestmark = pytest.mark.skipif(
    not versions.COMPOSITES, reason="what vlmres does by itself with transparent images is what newer versions do"
)

OF_RECIPE = Subject.of_recipe


def rows(text: str) -> list[list[str]]:
    return [
        re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if re.search(r"\s{2,}(torch|pillow)\s", line)
    ]


def altered(name: str, **overrides: Any) -> Subject:
    """A recipe that is not what its reference does."""
    right = OF_RECIPE(name)
    return Subject(
        name, f"--recipe {name}", right.recipe.replace(**overrides), right.reference, lambda: tokens.processor_of(name)
    )


def test_a_recipe_and_its_report(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    result = run("verify", "-r", "llava-1.5", "-r", "siglip2-naflex", "--cases", "6", "-o", report)
    got = rows(result.stdout)
    assert [row[:7] for row in got] == [
        ["llava-1.5", "torch", "6", "0", "0", "0", got[0][6]],
        ["llava-1.5", "pillow", "6", "0", "0", "0", got[0][6]],
        ["siglip2-naflex", "torch", "6", "0", "0", "0", "-"],
        ["siglip2-naflex", "pillow", "6", "0", "0", "0", "-"],
    ]
    assert re.fullmatch(r"0 of \d+", got[0][6])
    assert f"vlmres {vlmres.__version__}" in result.stdout
    text = report.read_text()
    assert text.startswith("# Parity with transformers\n\n`vlmres verify -r llava-1.5")
    assert "| siglip2-naflex | pillow | 6 | 0 | 0 | 0 | - |" in text
    assert "Failures" not in text


def test_processes_find_what_one_finds() -> None:
    found = [
        rows(run("verify", "-r", "llava-1.5", "-r", "qwen2-vl", "--cases", "3", "--jobs", jobs).stdout)
        for jobs in ("1", "3")
    ]
    assert [[row[:7] for row in one] for one in found] == [[row[:7] for row in found[0]]] * 2
    assert [row[0] for row in found[0]] == ["llava-1.5"] * 2 + ["qwen2-vl"] * 2 + ["qwen2-vl (videos)"]


def test_subjects_travel_between_processes(tmp_path: Path) -> None:
    hf.processor("qwen2-vl", "torch").save_pretrained(tmp_path)
    for subject in (OF_RECIPE("siglip"), videos.VideoSubject.of_recipe("qwen2-vl"), Subject.of_checkpoint(tmp_path)):
        again = pickle.loads(pickle.dumps(subject))
        assert type(again) is type(subject)
        assert (again.name, again.option, again.recipe.params) == (subject.name, subject.option, subject.recipe.params)


@pytest.mark.parametrize(("recipe", "arithmetic"), hf.cases(sorted(hf.REFERENCES)))
def test_every_reference(recipe: str, arithmetic: Arithmetic) -> None:
    tally = Tally(OF_RECIPE(recipe), arithmetic)
    cases = list(verify(tally, 0, range(20, 23)))
    assert any(not case.settings for case in cases)
    assert any(case.settings for case in cases)
    assert tally.failures == []
    assert tally.left_out < tally.cases == 3
    assert (tally.counted > 0) == (recipe in tokens.TOKEN_REFERENCES)


@pytest.mark.parametrize("recipe", videos.VIDEO_REFERENCES)
def test_every_reference_of_videos(recipe: str) -> None:
    tally = Tally(videos.VideoSubject.of_recipe(recipe), "torch")
    cases = list(verify(tally, 0, range(25, 31)))
    assert any(not case.settings for case in cases)
    assert any(case.settings for case in cases)
    assert tally.failures == []
    assert (tally.left_out, tally.cases) == (0, 6)
    assert tally.counted == sum(len(case.sizes) for case in cases)


def test_differences_of_videos_are_found() -> None:
    right = videos.VideoSubject.of_recipe("qwen3-vl")
    wrong = right.recipe.replace(filter="bilinear", video_max_pixels=262144)
    subject = videos.VideoSubject("wrong", "--recipe qwen3-vl", wrong, right.reference, lambda: right.counter)
    tally = Tally(subject, "torch")
    list(verify(tally, 0, range(20)))
    assert tally.differing > 0
    assert tally.miscounted > 0


def test_videos_alone() -> None:
    result = run("verify", "-r", "qwen2-vl", "-r", "clip", "--media", "videos", "--cases", "3")
    assert [row[:3] for row in rows(result.stdout)] == [["qwen2-vl (videos)", "torch", "3"]]


def test_cases_of_videos_come_from_the_seed() -> None:
    reference = videos.video_processor("qwen2-vl")
    cases = [videos.draw(0, number, reference) for number in range(100)]
    assert [str(case) for case in cases] == [str(videos.draw(0, number, reference)) for number in range(100)]
    assert {form for case in cases for form in case.forms} == set(videos.FORMS)
    assert {frames for case in cases for frames, _, _ in case.sizes} == set(range(1, 9))


def test_settings_that_no_recipe_follows_are_left_out() -> None:
    for recipe, setting, value, number in (("gemma4", "resample", 0, 6), ("llama4", "do_rescale", False, 11)):
        tally = Tally(OF_RECIPE(recipe), "torch")
        cases = list(verify(tally, 0, range(number, number + 3)))
        assert [case.settings.get(setting) == value for case in cases] == [True, False, False]
        assert tally.left_out == 1
        assert tally.failures == []
    for name, settings in (("lfm2-vl", {"tile_size"}), ("deepseek-ocr-2", set())):
        subject = OF_RECIPE(name)
        drawn = [draw(0, number, subject.reference("torch"), subject.known.fixed).settings for number in range(30)]
        assert any(drawn)
        assert settings == {"tile_size"} - {key for case in drawn for key in case}


def test_tokens_that_transformers_miscounts_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pixtral", "lighton-ocr"):
        tally = Tally(OF_RECIPE(name), "torch")
        cases = list(verify(tally, 0, range(30)))
        heights = [height for case in cases for _, height in case.sizes]
        assert tally.not_counted == sum(height in (1, 3) for height in heights) > 0
        assert tally.counted + tally.not_counted == len(heights)
        assert not tally.failed
        assert row(tally)[6] == f"0 of {tally.counted} ({tally.not_counted} left out)"
    idefics = tokens.light_processor(
        tokens.TOKEN_REFERENCES["idefics3"], hf.processor("idefics3", "torch", size={"longest_edge": 1000})
    )
    assert not tokens.reliable(idefics, (500, 366))
    assert tokens.reliable(tokens.processor_of("idefics3"), (500, 366))
    monkeypatch.setattr(tokens, "MISCOUNTED", {})
    tally = Tally(OF_RECIPE("pixtral"), "torch")
    list(verify(tally, 0, range(30)))
    assert tally.not_counted == 0
    assert tally.miscounted > 0


def test_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    original = hf.processor("qwen2-vl", "torch", size={"shortest_edge": 3136, "longest_edge": 100352})
    processor("qwen2-vl", original).save_pretrained(folder)
    result = run("verify", "--checkpoint", folder, "--cases", "5", "--arithmetic", "torch")
    got = rows(result.stdout)
    assert [row[:6] for row in got] == [
        ["checkpoint (qwen2-vl)", "torch", "5", "0", "0", "0"],
        ["checkpoint (qwen2-vl, videos)", "torch", "5", "0", "0", "0"],
    ]
    assert all(row[6].startswith("0 of ") for row in got)


def test_a_checkpoint_of_a_class_with_one_backend_and_another_type(tmp_path: Path) -> None:
    hf.processor("llama4", "torch", size={"height": 56, "width": 56}).save_pretrained(tmp_path / "llama")
    subject = Subject.of_checkpoint(tmp_path / "llama")
    assert (subject.name, subject.arithmetics) == ("llama (llama4)", ("torch",))
    tally = Tally(subject, "torch")
    list(verify(tally, 0, range(20, 23)))
    assert tally.failures == []
    assert (tally.cases, tally.left_out, tally.counted) == (3, 0, 0)


USAGE: list[tuple[list[str], str]] = [
    (["-r", "qwen-vl"], "qwen2-vl"),
    (["-r", "deepseek-ocr-gundam"], "reproduces no class of transformers"),
    (["--checkpoint", "nowhere"], "nowhere"),
    (["--cases", "0"], "--cases"),
    (["--arithmetic", "numpy"], "numpy"),
    (["-r", "llava-1.5", "--out", "no/such/folder.md"], "no folder"),
    (["-r", "llava-1.5", "--media", "videos"], "videos are taken by glm-4.6v"),
]


@pytest.mark.parametrize(("arguments", "says"), USAGE, ids=[says for _, says in USAGE])
def test_usage_errors(arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["verify", *arguments])
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())


def test_a_folder_without_a_configuration(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["verify", "--checkpoint", str(tmp_path)])
    assert result.exit_code == 2
    assert "preprocessor_config.json" in "".join(result.stderr.split())


def test_a_difference_is_found_and_can_be_reproduced() -> None:
    tally = Tally(altered("llava-1.5", filter="bilinear"), "torch")
    cases = list(verify(tally, 3, range(30)))
    assert tally.failed
    assert tally.cases == len(cases) == 30
    # With settings of a case's own, those are followed, and the reference's are right.
    assert 0 < tally.differing < 30
    assert tally.differing == len(tally.failures)
    assert 0 < tally.difference < 10
    failure = tally.failures[0]
    found = re.fullmatch(r"vlmres verify --recipe llava-1.5 --arithmetic torch --seed 3 --case (\d+)", failure.command)
    assert found is not None
    number = int(found[1])
    again = Tally(altered("llava-1.5", filter="bilinear"), "torch")
    list(verify(again, 3, range(number, number + 1)))
    assert again.failures == [failure]
    fine = Tally(Subject.of_recipe("llava-1.5"), "torch")
    list(verify(fine, 3, range(number, number + 1)))
    assert not fine.failed


def test_other_token_counts_are_found() -> None:
    tally = Tally(altered("qwen2-vl", max_pixels=50176), "pillow")
    list(verify(tally, 0, range(20)))
    assert tally.failed
    assert 0 < tally.miscounted < tally.counted
    assert any("tokens for" in failure.reason for failure in tally.failures)


def test_the_command_fails_where_something_differs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Subject, "of_recipe", staticmethod(lambda name: altered(name, filter="nearest")))
    report = tmp_path / "report.md"
    arguments = ["verify", "-r", "llava-1.5", "--arithmetic", "pillow", "--cases", "30", "-o", str(report)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "values of pixel_values differ" in result.stderr
    assert "  vlmres verify --recipe llava-1.5 --arithmetic pillow --seed 0 --case " in result.stderr
    assert "## Failures" in report.read_text()


def test_cases_come_from_the_seed() -> None:
    converting, plain = hf.processor("qwen2-vl", "torch"), hf.processor("siglip2-naflex", "torch")
    cases = [draw(0, number, converting) for number in range(300)]
    assert [str(case) for case in cases] == [str(draw(0, number, converting)) for number in range(300)]
    assert [str(case) for case in cases] != [str(draw(1, number, converting)) for number in range(300)]
    drawn = [(case, form, picture) for case in cases for form, picture in zip(case.forms, case.images, strict=True)]
    arrays = [(case, tuple(picture.shape)) for case, form, picture in drawn if form in ("array", "tensor")]
    assert len(arrays) > 30
    assert not [str(case) for case, shape in arrays if shape[0] in CHANNELS and shape[2] in CHANNELS]
    assert {form for case in cases for form in case.forms} == set(FORMS)
    assert {form for number in range(100) for form in draw(0, number, plain).forms} == set(PLAIN_FORMS)
    sizes = [size for case in cases for size in case.sizes]
    assert min(min(size) for size in sizes) == 1
    assert max(max(size) for size in sizes) > 500
    assert sum(not case.settings for case in cases) > 10
