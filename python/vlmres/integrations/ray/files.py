"""Finished parts in a folder that all nodes share, and the manifest that says which they are."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["parquet", "safetensors"]

SETTINGS = "settings.json"
MANIFEST = "manifest.json"
_PARTS = "part-*."
_TEMPORARY = ".vlmres-tmp"


def open_folder(path: str, settings: dict[str, Any]) -> None:
    """Creates the folder of a run with these settings, or finds the results of such a run.

    Raises:
        ValueError: The folder holds results of other settings.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(settings, indent=1, sort_keys=True)
    known = folder / SETTINGS
    if known.exists():
        found = json.loads(known.read_text(encoding="utf-8"))
        wanted = json.loads(text)
        changed = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        if changed:
            key = min(changed)
            raise ValueError(
                f"{path} holds results with {key} {found.get(key)!r}, not {wanted.get(key)!r}: choose another folder"
            )
    else:
        _put(known, text)
    for left in folder.glob(f"*{_TEMPORARY}"):
        left.unlink(missing_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)


def finished(path: str, format: Format) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The manifest's rows of the existing parts, and how often each image's id is in them."""
    parts, ids = [], Counter[str]()
    for file in sorted(Path(path).glob(f"{_PARTS}{format}")):
        names, failed, tokens = _read_ids(file, format)
        ids.update(names)
        parts.append({"file": file.name, "images": len(names), "failed": failed, "tokens": tokens})
    return parts, ids


def write_part(path: str, name: str, table: pa.Table, format: Format, dtype: str) -> dict[str, Any]:
    """Writes a part, whole or not at all, and returns its row of the manifest."""
    target = Path(path, f"part-{name}.{format}")
    with _replacing(target) as file:
        if format == "parquet":
            pq.write_table(table, file, compression="zstd", compression_level=1)
        else:
            _write_safetensors(file, name, table, dtype)
    return describe(target.name, table)


def describe(file: str, table: pa.Table) -> dict[str, Any]:
    """A part's row of the manifest."""
    tokens = sum(count or 0 for count in table["tokens"].to_pylist())
    return {
        "file": file,
        "images": table.num_rows,
        "failed": table.num_rows - table["error"].null_count,
        "tokens": tokens,
    }


def write_manifest(path: str, parts: list[dict[str, Any]], settings: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a finished folder."""
    manifest = {
        "settings": settings,
        "num_images": sum(part["images"] - part["failed"] for part in parts),
        "num_failed": sum(part["failed"] for part in parts),
        "num_tokens": sum(part["tokens"] for part in parts),
        "parts": sorted(parts, key=lambda part: str(part["file"])),
    }
    _put(Path(path, MANIFEST), json.dumps(manifest, indent=1))
    return manifest


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it is complete and on the disk."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_TEMPORARY}")
    with temporary.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)


def _put(target: Path, text: str) -> None:
    with _replacing(target) as file:
        file.write(text.encode())


def _write_safetensors(file: BinaryIO, name: str, table: pa.Table, dtype: str) -> None:
    """A shard as `vlmres process` writes it: arrays of all images in order, and the other columns as metadata.

    Where each image's rows start is in "KEY.bounds".
    """
    from vlmres.cli.jobs import shards

    arrays: dict[str, Any] = {}
    images: dict[str, list[Any]] = {}
    for key in table.column_names:
        column = table[key].combine_chunks()
        if not (pa.types.is_large_list(column.type) and pa.types.is_fixed_size_list(column.type.value_type)):
            images[key] = column.to_pylist()
            continue
        counts = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        values = column.flatten()
        arrays[key] = np.asarray(values.flatten()).reshape(-1, values.type.list_size)
        arrays[f"{key}.bounds"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    described = [dict(zip(images, row, strict=True)) for row in zip(*images.values(), strict=True)]
    shards.write(file, arrays, dtype, shards.Metadata(name, {}, described))


def _read_ids(file: Path, format: Format) -> tuple[list[str], int, int]:
    """Ids of a part's images, how many failed, and their tokens."""
    if format == "parquet":
        images = pq.read_table(file, columns=["image_id", "error", "tokens"]).to_pylist()
    else:
        from safetensors import safe_open

        with safe_open(file, "numpy") as opened:
            images = json.loads(opened.metadata()["vlmres"])["images"]
    errors = sum(image["error"] is not None for image in images)
    return [image["image_id"] for image in images], errors, sum(image["tokens"] or 0 for image in images)
