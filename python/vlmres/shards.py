"""Reading back what `vlmres process` and `vlmres encode` have written."""

from __future__ import annotations

import functools
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import VlmresError

if TYPE_CHECKING:
    import datasets
    import torch
    from numpy.typing import NDArray

_MANIFEST = "manifest.json"
# A manifest has a few hundred bytes for each image; a header of a shard is shorter.
_MOST_JSON = 8 << 30
_MOST_HEADER = 1 << 30

# Types of safetensors by name, as numpy has them; bfloat16 as its bits.
_TYPES = {"I64": "i8", "F32": "f4", "I32": "i4", "BF16": "u2", "F16": "f2", "U8": "u1", "BOOL": "?"}

# Shards whose files stay mapped.
_MAPPED = 64


class ShardImage(Mapping[str, Any]):
    """The tensors of one image by key: arrays over the shard's mapped file, read on access.

    They equal those of a call with this image alone, except for padding to other images of its shard. bfloat16 values
    are uint16 arrays of their bits.
    """

    def __init__(self, entry: Mapping[str, Any], shard: _Shard) -> None:
        self._entry = entry
        self._shard = shard

    @property
    def path(self) -> str:
        """The image file."""
        return str(self._entry["path"])

    @property
    def info(self) -> dict[str, Any]:
        """Its row of the manifest: path, shard, index, counts, rows."""
        return dict(self._entry)

    def __getitem__(self, key: str) -> NDArray[Any]:
        rows = self._entry["rows"]
        if key not in rows:
            raise KeyError(f"{key!r}; this image has {', '.join(rows)}")
        start, end = rows[key]
        array = self._shard.tensor(key)
        if not 0 <= start <= end <= len(array):
            raise VlmresError(f"rows {start} to {end} of {key!r} are not in {self._shard.path}")
        part: NDArray[Any] = array[start:end]
        if key == "cu_seqlens":
            part = part - part[0]
        if key == "image_index":
            part = np.zeros_like(part)
        return part

    def __iter__(self) -> Iterator[str]:
        return iter(self._entry["rows"])

    def __len__(self) -> int:
        return len(self._entry["rows"])

    def __repr__(self) -> str:
        return f"ShardImage({self.path!r}, {', '.join(self)})"

    def torch(self) -> dict[str, torch.Tensor]:
        """Copies of all tensors as torch tensors, bfloat16 included."""
        import torch

        def convert(key: str) -> torch.Tensor:
            array = np.array(self[key])
            if self._shard.is_bfloat16(key):
                return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
            return torch.from_numpy(array)

        return {key: convert(key) for key in self}


