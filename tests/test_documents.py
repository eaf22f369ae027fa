"""Pages of PDF files: drawn as pdfium draws them, in the sizes that plans want, within limits."""

import base64
import io
import multiprocessing
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pypdfium2
import pytest

import vlmres
from tests.pdf import pdf, written
from vlmres.documents import Document, is_document


def test_pages_are_pdfiums_pixels(tmp_path: Path) -> None:
    path = tmp_path / "two.pdf"
    path.write_bytes(pdf(2))
    document = Document(path)
    assert [page.size for page in document] == [(1191, 1684)] * 2
    expected = [page.render(scale=2, rev_byteorder=True).to_numpy() for page in pypdfium2.PdfDocument(path)]
    for page, pixels in zip(document, expected, strict=True):
        np.testing.assert_array_equal(page.draw(), pixels)
    assert not np.array_equal(expected[0], expected[1])


def test_turned_pages_and_other_resolutions() -> None:
    file = pdf(1, size=(200, 100), rotate=90)
    page = Document(file, dpi=72)[0]
    assert page.size == (100, 200)
    np.testing.assert_array_equal(page.draw(), pypdfium2.PdfDocument(file)[0].render(rev_byteorder=True).to_numpy())
    assert Document(file, dpi=108)[0].size == (150, 300)


@pytest.mark.parametrize(("points", "pixels"), [(72.0, 144), (72.0004, 144), (72.01, 145), (0.01, 1)])
def test_a_thousandth_of_a_pixel_is_none(points: float, pixels: int) -> None:
    assert Document(pdf(1, size=(points, 36)))[0].size == (pixels, 72)


def test_pages_are_chosen() -> None:
    document = Document(pdf(5), pages=[3, -1, 0])
    assert [page.number for page in document] == [3, 4, 0]
    assert [page.number for page in document[1:]] == [4, 0]
    np.testing.assert_array_equal(document[0].draw(), Document(pdf(5))[3].draw())
    with pytest.raises(IndexError, match="has 5 pages, by index 0 to 4; got index 5"):
        Document(pdf(5), pages=[5])
    with pytest.raises(TypeError, match="a page is an integer, got True"):
        Document(pdf(5), pages=[True])


@pytest.mark.parametrize("name", vlmres.recipes())
def test_fitted_pages_have_the_plan_of_the_authors_resolution(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    file = pdf(1)
    plain, fitted = Document(file)[0], Document(file, dpi="fit").fitted(recipe)[0]
    wanted, got = vlmres.plan(plain.size, recipe), vlmres.plan(fitted.size, recipe)
    assert [view.resized for view in got.views] == [view.resized for view in wanted.views]
    assert got.num_tokens == wanted.num_tokens
    if fitted.size != plain.size:
        # No view is made of fewer pixels than it has.
        assert all(view.resized[0] <= fitted.size[0] and view.resized[1] <= fitted.size[1] for view in got.views)


def test_a_fitted_page_is_drawn_and_not_resized() -> None:
    page = Document(pdf(1), dpi="fit").fitted(vlmres.Recipe.load("qwen3-vl"))[0]
    view = vlmres.plan(page.size, "qwen3-vl").views[0]
    assert page.size == view.resized != (1191, 1684)
    assert page.draw().shape == (view.resized[1], view.resized[0], 3)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "not a PDF that pdfium can read"),
        (b"%PDF-1.7\n", "not a PDF that pdfium can read"),
        (pdf(1)[:60], "not a PDF that pdfium can read"),
        (b"\x89PNG\r\n\x1a\n", "not a PDF that pdfium can read"),
    ],
)
def test_damaged_files(source: bytes, message: str) -> None:
    with pytest.raises(vlmres.DecodeError, match=message):
        Document(source)


def test_limits(tmp_path: Path) -> None:
    huge = pdf(1, size=(14_400, 14_400))
    with pytest.raises(vlmres.DecodeError, match=r"bytes#page=1: 28800x28800 pixels at 144 dpi are over the limit"):
        Document(huge)[0]
    assert Document(huge, dpi=36)[0].size == (7200, 7200)
    with pytest.raises(vlmres.DecodeError, match="has 12 pages, over max_pages=10"):
        Document(pdf(12), max_pages=10)
    with pytest.raises(vlmres.DecodeError, match="over the limit of 1,000"):
        Document(pdf(1), max_page_pixels=1000)[0]
    with pytest.raises(vlmres.DecodeError, match="not a regular file"):
        Document("/dev/null")
    with pytest.raises(FileNotFoundError):
        Document(tmp_path / "none.pdf")
    for dpi in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="dpi must be positive"):
            Document(pdf(1), dpi=dpi)
    with pytest.raises(TypeError, match='dpi must be a number or "fit"'):
        Document(pdf(1), dpi="144")  # type: ignore[arg-type]


