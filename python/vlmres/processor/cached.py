"""Calls of a `Processor` with a cache: the key of a call, and the batch stored under it."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vlmres import profiling
from vlmres._core import Source, build_info, plan
from vlmres.batch import Batch
from vlmres.cache import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    from vlmres._core import Plan, Recipe
    from vlmres.cache import Cache
    from vlmres.inputs import Hidden

    Outputs: TypeAlias = Callable[[Sequence[tuple[str, list[int]]]], dict[str, NDArray[Any]]]
    """A function from the keys and shapes of tensors of pixel values to memory for them."""


class KnownBy(NamedTuple):
    """Settings of a `Processor`, beside its recipe, that change a value or decide which images are refused."""

    layout: str
    dtype: str
    backend: tuple[str, int]
    decoder: str
    decode: str
    alpha: str
    gray16: str
    limits: tuple[int | None, ...]


class Kept:
    """A call whose images have known content, and so a key."""

    def __init__(
        self,
        cache: Cache,
        key: str,
        loaded: Sequence[Any],
        states: Sequence[tuple[int, ...] | None],
        recipes: Sequence[Recipe],
        counts: Sequence[int],
        dtype: str,
    ) -> None:
        self._cache = cache
        self._key = key
        self._loaded = loaded
        self._states = states
        self._recipes = recipes
        self._counts = counts
        self._dtype = dtype

    @classmethod
    def of(
        cls,
        cache: Cache,
        settings: KnownBy,
        recipe: Recipe,
        loaded: Sequence[Any],
        samples: Sequence[int] | None,
        recipes: Sequence[Recipe] | None,
    ) -> Kept | None:
        """The call, or None if the content of an image is not known."""
        states = _states(loaded)
        key = _content(settings, recipe, loaded, samples)
        if key is None:
            return None
        counts = [1] * len(loaded) if samples is None else [count for count in samples for _ in range(count)]
        own = recipes or [recipe] * len(loaded)
        return cls(cache, key, loaded, states, own, counts, settings.dtype)

    def batch(self, outputs: Outputs, hidden: Hidden) -> Batch | None:
        """The stored batch, with its pixel values in memory from `outputs`; None if there is none."""
        arrays: dict[str, NDArray[Any]] = {}

        def take(entry: dict[str, Any]) -> dict[str, NDArray[Any]]:
            values = entry["described"]["values"]
            memory = outputs([(one["key"], one["shape"]) for one in entry["arrays"] if one["key"] in values])
            for one in entry["arrays"]:
                array = memory.get(one["key"])
                if array is None:
                    array = np.empty(one["shape"], one["dtype"])
                elif array.shape != tuple(one["shape"]) or not array.flags.c_contiguous:
                    raise ValueError(f"memory for {one['key']!r} must be C-contiguous, of shape {tuple(one['shape'])}")
                arrays[one["key"]] = array
            return arrays

        found = self._cache.get(self._key, take)
        if found is None:
            return None
        planned = zip(found["sizes"], self._recipes, self._counts, strict=True)
        plans: list[Plan | None] = [plan(tuple(size), recipe, count) for size, recipe, count in planned]
        hidden.tell(found["is_dark"])
        profiling.note_cached()
        return Batch(arrays, plans, {}, values=frozenset(found["values"]), dtype=self._dtype)

    def keep(self, batch: Batch, *, is_dark: bool) -> None:
        """Stores the batch, unless a file has changed since its content was read."""
        if _states(self._loaded) == self._states:
            sizes = [planned.size for planned in batch.plans if planned is not None]
            described = {"sizes": sizes, "values": sorted(batch._values), "is_dark": is_dark}
            self._cache.put(self._key, Entry(described, batch._arrays))


def _content(settings: KnownBy, recipe: Recipe, loaded: Sequence[Any], samples: Sequence[int] | None) -> str | None:
    """The key of a call: a hash of all that determines its tensors, as 64 hexadecimal digits.

    None if the content of an image is not known in advance: a page of a document, an opened file, an image with
    settings of its own, or a file that cannot be read.
    """
    versions = (build_info()["version"], None if settings.decoder == "native" else _pillow())
    counts = None if samples is None else list(samples)
    digest = hashlib.sha256(repr((versions, recipe.to_toml(), settings, counts)).encode())
    for item in loaded:
        image, own = item if isinstance(item, tuple) else (item, None)
        if own is not None:
            if not hasattr(own, "to_toml"):  # a plan
                return None
            digest.update(own.to_toml().encode())
        if not _add(digest, image, settings.backend[0]):
            return None
    return digest.hexdigest()


def _add(digest: Any, image: Any, backend: str) -> bool:
    """Adds an image's content, preceded by its length, to the hash. Returns whether the content is known."""
    if isinstance(image, str):
        path = Path(image)
        try:
            if not path.is_file():
                return False
            with path.open("rb") as file:
                digest.update(b"file %d " % os.fstat(file.fileno()).st_size)
                while piece := file.read(1 << 20):
                    digest.update(piece)
        except OSError:
            return False
    elif isinstance(image, bytes):
        digest.update(b"file %d " % len(image))
        digest.update(image)
    elif isinstance(image, Source):
        pixels: Any = image.to_array(backend)
        digest.update(b"pixels %d %d " % image.size)
        digest.update(memoryview(pixels.reshape(-1)))
    else:
        return False
    return True


def _states(items: Sequence[Any]) -> list[tuple[int, ...] | None]:
    """For every item that is a path, metadata that change when the file changes."""
    return [_state(item[0] if isinstance(item, tuple) else item) for item in items]


def _state(image: Any) -> tuple[int, ...] | None:
    if not isinstance(image, str):
        return None
    try:
        status = Path(image).stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _pillow() -> str | None:
    """The version of the installed Pillow, if any."""
    try:
        return version("pillow")
    except PackageNotFoundError:
        return None
