"""Shards: safetensors files that record the inputs and settings they were made from."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from vlmres.cli.items import Item

# One key, because the format does not keep the order of several.
_METADATA = "vlmres"

# The format's type names, in its order of tensors: the widest type first, so that all are aligned.
_TYPES = {
    "int64": "I64",
    "float32": "F32",
    "int32": "I32",
    "bfloat16": "BF16",
    "float16": "F16",
    "uint8": "U8",
    "bool": "BOOL",
}


class Input(NamedTuple):
    """The state of a file, or of a page of it, when a run read it."""

    path: str
    """The absolute path, followed by the number of the page."""
    stamp: str
    """Changes when the file does."""

    @classmethod
    def of(cls, item: Item) -> Input:
        """The file's current state, with its absolute path."""
        try:
            found = item.path.stat()
        except OSError:
            return cls(item.name, "missing")
        # A change of permissions does not change the time of modification.
        readable = "" if os.access(item.path, os.R_OK) else ":unreadable"
        return cls(item.name, f"{found.st_size}:{found.st_mtime_ns}{readable}")


class ForeignError(Exception):
    """A file has the name of a shard but was not written by vlmres."""


class Metadata(NamedTuple):
    """The record of a shard in its own file."""

    fingerprint: str
    """Hash of the inputs and settings that it was made from."""
    settings: dict[str, Any]
    images: list[dict[str, Any]]
    """The manifest's row of each image."""


def name(number: int) -> str:
    """A shard's file name."""
    return f"shard-{number:05d}.safetensors"


def fingerprint(inputs: Sequence[Input], settings: dict[str, Any]) -> str:
    """A hash that changes when the inputs or the settings do."""
    text = json.dumps([settings, [list(item) for item in inputs]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_metadata(path: Path) -> Metadata | None:
    """The record of a finished shard; None if there is not a shard, or it is damaged.

    Raises:
        ForeignError: The file belongs to another program, or was made to look like a shard.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ForeignError(path.name)
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(_METADATA)
    except (OSError, SafetensorError):
        return None
    try:
        found = json.loads(text or "null")
        json.dumps(found)  # it goes into the manifest
    except (ValueError, RecursionError):
        found = None
    if not _is_metadata(found):
        raise ForeignError(path.name)
    return Metadata(found["fingerprint"], found["settings"], found["images"])


def _is_metadata(found: Any) -> bool:
    """Whether the record has all fields that are read, with their types."""
    return (
        isinstance(found, dict)
        and isinstance(found.get("fingerprint"), str)
        and isinstance(found.get("settings"), dict)
        and isinstance(found["settings"].get("params", {}), dict)
        and isinstance(found.get("images"), list)
        and all(
            isinstance(image, dict)
            and isinstance(image.get("path"), str)
            and isinstance(image.get("tokens", 0), int)
            and isinstance(image.get("error", ""), str)
            for image in found["images"]
        )
    )


def write(file: BinaryIO, arrays: Mapping[str, NDArray[Any]], dtype: str, metadata: Metadata) -> None:
    """Writes arrays as safetensors, each directly from its memory.

    The bytes are those of `safetensors.serialize`, which would hold them all in memory twice more; its `serialize_file`
    writes a temporary file of its own, readable by its user alone, which stays behind when the process is killed.

    Args:
        file: Where to.
        arrays: Arrays by name. uint16 arrays hold the bits of `dtype`, if numpy lacks that type.
        dtype: Name of a numpy type, or bfloat16.
        metadata: What the shard says of itself.
    """
    types = {key: dtype if array.dtype.name == "uint16" else array.dtype.name for key, array in arrays.items()}
    order = list(_TYPES)
    keys = sorted(arrays, key=lambda key: (order.index(types[key]), key))
    header: dict[str, Any] = {"__metadata__": {_METADATA: json.dumps(metadata._asdict())}}
    end = 0
    for key in keys:
        start, end = end, end + arrays[key].nbytes
        header[key] = {"dtype": _TYPES[types[key]], "shape": list(arrays[key].shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)
    for key in keys:
        file.write(arrays[key].reshape(-1).view(np.uint8).data)
