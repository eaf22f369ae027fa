"""Real readers, where they are installed: `make test-lab` installs them."""

import importlib.util
import os
import shutil
import socket

import numpy as np
import pytest

import vlmres
from tests.lab.test_pages import FONT
from vlmres.lab import Candidate, Reader, grid_pages, load_reader, run, score
from vlmres.lab.readers import Finder
from vlmres.lab.seen import crop, grown

NAMES = {
    "pp-ocrv6": importlib.util.find_spec("rapidocr") is not None,
    "pp-ocrv4": None not in map(importlib.util.find_spec, ("rapidocr", "rapidocr_onnxruntime")),
    "tesseract": shutil.which("tesseract") is not None,
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is an error."""

    def refuse(*_: object) -> None:
        raise AssertionError("a reader asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(params=NAMES)
def reader(request: pytest.FixtureRequest) -> Reader:
    if not NAMES[request.param] and not ("VLMRES_TEST_LAB" in os.environ and request.param == "pp-ocrv6"):
        pytest.skip(f"{request.param} is not installed")
    if FONT is None:
        pytest.skip("the system has no font that the grid knows")
    return load_reader(request.param)


def test_a_reader_reads_and_finds_lines(reader: Reader) -> None:
    pages, _ = grid_pages(1, heights=(20,), columns=(3,))
    page = next(page for page in pages if page.name.endswith("text-serif")).open()
    crops = [crop(page.pixels, grown(line.box, page.pixels.shape[1::-1])) for line in page.lines]
    texts = reader.read(crops)
    scores = [score.accuracy(text, line.text) for text, line in zip(texts, page.lines, strict=True)]
    assert np.mean(scores) > 0.9
    assert reader.read(crops) == texts
    assert reader.read([]) == []
    assert isinstance(reader, Finder)
    found = reader.find(page.pixels)
    for line in page.lines:
        x0, y0, x1, y1 = line.box
        assert any(x0 < (a + c) / 2 < x1 and y0 < (b + d) / 2 < y1 for a, b, c, d in found)


def test_what_a_budget_costs_is_measured(reader: Reader) -> None:
    pages, _ = grid_pages(1, columns=(4,))
    chosen = [page for page in pages if "text-serif" in page.name][:3]
    candidates = [Candidate(vlmres.Recipe.load("qwen2-vl"), budget) for budget in (64, 1024)]
    small, large = run(chosen, candidates, reader, jobs=2).summaries()
    assert small.legible.mean < 0.5 < large.legible.mean
