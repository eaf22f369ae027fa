"""The report, and the command that writes it."""

import csv
import json
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vlmres
from tests.commands import run as command
from tests.lab.bars import Bars, bars_page
from vlmres.lab import Candidate, Page, Results, run, write_report
from vlmres.lab.answer import answer
from vlmres.lab.results import NOT_MEASURED

ROOT = Path(__file__).parents[2]
QWEN, LLAVA, INTERN = (vlmres.Recipe.load(name) for name in ("qwen2-vl", "llava-1.5", "internvl2"))
CANDIDATES = [Candidate(QWEN, 8), Candidate(QWEN, 20), Candidate(QWEN, 512), Candidate(LLAVA), Candidate(INTERN)]


class Tree(HTMLParser):
    """Checks that elements are closed, and keeps what is in them."""

    VOID = frozenset({"meta", "img", "br", "line", "path", "polyline"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    sizes = [(300, 420), (500, 420), (900, 420), (420, 1500), (1200, 900), (380, 380), (1700, 420), (300, 1300)]
    return [bars_page(f"<page> {n}", size, (3, 5, 6, 8), seed=n) for n, size in enumerate(sizes)]


@pytest.fixture(scope="module")
def results(pages: list[Page]) -> Results:
    return run(pages, CANDIDATES, Bars())


@pytest.fixture(scope="module")
def report(pages: list[Page], results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert write_report(results, folder, pages=pages, candidates=CANDIDATES) == folder / "index.html"
    return folder


def test_the_first_screen_answers_and_says_what_is_not_measured(report: Path, results: Results) -> None:
    tree = Tree((report / "index.html").read_text(encoding="utf-8"))
    text = "".join(tree.words)
    first = text[: text.index("All candidates")]
    assert answer(results, results.summaries()) in first
    assert NOT_MEASURED in first
    assert "8 pages" in first
    assert re.search(r"Effective x-height that bars needs, latin: \d\.\d\d px, right for \d+ % of 160 readings", text)
    assert "32 lines" in first
    assert text.index(NOT_MEASURED) < text.index("Tokens against legible lines")


def test_what_to_set_is_python_that_keeps_the_budget(report: Path, results: Results) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    section = text[text.index("What to set") :]
    rows = re.findall(r"<tr><td>(.*?)</tr>", section[: section.index("</section>")])
    summaries = results.summaries()
    assert len(rows) == len({one.subject.family for one in summaries}) == 3
    for row in rows:
        family = row.partition("<")[0]
        kept = [one for one in summaries if one.subject.family == family and one.legible.mean >= 0.95]
        code = re.search("<code>(.+?)</code>", row)
        if not kept:
            assert code is None
            assert "not enough" in row
            continue
        assert code is not None
        best = min(kept, key=lambda one: one.tokens)
        sizes = [page.size for page in results.pages]
        recipes = [eval(unescape(code[1]), {"vlmres": vlmres, "image": size}) for size in sizes]
        tokens = [vlmres.plan(size, recipe).num_tokens for size, recipe in zip(sizes, recipes, strict=True)]
        assert np.mean(tokens) == pytest.approx(best.tokens)
    assert any("not enough" in row for row in rows)
    assert any("<code>" in row for row in rows)


def test_the_report_needs_nothing_beside_it(report: Path) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    tree = Tree(text)
    sources = [attrs[name] or "" for _, attrs in tree.tags for name in ("src", "href") if name in attrs]
    assert sources
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.search(r"https?://|@import|url\(", text)


def test_a_name_from_outside_is_no_markup(report: Path) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    assert "<page>" not in text
    assert "&lt;page&gt; " in text


def test_pictures_of_a_line_have_one_scale_and_the_encoders_pixels(report: Path) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    lines = re.findall(r'<article class="line">.*?</article>', text, re.DOTALL)
    assert lines
    for line in lines:
        sizes = set(re.findall(r'width="(\d+)" height="(\d+)"', line))
        assert len(sizes) == 1
        assert line.count("<figure") >= 4
        assert "the image itself" in line
    assert "not in any view" in text


def test_every_candidate_has_a_point_a_row_and_a_map(report: Path, results: Results) -> None:
    text = (report / "index.html").read_text(encoding="utf-8")
    assert text.count("<circle") == len(results.subjects) == text.count('<figure class="map">')
    for subject in results.subjects:
        assert f"<td>{subject.label}" in text
    assert "By area and ratio" in text
    assert "cropped" in text


def test_tables_hold_what_the_results_hold(report: Path, results: Results) -> None:
    with (report / "table.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    found = results.summaries()
    assert [row["candidate"] for row in table] == [one.subject.label for one in found]
    for row, one in zip(table, found, strict=True):
        assert float(row["legible"]) == pytest.approx(one.legible.mean, abs=1e-4)
        assert float(row["legible_low"]) <= float(row["legible"]) <= float(row["legible_high"])
        lost = sum(int(row[name]) for name in ("cropped", "pixels", "other"))
        assert lost == round((1 - one.legible.mean) * one.lines)
        # Paper is white everywhere: most of its cells repeat.
        assert 0 < float(row["unique_patches"]) < 0.9
    with (report / "lines.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == results.num_lines * len(results.subjects)
    assert {row["why_not"] for row in lines if row["legible"] == "1"} == {""}
    stored = json.loads((report / "results.json").read_text(encoding="utf-8"))
    assert stored["not_measured"] == NOT_MEASURED
    assert len(stored["table"]) == len(found)


def test_flops_are_of_the_published_encoder(results: Results) -> None:
    found = {one.subject.label: one for one in results.summaries()}
    small, large = found["qwen2-vl@8"].flops, found["qwen2-vl@512"].flops
    assert small is not None
    assert large is not None
    assert small < large
    assert found["qwen2-vl@8"].subject.encoder == "Qwen/Qwen2-VL-2B-Instruct"


def test_two_reports_are_compared_line_by_line(pages: list[Page], results: Results, tmp_path: Path) -> None:
    fewer = run(pages, [Candidate(QWEN, 20), Candidate(INTERN)], Bars())
    write_report(fewer, tmp_path, against=results)
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    section = text[text.index("What changed") :]
    section = section[: section.index("</section>")]
    assert "qwen2-vl@20" in section
    assert "internvl2" in section
    assert "llava-1.5" not in section
    assert section.count("+0.0") >= 2


def test_nothing_measured_is_said(tmp_path: Path) -> None:
    def empty(name: str) -> Page:
        return bars_page(name, (100, 100), (), known=False)

    class Blind(Bars):
        def find(self, _page: object, /) -> list[tuple[float, float, float, float]]:
            return []

    results = run([empty("blank")], CANDIDATES[:1], Blind())
    text = write_report(results, tmp_path).read_text(encoding="utf-8")
    assert "Nothing was measured" in text
    assert "blank: no text was found" in text


READERS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.lab.bars import Bars
bars = Bars()

def fail(lines):
    raise RuntimeError("no more")

tired = Bars()
tired.name = "reader:tired"
tired.read = fail
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    for number in range(3):
        page = bars_page(f"{number}", (500, 420), (3, 5, 8), seed=number)
        Image.fromarray(page.open().pixels).save(tmp_path / "scans" / f"{number}.png")
    Image.fromarray(np.full((60, 80, 3), 255, np.uint8)).save(tmp_path / "scans" / "blank.png")
    (tmp_path / "reader.py").write_text(READERS)
    return tmp_path


def test_the_command_writes_a_report_and_says_the_answer(folder: Path) -> None:
    arguments: list[str | Path] = [
        "lab",
        folder / "scans",
        "-r",
        "qwen2-vl@8",
        "-r",
        "qwen2-vl@512",
        "--reader",
        f"{folder}/reader.py:bars",
    ]
    first = command(*arguments, "-o", folder / "report")
    assert "qwen2-vl@8 " in first.stdout
    assert "keeps 100 % (" in first.stdout
    assert f"The report: {folder / 'report' / 'index.html'}" in first.stdout
    text = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "blank.png: no text was found" in text
    stored = {path: path.stat().st_mtime_ns for path in (folder / "report" / "pages").iterdir()}
    assert len(stored) == 4
    again = command(*arguments, "-o", folder / "report")
    assert again.stdout == first.stdout
    assert {path: path.stat().st_mtime_ns for path in (folder / "report" / "pages").iterdir()} == stored


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "there"], "name files or folders, or take --grid"),
        (["scans", "--grid"], "name files or folders, or take --grid"),
        (["scans", "--reader", "eyes"], "no reader is called 'eyes'"),
        (["scans", "--reader", "reader.py:bars", "-r", "qwen9@64"], "no recipe is named"),
        (["scans", "--against", "nowhere"], "nowhere"),
        (["scans", "--reader", "reader.py:tired"], "the reader reader:tired failed: RuntimeError('no more')"),
        (["missing", "--reader", "reader.py:bars"], "missing"),
    ],
)
def test_what_is_wrong_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    result = command("lab", *arguments, code=1 if arguments[-1:] in (["reader.py:bars"], ["reader.py:tired"]) else 2)
    assert message in result.stderr