def test_an_encrypted_document_says_so() -> None:
    encryption = (
        b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <"
        + b"ab" * 32
        + b"> /U <"
        + b"cd" * 32
        + b"> >> /ID [<00> <00>]"
    )
    file = written([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 0 /Kids [] >>"], encryption)
    with pytest.raises(vlmres.DecodeError, match="the document is encrypted: pass its password"):
        Document(file)
    with pytest.raises(vlmres.DecodeError, match="the password is wrong"):
        Document(file, password="guess")


def test_a_page_without_size_is_an_error() -> None:
    document = Document(
        written(
            [
                b"<< /Type /Catalog /Pages 2 0 R >>",
                b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
                b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 0 0] >>",
            ]
        )
    )
    # pdfium takes a page without a size for one of letter paper.
    assert document[0].size == (1224, 1584)


def test_pickled_and_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(2))
    for source in (path, pdf(2)):
        document = Document(source, dpi=72)
        again = pickle.loads(pickle.dumps(document))
        np.testing.assert_array_equal(again[1].draw(), document[1].draw())
    with multiprocessing.get_context("fork").Pool(1) as pool:
        drawn = pool.apply(_drawn, (document[1],))
    np.testing.assert_array_equal(drawn, document[1].draw())


def _drawn(page: vlmres.documents.Page) -> np.ndarray:
    return page.draw()


def test_threads_draw_in_turn() -> None:
    document = Document(pdf(4), dpi=72)
    expected = [page.draw() for page in document]
    drawn: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda at=at: drawn.__setitem__(at, document[at].draw())) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for at, pixels in enumerate(expected):
        np.testing.assert_array_equal(drawn[at], pixels)


def test_a_document_is_known_by_its_content() -> None:
    assert is_document(pdf(1)[:1024])
    assert is_document(b"\n" * 1000 + b"%PDF-1.4")
    assert not is_document(b"\n" * 1024 + b"%PDF-1.4")
    assert not is_document(b"\x89PNG")


GUNDAM = vlmres.Processor("deepseek-ocr-gundam", dtype="uint8")


def _pages(file: bytes, **settings: object) -> list[np.ndarray]:
    return [page.draw() for page in Document(file, **settings)]  # type: ignore[arg-type]


def test_a_document_is_a_sample_of_its_pages(tmp_path: Path) -> None:
    file = pdf(3)
    path = tmp_path / "scan without suffix"
    path.write_bytes(file)
    pages = _pages(file)
    expected = GUNDAM([pages])
    text = base64.b64encode(file).decode()
    handles = (io.BytesIO(file), f"data:application/pdf;base64,{text}", text, path.as_uri())
    for given in (Document(file), file, path, str(path), [path], [[path]], *handles):
        batch = GUNDAM(given)
        assert batch.num_tokens == expected.num_tokens
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])


def test_documents_beside_images() -> None:
    first, second, image = pdf(2), pdf(1, size=(300, 200), seed=1), pdf(1, seed=2)
    picture = Document(image)[0].draw()
    # Samples count for this recipe.
    processor = vlmres.Processor("llava-onevision", dtype="uint8")
    expected = processor([_pages(first), [picture], _pages(second)])
    givens: list[list[object]] = [[first, picture, second], [Document(first), picture, Document(second)]]
    for given in givens:
        batch = processor(given)
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])
    expected = processor([[picture, *_pages(first)], [picture]])
    givens = [[[picture, first], [picture]], [[picture, Document(first)], [picture]]]
    for given in givens:
        batch = processor(given)
        for key in expected:
            np.testing.assert_array_equal(batch[key], expected[key])


def test_fitted_and_chosen_pages_in_a_processor() -> None:
    file = pdf(3)
    processor = vlmres.Processor("qwen3-vl", dtype="uint8")
    document = Document(file, dpi="fit", pages=[2])
    view = vlmres.plan((1191, 1684), "qwen3-vl").views[0]
    expected = processor([[Document(file)[2].draw(view.resized)]])
    batch = processor(document)
    np.testing.assert_array_equal(batch["pixel_values"], expected["pixel_values"])
    assert batch.plans[0] is not None
    assert batch.plans[0].size == view.resized


