"""What a `Loader` takes as an item: an image, or a sample with images or videos beside other things."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlmres.inputs.settings import settled

# Fields of a sample, by what they hold: one image or video, or a list of them.
_ONE = {"image": "images", "video": "videos"}
_MANY = frozenset(_ONE.values())
# Names of a WebDataset's fields end so. A file of a sample is "jpg", "cam0.jpg" or the like.
_EXTENSIONS = frozenset({"bmp", "gif", "jpeg", "jpg", "pbm", "pgm", "png", "ppm", "tif", "tiff", "webp"})
# What names a sample, the first that it has.
_KEYS = ("__key__", "key", "id", "url", "path", "file_name")
# An image as `datasets` and Parquet hold it.
_ENCODED = frozenset({"bytes", "path"})


@dataclass(frozen=True)
class Sample:
    """An item, taken apart."""

    key: str
    """What errors call it: its number, and its path or key where it has one."""
    images: list[Any]
    videos: list[Any]
    rest: Any
    """What is no image: a dict, or None where the item is nothing else than an image or a list of images."""
    is_plain: bool
    """Whether the item is an image, rather than a sample of any number of them."""


def as_sample(item: Any, number: int) -> Sample:
    """An item taken apart.

    Raises:
        TypeError: A sample has no field of images or videos.
    """
    if hasattr(item, "as_py"):  # an Arrow scalar
        item = item.as_py()
    image = _encoded(item)
    if image is not None:
        return Sample(_key(number, image), [image], [], None, is_plain=True)
    if isinstance(item, Mapping):
        return _of_fields(item, number)
    if isinstance(item, (list, tuple)) and settled(item) is None:
        return Sample(_key(number, item[0] if item else None), list(item), [], None, is_plain=False)
    return Sample(_key(number, item), [item], [], None, is_plain=True)


def key_of(item: Any, number: int) -> str:
    """What errors call an item that cannot be taken apart."""
    named = isinstance(item, Mapping) and next((item[name] for name in _KEYS if name in item), None)
    return _key(number, named or None)


def _of_fields(item: Mapping[str, Any], number: int) -> Sample:
    found: dict[str, list[Any]] = {"images": [], "videos": []}
    rest = {}
    known = False
    for name, value in item.items():
        kind = _ONE.get(name) or (name if name in _MANY else None) or ("images" if _is_file(name) else None)
        if kind is None:
            rest[name] = value
            continue
        known = True
        if value is None:
            continue
        values = value if name in _MANY else [value]
        found[kind].extend(_image(one) for one in values)
    if not known:
        names = ", ".join(map(repr, item))
        raise TypeError(
            f"a sample has a field 'image', 'images', 'video' or 'videos' (None or [] where it has none), or one whose "
            f"name ends as that of an image file, such as 'jpg'; got {names}"
        )
    named = next((item[name] for name in _KEYS if name in item), None)
    if named is None:
        named = next(iter(found["images"]), None)
    return Sample(_key(number, named), found["images"], found["videos"], rest, is_plain=False)


def _image(value: Any) -> Any:
    image = _encoded(value)
    return value if image is None else image


def _encoded(value: Any) -> Any:
    """The bytes or the path of an image as `datasets` holds it, None of anything else."""
    if not isinstance(value, Mapping) or not value or not _ENCODED.issuperset(value):
        return None
    image = value.get("bytes")
    return value.get("path") if image is None else image


def _is_file(name: Any) -> bool:
    return isinstance(name, str) and name.rpartition(".")[2].lower() in _EXTENSIONS


def _key(number: int, named: Any) -> str:
    if isinstance(named, (str, os.PathLike)):
        return f"{number} ({os.fspath(named)!s})"
    return str(number) if named is None or not isinstance(named, int) else f"{number} ({named})"


def as_items(items: Any) -> Any:
    """Items as a sequence or an iterable: rows of an Arrow table are dicts.

    Raises:
        TypeError: It is one image, or nothing that holds items.
    """
    if isinstance(items, (str, bytes, os.PathLike, Mapping)):
        raise TypeError(f"items are a sequence or an iterable of images or samples, got {type(items).__qualname__}")
    if hasattr(items, "to_batches") and hasattr(items, "column_names"):
        return _Rows(items)
    if not hasattr(items, "__getitem__") and not hasattr(items, "__iter__"):
        raise TypeError(f"items are a sequence or an iterable of images or samples, got {type(items).__qualname__}")
    return items


def is_sequence(items: Any) -> bool:
    """Whether items have numbers and a count, so that they can be taken in any order."""
    return hasattr(items, "__getitem__") and hasattr(items, "__len__")


class _Rows(Sequence[Any]):
    """Rows of an Arrow table."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, index: Any) -> Any:
        return self._table.slice(index, 1).to_pylist()[0]
