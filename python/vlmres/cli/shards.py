"""Shards: safetensors files that are whole or absent, and say what they were made of."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors import SafetensorError, TensorSpec, safe_open, serialize_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MANIFEST = "manifest.json"

# One key, because the format keeps no order of several.
_METADATA = "vlmres"

_SHARD = re.compile(r"shard-\d{5,}\.safetensors")
_TEMPORARY = re.compile(r"\..+\.(\d+)\.vlmres-tmp", re.ASCII)


class Input(NamedTuple):
    """A file as it was when a run looked at it."""

    path: str
    """Absolute."""
    stamp: str
    """Changes when the file does."""

    @classmethod
    def of(cls, path: Path) -> Input:
        """The file's state now."""
        absolute = os.path.abspath(path)  # noqa: PTH100 - resolve() would follow links
        try:
            found = os.stat(absolute)  # noqa: PTH116
        except OSError:
            return cls(absolute, "missing")
        # A change of permissions leaves the time of modification alone.
        readable = "" if os.access(absolute, os.R_OK) else ":unreadable"
        return cls(absolute, f"{found.st_size}:{found.st_mtime_ns}{readable}")


def name(number: int) -> str:
    """A shard's file name."""
    return f"shard-{number:05d}.safetensors"


def fingerprint(inputs: Sequence[Input], settings: dict[str, Any]) -> str:
    """A hash that changes when the inputs or the settings do."""
    text = json.dumps([settings, [list(item) for item in inputs]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_metadata(path: Path) -> dict[str, Any] | None:
    """What a finished shard says of itself; None where there is none, or a damaged or foreign file."""
    try:
        with safe_open(path, "numpy") as file:
            found: dict[str, Any] = json.loads((file.metadata() or {})[_METADATA])
    except (OSError, SafetensorError, ValueError, KeyError):
        return None
    return found


def write_shard(path: Path, arrays: Mapping[str, NDArray[Any]], dtype: str, metadata: dict[str, Any]) -> int:
    """Writes arrays as safetensors, each straight from its memory; returns the bytes of the file.

    Those of uint16 are bits of values of `dtype`, which numpy does not have.
    """
    tensors = {
        key: TensorSpec(
            dtype=dtype if array.dtype.name == "uint16" else array.dtype.name,
            shape=list(array.shape),
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for key, array in arrays.items()
    }
    with replacing(path) as temporary:
        serialize_file(tensors, temporary, {_METADATA: json.dumps(metadata)})
    return path.stat().st_size


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` once it is whole and on the disk, or leaves no trace."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.vlmres-tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporaries(folder: Path) -> None:
    """Removes what runs that were killed left half-written, and nothing that another run is writing.

    To be called while this process writes nothing to the folder.
    """
    for entry in folder.iterdir():
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not _is_other_process(int(match[1])):
            entry.unlink(missing_ok=True)


def _is_other_process(pid: int) -> bool:
    """Whether a process other than this one runs, or may run, under the number."""
    if pid == os.getpid():
        # Left by an earlier run of the same number, as in a container, where every run may be process 1.
        return False
    if os.name == "nt":
        # os.kill(pid, 0) sends Ctrl+C there. A file that is left behind costs space, a file taken away costs a run.
        return True
    try:
        os.kill(pid, 0)
    except PermissionError:  # another user's
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def shard_files(folder: Path) -> list[Path]:
    """The shards in a folder, in order."""
    return sorted(entry for entry in folder.iterdir() if _SHARD.fullmatch(entry.name))
