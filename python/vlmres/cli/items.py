"""The items that commands work on: image files, and pages of PDF files."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from vlmres._core import DecodeError, ImageFile, VlmresError, plan
from vlmres.cli import output
from vlmres.cli.children import Child, EndedError
from vlmres.documents import AUTHORS_DPI, Document, Page, beginning, is_document, page_name
from vlmres.inputs.kinds import is_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from vlmres._core import Plan, Recipe
    from vlmres.inputs import Limits, Loader

Dpi: TypeAlias = float | Literal["fit"]

FAILURES = (VlmresError, OSError, ModuleNotFoundError)
"""What opening an item may raise."""


class Item(NamedTuple):
    """An image file or a page of a PDF file."""

    path: Path
    page: int | None = None
    """The page's index in the file, from 0; None for an image file."""
    error: str | None = None
    """The error of a PDF file whose pages cannot be listed."""

    @property
    def name(self) -> str:
        """The file, and the number of the page in it, from 1."""
        return str(self.path) if self.page is None else page_name(str(self.path), self.page)

    def reason(self, error: BaseException | str) -> str:
        """The error in one line, without the item's name."""
        text = error if isinstance(error, str) else output.reason(error)
        return text.removeprefix(f"{self.name}: ").removeprefix(f"{self.path}: ")


class Opener:
    """Finds the items of files, and opens them. The last document stays open, for its next page.

    Args:
        recipe: The recipe by which items are planned.
        loader: Reads image files, within its limits.
        dpi: Dots per inch of pages, or "fit", as in `Document`.
    """

    def __init__(self, recipe: Recipe, loader: Loader, dpi: Dpi = AUTHORS_DPI) -> None:
        self._recipe, self._limits, self._decoding, self._dpi = recipe, loader.limits, loader.decoding, dpi
        self._last: tuple[Path, Document] | None = None

    def items(self, paths: Iterable[Path]) -> Iterator[Item]:
        """Each image file, and each page of each PDF file. A file that cannot be opened is an item with an error.

        A child process counts the pages of PDF files, so that a file that crashes pdfium fails alone.
        """
        with contextlib.closing(Child(_counting, self._limits)) as child:
            for path in paths:
                if not is_document_file(path):
                    yield Item(path)
                    continue
                try:
                    count = child.ask(path)
                except EndedError as ended:
                    count = f"it ended the process that opened it ({ended})"
                if isinstance(count, str):
                    yield Item(path, error=Item(path).reason(count))
                else:
                    yield from (Item(path, page) for page in range(count))

    def open(self, item: Item) -> tuple[ImageFile | Page, Plan]:
        """An item as a `Processor` takes it, and its plan as the only image of a sample.

        Raises:
            VlmresError: It cannot be read, it is over a limit, or the recipe cannot plan it.
            OSError: The file cannot be read.
            ModuleNotFoundError: pypdfium2 is not installed.
        """
        if item.error is not None:
            raise DecodeError(item.error)
        if item.page is None:
            image = ImageFile(item.path, self._recipe, self._limits, self._decoding)
            return image, image.plan
        try:
            (page,) = self._document(item.path).chosen([item.page]).fitted(self._recipe)
        except IndexError as error:  # changed since it was listed
            raise DecodeError(str(error)) from None
        return page, plan(page.size, self._recipe)

    def _document(self, path: Path) -> Document:
        if self._last is None or self._last[0] != path:
            pixels, most, *_ = self._limits
            self._last = path, Document(path, self._dpi, max_page_pixels=pixels, max_file_bytes=most)
        return self._last[1]


def _counting(limits: Limits) -> Callable[[Path], int | str]:
    """Returns the pages of a PDF file, or the error."""

    def count(path: Path) -> int | str:
        try:
            pages = len(Document(path, max_file_bytes=limits[1]))
        except FAILURES as error:
            return output.reason(error)
        return pages or "the document has no pages"

    return count


def is_document_file(path: Path) -> bool:
    """Whether a file is a PDF, by its content. A file that begins like an image counts as an image."""
    if not path.is_file():
        return False
    head = beginning(path)
    return is_document(head) and not is_image(head)
