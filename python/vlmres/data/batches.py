"""A batch, made of samples."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import VlmresError
from vlmres.batch import Batch
from vlmres.data.buffers import PinnedBuffers
from vlmres.data.samples import Sample, as_sample, key_of
from vlmres.processor import with_index
from vlmres.videos import as_videos

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vlmres._core import Crew
    from vlmres.data.buffers import Buffers
    from vlmres.data.sizes import Sizes
    from vlmres.data.sources import Work
    from vlmres.processor import Processor


class LoaderBatch(Batch):
    """A `Batch` that a `Loader` made, and what its samples hold beside images."""

    samples: list[Any]
    """Of each sample what is no image: a dict, or None where the item is an image or a list of images."""
    item_indices: NDArray[np.int64]
    """int64 [samples]: the number of each sample among the items."""
    video_batch: Batch | None
    """The videos' tensors, where samples have some."""

    @classmethod
    def of(cls, batch: Batch | None, arrays: dict[str, Any], dtype: str) -> LoaderBatch:
        """The same batch, with these arrays; none where there are no images."""
        if batch is None:
            return cls(arrays, [], {}, values=frozenset(), dtype=dtype)
        return cls(arrays, batch.plans, {}, values=batch._values, dtype=dtype, video_infos=batch.video_infos)


@dataclass
class Made:
    """What became of a batch."""

    result: Any
    """The batch, or what `collate` made of it."""
    images: int
    """How many images and videos it has."""
    errors: list[Exception | None]
    """Of every sample what is wrong with it; None where nothing is."""
    state: Any
    """Where the loop is when it has the batch."""
    is_empty: bool
    """Whether nothing is left of it."""


class _BadSamplesError(Exception):
    """Samples turned out bad: their places, and what is wrong."""

    def __init__(self, errors: dict[int, Exception]) -> None:
        super().__init__()
        self.errors = errors


class Maker:
    """Makes batches, on several threads at a time."""

    def __init__(
        self,
        processor: Processor,
        crew: Crew,
        buffers: Buffers | None,
        sizes: Sizes | None,
        collate: Callable[[list[Any], LoaderBatch], Any] | None,
        *,
        skips: bool,
    ) -> None:
        self._processor = processor
        self._crew = crew
        self._buffers = buffers
        self._sizes = sizes
        self._collate = collate
        self._collating = threading.Lock()
        self._skips = skips

    def make(self, work: Work) -> Made:
        """The batch of some samples.

        Raises:
            Exception: The first sample's with which something is wrong, unless those are skipped; it names the item.
        """
        errors: list[Exception | None] = [None] * len(work.numbers)
        samples: dict[int, Sample] = {}
        for at, number in enumerate(work.numbers):
            key = str(number)
            try:
                item = work.get(at)
                key = key_of(item, number)
                samples[at] = as_sample(item, number)
                del item
            except Exception as error:
                errors[at] = self._failed(error, key)
        while samples:
            try:
                batch = self._batch(samples, work.numbers)
                break
            except _BadSamplesError as bad:
                for at, reason in bad.errors.items():
                    errors[at] = self._failed(reason, samples.pop(at).key)
        if not samples:
            return Made(None, 0, errors, work.state, is_empty=True)
        batch.item_indices = np.array([work.numbers[at] for at in samples], dtype=np.int64)
        batch.samples = [sample.rest for sample in samples.values()]
        images = sum(len(sample.images) + len(sample.videos) for sample in samples.values())
        result: Any = batch
        if self._collate is not None:
            with self._collating:
                result = self._collate(batch.samples, batch)
        return Made(result, images, errors, work.state, is_empty=False)

    def _failed(self, error: Exception, key: str) -> Exception:
        named = with_index(error, key, "item")
        if not self._skips:
            raise named from error
        return named

    def _batch(self, samples: dict[int, Sample], numbers: Sequence[int]) -> LoaderBatch:
        """The batch of good samples.

        Raises:
            _BadSamplesError: Some are not.
        """
        images = self._run(samples, "image", [sample.images for sample in samples.values()])
        if self._sizes is not None:
            self._check_sizes(samples, numbers, images)
        videos = self._run(samples, "video", [sample.videos for sample in samples.values()])
        if images is None:
            images = LoaderBatch.of(None, {}, self._processor.dtype)
        images.video_batch = videos
        return images

    def _run(
        self, samples: dict[int, Sample], what: Literal["image", "video"], parts: list[list[Any]]
    ) -> LoaderBatch | None:
        """The batch of the images or the videos of samples."""
        items = list(itertools.chain.from_iterable(parts))
        if not items:
            return None
        # A reference that knows samples has a row for each.
        counts = None
        if what == "video":
            items = as_videos(items)
        elif not all(sample.is_plain for sample in samples.values()):
            counts = [len(part) for part in parts]
        buffers: Buffers | PinnedBuffers = self._buffers or PinnedBuffers()
        batch = self._processor._process(
            items, counts, what, errors="return", allocate=buffers.allocate, crew=self._crew
        )
        if batch.errors:
            owners = [
                (at, place, part) for at, part in zip(samples, parts, strict=True) for place, _ in enumerate(part)
            ]
            errors: dict[int, Exception] = {}
            for index, error in batch.errors.items():
                at, place, part = owners[index]
                errors.setdefault(at, with_index(error, place, what) if len(part) > 1 else error)
            raise _BadSamplesError(errors)
        return LoaderBatch.of(batch, buffers.finish(batch._arrays), batch.dtype)

    def _check_sizes(self, samples: dict[int, Sample], numbers: Sequence[int], batch: LoaderBatch | None) -> None:
        assert self._sizes is not None
        count = sum(len(sample.images) for sample in samples.values())
        if batch is not None and len(batch.plans) != count:
            raise VlmresError("sizes are of images, but some items are documents of several pages")
        found = iter([] if batch is None else batch.plans)
        errors = {}
        for at, sample in samples.items():
            plans = [next(found) for _ in sample.images]
            try:
                self._sizes.check(numbers[at], [(plan.size[0], plan.size[1]) for plan in plans if plan is not None])
            except Exception as error:
                errors[at] = error
        if errors:
            raise _BadSamplesError(errors)
