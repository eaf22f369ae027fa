"""A folder of results, in which a file is either complete and on the disk, or absent."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING, BinaryIO

from vlmres.cli.jobs.lock import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vlmres.cli.jobs.lock import Lock

MANIFEST = "manifest.json"

_SHARD = re.compile(r"shard-\d{5,}\.safetensors", re.ASCII)
_TEMPORARY = re.compile(r"\.(shard-\d{5,}\.safetensors|manifest\.json)\.[0-9a-f]+\.vlmres-tmp", re.ASCII)
# Links are not followed: another user could have placed one.
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Folder:
    """The folder of a run. Its contents change only inside `locked`.

    Args:
        path: It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: Lock | None = None

    @contextlib.contextmanager
    def locked(self, command: str, tell: Callable[[str], None]) -> Iterator[Lock]:
        """Creates and locks the folder, and removes files that killed runs left half-written.

        Raises:
            InUseError: Another run has it.
            OSError: It cannot be made, or written to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with locked(self.path, command, tell) as self._lock:
            try:
                self._remove_temporaries()
                yield self._lock
            finally:
                self._lock = None

    def shards(self) -> list[Path]:
        """The existing shards, in order."""
        return sorted(entry for entry in self.path.iterdir() if _SHARD.fullmatch(entry.name))

    def remove(self, name: str) -> None:
        """Removes a file if it is there."""
        (self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[BinaryIO]:
        """A file to write to. It replaces `name` once it is complete and on the disk, or it is removed.

        Raises:
            LostError: Another run has taken the folder over.
            OSError: It cannot be written, for example because the disk is full; `filename` is that of `name`.
        """
        assert self._lock is not None
        path = self.path / name
        temporary = path.with_name(f".{name}.{secrets.token_hex(8)}.vlmres-tmp")
        try:
            with os.fdopen(os.open(temporary, _FLAGS, 0o666), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            self._lock.check()
            os.replace(temporary, path)  # noqa: PTH105
        except BaseException as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno is not None:
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise
        _sync(self.path)

    def _remove_temporaries(self) -> None:
        for entry in self.path.iterdir():
            if _TEMPORARY.fullmatch(entry.name):
                entry.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
