"""Where lines come from: text layers of PDF files, the ink of pictures, the built-in grid, and files of readers."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.pdf import WORDS, pdf, written
from vlmres.lab import FunctionReader, Reader, grid_pages, ink, load_reader, open_pages
from vlmres.lab.grid.fonts import Font, find_font
from vlmres.lab.ink import MOST_RATIO
from vlmres.lab.pages import script_of
from vlmres.lab.readers import Finder, Pixels
from vlmres.lab.seen import crop
from vlmres.lab.statistics import cell

FONT = find_font("sans") or find_font("serif")


def text_line(text: str, em: int, fill: str = "black", paper: str = "white") -> tuple[Pixels, float]:
    """A line and the height of its "x"."""
    font = ImageFont.load_default(size=em)
    _, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGB", (int(right) + 4, int(bottom - top) + 4), paper)
    ImageDraw.Draw(picture).text((2, 2 - top), text, font=font, fill=fill)
    x = font.getbbox("x")
    return np.asarray(picture), x[3] - x[1]


def test_a_text_layer_has_boxes_of_its_letters(tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    file.write_bytes(pdf(2, size=(400, 300), seed=3))
    pages, wrong = open_pages([file])
    assert not wrong
    assert [page.name for page in pages] == [f"{file}#page=1", f"{file}#page=2"]
    assert pages[0].identity != pages[1].identity
    content = pages[1].open()
    assert len(content.lines) > 15
    assert content.text is not None
    words = set(WORDS.split())
    for line in content.lines:
        assert set(line.text.split()) <= words
        assert line.script == "latin"
        # Helvetica's x-height is 0.523 em: of 10 points at 144 dpi.
        assert line.x_height == pytest.approx(0.523 * 20, rel=0.08)
        x0, y0, x1, y1 = line.box
        assert x1 - x0 <= MOST_RATIO * (y1 - y0) * 2
        assert (crop(content.pixels, line.box) < 128).any()
        # Nothing of the line is outside: the row above its box is white.
        above = crop(content.pixels, (x0, y0 - 2, x1, y0 - 1))
        assert above.min() > 128


@pytest.mark.parametrize("rotate", [90, 180, 270])
def test_lines_that_do_not_run_from_left_to_right_are_left_to_the_reader(tmp_path: Path, rotate: int) -> None:
    file = tmp_path / "turned.pdf"
    file.write_bytes(pdf(1, size=(400, 300), rotate=rotate))
    assert open_pages([file])[0][0].open().lines == []


@pytest.mark.parametrize(
    ("rotate", "matrix"), [(90, "0 1 -1 0 60 40"), (180, "-1 0 0 -1 260 340"), (270, "0 -1 1 0 240 360")]
)
def test_boxes_are_turned_with_their_page(tmp_path: Path, rotate: int, matrix: str) -> None:
    content = f"BT /F1 20 Tf {matrix} Tm (resolution) Tj ET".encode()
    kids = b"<< /Type /Pages /Count 1 /Kids [4 0 R] >>"
    page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 400] /CropBox [10 20 300 400] /Rotate {rotate}"
    page += " /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    stream = b"<< /Length %d >>\nstream\n" % len(content) + content + b"\nendstream"
    file = tmp_path / "turned.pdf"
    file.write_bytes(written([b"<< /Type /Catalog /Pages 2 0 R >>", kids, font, page.encode(), stream]))
    content_of = open_pages([file])[0][0].open()
    (line,) = content_of.lines
    assert line.text == "resolution"
    ink_at = np.argwhere(content_of.pixels.min(axis=2) < 128)
    (y0, x0), (y1, x1) = ink_at.min(axis=0), ink_at.max(axis=0) + 1
    assert line.box == pytest.approx((x0, y0, x1, y1), abs=1.5)


def test_folders_are_searched_and_what_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.new("RGB", (30, 20), "white").save(tmp_path / "deep" / "a.png")
    (tmp_path / "b.pdf").write_bytes(pdf(1))
    (tmp_path / "c.pdf").write_bytes(b"%PDF-1.7 broken")
    (tmp_path / "notes.txt").write_text("no image")
    pages, wrong = open_pages([tmp_path])
    assert [Path(page.name).name for page in pages] == ["b.pdf#page=1", "a.png"]
    assert [page.layout for page in pages] == ["document", "image"]
    assert list(wrong) == [str(tmp_path / "c.pdf")]
    assert pages[1].open().pixels.shape == (20, 30, 3)
    assert open_pages([tmp_path / "missing"])[1].keys() == {str(tmp_path / "missing")}


@pytest.mark.parametrize("em", [14, 20, 32])
@pytest.mark.parametrize("colours", [("black", "white"), ("white", "black"), ("#888888", "#dddddd")])
def test_the_x_height_of_a_picture_is_the_fonts(em: int, colours: tuple[str, str]) -> None:
    line, expected = text_line("resolution of small pages and figures", em, *colours)
    assert ink.x_height(line) == pytest.approx(expected, abs=1 + 0.05 * em)


def test_a_line_is_cut_between_its_words() -> None:
    line, _ = text_line("the resolution of a page decides what a model reads and what it costs to look at it", 20)
    height, width = line.shape[:2]
    pieces = ink.cut(line, (100.0, 50.0, 100.0 + width, 50.0 + height))
    assert len(pieces) >= 3
    assert all(right - left <= (MOST_RATIO + 0.5) * height for left, _, right, _ in pieces)
    assert all((top, bottom) == (50, 50 + height) for _, top, _, bottom in pieces)
    for (_, _, before, _), (after, _, _, _) in itertools.pairwise(pieces):
        assert before < after
        # White is between them.
        assert line[:, int(before) - 100 : int(after) - 100].min() > 128
    assert ink.cut(np.full((20, 90, 3), 255, np.uint8), (0, 0, 90, 20)) == []


@pytest.mark.skipif(FONT is None, reason="the system has no font that the grid knows")
def test_the_grid_is_drawn_in_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    import vlmres.lab.grid as grid

    monkeypatch.setattr(grid, "find_font", lambda style: None if style.startswith("han") else FONT)
    pages, missing = grid_pages(5, columns=(0, 2))
    assert missing == ["han: no font of the system is known"]
    assert len(pages) == 2 * 5 * 4
    assert {page.layout for page in pages} == {"text", "photograph", "table", "chart"}
    cells = set()
    for page in pages:
        content = page.open()
        height, width = content.pixels.shape[:2]
        cells.add(cell((width, height)))
        assert content.lines
        for line in content.lines:
            x0, y0, x1, y1 = line.box
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            inside = crop(content.pixels, line.box).astype(int)
            assert np.ptp(inside) > 150
            assert line.text
            assert 3 < line.x_height < 10
        for at, line in enumerate(content.lines):
            assert not any(_overlap(line.box, other.box) for other in content.lines[:at])
    assert cells == {(row, column) for row in range(5) for column in (0, 2)}


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.skipif(FONT is None, reason="the system has no font that the grid knows")
def test_a_seed_draws_the_same_grid() -> None:
    first, again, other = ([page.open() for page in grid_pages(seed, columns=(1,))[0][:4]] for seed in (1, 1, 2))
    for one, two, three in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
        assert one.lines == two.lines != three.lines


def test_a_system_without_fonts_has_no_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    import vlmres.lab.grid as grid

    monkeypatch.setattr(grid, "find_font", lambda _: None)
    with pytest.raises(ValueError, match="the grid needs a font"):
        grid_pages()
    assert Font(Path("a.ttf"), 0).number == 0


@pytest.mark.parametrize(
    ("text", "script"), [("a text", "latin"), ("漢字 ab", "latin"), ("漢字仮名 a", "han"), ("", "latin")]
)
def test_a_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_readers_are_loaded_by_name(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("def look(lines):\n    return [str(len(line)) for line in lines]\nvalue = 3\n")
    reader = load_reader(f"{own}:look")
    assert reader.name == "own:look"
    assert reader.read([np.zeros((7, 9, 3), np.uint8)]) == ["7"]
    assert not isinstance(reader, Finder)
    with pytest.raises(ValueError, match="has no 'see'"):
        load_reader(f"{own}:see")
    with pytest.raises(ValueError, match="neither a function nor a reader"):
        load_reader(f"{own}:value")
    with pytest.raises(ValueError, match="no reader is called 'eyes'"):
        load_reader("eyes")
    with pytest.raises(FileNotFoundError):
        load_reader(f"{tmp_path / 'missing.py'}:look")


def test_a_function_has_to_read_every_line() -> None:
    reader: Reader = FunctionReader(lambda _: [""], "half")
    with pytest.raises(ValueError, match="the reader half was given 2 lines and gave 1 texts"):
        reader.read([np.zeros((2, 2, 3), np.uint8)] * 2)


@pytest.mark.parametrize(
    ("name", "missing", "how"),
    [
        ("pp-ocrv6", "rapidocr", r"pip install 'vlmres\[lab\]'"),
        ("pp-ocrv6", "onnxruntime", r"pip install 'vlmres\[lab\]'"),
        ("pp-ocrv4", "rapidocr_onnxruntime", "pip install --no-deps rapidocr-onnxruntime"),
    ],
)
def test_a_reader_that_is_not_installed_says_how(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str, how: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None if package == missing else object())
    with pytest.raises(ModuleNotFoundError, match=f"the reader {name} needs {missing}: {how}"):
        load_reader(name)


def test_tesseract_is_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="apt install tesseract-ocr"):
        load_reader("tesseract:deu")
