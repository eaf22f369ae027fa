"""A PDF file as pdfium reads and draws it."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import DecodeError
from vlmres.inputs.handles import check_file

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

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


class PdfFile:
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


def _pdfium() -> ModuleType:
    try:
        import pypdfium2
    except ModuleNotFoundError:
        raise ModuleNotFoundError("PDF files need pypdfium2: pip install 'vlmres[pdf]'", name="pypdfium2") from None
    module: ModuleType = pypdfium2
    return module
