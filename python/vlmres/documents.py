"""Pages of PDF files as images, drawn by pdfium (`pip install 'vlmres[pdf]'`)."""

from __future__ import annotations

import copy
import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from vlmres._core import DecodeError, plan
from vlmres.inputs.drawn import Drawn
from vlmres.inputs.handles import check_file, content_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from numpy.typing import NDArray

    from vlmres._core import Plan, Recipe

AUTHORS_DPI = 144
"""Dots an inch at which DeepSeek-OCR's and PaddleOCR-VL's own programs draw pages: two pixels a point."""

MAX_FILE_BYTES = 2 << 30
MAX_PAGE_PIXELS = 178_956_970  # of an image file, too
MAX_PAGES = 10_000

_POINTS = 72
_BEGINNING = 1024
"""Where in a file its mark `%PDF-` may begin (ISO 32000-1, Annex H, implementation note 13)."""

PDFIUM = threading.Lock()
"""pdfium is for one thread at a time: whoever calls it holds this."""

# What pdfium's errors mean (fpdfview.h, FPDF_ERR_…).
_PASSWORD = 4


def page_name(file: str, number: int) -> str:
    """How a page of a file is called; its number is from 0."""
    return f"{file}#page={number + 1}"


def is_document(beginning: bytes) -> bool:
    """Whether a file that begins so is a PDF."""
    return b"%PDF-" in beginning[:_BEGINNING]


class Document(Sequence["Page"]):
    """A PDF file, or some of its pages. What takes images takes it for a list of its pages.

    Args:
        source: A path, or what else holds the file (docs/files.md): bytes, an open file, a data URI, a row of a set.
        dpi: Dots an inch to draw at. By default 144, as DeepSeek-OCR's and PaddleOCR-VL's own programs do. With "fit" a
            page keeps the plan that it has at 144, and is drawn in the size that the plan's largest view is resized to,
            so that this view is drawn and not resized. Where the plan would become another (an image that is
            padded beside tiles that are not), the page is drawn with its ratio, no smaller than any view.
        pages: Indices of pages, from 0, negative ones from the end; all by default. Names and messages count from 1, as
            addresses of PDF files do: `report.pdf#page=1`.
        password: Of an encrypted file.
        max_page_pixels: Pages of more pixels are refused before they are drawn. By default Pillow's limit of an image.
        max_file_bytes: Files of more bytes are refused before they are read. By default 2 GiB.
        max_pages: Files of more pages are refused.

    Pages are drawn when they are needed, one at a time in a process, with annotations and filled-in forms, on white.
    pdfium draws other pixels than MuPDF, with which DeepSeek-OCR's program draws: letters have other edges.

    Raises:
        ModuleNotFoundError: pypdfium2 is not installed.
        DecodeError: It is no PDF, it is damaged, its password is missing or wrong, or it is over a limit.
        IndexError: It has no such page.
        OSError: The file cannot be read.
    """

    def __init__(
        self,
        source: Any,
        dpi: float | Literal["fit"] = AUTHORS_DPI,
        *,
        pages: Sequence[int] | None = None,
        password: str | None = None,
        max_page_pixels: int | None = None,
        max_file_bytes: int | None = None,
        max_pages: int = MAX_PAGES,
    ) -> None:
        self.dpi: float | Literal["fit"] = _checked_dpi(dpi)
        most = max_file_bytes or MAX_FILE_BYTES
        self._file = _File(content_of(source, most, "a document"), password, most)
        self._max_page_pixels = max_page_pixels or MAX_PAGE_PIXELS
        count = self._file.count
        if count > max_pages:
            raise DecodeError(f"{self._file.name} has {count:,} pages, over max_pages={max_pages:,}")
        chosen = range(count) if pages is None else pages
        self.numbers = [_checked_number(number, count, self._file.name) for number in chosen]

    def __repr__(self) -> str:
        return f"Document({self._file.name}, dpi={self.dpi!r}, {len(self)} pages)"

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> Page: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Page]: ...
    def __getitem__(self, index: int | slice) -> Page | Sequence[Page]:
        if isinstance(index, slice):
            return [self._page(number) for number in self.numbers[index]]
        return self._page(self.numbers[index])

    def __iter__(self) -> Iterator[Page]:
        return map(self._page, self.numbers)

    def chosen(self, numbers: Sequence[int]) -> Document:
        """The same document with pages of these numbers in the file."""
        other = copy.copy(self)
        other.numbers = [_checked_number(number, self._file.count, self._file.name) for number in numbers]
        return other

    def fitted(self, recipe: Recipe) -> list[Page]:
        """The pages as they are drawn for a recipe: with `dpi="fit"` in the sizes of their plans."""
        pages = list(self)
        return [_fitted(page, recipe, len(pages)) for page in pages] if self.dpi == "fit" else pages

    def _page(self, number: int) -> Page:
        dpi = AUTHORS_DPI if self.dpi == "fit" else self.dpi
        width, height = self._file.points(number)
        size = (_pixels(width * dpi / _POINTS), _pixels(height * dpi / _POINTS))
        if size[0] * size[1] > self._max_page_pixels:
            raise DecodeError(
                f"{page_name(self._file.name, number)}: {size[0]}x{size[1]} pixels at {dpi:g} dpi are over the limit "
                f"of {self._max_page_pixels:,} (max_page_pixels); draw it at fewer dpi"
            )
        return Page(self._file, number, size)


