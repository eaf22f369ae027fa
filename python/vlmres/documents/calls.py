"""Documents among the images of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres._core import DecodeError
from vlmres.documents.document import Document
from vlmres.documents.file import beginning, is_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmres._core import Recipe


def with_pages(images: Any, recipe: Recipe) -> Any:
    """Images with each document replaced by the list of its pages, which is one sample.

    An image beside documents is a sample, too.
    """
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
    """Finds PDF files, by content, among the items that could not be decoded as images."""
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
