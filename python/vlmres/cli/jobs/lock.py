"""One run at a time in a folder, whichever host it is on.

The lock is a file that holds a record of its owner and an operating system's lock, which ends with the process. The
record covers what that lock cannot: a shared volume may have no locks, or locks of one host only, so that a file that
is not locked may belong to a run on another host. The owner touches the file every few seconds. A run that finds
another host's record watches the file for some time before it takes the folder over.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import secrets
import socket
import stat
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = ".vlmres.lock"

# Seconds between two touches of the file, and after which a run on another host counts as dead.
_BEAT = 5.0
_PATIENCE = 20.0

_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_MOST_BYTES = 1 << 16
# Errors of a volume without locks.
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


class InUseError(Exception):
    """Another run works in the folder."""


class LostError(Exception):
    """Another run has taken the lock, or its file is gone."""


class Lock:
    """A folder that is locked by this run. Made by `locked`.

    Attributes:
        unfinished: Numbers of the shards that the previous run was writing when it died, if it did.
    """

    def __init__(self, folder: Path, command: str, tell: Callable[[str], None]) -> None:
        self._path = folder / NAME
        self._mutex = threading.Lock()
        self._over = threading.Event()
        self._record: dict[str, Any] = {
            "command": command,
            "host": socket.gethostname(),
            "machine": _machine(),
            "process": os.getpid(),
            "since": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "token": secrets.token_hex(16),
            "shards": [],
        }
        self._handle, self.unfinished = self._take(tell)
        self._beat = threading.Thread(target=self._touch, name="vlmres-lock", daemon=True)
        self._beat.start()

    def begin(self, shard: int) -> None:
        """Records that a shard is being written, for the next run if this one dies."""
        with self._mutex:
            self._record["shards"].append(shard)
            self._write(self._handle)

    def end(self, shard: int) -> None:
        """Records that a shard is finished."""
        with self._mutex:
            self._record["shards"].remove(shard)
            self._write(self._handle)

    def check(self) -> None:
        """Checks that no other run has taken the folder over, which happens if this run seemed dead.

        Raises:
            LostError: Another run has, or the file was removed.
        """
        with self._mutex:
            try:
                found = _read(self._path)
            except FileNotFoundError:
                found = {}
        if found.get("token") != self._record["token"]:
            by = f"taken over by {_name(found)}" if found else "no longer locked by this run"
            raise LostError(f"the folder is {by}, so that nothing more is written")

    def release(self) -> None:
        """Releases the lock and removes its file."""
        self._over.set()
        self._beat.join()
        with contextlib.suppress(LostError, OSError):
            self.check()
            if sys.platform != "win32":  # on systems where an open file cannot be removed
                self._path.unlink(missing_ok=True)
        os.close(self._handle)
        if sys.platform == "win32":
            with contextlib.suppress(OSError):  # another run has opened it
                self._path.unlink(missing_ok=True)

    def _take(self, tell: Callable[[str], None]) -> tuple[int, list[int]]:
        while True:
            try:
                handle, is_new = self._open()
            except FileNotFoundError:  # it was removed meanwhile
                continue
            try:
                unfinished = self._claim(handle, tell, is_new=is_new)
            except BaseException:
                os.close(handle)
                raise
            if unfinished is not None:
                return handle, unfinished
            os.close(handle)

    def _open(self) -> tuple[int, bool]:
        """The file, and whether this run created it."""
        try:
            return os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            return os.open(self._path, _FLAGS), False

    def _claim(self, handle: int, tell: Callable[[str], None], *, is_new: bool) -> list[int] | None:
        """The unfinished shards of the previous run; None if the file was replaced meanwhile."""
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(self._path))
        is_locked = _lock(handle)
        before = {} if is_new else self._present()
        if is_locked is False:
            raise InUseError(_name(before))
        if not self._is_current(handle):
            return None
        # A free lock says nothing of other hosts. An empty file is from a run that died immediately.
        here = os.fstat(handle).st_size == 0 or before.get("machine") == self._record["machine"]
        if not is_new and not (is_locked and here):
            self._watch(before, tell)
        try:
            self._write(handle)
            os.fsync(handle)
        except OSError:
            if is_new:
                self._path.unlink(missing_ok=True)
            raise
        shards = before.get("shards")
        return [number for number in shards if type(number) is int] if isinstance(shards, list) else []

    def _present(self) -> dict[str, Any]:
        try:
            return _read(self._path)
        except FileNotFoundError:
            return {}

    def _is_current(self, handle: int) -> bool:
        try:
            return os.path.samestat(os.fstat(handle), os.stat(self._path, follow_symlinks=False))  # noqa: PTH116
        except FileNotFoundError:
            return False

    def _watch(self, record: dict[str, Any], tell: Callable[[str], None]) -> None:
        """Returns when the holder has shown no sign of life for long enough.

        Raises:
            InUseError: It has.
        """
        tell(f"locked by {_name(record)}; waiting {_PATIENCE:.0f} s to see whether that still runs")
        before = self._state()
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            time.sleep(min(1.0, _PATIENCE / 10))
            if self._state() != before:
                raise InUseError(_name(record))

    def _state(self) -> tuple[int, dict[str, Any]]:
        # Opened again, because a network file system asks the server then.
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(self._path, _FLAGS)
            try:
                return os.fstat(handle).st_mtime_ns, _read(self._path)
            finally:
                os.close(handle)
        return 0, {}

    def _write(self, handle: int) -> None:
        text = json.dumps(self._record).encode()
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, text)
        os.ftruncate(handle, len(text))

    def _touch(self) -> None:
        file: Any = self._handle if os.utime in os.supports_fd else self._path
        while not self._over.wait(_BEAT):
            with contextlib.suppress(OSError):
                os.utime(file)


@contextlib.contextmanager
def locked(folder: Path, command: str, tell: Callable[[str], None]) -> Iterator[Lock]:
    """Locks a folder for this run.

    Args:
        folder: An existing folder.
        command: The command that runs, for the message of another run.
        tell: Called with a message if it has to wait for a run on another host.

    Raises:
        InUseError: Another run works there; the text names it.
        OSError: The lock's file cannot be made, opened or written.
    """
    lock = Lock(folder, command, tell)
    try:
        yield lock
    finally:
        lock.release()


def _lock(handle: int) -> bool | None:
    """Locks the file. Returns False if another process holds it, and None if the volume has no locks."""
    try:
        if sys.platform == "win32":
            # A locked byte cannot be read, so the byte lies beyond the record.
            os.lseek(handle, _MOST_BYTES, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno in _UNSUPPORTED:
            return None
        raise
    return True


def _read(path: Path) -> dict[str, Any]:
    """The record in a lock's file; empty if there is no valid one."""
    handle = os.open(path, (_FLAGS & ~os.O_RDWR) | os.O_RDONLY)
    try:
        found = json.loads(os.read(handle, _MOST_BYTES))
    except (ValueError, RecursionError):
        return {}
    finally:
        os.close(handle)
    return found if isinstance(found, dict) else {}


def _name(record: dict[str, Any]) -> str:
    """The owner that a record names."""
    if not record:
        return "another run"
    command, process, host, since = (str(record.get(key))[:80] for key in ("command", "process", "host", "since"))
    return f"vlmres {command}, process {process} on {host}, since {since}"


def _machine() -> str:
    """An identifier of the running system: all its processes share it, in any container, and no other system has it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return socket.gethostname()
