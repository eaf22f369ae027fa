"""Pages of files: images, and pages of PDF files with their text layers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlmres import documents
from vlmres.documents import AUTHORS_DPI, Document, is_document
from vlmres.inputs.kinds import HEAD, is_image
from vlmres.lab.pages import Content, Line, Page, digest
from vlmres.lab.pdf_text import read_layer
from vlmres.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Reads files as any processor does; the recipe does not matter.
_READS_WITH = "qwen3-vl"


def open_pages(paths: Iterable[str | os.PathLike[str]]) -> tuple[list[Page], dict[str, str]]:
    """Opens the pages of files, and of all images and PDF files in folders, in the order of their names.

    Returns:
        The pages, and by name the errors of files that cannot be opened.
    """
    pages: list[Page] = []
    wrong: dict[str, str] = {}
    for path in paths:
        for file in _files(Path(path)):
            try:
                pages += _document(file) if is_document(documents.beginning(file)) else [_image(file)]
            except (ValueError, OSError, ModuleNotFoundError) as error:
                wrong[str(file)] = " ".join(str(error).split())
    return pages, wrong


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return [file for file in found if _is_wanted(file)]


def _is_wanted(file: Path) -> bool:
    head = documents.beginning(file)
    return is_image(head[:HEAD]) or is_document(head)


def _image(file: Path) -> Page:
    def opened() -> Content:
        source = Processor(_READS_WITH, num_threads=1).loader.source(file)
        return Content(source.to_array("pillow"))

    return Page(str(file), opened, digest(file.read_bytes()), "image")


def _document(file: Path) -> Sequence[Page]:
    document = Document(file, AUTHORS_DPI)
    name = digest(file.read_bytes())
    return [_page(file, document, number, name) for number in document.numbers]


def _page(file: Path, document: Document, number: int, identity: str) -> Page:
    def opened() -> Content:
        (page,) = document.chosen([number])
        with documents.PDFIUM:
            lines, text = _layer(file, number, page.size)
        return Content(np.ascontiguousarray(page.draw()), lines, text or None)

    return Page(documents.page_name(str(file), number), opened, digest(identity, str(number)), "document")


def _layer(file: Path, number: int, size: tuple[int, int]) -> tuple[list[Line], str]:
    import pypdfium2

    document = pypdfium2.PdfDocument(file)
    try:
        return read_layer(document[number], size)
    finally:
        document.close()
