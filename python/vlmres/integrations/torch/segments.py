"""Shared memory of a worker process, which its consumer maps.

A segment is a file without a name: it is gone when the last process that has it is gone, however that ends, and
/dev/shm has no part in it. Its window of addresses is far larger than what it holds; memory is only handed out once the
system has given it (`posix_fallocate`), so that none is missing when it is written (SIGBUS).
"""

from __future__ import annotations

import mmap
import os
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Addresses of a segment, in each process.
WINDOW = 1 << 36
# The first page says whether the consumer uses the segment; what follows is the batch's.
HEADER = 4096
# A segment grows by whole pieces, and tensors begin at lines.
_PIECE = 2 << 20
_LINE = 64

FREE, USED = 0, 1


def is_supported() -> bool:
    """Whether the system has such files."""
    return hasattr(os, "memfd_create") and hasattr(os, "posix_fallocate")


class Segment:
    """One that this process writes, a batch at a time."""

    def __init__(self, number: int | None) -> None:
        """Makes an empty one: a slot that is used again and has a number, or one for a single batch.

        Raises:
            OSError: The system has no memory, descriptor or addresses for it.
        """
        self.number = number
        self.is_sent = False
        """Whether the consumer has been given it."""
        self.fd = os.memfd_create("vlmres", os.MFD_CLOEXEC)
        try:
            os.ftruncate(self.fd, WINDOW)
            self._held = 0
            self._hold(HEADER)
            self._map = mmap.mmap(self.fd, WINDOW)
        except BaseException:
            os.close(self.fd)
            raise
        self._whole = np.frombuffer(self._map, np.uint8)
        self._batch: weakref.ref[NDArray[np.uint8]] | None = None

    def is_free(self) -> bool:
        """Whether nobody uses its memory: neither the consumer nor this process, which may keep a tensor."""
        return self._whole[0] == FREE and (self._batch is None or self._batch() is None)

    def begin(self) -> Space:
        """Memory for a batch, nothing of which is taken."""
        owner = np.frombuffer(self._map, np.uint8)
        self._batch = weakref.ref(owner)
        return Space(self, owner)

    def hold(self, end: int) -> bool:
        """Whether there is memory for this many bytes from the beginning on."""
        try:
            self._hold(end)
        except OSError:
            return False
        return True

    def _hold(self, end: int) -> None:
        if end > WINDOW:
            raise OSError(f"{end:,} bytes are over a segment's {WINDOW:,}")
        if end > self._held:
            wanted = end if end == HEADER else -(-end // _PIECE) * _PIECE
            os.posix_fallocate(self.fd, self._held, wanted - self._held)
            self._held = wanted

    @property
    def held(self) -> int:
        """Bytes that it has memory for."""
        return self._held

    def send(self) -> None:
        """Notes that the consumer gets its batch."""
        self._whole[0] = USED

    def close(self) -> None:
        """Forgets it; memory that is in use stays."""
        os.close(self.fd)
        del self._whole, self._map


class Space:
    """A batch's part of a segment, taken from its beginning on."""

    def __init__(self, segment: Segment, owner: NDArray[np.uint8]) -> None:
        self.segment = segment
        self._owner = owner
        self._end = HEADER
        self.missed = 0
        """Bytes that there was no memory for."""

    @property
    def address(self) -> int:
        """Where the segment begins."""
        return int(self._owner.ctypes.data)

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it is taken."""
        return self._end == HEADER

    def take(self, nbytes: int) -> int | None:
        """Where so many bytes begin, None where there is no memory for them."""
        start = -(-self._end // _LINE) * _LINE
        if not self.segment.hold(start + nbytes):
            self.missed += nbytes
            return None
        self._end = start + nbytes
        return start

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """An array that holds nothing of meaning, None where there is no memory for it."""
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        start = self.take(nbytes)
        return None if start is None else np.ndarray(shape, dtype, buffer=self._owner, offset=start)

    def place(self, address: int, nbytes: int) -> int | None:
        """Where memory at an address is in the segment, None where it is somewhere else."""
        start = address - self.address
        return start if start >= HEADER and start + nbytes <= self._end else None


class Alive:
    """A pipe that tells the consumer when this process is gone."""

    def __init__(self) -> None:
        self.fd, self._held = os.pipe()