class Page(Drawn):
    """A page of a PDF, drawn when its pixels are needed."""

    __slots__ = ("_file", "number")

    def __init__(self, file: _File, number: int, size: tuple[int, int]) -> None:
        super().__init__(size)
        self._file = file
        self.number = number
        """Its number in the file, from 0."""

    def __repr__(self) -> str:
        return f"Page({self._file.name}, {self.number}, {self.size[0]}x{self.size[1]})"

    @property
    def name(self) -> str:
        """The file, and the number of the page in it, from 1 as a PDF's addresses have it."""
        return page_name(self._file.name, self.number)

    def draw(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Pixels, uint8 of shape (height, width, 3), in the page's own size or another.

        Raises:
            DecodeError: pdfium cannot draw it.
        """
        return self._file.draw(self.number, size or self.size)

    def _at(self, size: tuple[int, int]) -> Page:
        return Page(self._file, self.number, size)


def with_pages(images: Any, recipe: Recipe) -> Any:
    """Images with each document as the list of its pages: a sample. Images beside documents are samples, too."""
    if isinstance(images, Document):
        return [images.fitted(recipe)]
    if not isinstance(images, (list, tuple)):
        return images
    if any(isinstance(item, Document) for item in images):
        return [item if isinstance(item, list) else _pages(item, recipe) for item in images]
    if any(isinstance(item, (list, tuple)) and any(isinstance(one, Document) for one in item) for item in images):
        return [[page for one in item for page in _pages(one, recipe)] for item in images]
    return images


def opened(
    loaded: Sequence[Any], failed: Iterable[int], max_file_bytes: int | None
) -> tuple[dict[int, Document], dict[int, DecodeError | ModuleNotFoundError]]:
    """Which of a call's items that cannot be decoded are PDF files, by content, and why others cannot be read."""
    found: dict[int, Document] = {}
    reasons: dict[int, DecodeError | ModuleNotFoundError] = {}
    for index in failed:
        item = loaded[index]
        source = item[0] if isinstance(item, tuple) else item
        if isinstance(source, (bytes, str)) and is_document(beginning(source)):
            try:
                found[index] = Document(source, max_file_bytes=max_file_bytes)
            except (DecodeError, ModuleNotFoundError) as error:
                reasons[index] = error
    return found, reasons


def _pages(item: Any, recipe: Recipe) -> list[Any]:
    return item.fitted(recipe) if isinstance(item, Document) else [item]


def beginning(source: bytes | str | os.PathLike[str]) -> bytes:
    """The first bytes of a file, as far as a document is known by them."""
    if isinstance(source, bytes):
        return source[:_BEGINNING]
    try:
        # What is no regular file may have no end, or no beginning.
        if not Path(source).is_file():
            return b""
        with open(source, "rb") as file:  # noqa: PTH123
            return file.read(_BEGINNING)
    except OSError:
        return b""


class _File:
    """An open PDF; pickled by where it comes from, and opened again in another process."""

    def __init__(self, source: str | bytes, password: str | None, most: int) -> None:
        self._source = source
        self._password = password
        self.name = f"a document of {len(source):,} bytes" if isinstance(source, bytes) else source
        if isinstance(source, str):
            check_file(source, most)
        self._most = most
        self._process = 0
        self._document: Any = None
        with PDFIUM:
            self.count = len(self._opened())

    def __getstate__(self) -> tuple[str | bytes, str | None, int]:
        return self._source, self._password, self._most

    def __setstate__(self, state: tuple[str | bytes, str | None, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def points(self, number: int) -> tuple[float, float]:
        """Width and height of a page in points, as it is turned."""
        with PDFIUM:
            try:
                width, height = self._opened().get_page_size(number)
            except _pdfium().PdfiumError as error:
                raise DecodeError(f"{page_name(self.name, number)}: {error}") from None
        if not (0 < width < math.inf and 0 < height < math.inf):
            raise DecodeError(f"{page_name(self.name, number)}: a page of {width:g} x {height:g} points")
        return width, height

    def draw(self, number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """A page in a size in pixels."""
        pdfium, (width, height) = _pdfium(), size
        raw = pdfium.raw
        # Pixels are pdfium's to write and this array's to keep, so that nothing is copied.
        pixels = np.empty((height, width, 3), dtype=np.uint8)
        with PDFIUM:
            document = self._opened()
            try:
                page = document[number]
            except pdfium.PdfiumError as error:
                raise DecodeError(f"{page_name(self.name, number)}: {error}") from None
            bitmap = raw.FPDFBitmap_CreateEx(width, height, raw.FPDFBitmap_BGR, pixels.ctypes.data, width * 3)
            if not bitmap:
                raise DecodeError(f"{page_name(self.name, number)}: pdfium cannot draw {width}x{height} pixels")
            try:
                raw.FPDFBitmap_FillRect(bitmap, 0, 0, width, height, 0xFFFFFFFF)
                flags = raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER
                drawn = (bitmap, page, 0, 0, width, height, 0, flags)
                raw.FPDF_RenderPageBitmap(*drawn)
                if document.formenv:
                    raw.FPDF_FFLDraw(document.formenv, *drawn)
            finally:
                raw.FPDFBitmap_Destroy(bitmap)
                page.close()
        return pixels

    def _opened(self) -> Any:
        """The document of this process: one that was opened before a fork is the parent's."""
        if self._process != os.getpid():
            pdfium = _pdfium()
            try:
                document = pdfium.PdfDocument(self._input(), password=self._password)
            except pdfium.PdfiumError as error:
                raise DecodeError(f"{self.name}: {self._explained(error)}") from None
            if document.get_formtype():
                document.init_forms()
            self._document, self._process = document, os.getpid()
        return self._document

    def _input(self) -> bytes | Path:
        return self._source if isinstance(self._source, bytes) else Path(self._source)

    def _explained(self, error: Exception) -> str:
        if getattr(error, "err_code", None) != _PASSWORD:
            return f"not a PDF that pdfium can read ({error})"
        return "the password is wrong" if self._password else "the document is encrypted: pass its password"


def _fitted(page: Page, recipe: Recipe, images: int) -> Page:
    """The page in the size that its plan's largest view is resized to, where that leaves the plan as it is."""
    wanted = plan(page.size, recipe, images)
    largest = max((view.resized for view in wanted.views), key=lambda size: size[0] * size[1])
    width, height = page.size
    scale = max(max(view.resized[0] / width, view.resized[1] / height) for view in wanted.views)
    for size in (largest, (math.ceil(width * scale), math.ceil(height * scale))):
        if _views(plan(size, recipe, images)) == _views(wanted):
            return page._at(size)
    return page


def _views(planned: Plan) -> list[tuple[Any, ...]]:
    return [(view.role, view.resized, view.canvas, view.offset, view.tiles) for view in planned.views]


def _pixels(length: float) -> int:
    """Whole pixels that hold a length; a thousandth more is none, as MuPDF rounds."""
    return max(1, math.ceil(length - 0.001))


def _checked_dpi(dpi: float | Literal["fit"]) -> float | Literal["fit"]:
    if dpi == "fit":
        return "fit"
    if isinstance(dpi, bool) or not isinstance(dpi, (int, float, np.integer, np.floating)):
        raise TypeError(f'dpi must be a number or "fit", got {dpi!r}')
    if not 0 < dpi < math.inf:
        raise ValueError(f"dpi must be positive, got {dpi}")
    return float(dpi)


def _checked_number(number: int, count: int, name: str) -> int:
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise TypeError(f"a page is an integer, got {number!r}")
    if not -count <= number < count:
        raise IndexError(f"{name} has {count} pages, by index 0 to {count - 1}; got index {number}")
    return int(number) % count


def _pdfium() -> ModuleType:
    try:
        import pypdfium2
    except ModuleNotFoundError:
        raise ModuleNotFoundError("PDF files need pypdfium2: pip install 'vlmres[pdf]'", name="pypdfium2") from None
    module: ModuleType = pypdfium2
    return module
