"""Making a batch from samples."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres.batch import Batch
from vlmres.data.buffers import PinnedBuffers
from vlmres.data.samples import Sample, as_sample, key_of
from vlmres.documents import Document
from vlmres.item_errors import with_index
from vlmres.videos import as_videos

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from vlmres._core import Crew
    from vlmres.data.buffers import Buffers
    from vlmres.data.recipes import Recipes
    from vlmres.data.sizes import Sizes
    from vlmres.data.sources import Work
    from vlmres.processor import Processor


class LoaderBatch(Batch):
    """A `Batch` of a `Loader`, with the other fields of its samples."""

    samples: list[Any]
    """The other fields of each sample: a dict; None if the item is an image or a list of images."""
    item_indices: NDArray[np.int64]
    """int64 [samples]: the index of each sample among the items."""
    image_counts: NDArray[np.int64]
    """int64 [samples]: the number of images of each sample in the tensors; the pages of a PDF file count as images."""
    video_batch: Batch | None
    """The batch of the videos, if samples have any."""
    is_filler: bool
    """Whether the batch is a filler that keeps ranks in step: its samples are in another batch of the epoch, too, or it
    has neither samples nor arrays."""

    @classmethod
    def of(cls, batch: Batch | None, arrays: dict[str, Any], dtype: str) -> LoaderBatch:
        """The same batch with these arrays; without arrays if there are no images."""
        if batch is None:
            return cls(arrays, [], {}, values=frozenset(), dtype=dtype)
        made = cls(arrays, batch.plans, {}, values=batch._values, dtype=dtype, video_infos=batch.video_infos)
        made._items = batch._items
        return made


@dataclass
class Made:
    """The result of making a batch."""

    result: Any
    """The batch, or what `collate` made of it."""
    images: int
    """Number of images and videos in it."""
    errors: list[Exception | None]
    """The error of every sample; None for a good one."""
    state: Any
    """The loop's state after this batch."""
    is_left_out: bool
    """Whether the loop skips it, because no sample is left."""


class _BadSamplesError(Exception):
    """Samples turned out bad: their positions and errors."""

    def __init__(self, errors: dict[int, Exception]) -> None:
        super().__init__()
        self.errors = errors


class Maker:
    """Makes batches, on several threads at a time."""

    def __init__(
        self,
        processor: Processor,
        recipes: Recipes,
        crew: Crew,
        buffers: Buffers | None,
        sizes: Sizes | None,
        collate: Callable[[list[Any], LoaderBatch], Any] | None,
        *,
        skips: bool,
        leaves_out: bool,
    ) -> None:
        """A maker whose batches have memory of `buffers`, or page-locked memory.

        Args:
            processor: What makes tensors.
            recipes: By which recipe.
            crew: The threads.
            buffers: Memory; None for page-locked memory.
            sizes: What the images' sizes have to be.
            collate: As of `Loader`.
            skips: Whether bad samples are left out, rather than raised.
            leaves_out: Whether a batch of which nothing is left is left out; else it is an empty one.
        """
        self._processor = processor
        self._recipes = recipes
        self._crew = crew
        self._buffers = buffers
        self._sizes = sizes
        self._collate = collate
        self._collating = threading.Lock()
        self._skips = skips
        self._leaves_out = leaves_out

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
                samples[at] = self._sample(item, number, work.epoch)
                del item
            except Exception as error:
                errors[at] = self._failed(error, key)
        while True:
            try:
                batch = self._batch(samples, work)
                break
            except _BadSamplesError as bad:
                for at, reason in bad.errors.items():
                    errors[at] = self._failed(reason, samples.pop(at).key)
        if not samples and self._leaves_out:
            return Made(None, 0, errors, work.state, is_left_out=True)
        batch.item_indices = np.array([work.numbers[at] for at in samples], dtype=np.int64)
        batch.samples = [sample.rest for sample in samples.values()]
        batch.is_filler = work.is_filler or not samples
        images = len(batch.plans) + sum(len(sample.videos) for sample in samples.values())
        result: Any = batch
        if self._collate is not None:
            with self._collating:
                result = self._collate(batch.samples, batch)
        return Made(result, images, errors, work.state, is_left_out=False)

    def _sample(self, item: Any, number: int, epoch: int) -> Sample:
        sample = as_sample(item, number)
        if sample.videos and self._recipes.mix is not None:
            raise TypeError("a Mix draws recipes of images, and the item has videos")
        if not any(isinstance(image, Document) for image in sample.images):
            return sample
        recipe = self._recipes.of(number, epoch)
        pages = [image.fitted(recipe) if isinstance(image, Document) else [image] for image in sample.images]
        return replace(sample, images=list(itertools.chain.from_iterable(pages)), is_plain=False)

    def _failed(self, error: Exception, key: str) -> Exception:
        named = with_index(error, key, "item")
        if not self._skips:
            raise named from error
        return named

    def _batch(self, samples: dict[int, Sample], work: Work) -> LoaderBatch:
        """The batch of good samples.

        Raises:
            _BadSamplesError: Some are not.
        """
        images = self._run(samples, "image", [sample.images for sample in samples.values()], work)
        if images is None:
            images = LoaderBatch.of(None, {}, self._processor.dtype)
        owners = np.repeat(np.arange(len(samples)), [len(sample.images) for sample in samples.values()])
        images.image_counts = np.bincount(owners[images._items], minlength=len(samples)).astype(np.int64)
        if self._sizes is not None:
            self._check_sizes(samples, work.numbers, images)
        images.video_batch = self._run(samples, "video", [sample.videos for sample in samples.values()], work)
        return images

    def _run(
        self, samples: dict[int, Sample], what: Literal["image", "video"], parts: list[list[Any]], work: Work
    ) -> LoaderBatch | None:
        """The batch of the images or the videos of samples."""
        items = list(itertools.chain.from_iterable(parts))
        if not items:
            return None
        # A reference that knows samples has a row for each.
        counts = None
        recipes = None
        if what == "video":
            items = as_videos(items)
        elif not all(sample.is_plain for sample in samples.values()):
            counts = [len(part) for part in parts]
        if self._recipes.mix is not None:
            own = [self._recipes.of(work.numbers[at], work.epoch) for at in samples]
            recipes = [recipe for recipe, part in zip(own, parts, strict=True) for _ in part]
        buffers: Buffers | PinnedBuffers = self._buffers or PinnedBuffers()
        batch = self._processor._process(
            items, counts, what, errors="return", allocate=buffers.allocate, crew=self._crew, recipes=recipes
        )
        if batch.errors:
            owners = [
                (at, place, part) for at, part in zip(samples, parts, strict=True) for place, _ in enumerate(part)
            ]
            errors: dict[int, Exception] = {}
            for index, error in batch.errors.items():
                at, place, part = owners[batch._items[index]]
                errors.setdefault(at, with_index(error, place, what) if len(part) > 1 else error)
            raise _BadSamplesError(errors)
        return LoaderBatch.of(batch, buffers.finish(batch._arrays), batch.dtype)

    def _check_sizes(self, samples: dict[int, Sample], numbers: Sequence[int], batch: LoaderBatch) -> None:
        assert self._sizes is not None
        found = iter(batch.plans)
        errors = {}
        for at, count in zip(samples, batch.image_counts.tolist(), strict=True):
            plans = [next(found) for _ in range(count)]
            try:
                self._sizes.check(numbers[at], [(plan.size[0], plan.size[1]) for plan in plans if plan is not None])
            except Exception as error:
                errors[at] = error
        if errors:
            raise _BadSamplesError(errors)
