"""The bytes of an image file, from what holds them: strings, bytes, open files, rows of data sets."""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import DecodeError, VlmresError
from vlmres.inputs.errors import kind, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# The compiled part's default.
_MAX_FILE_BYTES = 2 << 30
# Bytes that are read at once from an open file.
_PIECE = 1 << 20
# No image file has fewer characters in base64.
_SHORTEST_BASE64 = 40
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]+={0,2}\s*")
# No system has longer paths.
_LONGEST_PATH = 4096
# First characters of files in base64. They tell a base64 string from the path of a file that does not exist.
_BEGINNINGS = (
    "/9j/",
    "iVBORw0K",
    "R0lGOD",
    "UklGR",
    "Qk",
    "SUkq",
    "TU0A",
    "SUkr",
    "AAAA",
    "OEJQUw",
    "cW9pZ",
    "AAABA",
    "UD",
    "JVBERi",
    "GkXfo",
)
# Media types of data URIs: images, videos and PDF files.
_MEDIA = ("image/", "video/", "application/pdf", "application/octet-stream")

Encoded = bytes | str


class Address(str):
    """A web address that is still to be fetched."""

    __slots__ = ()


def encoded(image: Any, max_bytes: int | None, what: str = "an image") -> Encoded | None:
    """The bytes of a file, or its path, from whatever holds them; None for anything else. Messages call it `what`.

    Raises:
        VlmresError: It holds no such bytes, or too many.
        TypeError: It holds something else.
    """
    limit = _MAX_FILE_BYTES if max_bytes is None else max_bytes
    if isinstance(image, bytes):
        _check_size(len(image), limit, what)
        return image
    if isinstance(image, str):
        return _of_text(image, limit)
    if isinstance(image, os.PathLike):
        return os.fsdecode(os.fspath(image))
    if isinstance(image, Mapping):
        return _of_row(image, limit)
    if isinstance(image, (bytearray, memoryview)):
        return _of_buffer(memoryview(image), limit)
    if isinstance(image, np.ndarray):
        return _of_array(image, limit)
    if callable(getattr(image, "read", None)) and buffer_of(image) is None:
        return _of_file(image, limit)
    view = buffer_of(image)
    return None if view is None else _of_buffer(view, limit)


def content_of(source: Any, max_bytes: int | None, what: str) -> Encoded:
    """The bytes of a document's or a video's file, or its path, from whatever holds them.

    Raises:
        DecodeError: It has too many bytes, or holds none.
        VlmresError: It is an address, which only a `Processor` fetches.
        TypeError: It holds no file.
    """
    try:
        content = encoded(source, max_bytes, what)
    except VlmresError as error:
        raise DecodeError(str(error)) from None
    if isinstance(content, Address):
        raise VlmresError(f"only Processor(..., fetch=True) fetches addresses, got {shown(content)}")
    if content is None:
        raise TypeError(f"the file of {what} is a path, bytes or an open file, got {kind(source)}")
    return content


def check_file(path: str, most: int) -> None:
    """Refuses a file that is not regular or has too many bytes, before another library opens it.

    Raises:
        DecodeError: It is no such file.
        OSError: There is none.
    """
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):
        raise DecodeError(f"{path}: not a regular file")
    if status.st_size > most:
        raise DecodeError(f"{path}: {status.st_size:,} bytes are over the limit of {most:,} (max_file_bytes)")


def buffer_of(value: Any) -> memoryview | None:
    """The memory of an object that has the buffer protocol."""
    try:
        return memoryview(value)
    except TypeError:
        return None


def _of_array(array: NDArray[Any], limit: int) -> bytes | None:
    if array.ndim != 1 or array.dtype != np.uint8:
        return None
    _check_size(array.nbytes, limit, "an array")
    return array.tobytes()


def _of_text(text: str, limit: int) -> Encoded:
    start = text[:16].lower()
    if start.startswith("data:"):
        return _of_data_uri(text, limit)
    if start.startswith("file:"):
        return _of_file_uri(text)
    if start.startswith(("http://", "https://")):
        return Address(text)
    if "\0" in text:
        raise VlmresError("a path has a NUL character")
    if len(text) < _SHORTEST_BASE64 or (len(text) <= _LONGEST_PATH and os.path.exists(text)):  # noqa: PTH110
        return text
    is_long = len(text) > _LONGEST_PATH
    if (is_long or text.startswith(_BEGINNINGS)) and _BASE64.fullmatch(text):
        return _of_base64(text, limit, "a text that is no path holds no base64")
    if is_long:
        raise VlmresError(f"neither a path nor base64: {shown(text)}")
    return text


