"""Runs of the lab with a reader of bars: what is measured, sampled, stored and said."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import vlmres
from tests.lab.bars import Bars, bars_page, read_bars
from vlmres.lab import Candidate, Content, FunctionReader, Page, Results, run, write_report
from vlmres.lab.answer import answer, caution
from vlmres.lab.candidates import with_budgets
from vlmres.lab.readers import Pixels
from vlmres.lab.results import pareto

QWEN = vlmres.Recipe.load("qwen2-vl")


def pages(count: int = 4, **settings: bool) -> list[Page]:
    return [bars_page(f"page {n}", (400 + 120 * n, 420), (3, 5, 6, 8), seed=n, **settings) for n in range(count)]


def candidates(*budgets: int) -> list[Candidate]:
    return [Candidate(QWEN, budget) for budget in budgets]


def test_more_tokens_keep_more_lines() -> None:
    results = run(pages(), candidates(8, 20, 512), Bars())
    found = results.summaries()
    assert [one.subject.label for one in found] == ["qwen2-vl@8", "qwen2-vl@20", "qwen2-vl@512"]
    assert found[0].legible.mean < found[1].legible.mean < found[2].legible.mean == 1
    assert found[0].tokens < found[1].tokens < found[2].tokens <= 512
    assert all(one.lines == 16 for one in found)
    assert [one.subject.label for one in pareto(found)] == [one.subject.label for one in found]
    assert found[0].reasons["pixels"] > 0
    fitted = results.legibility()
    assert fitted is not None
    # Two samples a bar are needed at the least.
    assert 0.5 < fitted.x_height < 3
    assert fitted.right > 0.8


def test_small_lines_are_lost_first() -> None:
    summary = run(pages(), candidates(20), Bars()).summaries()[0]
    heights = list(summary.groups["height"].values())
    assert len(heights) == 2
    assert heights[0].mean < heights[1].mean
    assert list(summary.groups["layout"]) == ["text"]


def test_results_do_not_depend_on_jobs_or_on_a_second_run() -> None:
    runs = [run(pages(), candidates(16, 64), Bars(), lines=2, jobs=jobs).to_json() for jobs in (1, 3, 1)]
    assert runs[0] == runs[1] == runs[2]


def test_another_seed_takes_other_lines() -> None:
    first, second = (run(pages(), candidates(64), Bars(), lines=1, seed=seed) for seed in (0, 1))
    assert [page.lines for page in first.pages] != [page.lines for page in second.pages]
    assert {len(page.lines) for page in first.pages} == {1}


def test_a_sample_of_pages_is_said() -> None:
    results = run(pages(), candidates(64), Bars(), most_pages=2, seed=3)
    assert len(results.pages) == 2
    assert "a sample of 2 of 4 pages (seed 3)" in results.notes


def test_what_is_stored_is_not_measured_again(tmp_path: Path) -> None:
    whole = run(pages(), candidates(16, 64), Bars(), store=tmp_path / "whole").to_json()

    class Stopped(Bars):
        """Fails at the third page."""

        left = 2

        def read(self, lines: Sequence[Pixels]) -> list[str]:
            if not self.left:
                raise KeyboardInterrupt
            return super().read(lines)

    reader = Stopped()

    def stop(done: int, _total: int, _name: str) -> None:
        reader.left = 2 - done

    with pytest.raises(KeyboardInterrupt):
        run(pages(), candidates(16, 64), reader, store=tmp_path / "part", jobs=1, progress=stop)
    assert len(list((tmp_path / "part").iterdir())) == 2
    calls = []

    class Counting(Bars):
        def read(self, lines: Sequence[Pixels]) -> list[str]:
            calls.append(len(lines))
            return super().read(lines)

    assert run(pages(), candidates(16, 64), Counting(), store=tmp_path / "part", jobs=1).to_json() == whole
    assert calls
    calls.clear()
    assert run(pages(), candidates(16, 64), Counting(), store=tmp_path / "part", jobs=1).to_json() == whole
    assert not calls
    # Another candidate is another run.
    run(pages(), candidates(16, 256), Counting(), store=tmp_path / "part", jobs=1)
    assert calls


def test_a_stored_page_that_was_cut_off_is_measured_again(tmp_path: Path) -> None:
    first = run(pages(1), candidates(64), Bars(), store=tmp_path).to_json()
    (stored,) = tmp_path.iterdir()
    stored.write_text(stored.read_text()[:40])
    assert run(pages(1), candidates(64), Bars(), store=tmp_path).to_json() == first


def test_without_known_lines_the_reader_is_the_truth() -> None:
    results = run(pages(known=False), candidates(16, 512), Bars())
    assert {page.truth for page in results.pages} == {"reader"}
    found = results.summaries()
    assert results.num_lines == 16
    assert found[0].legible.mean < found[1].legible.mean == 1


def test_a_reader_that_finds_nothing_needs_known_lines() -> None:
    results = run(pages(2, known=False), candidates(64), FunctionReader(read_bars))
    assert not results.num_lines
    assert set(results.failed.values()) == {"no usable text layer, and the reader read_bars does not find lines"}


def test_what_a_crop_loses_is_said() -> None:
    tall = [bars_page("tall", (300, 900), (6, 8))]
    results = run(tall, [Candidate(vlmres.Recipe.load("llava-1.5"))], Bars())
    (summary,) = results.summaries()
    assert summary.reasons == {"cropped": 2}
    assert [outcome.x_height for outcome in results.outcomes("llava-1.5")] == [0, 0]
    assert summary.legible.mean == 0


def test_the_best_of_several_views_counts() -> None:
    # The thumbnail is too small for it, the tiles are not.
    page = [bars_page("wide", (1200, 800), (3, 3, 3))]
    results = run(page, [Candidate(vlmres.Recipe.load("internvl2"))], Bars())
    assert results.summaries()[0].legible.mean == 1
    scales = [view.resized.width / 1200 for view in vlmres.plan((1200, 800), "internvl2").views]
    assert [outcome.x_height for outcome in results.outcomes("internvl2")] == pytest.approx(
        [3 * max(scales)] * 3, rel=0.1
    )


def test_candidates_that_say_nothing_new_are_left_out() -> None:
    internvl = vlmres.Recipe.load("internvl2")
    results = run(pages(2), [Candidate(internvl, budget) for budget in (100, 300, 400)], Bars())
    assert [one.label for one in results.subjects] == ["internvl2@300"]
    assert len(results.notes) == 2
    assert "no image has fewer than" in results.notes[0]
    assert results.notes[1] == "internvl2@400: left out, the same as internvl2@300"


def test_recipes_come_with_budgets() -> None:
    recipes = [(name, vlmres.Recipe.load(name.partition("@")[0])) for name in ("qwen2-vl", "llava-1.5", "qwen3-vl@99")]
    found, said = with_budgets(recipes, [64, 128])
    assert [one.label for one in found] == ["qwen2-vl@64", "qwen2-vl@128", "llava-1.5", "qwen3-vl@99"]
    assert said == ["llava-1.5: a fixed number of tokens, so no budget changes it"]
    assert [one.label for one in with_budgets(recipes, [])[0]] == ["qwen2-vl", "llava-1.5", "qwen3-vl@99"]


def test_the_answer_names_the_fewest_tokens() -> None:
    several = [
        *candidates(16, 512),
        Candidate(vlmres.Recipe.load("internvl2")),
        Candidate(vlmres.Recipe.load("llava-1.5")),
    ]
    results = run(pages(), several, Bars())
    found = results.summaries()
    said = answer(results, found)
    needed = next(one for one in found if one.subject.label == "qwen2-vl@512").tokens
    assert said.startswith(f"qwen2-vl at {needed:,.0f} tokens an image keeps 100 % (")
    assert "of your lines legible to bars; for 95 % others need more: internvl2 " in said
    assert "llava-1.5 keeps " in said
    assert "No page has more than 12.9 text tokens per visual token" in caution(results, found)
    none = answer(results, [one for one in found if one.subject.label == "qwen2-vl@16"])
    assert none.startswith("No candidate keeps 95 % of your lines legible to bars; qwen2-vl at ")


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    results = run(pages(2), candidates(16, 64), Bars())
    write_report(results, tmp_path)
    again = Results.load(tmp_path)
    assert again.to_json() == results.to_json()
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="no results of vlmres lab"):
        Results.load(tmp_path)


def test_there_must_be_something_to_measure() -> None:
    with pytest.raises(ValueError, match="0 pages and 1 candidates"):
        run([], candidates(64), Bars())
    with pytest.raises(ValueError, match="one label: qwen2-vl@64, qwen2-vl@64"):
        run(pages(1), candidates(64, 64), Bars())


def test_the_reader_reads_what_is_drawn() -> None:
    (page,) = pages(1)
    content = page.open()
    crops = [
        content.pixels[int(y0) : int(y1), int(x0) : int(x1)] for x0, y0, x1, y1 in (one.box for one in content.lines)
    ]
    assert read_bars(crops) == [line.text for line in content.lines]
    assert read_bars([np.full((4, 4, 3), 255, np.uint8)]) == [""]


def _with_layer(page: Page, wrong: int) -> Page:
    """A page of a document whose text layer says something else of so many lines."""

    def opened() -> Content:
        content = page.open()
        lines = [
            replace(line, text=line.text.translate({97: "b", 98: "a"}) if at < wrong else line.text)
            for at, line in enumerate(content.lines)
        ]
        return replace(content, lines=lines)

    return replace(page, open=opened, layout="document", identity=f"{page.identity} {wrong}")


def test_a_text_layer_that_is_not_what_the_page_shows_is_not_the_truth() -> None:
    page = bars_page("document", (500, 900), (5, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8))
    found = [run([_with_layer(page, wrong)], candidates(512), Bars(), lines=None).pages[0] for wrong in (0, 1, 6)]
    assert [one.truth for one in found] == ["layer", "layer", "reader"]
    # A single wrong line is less than a tenth of the page: it alone is left out.
    assert [(len(one.lines), one.unread) for one in found] == [(12, 0), (11, 1), (12, 0)]
    assert all(one.views["qwen2-vl@512"].accuracies == [1] * len(one.lines) for one in found)


def test_a_page_that_cannot_be_opened_is_named() -> None:
    def broken() -> Content:
        raise vlmres.DecodeError("cut off")

    results = run([replace(bars_page("bad", (9, 9), ()), open=broken), *pages(1)], candidates(64), Bars())
    assert results.failed == {"bad": "cut off"}
    assert results.num_lines == 4


def test_dense_pages_are_crowded(tmp_path: Path) -> None:
    def dense(name: str, letters: int) -> Page:
        page = bars_page(name, (400, 300), (8, 8))
        return replace(page, open=lambda: replace(page.open(), text="x" * letters))

    results = run([dense("sparse", 200), dense("dense", 9000)], candidates(64), Bars())
    (summary,) = results.summaries()
    visual = [page.views["qwen2-vl@64"].visual_tokens for page in results.pages]
    assert [results.ratio(page, "qwen2-vl@64") for page in results.pages] == pytest.approx(
        [0.22 * 200 / visual[0], 0.22 * 9000 / visual[1]]
    )
    assert (summary.crowded, summary.legible.mean, summary.readable.mean) == (1, 1.0, 0.5)
    assert "qwen2-vl@64 1, of 2" in caution(results, [summary])
    assert answer(results, [summary]).startswith("No candidate")
    pictured = write_report(results, tmp_path).read_text(encoding="utf-8")
    assert pictured.count("<small>crowded</small>") == 1
