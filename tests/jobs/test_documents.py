"""PDF files in jobs: every page is an entry of its own."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import vlmres
from tests.commands import assert_whole, manifest, run, save, shards, states
from tests.pdf import pdf, written

OPTIONS = ("-r", "qwen2-vl", "--dtype", "uint8", "--dpi", "36", "--shard-size", "2")

_BROKEN = written(
    [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count 2 /Kids [3 0 R 9 0 R] >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 120 120] >>",
    ]
)
_ENCRYPTED = written(
    [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 0 /Kids [] >>"],
    b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <"
    + b"ab" * 32
    + b"> /U <"
    + b"cd" * 32
    + b"> >> /ID [<00> <00>]",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photo, a document of three pages, and one of a page whose name does not say so."""
    save(tmp_path / "in" / "a.png", 90, 70)
    (tmp_path / "in" / "report.pdf").write_bytes(pdf(3, size=(200, 300)))
    (tmp_path / "in" / "scan").write_bytes(pdf(1, size=(150, 200), seed=1))
    return tmp_path / "in"


def _names(out: Path) -> list[str]:
    return [Path(image["path"]).name for image in manifest(out)["images"]]


def test_pages_are_entries_and_reruns_keep_them(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run("process", folder, "-o", out, *OPTIONS)
    assert _names(out) == ["a.png", "report.pdf#page=1", "report.pdf#page=2", "report.pdf#page=3", "scan#page=1"]
    assert manifest(out)["settings"]["dpi"] == 36
    assert_whole(out)
    before = states(out)
    assert "3 kept" in run("process", folder, "-o", out, *OPTIONS).stdout
    assert states(out) == before
    # A document that changes is done again, with more pages now; what stands before it is kept.
    (folder / "scan").write_bytes(pdf(2, size=(150, 220), seed=2))
    assert "2 kept" in run("process", folder, "-o", out, *OPTIONS).stdout
    assert _names(out)[4:] == ["scan#page=1", "scan#page=2"]
    assert_whole(out)
    other = [option.replace("36", "72") for option in OPTIONS]
    assert (
        "holds results with dpi 36.0, not 72.0"
        in run("process", folder, "-o", out, *other, code=2, COLUMNS="200").stderr
    )


def test_shards_are_read_back_by_page(folder: Path, tmp_path: Path) -> None:
    run("process", folder, "-o", tmp_path / "out", *OPTIONS)
    read = vlmres.open_shards(tmp_path / "out")
    document = vlmres.Document(folder / "report.pdf", 36)
    expected = vlmres.Processor("qwen2-vl", dtype="uint8")(document)
    got = [read[page.name]["pixel_values"] for page in document]
    np.testing.assert_array_equal(np.concatenate(got), expected["pixel_values"])


def test_fitted_pages_and_parts(folder: Path, tmp_path: Path) -> None:
    options = ("-r", "llava-1.5", "--dtype", "uint8", "--dpi", "fit", "--shard", "1/3")
    run("process", folder, "-o", tmp_path / "out", *options)
    out = tmp_path / "out" / "part-00001-of-00003"
    assert _names(out) == ["report.pdf#page=1", "report.pdf#page=2", "report.pdf#page=3"]
    processor = vlmres.Processor("llava-1.5", dtype="uint8")
    expected = processor(vlmres.Document(folder / "report.pdf", "fit"))["pixel_values"]
    np.testing.assert_array_equal(load_file(shards(out)[0])["pixel_values"], expected)
    assert not np.array_equal(expected, processor(vlmres.Document(folder / "report.pdf"))["pixel_values"])


def test_what_is_bad_is_reported_and_skipped(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.pdf").write_bytes(_BROKEN)
    (folder / "cut.pdf").write_bytes(pdf(1)[:60])
    (folder / "huge.pdf").write_bytes(pdf(1, size=(14_400, 14_400)))
    (folder / "locked.pdf").write_bytes(_ENCRYPTED)
    out, limits = tmp_path / "out", ("--max-image-pixels", "1000000")
    result = run("process", folder, "-o", out, *OPTIONS, *limits, code=1)
    planned = run("plan", folder, "-r", "qwen2-vl", "--dpi", "36", "--json", *limits, code=1)
    for name, reason in (
        ("broken.pdf#page=2", "Failed to get page size by index."),
        ("cut.pdf", "not a PDF that pdfium can read"),
        ("huge.pdf#page=1", "7200x7200 pixels at 36 dpi are over the limit of 1,000,000"),
        ("locked.pdf", "the document is encrypted: pass its password"),
    ):
        for said in (result, planned):
            assert f"vlmres: {folder / name}: {reason}" in said.stderr
    assert len(vlmres.open_shards(out).errors) == 4
    assert "6 images, 4 failed" in result.stdout
    rows = [json.loads(line) for line in planned.stdout.splitlines()]
    assert [(row["path"], row["num_tokens"]) for row in rows] == [
        (image["path"], image["tokens"]) for image in manifest(out)["images"] if "error" not in image
    ]
    assert_whole(out)
    limited = run("plan", folder / "report.pdf", "-r", "qwen2-vl", "--max-file-bytes", "100", code=1)
    assert "report.pdf: " in limited.stderr
    assert "are over the limit of 100 (max_file_bytes)" in limited.stderr


def test_without_pdfium_the_message_says_what_to_install(folder: Path, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "pypdfium2.py").write_text("raise ModuleNotFoundError(__name__, name=__name__)")
    path = f"{shadow}:{Path(vlmres.__file__).parents[1]}"
    result = run("process", folder, "-o", tmp_path / "out", *OPTIONS, code=1, PYTHONPATH=path)
    assert f"{folder / 'report.pdf'}: PDF files need pypdfium2: pip install 'vlmres[pdf]'" in result.stderr
    assert "1 images, 2 failed" in result.stdout
    # The same command does them once it is there.
    run("process", folder, "-o", tmp_path / "out", *OPTIONS)
    assert_whole(tmp_path / "out")


_CRASHING = """
import importlib.machinery, importlib.util, os, signal, sys

paths = [path for path in sys.path if os.path.abspath(path) != os.path.dirname(os.path.abspath(__file__))]
spec = importlib.machinery.PathFinder.find_spec("pypdfium2", paths)
module = sys.modules["pypdfium2"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)


class PdfDocument(module.PdfDocument):
    def __init__(self, source, *args, **kwargs):
        if "poison" in str(source):
            os.kill(os.getpid(), signal.SIGSEGV)
        super().__init__(source, *args, **kwargs)


module.PdfDocument = PdfDocument
"""


def test_a_document_that_crashes_pdfium_costs_itself(folder: Path, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "pypdfium2.py").write_text(_CRASHING)
    path = f"{shadow}:{Path(vlmres.__file__).parents[1]}"
    (folder / "b-poison.pdf").write_bytes(pdf(1))
    out = tmp_path / "out"
    result = run("process", folder, "-o", out, *OPTIONS, code=1, PYTHONPATH=path)
    planned = run("plan", folder, "-r", "qwen2-vl", code=1, PYTHONPATH=path)
    wanted = f"vlmres: {folder / 'b-poison.pdf'}: it ended the process that opened it (SIGSEGV)"
    assert wanted in result.stderr
    assert wanted in planned.stderr
    assert "5 images, 1 failed" in result.stdout
    assert_whole(out)


@pytest.mark.parametrize(("dpi", "code"), [("fit", 0), ("0", 2), ("nan", 2), ("auto", 2)])
def test_resolutions(folder: Path, dpi: str, code: int) -> None:
    result = run("plan", folder / "scan", "-r", "qwen2-vl", "--dpi", dpi, code=code)
    assert ("scan#page=1" in result.stdout) == (code == 0)
