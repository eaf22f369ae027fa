"""`Document`, a PDF file as a sequence of pages, and `Page` (`pip install 'vlmres[pdf]'`)."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from vlmres._core import DecodeError, plan
from vlmres.documents.file import PdfFile, page_name
from vlmres.inputs.drawn import Drawn
from vlmres.inputs.handles import content_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vlmres._core import Plan, Recipe

AUTHORS_DPI = 144
"""Dots per inch at which the programs of DeepSeek-OCR and PaddleOCR-VL draw pages: two pixels per point."""

MAX_FILE_BYTES = 2 << 30
MAX_PAGE_PIXELS = 178_956_970  # of an image file, too
MAX_PAGES = 10_000

_POINTS = 72


class Document(Sequence["Page"]):
    """A PDF file, or some of its pages. Wherever images are taken, it counts as the list of its pages.

    Args:
        source: A path, or something else that holds the file (docs/files.md): bytes, an open file, a data URI, a row of
            a data set.
        dpi: Dots per inch. The default is 144, as in the programs of DeepSeek-OCR and PaddleOCR-VL. With "fit" a page
            keeps its plan at 144 dpi, but is drawn at the resized size of the plan's largest view, so that this view
            needs no resize. If that would change the plan (for example if one view is padded and another is not), the
            page is drawn at its own aspect ratio, no smaller than any view.
        pages: Indices of pages, from 0; negative indices count from the end; by default all. Names and messages count
            from 1, as in `report.pdf#page=1`.
        password: Password of an encrypted file.
        max_page_pixels: Pages of more pixels are refused before they are drawn. By default Pillow's limit for an image.
        max_file_bytes: Files of more bytes are refused before they are read. By default 2 GiB.
        max_pages: Files of more pages are refused.

    Pages are drawn when they are needed, one at a time per process, with annotations and filled-in forms, on white.
    pdfium's pixels differ from those of MuPDF, which DeepSeek-OCR's program uses: edges of letters differ.

    Raises:
        ModuleNotFoundError: pypdfium2 is not installed.
        DecodeError: The file is not a PDF, it is damaged, its password is missing or wrong, or it is over a limit.
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
        self._file = PdfFile(content_of(source, most, "a document"), password, most)
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
        """The same document with other pages, by their indices in the file."""
        other = copy.copy(self)
        other.numbers = [_checked_number(number, self._file.count, self._file.name) for number in numbers]
        return other

    def fitted(self, recipe: Recipe) -> list[Page]:
        """The pages at the sizes in which a recipe needs them; they differ only with `dpi="fit"`."""
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

    def __init__(self, file: PdfFile, number: int, size: tuple[int, int]) -> None:
        super().__init__(size)
        self._file = file
        self.number = number
        """Its index in the file, from 0."""

    def __repr__(self) -> str:
        return f"Page({self._file.name}, {self.number}, {self.size[0]}x{self.size[1]})"

    @property
    def name(self) -> str:
        """The file's name and the number of the page, from 1, as in `report.pdf#page=1`."""
        return page_name(self._file.name, self.number)

    def draw(self, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Draws the page at `size` (width, height), by default its own: uint8 pixels of shape (height, width, 3).

        Raises:
            DecodeError: pdfium cannot draw it.
        """
        return self._file.draw(self.number, size or self.size)

    def _at(self, size: tuple[int, int]) -> Page:
        return Page(self._file, self.number, size)


def _fitted(page: Page, recipe: Recipe, images: int) -> Page:
    """The page at the resized size of its plan's largest view, unless that changes the plan."""
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
    """Whole pixels that cover a length. An excess of up to a thousandth is ignored, as in MuPDF."""
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
