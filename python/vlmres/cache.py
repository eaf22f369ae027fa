"""A bounded cache of batches on disk, by the content of their images."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

logger = logging.getLogger("vlmres.cache")

# An entry's file begins with this, then the length of its description, then the description's checksum.
_MARK = b"vlmres1\n"
_HEAD = struct.Struct("<8sQI")
_MOST_DESCRIBED = 1 << 28
_ENDING = ".batch"
_TEMPORARY = ".tmp"


class Entry(NamedTuple):
    """A batch as it is stored."""

    described: dict[str, Any]
    """Everything beside the arrays, as JSON values."""
    arrays: dict[str, NDArray[Any]]


class Cache:
    """Keeps the batches of a `Processor` in a folder, so that a repeated call is read from disk.

    An entry's key is a hash of the call's content: bytes of files, pixels, the grouping into samples, the recipe, all
    settings that change a value, and the version of vlmres. Names and times of files are not part of it. The same
    images in another order are another entry. So a cache helps when batches repeat: in validation, in epochs without
    shuffling, and in runs that start again with the same seed.

    The least recently used entries make room for new ones. Any number of threads and processes may share a folder;
    together they keep it within `max_bytes`. An entry is written whole or not at all. Its checksums are verified when
    it is read; a damaged entry is removed and computed again.

    Args:
        folder: The folder, created when it is needed. It must hold no other files.
        max_bytes: Most bytes of all entries together. A single batch of more bytes is not kept.

    Raises:
        ValueError: `max_bytes` is below 1.
        TypeError: `max_bytes` is not an integer.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int) -> None:
        if isinstance(max_bytes, bool) or not isinstance(max_bytes, (int, np.integer)):
            raise TypeError(f"max_bytes must be an integer, got {max_bytes!r}")
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be at least 1, got {max_bytes}")
        self.folder = Path(folder)
        self.max_bytes = int(max_bytes)
        self.hits = 0
        """Calls of this object that were in the cache."""
        self._said = False
        self.misses = 0
        """Calls of this object that were not in the cache, though they could have been."""

    def __repr__(self) -> str:
        return f"Cache({str(self.folder)!r}, max_bytes={self.max_bytes})"

    @property
    def nbytes(self) -> int:
        """Bytes of all entries."""
        return sum(entry.st_size for _, entry in self._entries())

    def __len__(self) -> int:
        return sum(1 for _ in self._entries())

    def clear(self) -> None:
        """Removes all entries."""
        with self._locked():
            for path, _ in list(self._entries()):
                path.unlink(missing_ok=True)

    def get(self, key: str, take: Callable[[dict[str, Any]], dict[str, NDArray[Any]]]) -> dict[str, Any] | None:
        """Reads an entry.

        Args:
            key: The entry's key.
            take: Gives arrays to read into, in the entry's order, from its description.

        Returns:
            The description; or None if there is no entry, or a damaged one. Then the contents of arrays that were taken
            are undefined, and the entry is removed.
        """
        path = self._path(key)
        try:
            with path.open("rb") as file:
                found = _read(file, key, take)
        except FileNotFoundError:
            found = None
        except (_DamagedError, OSError):
            with contextlib.suppress(OSError):
                path.unlink()
            found = None
        else:
            with contextlib.suppress(OSError):
                os.utime(path)
        self.hits += found is not None
        self.misses += found is None
        return found

    def put(self, key: str, entry: Entry) -> None:
        """Stores an entry unless it is over `max_bytes`. If it cannot be written, warns once."""
        pieces = _pieces(key, entry)
        try:
            with self._locked():
                self._write(self._path(key), pieces)
        except OSError as error:
            if not self._said:
                logger.warning("%r keeps nothing: %s", self, error)
            self._said = True

    def _write(self, path: Path, pieces: list[Any]) -> None:
        """Removes the oldest entries to make room, then writes a file. The folder must be locked."""
        nbytes = sum(len(piece) for piece in pieces)
        for left in self.folder.glob(f"*{_TEMPORARY}"):
            left.unlink(missing_ok=True)  # left by a process that was killed: only the holder of the lock writes
        if nbytes > self.max_bytes or path.exists():
            return
        entries = sorted(self._entries(), key=lambda entry: entry[1].st_mtime_ns)
        total = sum(status.st_size for _, status in entries)
        for old, status in entries:
            if total + nbytes <= self.max_bytes:
                break
            old.unlink(missing_ok=True)
            total -= status.st_size
        temporary = path.with_name(f"{secrets.token_hex(8)}{_TEMPORARY}")
        try:
            with temporary.open("xb") as file:
                for piece in pieces:
                    file.write(piece)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{_ENDING}"

    def _entries(self) -> Iterator[tuple[Path, os.stat_result]]:
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                if path.suffix == _ENDING:
                    with contextlib.suppress(FileNotFoundError):  # another process removed it
                        yield path, path.stat()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Locks the folder for this thread of this process. The system frees the lock of a killed process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("ab") as file:
            if sys.platform == "win32":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX)
            yield


class _DamagedError(Exception):
    """A stored entry is damaged."""


def _pieces(key: str, entry: Entry) -> list[Any]:
    """The parts of an entry's file."""
    arrays = [
        {"key": name, "shape": array.shape, "dtype": array.dtype.str, "crc": zlib.crc32(_bytes(array))}
        for name, array in entry.arrays.items()
    ]
    described = json.dumps({"key": key, "described": entry.described, "arrays": arrays}).encode()
    head = _HEAD.pack(_MARK, len(described), zlib.crc32(described))
    return [head, described, *(_bytes(array) for array in entry.arrays.values())]


def _read(file: BinaryIO, key: str, take: Callable[[dict[str, Any]], dict[str, NDArray[Any]]]) -> dict[str, Any] | None:
    head = file.read(_HEAD.size)
    if len(head) != _HEAD.size:
        raise _DamagedError
    mark, length, crc = _HEAD.unpack(head)
    if mark != _MARK or length > _MOST_DESCRIBED:
        raise _DamagedError
    text = file.read(length)
    if len(text) != length or zlib.crc32(text) != crc:
        raise _DamagedError
    found: dict[str, Any] = json.loads(text)
    if found["key"] != key:
        raise _DamagedError
    arrays = take(found)
    for one in found["arrays"]:
        memory = _bytes(arrays[one["key"]])
        if file.readinto(memory) != len(memory) or zlib.crc32(memory) != one["crc"]:  # type: ignore[attr-defined]
            raise _DamagedError
    if file.read(1):
        raise _DamagedError
    described: dict[str, Any] = found["described"]
    return described


def _bytes(array: NDArray[Any]) -> memoryview:
    flat: Any = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return memoryview(flat)
