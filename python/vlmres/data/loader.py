"""Batches for a training loop, from threads of one process."""

from __future__ import annotations

import functools
import logging
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import Crew, Recipe, default_threads
from vlmres.data.batches import LoaderBatch, Maker
from vlmres.data.buffers import Buffers, has_cuda
from vlmres.data.counts import Counts
from vlmres.data.pipeline import Pipeline
from vlmres.data.progress import Progress
from vlmres.data.samples import as_items, is_sequence
from vlmres.data.sizes import Sizes, measure
from vlmres.data.sources import FromIterable, FromSequence, Source
from vlmres.processor import DType, Layout, Processor

if TYPE_CHECKING:
    import os

    from numpy.typing import ArrayLike

logger = logging.getLogger("vlmres.data")

# With errors="skip", so many failures one after the other are no accident.
MOST_FAILURES = 100

Collate = Callable[[list[Any], LoaderBatch], Any]


class Loader:
    """Loads images, or samples with images, into batches: decoding, resizing and writing in threads of this process.

    A thread takes an image from its file to its values, straight to its place in the batch. Batches come in order, and
    their memory is used again when nothing refers to it any more: a batch, or a view of one, that the caller keeps
    stays valid, and costs the next ones fresh memory. With torch and CUDA a batch's arrays are tensors, of page-locked
    memory.

    Each loop over a loader is an epoch, and the next loop the next one, whether or not the loop before came to its end.

    Args:
        items: A sequence (numbers and a length), or an iterable: of images, that is all that a `Processor` takes, or
            samples. A sample is a list of images, or a dict with a field "image", "images", "video" or "videos", or
            with fields named as image files are ("jpg", "left.png", as WebDataset has them); what else it holds passes
            through. `datasets` datasets, torch datasets, WebDataset, and Arrow columns and tables are such.
        recipe: A recipe, its name, or a `Processor`, which then says `layout`, `dtype` and all else.
        batch_size: The most samples of a batch.
        max_tokens: The most tokens of a batch's images: `vlmres.pack` packs them online. At least one of both is given.
        sizes: (width, height) of every image of a sequence, so that no header is read before the first batch: integers
            of shape (n, 2), a list of such for each sample, or a Parquet file with columns "width" and "height". A file
            of another size is an error.
        num_threads: Threads that decode. By default as of `Processor`.
        prefetch: How many batches are made ahead, at least 1.
        shuffle: Whether a sequence is shuffled, in each epoch anew.
        seed: What the shuffling follows from, with the epoch.
        rank: Which of `world_size` parts is this one's: the ranks take the batches of one order in turn. Each rank has
            as many; where the last are missing, the epoch's first come again.
        world_size: How many ranks there are. Of an iterable each reads all and takes every `world_size`-th sample: give
            one that is split already a `world_size` of 1.
        errors: "raise" the first error, which names its item, or "skip" samples in which something is wrong. Then
            `stats()` counts them, and 100 in a row are an error.
        layout: As of `Processor`.
        dtype: As of `Processor`.
        collate: Called as `collate(samples, batch)` with what passes through, a list, and the `Batch`; what it returns
            is the loader's batch. It runs in a thread, one batch at a time.
        progress: Whether a bar shows how far an epoch is; needs tqdm or rich.

    Without `collate` a batch is a `Batch` that also has `samples`, `item_indices` and `video_batch`.

    Raises:
        ValueError: An argument has an unsupported value, or a sample alone has more than `max_tokens`.
        TypeError: `items` holds no items, or neither `batch_size` nor `max_tokens` is given.
    """

    def __init__(
        self,
        items: Any,
        recipe: Recipe | str | Processor,
        *,
        batch_size: int | None = None,
        max_tokens: int | None = None,
        sizes: ArrayLike | str | os.PathLike[str] | None = None,
        num_threads: int | None = None,
        prefetch: int = 2,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        errors: Literal["raise", "skip"] = "raise",
        layout: Layout = "packed",
        dtype: DType = "uint8",
        collate: Collate | None = None,
        progress: bool = False,
    ) -> None:
        if batch_size is None and max_tokens is None:
            raise TypeError("pass batch_size or max_tokens, or both")
        for name, value in {"batch_size": batch_size, "max_tokens": max_tokens, "num_threads": num_threads}.items():
            if value is not None:
                _check_integer(name, value, 1)
        _check_integer("prefetch", prefetch, 1)
        _check_integer("world_size", world_size, 1)
        _check_integer("rank", rank, 0)
        if rank >= world_size:
            raise ValueError(f"rank must be below world_size, got {rank} of {world_size}")
        if errors not in ("raise", "skip"):
            raise ValueError(f'errors must be "raise" or "skip", got {errors!r}')
        if isinstance(recipe, Processor):
            self.processor = recipe
        else:
            self.processor = Processor(recipe, layout, dtype)
        self.num_threads = num_threads or self.processor.num_threads or default_threads()
        self.prefetch = prefetch
        self._skips = errors == "skip"
        self._collate = collate
        self._progress = progress
        self._buffers = Buffers(prefetch + 2)
        items = as_items(items)
        self._source: Source
        if is_sequence(items):
            count = len(items)
            known = None if sizes is None else Sizes(sizes, count)
            if max_tokens is not None and known is None:
                known = measure(items, self.processor.loader, self.num_threads, lambda _: self._skips)
            self._sizes = known if sizes is not None else None
            self._source = FromSequence(
                items,
                batch_size=batch_size,
                max_tokens=max_tokens,
                lengths=None if max_tokens is None or known is None else known.tokens(self.processor.recipe),
                shuffle=shuffle,
                seed=seed,
                rank=rank,
                world_size=world_size,
            )
        else:
            if shuffle:
                raise ValueError("shuffle needs a sequence, got an iterable: shuffle what it gives")
            if sizes is not None:
                raise ValueError("sizes are of a sequence, got an iterable")
            self._sizes = None
            self._source = FromIterable(
                items,
                batch_size=batch_size,
                max_tokens=max_tokens,
                processor=self.processor,
                rank=rank,
                world_size=world_size,
                skips=self._skips,
            )
        self._counts = Counts()
        self._loop: weakref.ref[_Loop] | None = None
        self._resumes = False

    def __len__(self) -> int:
        """Batches of this rank in the epoch that is under way, or else in the next one.

        Raises:
            TypeError: The items are an iterable.
        """
        return self._source.steps()

    def __iter__(self) -> Iterator[Any]:
        self.close()
        if not self._resumes:
            self._source.begin_epoch()
        self._resumes = False
        loop = _Loop(self)
        # The loop lives as long as its caller wants it: one that is left in the middle ends its threads.
        self._loop = weakref.ref(loop)
        return loop

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next loop is."""
        _check_integer("epoch", epoch, 0)
        self.close()
        self._source.set_epoch(epoch)
        self._resumes = False

    def state_dict(self) -> dict[str, Any]:
        """Where the loop is: behind the last batch that it got.

        Of a sequence these are a few integers. Of an iterable it holds the iterable's own state, where that has a
        `state_dict`; else how many samples to skip.
        """
        return self._source.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next loop go on behind the batch at which `state` was taken, with the same batches.

        Raises:
            ValueError: The state is of other items or settings.
        """
        self.close()
        self._source.load(state)
        self._resumes = True

    def stats(self) -> dict[str, Any]:
        """What was done since the loader was made, and which side is slower.

        Returns:
            `images`, `batches` and `skipped` (samples): how many. `decode_ms`, `resample_ms` and `write_ms`: what a
            thread spends on an image, reading included in decoding. `wait_ms`: how long the loop waited for an image's
            batch, the first of an epoch not counted. `bottleneck`: "loader" where the loop waited more than a tenth of
            its time, else "consumer"; None where there are no two batches yet.
        """
        return self._counts.stats()

    def close(self) -> None:
        """Ends the threads of a loop that is under way. The loader can be used again."""
        loop = None if self._loop is None else self._loop()
        self._loop = None
        if loop is not None:
            loop.close()

    def __enter__(self) -> Loader:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Loop(Iterator[Any]):
    """A loop over a loader, which it does not hold."""

    def __init__(self, loader: Loader) -> None:
        self._source = source = loader._source
        self._counts = counts = loader._counts
        crew = Crew(loader.num_threads)
        maker = Maker(
            loader.processor,
            crew,
            None if has_cuda() else loader._buffers,
            loader._sizes,
            loader._collate,
            skips=loader._skips,
        )
        counts.begin(crew)
        end = functools.partial(counts.end, crew)
        self._pipeline = Pipeline(source.work(), maker.make, ahead=loader.prefetch, on_close=end)
        self._progress = Progress(source.total(), source.done()) if loader._progress else None
        # In a row.
        self._failures = 0
        self._left: float | None = None

    def __next__(self) -> Any:
        try:
            return self._next()
        except BaseException:
            self.close()
            raise

    def _next(self) -> Any:
        called = time.perf_counter()
        while True:
            made = next(self._pipeline)
            self._source.taken(made.state)
            self._counts.images += made.images
            self._note(made.errors)
            if self._progress is not None:
                self._progress.advance(self._counts.skipped)
            if not made.is_empty:
                break
        self._counts.batches += 1
        now = time.perf_counter()
        if self._left is not None:
            self._counts.timed(now - called, called - self._left, made.images)
        self._left = now
        return made.result

    def _note(self, errors: Sequence[Exception | None]) -> None:
        """Counts failures, also those in a row."""
        for error in errors:
            if error is None:
                self._failures = 0
                continue
            self._failures += 1
            self._counts.skipped += 1
            logger.info("skipped: %s", error)
            if self._failures == MOST_FAILURES:
                raise RuntimeError(
                    f"{MOST_FAILURES} samples in a row could not be loaded; the last: {error}"
                ) from error

    def close(self) -> None:
        self._pipeline.close()
        if self._progress is not None:
            self._progress.close()


def _check_integer(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