class _Shard:
    """A safetensors file, mapped on first access."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @functools.cached_property
    def _content(self) -> tuple[dict[str, Any], NDArray[np.uint8]]:
        data = np.memmap(self.path, dtype=np.uint8, mode="r")
        if len(data) < 8:
            raise VlmresError(f"{self.path} is not a shard: it has {len(data)} bytes")
        (length,) = struct.unpack("<Q", data[:8].tobytes())
        if length > min(_MOST_HEADER, len(data) - 8):
            raise VlmresError(f"{self.path} is not a shard, or is cut: its header has {length:,} bytes")
        try:
            header = json.loads(data[8 : 8 + length].tobytes())
        except (ValueError, RecursionError):
            raise VlmresError(f"{self.path} is not a shard: its header is no JSON") from None
        return header, data[8 + length :]

    def tensor(self, key: str) -> NDArray[Any]:
        """An array over the file."""
        header, data = self._content
        try:
            said = header[key]
            dtype, shape, (start, end) = np.dtype(_TYPES[said["dtype"]]), said["shape"], said["data_offsets"]
            array: NDArray[Any] = data[start:end].view(dtype).reshape(shape)
        except (KeyError, TypeError, ValueError) as error:
            raise VlmresError(f"{self.path} has no tensor {key!r} that can be read: {error}") from None
        return array

    def is_bfloat16(self, key: str) -> bool:
        return bool(self._content[0][key]["dtype"] == "BF16")


class Shards(Sequence[ShardImage]):
    """The images of a folder of shards, in the order of its manifest. Make one with `vlmres.open_shards`.

    Images are found by number or by path: `shards[3]` or `shards["/data/page.png"]`. Images that failed are only in
    `errors`.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = dict(manifest["settings"])
        """The settings of the run: recipe, parameters, layout, dtype, arithmetic."""
        images = manifest["images"]
        self.errors: dict[str, str] = {image["path"]: image["error"] for image in images if "error" in image}
        """The errors of images that failed, by path."""
        self._images = [image for image in images if "error" not in image]
        self._numbers = {image["path"]: number for number, image in enumerate(self._images)}
        self._shard = functools.lru_cache(maxsize=_MAPPED)(self._open)

    def _open(self, name: str) -> _Shard:
        return _Shard(self.folder / name)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_shard"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._shard = functools.lru_cache(maxsize=_MAPPED)(self._open)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return [self[number] for number in range(*which.indices(len(self)))]
        if isinstance(which, (str, os.PathLike)):
            path = os.path.abspath(which)  # noqa: PTH100 - resolve() would follow links
            if path in self.errors:
                raise VlmresError(f"{path} failed: {self.errors[path]}")
            if path not in self._numbers:
                raise KeyError(f"{path} is not in {self.folder}")
            which = self._numbers[path]
        entry = self._images[which]
        return ShardImage(entry, self._shard(entry["shard"]))

    def __contains__(self, path: object) -> bool:
        return isinstance(path, (str, os.PathLike)) and os.path.abspath(path) in self._numbers  # noqa: PTH100

    def __repr__(self) -> str:
        return f"Shards({str(self.folder)!r}, {len(self)} images, {len(self.errors)} failed)"

    @property
    def paths(self) -> list[str]:
        """Absolute paths of the images, in order."""
        return [image["path"] for image in self._images]

    def to_dataset(self, keys: Sequence[str] | None = None) -> datasets.IterableDataset:
        """The images as an `IterableDataset` of `datasets`, whose workers share the shards.

        Args:
            keys: Tensors of each row; by default all. Each row has the image's path, too. bfloat16 becomes float32.

        Raises:
            ImportError: `datasets` is not installed.
        """
        from datasets import IterableDataset

        names = list(dict.fromkeys(image["shard"] for image in self._images))
        return IterableDataset.from_generator(
            _rows, gen_kwargs={"shards": self, "names": names, "keys": tuple(keys or ())}
        )


def _rows(shards: Shards, names: list[str], keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    wanted = set(names)
    for number in range(len(shards)):
        image = shards[number]
        if image.info["shard"] in wanted:
            yield {"path": image.path, **{key: _plain(image, key) for key in keys or image}}


def _plain(image: ShardImage, key: str) -> NDArray[Any]:
    array = image[key]
    if not image._shard.is_bfloat16(key):
        return array
    return (array.astype(np.uint32) << 16).view(np.float32)


def open_shards(folder: str | os.PathLike[str]) -> Shards:
    """Opens the images that `vlmres process` or `vlmres encode` has written to a folder; each is read on access.

    Args:
        folder: The folder of a finished run.

    Raises:
        VlmresError: The folder has no manifest of a finished run.
        OSError: It cannot be read.
    """
    place = Path(folder)
    path = place / _MANIFEST
    if place.is_dir() and not path.exists():
        raise VlmresError(f"{place} has no {_MANIFEST}: no run of vlmres has been finished there")
    if path.stat().st_size > _MOST_JSON:
        raise VlmresError(f"{path} has over {_MOST_JSON:,} bytes")
    try:
        manifest = json.loads(path.read_bytes())
        _check(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise VlmresError(f"{path} is not a manifest of vlmres ({type(error).__name__})") from None
    return Shards(place, manifest)


def _check(manifest: Any) -> None:
    """Raises if a library that the reader needs is missing."""
    dict(manifest["settings"])
    for image in manifest["images"]:
        if not isinstance(image["path"], str):
            raise TypeError
        if "error" not in image:
            # A shard's name and no path: nothing outside of the folder is read.
            if Path(image["shard"]).name != image["shard"]:
                raise ValueError
            for start, end in image["rows"].values():
                if type(start) is not int or type(end) is not int:
                    raise TypeError
