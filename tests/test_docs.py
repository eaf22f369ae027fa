import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import transformers
from PIL import Image
from typer.testing import CliRunner

import vlmres
from tests.compare import assert_equal_batches
from tests.films import film
from tests.pdf import pdf
from vlmres.cli.app import app
from vlmres.verify.references import REFERENCES

ROOT = Path(__file__).parent.parent
SAMPLES = ROOT / "python" / "vlmres" / "samples"
# What stands between these is run step by step, in a folder of its own.
TUTORIAL = re.compile(r"<!-- tutorial -->.*?<!-- end of tutorial -->", re.DOTALL)
# What a page's examples read is written by commands that stand before them.
COMMANDS_BEFORE = {
    "filter.md": [["plan", "line.png", "page.png", "photo.jpg", "-r", "qwen3-vl", "-o", "index.parquet"]],
    "jobs.md": [["process", "scans", "-r", "internvl2", "-o", "tensors"]],
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_what_the_code_prints(page: Path) -> None:
    rewrite = runpy.run_path(str(ROOT / "docs" / "tables.py"))["rewrite"]
    text = page.read_text(encoding="utf-8")
    assert rewrite(text) == text, "run docs/tables.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in SAMPLES.iterdir():
        if image.is_file():
            (tmp_path / image.name).symlink_to(image)
    (tmp_path / "report.pdf").write_bytes(pdf(4, size=(300, 400)))
    (tmp_path / "scans").mkdir()
    for name in ("page.png", "report.pdf"):
        (tmp_path / "scans" / name).write_bytes((tmp_path / name).read_bytes())
    (tmp_path / "clip.mp4").write_bytes(film(90))
    (tmp_path / "clip.webm").write_bytes(film(60, codec="libvpx", container="webm"))
    monkeypatch.chdir(tmp_path)
    for arguments in COMMANDS_BEFORE.get(page.name, ()):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    namespace: dict[str, Any] = {}
    text = TUTORIAL.sub("", page.read_text(encoding="utf-8"))
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, str(page), "exec"), namespace)
    capsys.readouterr()


def test_the_first_example_of_the_readme_is_what_transformers_makes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "python" / "vlmres" / "samples")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = next(
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "vlmres.Processor" in block
    )
    namespace: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), namespace)
    capsys.readouterr()
    images = [Image.open(name).convert("RGB") for name in ("photo.jpg", "page.png")]
    # Its default class, with the settings of InternVL2.
    reference: Any = transformers.GotOcr2ImageProcessor
    expected = reference(**REFERENCES["internvl2"].settings)(images, return_tensors="pt")
    assert_equal_batches(namespace["batch"].torch(), expected)


def test_the_readme_shows_what_its_examples_print(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(SAMPLES)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    namespace: dict[str, Any] = {}
    shown = 0
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "README.md", "exec"), namespace)
        printed = capsys.readouterr().out
        expected = re.findall(r"^print.*\n((?:# .*\n)+)", block, re.MULTILINE)
        assert printed == "".join(lines.replace("# ", "") for lines in expected)
        shown += len(expected)
    assert shown >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", page.read_text(encoding="utf-8")):
        if target.startswith("gallery/"):  # drawn when the site is built
            assert list(SAMPLES.glob(f"{Path(target).stem}.*")), target
            continue
        assert (page.parent / target).exists(), target


def test_the_tutorial_of_recipes_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = TUTORIAL.findall((ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    ran = []
    for language, block in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        file = re.search(r"^# ([\w.]+\.(?:toml|py))$", block, re.MULTILINE)
        if file:
            Path(file[1]).write_text(block, encoding="utf-8")
        elif language == "python":
            exec(compile(block, "tutorial", "exec"), namespace)
        else:
            (command,) = re.findall(r"^\$ vlmres (.*)$", block, re.MULTILINE)
            result = CliRunner().invoke(app, command.split())
            assert result.exit_code == 0, result.output
            assert "foo-vl" in result.output
        ran.append(file[1] if file else language)
    assert ran == ["foo.toml", "python", "reference.py", "console", "python"]
    # What differs is found.
    text = Path("foo.toml").read_text(encoding="utf-8")
    Path("foo.toml").write_text(text.replace("max_tiles = 9", "max_tiles = 8"), encoding="utf-8")
    result = CliRunner().invoke(app, command.split())
    assert result.exit_code == 1, result.output


def test_other_recipes_of_the_page_load() -> None:
    text = TUTORIAL.sub("", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"))
    blocks = [block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "extends" in block]
    assert blocks
    for block in blocks:
        assert vlmres.Recipe.from_toml(block).title