def _of_data_uri(text: str, limit: int) -> bytes:
    """The content of a data URI (RFC 2397): `data:image/png;base64,…`, or percent-encoded bytes."""
    head, comma, payload = text.partition(",")
    if not comma:
        raise VlmresError(f"a data URI has no comma before its data: {shown(head)}")
    media = head[5:].partition(";")[0]
    if media and not media.lower().startswith(_MEDIA):
        raise VlmresError(f"a data URI is of {shown(media)}, not of an image")
    if head.lower().endswith(";base64"):
        return _of_base64(payload, limit, f"a data URI of {shown(media)} holds no base64")
    _check_size(len(payload) // 3, limit, "a data URI")
    return urllib.parse.unquote_to_bytes(payload)


def _of_base64(text: str, limit: int, message: str) -> bytes:
    _check_size(len(text) * 3 // 4 - 2, limit, "a text of base64")
    if "%" in text:
        text = urllib.parse.unquote(text)
    if "-" in text or "_" in text:
        text = text.translate({ord("-"): "+", ord("_"): "/"})
    data = "".join(text.split()).rstrip("=").encode("ascii", "replace")
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except binascii.Error as error:
        raise VlmresError(f"{message} ({error})") from None


def _of_file_uri(text: str) -> str:
    found = urllib.parse.urlsplit(text)
    if found.netloc not in ("", "localhost"):
        raise VlmresError(f"a file:// address is of another host: {shown(text)}")
    path = urllib.request.url2pathname(found.path)
    if not path or "\0" in path:
        raise VlmresError(f"a file:// address has no path: {shown(text)}")
    return path


def _of_row(row: Mapping[Any, Any], limit: int) -> Encoded:
    """The file of a data set's row whose image is not decoded: {"bytes", "path"}, either of which may be None."""
    if not ("bytes" in row or "path" in row):
        keys = ", ".join(shown(key) for key in list(row)[:8])
        raise TypeError(
            f'a dict is an image where it has "bytes" or "path", got {keys or "an empty one"}; '
            "vlmres.from_messages reads chat messages"
        )
    value = row.get("bytes")
    if value is None:
        value = row.get("path")
    if value is None:
        raise VlmresError('both "bytes" and "path" of a dict are None')
    found = None if isinstance(value, Mapping) else encoded(value, limit)
    if found is None:
        raise TypeError(f'"bytes" or "path" of a dict is {kind(value)}')
    return found


def _of_buffer(view: memoryview, limit: int) -> bytes:
    if view.format not in ("B", "b", "c"):
        raise TypeError(f"a buffer of an image file holds bytes, got format {shown(view.format)}")
    _check_size(view.nbytes, limit, "a buffer")
    return view.tobytes()


def _of_file(file: Any, limit: int) -> bytes:
    """All bytes of an open file, from its start if it is seekable; its position is restored."""
    name = shown(getattr(file, "name", "")) if isinstance(getattr(file, "name", None), str) else type(file).__qualname__
    try:
        before = file.tell()
        file.seek(0)
    except (AttributeError, OSError, ValueError, TypeError):
        before = None
    if getattr(file, "closed", False):
        raise VlmresError(f"an open file is closed: {name}")
    try:
        return _read(file.read, limit, name)
    finally:
        if before is not None:
            file.seek(before)


def _read(read: Callable[[int], Any], limit: int, name: str) -> bytes:
    pieces: list[bytes] = []
    size = 0
    while True:
        piece = read(_PIECE)
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            got = "text: open it in binary mode" if isinstance(piece, str) else kind(piece)
            raise TypeError(f"an open file gives {got} ({name})")
        if not piece:
            return b"".join(pieces)
        size += len(piece)
        _check_size(size, limit, f"an open file ({name})")
        pieces.append(bytes(piece))


def _check_size(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise VlmresError(f"{what} has {size:,} bytes or more, over the limit of {limit:,} (max_file_bytes)")
