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
"""The mark `%PDF-` may begin anywhere in so many first bytes (ISO 32000-1, Annex H, implementation note 13)."""

PDFIUM = threading.Lock()
"""Held by every caller of pdfium, which is not thread-safe."""

# What pdfium's errors mean (fpdfview.h, FPDF_ERR_…).
_PASSWORD = 4


def page_name(file: str, number: int) -> str:
    """The name of a page of a file; its index counts from 0."""
    return f"{file}#page={number + 1}"


def is_document(beginning: bytes) -> bool:
    """Whether first bytes are those of a PDF."""
    return b"%PDF-" in beginning[:_BEGINNING]


def beginning(source: bytes | str | os.PathLike[str]) -> bytes:
    """The first bytes of a file, enough to recognise a PDF."""
    if isinstance(source, bytes):
        return source[:_BEGINNING]
    try:
        # A pipe or a device may block, or never end.
        if not Path(source).is_file():
            return b""
        with open(source, "rb") as file:  # noqa: PTH123
            return file.read(_BEGINNING)
    except OSError:
        return b""


class PdfFile:
    """An open PDF. A pickle holds its path or bytes and opens it again in another process."""

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
        """Width and height of a page in points, after its rotation."""
        with PDFIUM:
            try:
                width, height = self._opened().get_page_size(number)
            except _pdfium().PdfiumError as error:
                raise DecodeError(f"{page_name(self.name, number)}: {error}") from None
        if not (0 < width < math.inf and 0 < height < math.inf):
            raise DecodeError(f"{page_name(self.name, number)}: a page of {width:g} x {height:g} points")
        return width, height

    def draw(self, number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """A page drawn at a size in pixels, uint8 of shape (height, width, 3)."""
        pdfium, (width, height) = _pdfium(), size
        raw = pdfium.raw
        # pdfium writes into this array, so that nothing is copied.
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
        """The document as opened by this process: after a fork it is opened again."""
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
