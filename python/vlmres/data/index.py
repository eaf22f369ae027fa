"""Index files: sizes and tokens of images, so that their headers need not be read again.

`vlmres plan ... -o FILE` writes one, `Loader(sizes=FILE)` reads it. The ending of its name gives the format: .parquet,
.csv or .jsonl with a row for each image or page, or .npy with only widths and heights.
"""

from __future__ import annotations

import csv
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Writer: TypeAlias = Callable[[BinaryIO, dict[str, list[Any]]], None]

# Of every row; a page's number is from 0, and null of an image file. What could not be planned has nulls and an error.
COLUMNS: dict[str, Literal["text", "integer"]] = {
    "path": "text",
    "page": "integer",
    "width": "integer",
    "height": "integer",
    "tiles": "integer",
    "patches": "integer",
    "tokens": "integer",
    "error": "text",
}
_SIDES = ("width", "height")
# A row without a size, where there are no nulls.
_NONE = -1


def check_name(path: Path) -> None:
    """Refuses a name that does not say what the file is.

    Raises:
        ValueError: It has another ending.
    """
    if path.suffix not in _WRITERS:
        raise ValueError(f"an index ends in {', '.join(_WRITERS)}, got {path.name}")


def write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes rows with values of `COLUMNS`, whole or not at all; those that a row lacks are null.

    Raises:
        ValueError: The name says no format, or rows are pages and the format has no column for them.
        ModuleNotFoundError: pyarrow is needed, and not installed.
        OSError: It cannot be written.
    """
    check_name(path)
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.vlmres-tmp")
    try:
        with temporary.open("xb") as file:
            _WRITERS[path.suffix](file, columns)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sizes of an index's images, int64 (n, 2), and the bounds of its samples, which are one more than samples.

    A sample is an image file, or consecutive pages of one PDF file. A row without a size has no images.

    Raises:
        ValueError: It is no index.
        ModuleNotFoundError: pyarrow is needed, and not installed.
        OSError: It cannot be read.
    """
    check_name(path)
    if path.suffix == ".npy":
        sizes = np.load(path, allow_pickle=False)
        if sizes.ndim != 2 or sizes.shape[1] != 2 or sizes.dtype.kind not in "iu":
            raise ValueError(f"{path} has {sizes.dtype} of shape {sizes.shape}, not integers of shape (n, 2)")
        return _cut(sizes.astype(np.int64), None, None)
    table = _READERS[path.suffix](path)
    missing = [name for name in _SIDES if name not in table]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(table)}")
    sides = [
        np.array([_NONE if side in (None, "") else int(side) for side in table[name]], np.int64) for name in _SIDES
    ]
    return _cut(np.stack(sides, axis=1), table.get("path"), table.get("page"))


def _cut(
    sizes: NDArray[np.int64], paths: Sequence[Any] | None, pages: Sequence[Any] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.ones(len(sizes), bool)
    if paths is not None and pages is not None:
        numbers = [None if page in (None, "") else int(page) for page in pages]
        for row in range(1, len(sizes)):
            page, before = numbers[row], numbers[row - 1]
            starts[row] = page is None or before is None or page <= before or paths[row] != paths[row - 1]
    known = (sizes > 0).all(axis=1)
    firsts = np.append(np.flatnonzero(starts), len(sizes))
    return sizes[known], np.concatenate([[0], np.cumsum(known)])[firsts]


def _write_parquet(file: BinaryIO, columns: dict[str, list[Any]]) -> None:
    pa, pq = _pyarrow()
    kinds = {"text": pa.string(), "integer": pa.int64()}
    pq.write_table(pa.table({name: pa.array(columns[name], kinds[kind]) for name, kind in COLUMNS.items()}), file)


def _write_csv(file: BinaryIO, columns: dict[str, list[Any]]) -> None:
    import io

    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    text.detach()


def _write_jsonl(file: BinaryIO, columns: dict[str, list[Any]]) -> None:
    for values in zip(*columns.values(), strict=True):
        row = {name: value for name, value in zip(columns, values, strict=True) if value is not None}
        file.write(json.dumps(row).encode() + b"\n")


def _write_npy(file: BinaryIO, columns: dict[str, list[Any]]) -> None:
    if any(page is not None for page in columns["page"]):
        raise ValueError("a .npy file does not say which pages are of one PDF file: choose .parquet, .csv or .jsonl")
    sides = [[_NONE if side is None else side for side in columns[name]] for name in _SIDES]
    np.save(file, np.array(sides, np.int64).T.reshape(-1, 2), allow_pickle=False)


def _read_parquet(path: Path) -> dict[str, Sequence[Any]]:
    _, pq = _pyarrow()
    names = pq.read_schema(path).names
    if not set(_SIDES) <= set(names):
        return dict.fromkeys(names, ())
    table = pq.read_table(path, columns=[name for name in (*_SIDES, "path", "page") if name in names])
    return {name: table[name].to_pylist() for name in table.column_names}


def _read_csv(path: Path) -> dict[str, Sequence[Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        return dict(zip(names, zip(*reader, strict=True), strict=False)) or dict.fromkeys(names, ())


def _read_jsonl(path: Path) -> dict[str, Sequence[Any]]:
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    names = {name: None for row in rows for name in row}
    return {name: [row.get(name) for row in rows] for name in names}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ModuleNotFoundError("a .parquet index needs pyarrow: pip install pyarrow", name="pyarrow") from None
    return pyarrow, pyarrow.parquet


_WRITERS: dict[str, Writer] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_jsonl,
    ".npy": _write_npy,
}
_READERS: dict[str, Callable[[Path], dict[str, Sequence[Any]]]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}
