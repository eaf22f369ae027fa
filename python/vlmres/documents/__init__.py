"""PDF files: their pages are images that pdfium draws when they are needed (`pip install 'vlmres[pdf]'`).

`file` (pdfium), `document` (`Document` and `Page`) and `calls` (documents among the images of a call).
"""

from vlmres.documents.calls import opened, with_pages
from vlmres.documents.document import AUTHORS_DPI, Document, Page
from vlmres.documents.file import PDFIUM, beginning, is_document, page_name

__all__ = [
    "AUTHORS_DPI",
    "PDFIUM",
    "Document",
    "Page",
    "beginning",
    "is_document",
    "opened",
    "page_name",
    "with_pages",
]
