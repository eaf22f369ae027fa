"""Sizes of images before they are loaded, and the tokens that follow from them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import DecodeError, VlmresError, plan
from vlmres.data import index
from vlmres.data.samples import as_sample, key_of
from vlmres.documents import Document, beginning, is_document
from vlmres.inputs import CHANNELS
from vlmres.item_errors import with_index
from vlmres.planning import plan_many, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vlmres._core import Recipe
    from vlmres.data.samples import Sample
    from vlmres.inputs import Loader


class Sizes:
    """(width, height) of the images of every sample."""

    def __init__(self, sizes: Any, count: int) -> None:
        """Takes what `Loader` takes.

        Raises:
            ValueError: They are not as many as the samples, or a file is no index.
            TypeError: They are no sizes.
        """
        if isinstance(sizes, (str, os.PathLike)):
            flat, ends = index.read(Path(sizes))
        else:
            flat, ends = _flat(sizes)
        if len(ends) - 1 != count:
            raise ValueError(f"sizes are of {len(ends) - 1:,} samples, items are {count:,}")
        self._flat = flat
        self._ends = ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def of(self, sample: int) -> list[tuple[int, int]]:
        """Those of one sample."""
        rows = self._flat[self._ends[sample] : self._ends[sample + 1]]
        return [(width, height) for width, height in rows.tolist()]

    def tokens(self, recipe: Recipe, samples: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Tokens of the images of these samples, of all by default.

        Raises:
            PlanError: A size cannot be planned; the message names its sample.
        """
        chosen = np.arange(len(self)) if samples is None else samples
        counts = np.diff(self._ends)[chosen]
        ends = np.concatenate([[0], np.cumsum(counts)])
        rows = np.arange(ends[-1]) + np.repeat(self._ends[chosen] - ends[:-1], counts)
        flat, among = self._flat[rows], np.repeat(counts, counts)
        table = plan_many(flat, recipe, errors="return")
        for row, error in table.errors.items():
            raise with_index(error, int(np.repeat(chosen, counts)[row]), "item")
        tokens = table.num_tokens.copy()
        # A few families plan an image that has others beside it in another way.
        known: dict[tuple[int, int, int], int] = {}
        for row in np.flatnonzero(among > 1).tolist():
            width, height = flat[row].tolist()
            key = (width, height, int(among[row]))
            if key not in known:
                known[key] = plan((width, height), recipe, key[2]).num_tokens
            tokens[row] = known[key]
        sums = np.concatenate([[0], np.cumsum(tokens)])
        return np.asarray(sums[ends[1:]] - sums[ends[:-1]], dtype=np.int64)

    def check(self, sample: int, found: Sequence[tuple[int, int]]) -> None:
        """Raises a VlmresError where a sample's images have other sizes than these."""
        expected = self.of(sample)
        if list(found) != expected:
            raise VlmresError(f"its images are {_spelled(found)}, sizes say {_spelled(expected)}: make the index anew")


def measure(
    items: Sequence[Any], recipe: Recipe, loader: Loader, threads: int, skip: Callable[[Exception], bool]
) -> Sizes:
    """Sizes of all images of a sequence, from their headers.

    Where `skip` says so of an error, a sample is as one without images.

    Raises:
        Exception: Another one, of the first sample of which the size cannot be found; it names the sample.
    """

    def of(number: int) -> list[tuple[int, ...]] | Exception:
        key = str(number)
        try:
            item = items[number]
            key = key_of(item, number)
            sample = as_sample(item, number)
            key = sample.key
            return [size for image in sample.images for size in _sizes(image, recipe, loader)]
        except Exception as error:
            return with_index(error, key, "item")

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(of, range(len(items)), chunksize=64))
    for sizes in found:
        if isinstance(sizes, Exception) and not skip(sizes):
            raise sizes
    return Sizes([[] if isinstance(sizes, Exception) else sizes for sizes in found], len(items))


def tokens_of(sample: Sample, recipe: Recipe, loader: Loader) -> int:
    """Tokens of a sample's images, from their headers."""
    sizes = [size for image in sample.images for size in _sizes(image, recipe, loader)]
    return sum(plan(size, recipe, len(sizes)).num_tokens for size in sizes)


def _spelled(sizes: Sequence[tuple[int, int]]) -> str:
    return ", ".join(f"{width}x{height}" for width, height in sizes) or "none"


def _sizes(image: Any, recipe: Recipe, loader: Loader) -> list[tuple[int, int]]:
    """The size of an image, or the sizes of a document's pages."""
    if not isinstance(image, Document):
        try:
            return [_size(image, loader)]
        except DecodeError:
            if not isinstance(image, (str, bytes, os.PathLike)) or not is_document(beginning(image)):
                raise
        image = Document(image, max_file_bytes=loader.limits[1])
    return [page.size for page in image.fitted(recipe)]


def _size(image: Any, loader: Loader) -> tuple[int, int]:
    if isinstance(image, np.ndarray) or (not isinstance(image, (tuple, list)) and hasattr(image, "ndim")):
        shape = tuple(image.shape)
        if len(shape) == 3:
            shape = shape[1:] if shape[0] in CHANNELS else shape[:2]
        if len(shape) != 2:
            raise VlmresError(f"an image has 2 or 3 dimensions, got shape {tuple(image.shape)}")
        return int(shape[1]), int(shape[0])
    width, height = size_of(image, loader)[-2:]
    return width, height


def _flat(sizes: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sizes of all images, one after the other, and where each sample's end."""
    if not isinstance(sizes, np.ndarray):
        sizes = list(sizes)
        if any(np.ndim(one) != 1 for one in sizes):
            # A list of sizes for each sample.
            ends = np.cumsum([0, *(len(one) for one in sizes)])
            rows = [row for one in sizes for row in np.asarray(one).reshape(-1, 2).tolist()]
            return np.array(rows, dtype=np.int64).reshape(-1, 2), ends
        if any(len(one) == 0 for one in sizes):
            return _flat([np.asarray(one).reshape(-1, 2) for one in sizes])
    array = np.asarray(sizes)
    if array.size == 0:
        array = np.empty((len(array), 2) if array.ndim == 2 else (0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise TypeError(f"sizes must be integers of shape (n, 2), got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64), np.arange(len(array) + 1)