def test_a_bad_page_costs_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    document = Document(pdf(3))
    draw = vlmres.documents.Page.draw

    def failing(page: vlmres.documents.Page, size: tuple[int, int] | None = None) -> np.ndarray:
        if page.number == 1:
            raise vlmres.DecodeError("page 1: no such font")
        return draw(page, size)

    monkeypatch.setattr(vlmres.documents.Page, "draw", failing)
    with pytest.raises(vlmres.DecodeError, match=r"image 1: .*page 1: no such font"):
        GUNDAM(document)
    batch = GUNDAM(document, errors="return")
    assert list(batch.errors) == [1]
    monkeypatch.undo()
    expected = GUNDAM([document[0], document[2]])
    for key in expected:
        np.testing.assert_array_equal(batch[key], expected[key])


def test_pages_keep_to_the_limits_of_a_call() -> None:
    with pytest.raises(vlmres.DecodeError, match=r"image 0: .*limit"):
        vlmres.Processor("clip", max_image_pixels=10_000)(Document(pdf(1)))


def test_a_damaged_document_among_images() -> None:
    broken = b"%PDF-1.7 and nothing else"
    with pytest.raises(vlmres.DecodeError, match=r"image 1: .*not a PDF that pdfium can read"):
        GUNDAM([np.zeros((40, 40, 3), np.uint8), broken])
    batch = GUNDAM([pdf(1), broken, pdf(2)], errors="return")
    assert list(batch.errors) == [1]
    assert batch.num_tokens == GUNDAM([pdf(1), pdf(2)]).num_tokens


def test_plans_of_pages(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(3))
    expected = vlmres.plan((1191, 1684), "qwen3-vl")
    assert vlmres.plan(path, "qwen3-vl", page=1).num_tokens == expected.num_tokens
    assert vlmres.plan(Document(path, dpi=72), "qwen3-vl", page=-1).size == (596, 842)
    assert vlmres.plan(pdf(1), "qwen3-vl").num_tokens == expected.num_tokens
    with pytest.raises(vlmres.PlanError, match="say which page, page=0 to page=2"):
        vlmres.plan(path, "qwen3-vl")
    with pytest.raises(IndexError, match="has pages 0 to 2, got page=3"):
        vlmres.plan(path, "qwen3-vl", page=3)


def test_the_limit_of_files_holds_for_documents(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf(1))
    size = path.stat().st_size
    limited = vlmres.Processor("clip", max_file_bytes=size - 1)
    for source in (path, path.read_bytes()):
        with pytest.raises(vlmres.VlmresError, match="limit"):
            limited(source)
        with pytest.raises(vlmres.DecodeError, match="max_file_bytes"):
            Document(source, max_file_bytes=size - 1)
    assert vlmres.Processor("clip", max_file_bytes=size)(path).indices == [0]


class _Endless(io.RawIOBase):
    """An open file without an end."""

    def readable(self) -> bool:
        return True

    def read(self, _size: int = -1) -> bytes:
        return b"%PDF-1.7" + bytes(1 << 20)


def test_documents_of_whatever_holds_a_file(tmp_path: Path) -> None:
    file = pdf(2)
    path = tmp_path / "a.pdf"
    path.write_bytes(file)
    expected = Document(path)[1].draw()
    text = base64.b64encode(file).decode()
    handles: tuple[Any, ...] = (
        io.BytesIO(file),
        bytearray(file),
        memoryview(file),
        np.frombuffer(file, np.uint8),
        f"data:application/pdf;base64,{text}",
        path.as_uri(),
        {"bytes": file, "path": None},
        {"bytes": None, "path": str(path)},
    )
    for handle in handles:
        document = Document(handle)
        assert len(document) == 2
        np.testing.assert_array_equal(document[1].draw(), expected)
        assert vlmres.plan(handle, "qwen3-vl", page=1).size == (1191, 1684)
    for row in handles[-2:]:
        np.testing.assert_array_equal(GUNDAM([row])["pixel_values"], GUNDAM(path)["pixel_values"])
    with path.open("rb") as opened:
        opened.seek(7)
        assert len(Document(opened)) == 2
        assert opened.tell() == 7
    for huge in (io.BytesIO(file), _Endless(), bytearray(file), f"data:application/pdf;base64,{text}"):
        with pytest.raises(vlmres.DecodeError, match="over the limit of 1,000"):
            Document(huge, max_file_bytes=1000)
    with pytest.raises(vlmres.VlmresError, match="only Processor"):
        Document("https://example.com/a.pdf")
    with pytest.raises(TypeError, match="the file of a document is a path, bytes or an open file, got 7"):
        Document(7)
