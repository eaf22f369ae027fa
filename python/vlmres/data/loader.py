"""`Loader`: batches for a training loop, made by threads of one process."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from vlmres._core import Crew, Recipe, default_threads
from vlmres.data.batches import LoaderBatch, Maker
from vlmres.data.batching import Batching, check_integer
from vlmres.data.buffers import Buffers, has_cuda
from vlmres.data.counts import Counts
from vlmres.data.loop import Loop
from vlmres.data.mixing import Mix
from vlmres.data.order import Order
from vlmres.data.recipes import Recipes
from vlmres.data.samples import as_items, is_sequence
from vlmres.data.schedule import Schedule
from vlmres.data.scheduled import FromSchedule
from vlmres.data.sizes import Sizes, measure
from vlmres.data.sources import FromSequence, Source
from vlmres.data.streams import FromIterable
from vlmres.processor import DType, Layout, Processor

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from vlmres.choosing import Candidate, Chooser
    from vlmres.data.scheduled import Schedules

Collate = Callable[[list[Any], LoaderBatch], Any]


class Loader:
    """Loads images, or samples with images, into batches: decoding, resizing and writing in threads of this process.

    One thread handles an image from its file to its values, which it writes directly into the batch. Batches come in
    order. Their memory is reused when nothing refers to it any more: a batch, or a view of it, stays valid while the
    caller keeps it. With torch and CUDA the arrays of a batch are tensors in page-locked memory.

    Each loop over a loader is one epoch. The next loop is the next epoch, even if the loop before was not finished.

    Args:
        items: A sequence (with indices and a length) or an iterable, of images as a `Processor` takes them, or of
            samples. A sample is a list of images; or a dict with a field "image", "images", "video" or "videos", or
            with fields that are named like image files ("jpg", "left.png", as in WebDataset). Other fields are passed
            through. `datasets` datasets, torch datasets, WebDataset, and Arrow columns and tables work.
        recipe: A recipe or its name. Or a `Processor`, which also sets `layout`, `dtype` and everything else. Or a
            `Mix`, which draws a recipe for each sample in each epoch; its recipes may differ in their views only. Or
            "auto" with `candidates`, as in `Processor`.
        batch_size: Most samples of a batch.
        max_tokens: Most tokens of a batch's images, which are packed as by `vlmres.pack` with "online". `batch_size`,
            `max_tokens` or `schedule` must be given. With "auto" a sample counts with the most tokens of any candidate.
        schedule: A `Schedule` of the samples; this rank's packs are the batches. Or a function from the number of an
            epoch to its `Schedule`, as a `Mix` needs. The schedule sets the number of ranks and the seed.
        sizes: (width, height) of every image of a sequence, so that no headers are read before the first batch:
            integers of shape (n, 2), a list of them for each sample, or an index file from `vlmres plan ... -o`. An
            image of another size is an error.
        num_threads: Threads for decoding. By default as in `Processor`.
        prefetch: Number of batches that are made ahead, at least 1.
        shuffle: Whether to shuffle a sequence, anew in each epoch.
        seed: Seed of the shuffling, together with the epoch.
        rank: This process's rank, below `world_size`. The ranks take the batches of one order in turn. All have the
            same number of batches; if the last round is incomplete, the epoch's first batches are repeated.
        world_size: Number of ranks. From an iterable each rank reads all samples and takes every `world_size`-th; for
            an iterable that is split already, use 1.
        errors: "raise" the first error, which names its item; or "skip" bad samples. Then `stats()` counts them, and
            100 in a row are an error.
        layout: As of `Processor`.
        dtype: As of `Processor`.
        candidates: Of "auto", as of `Processor`.
        collate: A function `collate(samples, batch)` of the samples' other fields, a list, and the `Batch`; the loader
            yields its result. It runs in a thread, one batch at a time.
        progress: Whether to show a progress bar of the epoch; needs tqdm or rich.

    Without `collate` a batch is a `Batch` that also has `samples`, `item_indices`, `image_counts`, `video_batch` and
    `is_filler`. With several ranks, a batch whose samples are all bad, and an empty pack of a schedule, are batches
    without arrays, so that all ranks take the same number of steps.

    Raises:
        ValueError: An argument has an unsupported value, or a sample alone has more than `max_tokens`.
        TypeError: `items` is not a collection of items, or no argument, or more than one, defines the batches.
    """

    def __init__(
        self,
        items: Any,
        recipe: Recipe | str | Processor | Mix,
        *,
        batch_size: int | None = None,
        max_tokens: int | None = None,
        schedule: Schedules | None = None,
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
        candidates: Sequence[Candidate] | Chooser | None = None,
        collate: Collate | None = None,
        progress: bool = False,
    ) -> None:
        if errors not in ("raise", "skip"):
            raise ValueError(f'errors must be "raise" or "skip", got {errors!r}')
        check_integer("prefetch", prefetch, 1)
        if num_threads is not None:
            check_integer("num_threads", num_threads, 1)
        mix = recipe if isinstance(recipe, Mix) else None
        self.processor = _processor(recipe, layout, dtype, candidates)
        self.num_threads = num_threads or self.processor.num_threads or default_threads()
        self.prefetch = prefetch
        self._recipes = Recipes(self.processor.recipes, mix)
        self._skips = errors == "skip"
        self._collate = collate
        self._progress = progress
        self._buffers = Buffers(prefetch + 2)
        self._sizes: Sizes | None = None
        self._source: Source
        items = as_items(items)
        if sizes is not None:
            if not is_sequence(items):
                raise ValueError("sizes are of a sequence, got an iterable")
            self._sizes = Sizes(sizes, len(items))
        # With several ranks each gets the same number of batches, even if some are empty.
        self._leaves_out = world_size == 1 and schedule is None
        if schedule is None:
            self._source = self._cut(items, Batching(batch_size, max_tokens, shuffle, seed, rank, world_size))
        elif batch_size is not None or max_tokens is not None or shuffle or seed:
            raise TypeError("a schedule says what a batch is: pass no batch_size, max_tokens, shuffle or seed with it")
        elif not is_sequence(items):
            raise ValueError("a schedule needs a sequence, got an iterable")
        elif isinstance(schedule, Schedule) and mix is not None:
            raise ValueError("a Mix draws anew in each epoch: pass a function of the epoch, which makes its schedule")
        else:
            self._source = FromSchedule(items, schedule, rank, world_size)
        self._counts = Counts()
        self._loop: weakref.ref[Loop] | None = None
        self._resumes = False

    def _cut(self, items: Any, batching: Batching) -> Source:
        """Items cut into batches of so many samples or tokens."""
        if batching.batch_size is None and batching.max_tokens is None:
            raise TypeError("pass batch_size, max_tokens or both, or a schedule")
        if not is_sequence(items):
            if batching.shuffle:
                raise ValueError("shuffle needs a sequence, got an iterable: shuffle what it gives")
            return FromIterable(items, batching, self._recipes, self.processor.loader, skips=self._skips)
        if batching.max_tokens is None:
            return FromSequence(items, Order(len(items), batching))
        known = self._sizes
        if known is None:
            recipe, reader = self.processor.recipe, self.processor.loader
            known = measure(items, recipe, reader, self.num_threads, lambda _: self._skips)
        self._recipes.check(known, batching.max_tokens)
        lengths = functools.partial(self._recipes.tokens, known)
        return FromSequence(items, Order(len(items), batching, lengths, self._recipes.digest))

    def __len__(self) -> int:
        """Number of batches of this rank in the current epoch, or else in the next one.

        Raises:
            TypeError: The items are an iterable.
        """
        return self._source.steps()

    def __iter__(self) -> Iterator[Any]:
        self.close()
        if not self._resumes:
            self._source.begin_epoch()
        self._resumes = False
        crew = Crew(self.num_threads)
        maker = Maker(
            self.processor,
            self._recipes,
            crew,
            None if has_cuda() else self._buffers,
            self._sizes,
            self._collate,
            skips=self._skips,
            leaves_out=self._leaves_out,
        )
        self._counts.begin(crew)
        end = functools.partial(self._counts.end, crew)
        loop = Loop(self._source, maker.make, self._counts, ahead=self.prefetch, has_bar=self._progress, on_close=end)
        # A loop that is left early ends its threads.
        self._loop = weakref.ref(loop)
        return loop

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch of the next loop."""
        check_integer("epoch", epoch, 0)
        self.close()
        self._source.set_epoch(epoch)
        self._resumes = False

    def state_dict(self) -> dict[str, Any]:
        """The state of the loop after the last batch that it got.

        For a sequence the state is a few integers. For an iterable it has the iterable's own state, if that has a
        `state_dict`; else the number of samples to skip.
        """
        return self._source.state()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Makes the next loop continue after the batch at which `state` was taken, with the same batches.

        Raises:
            ValueError: The state belongs to other items or settings.
        """
        self.close()
        self._source.load(state)
        self._resumes = True

    def stats(self) -> dict[str, Any]:
        """Statistics since the loader was made, and which side is slower.

        Returns:
            `images`, `batches` and `skipped` (samples): counts. `decode_ms` (including reading), `resample_ms` and
            `write_ms`: thread time per image in milliseconds. `wait_ms`: time that the loop waited, per image, without
            the first batch of each epoch. `bottleneck`: "loader" if the loop waited more than a tenth of its time, else
            "consumer"; None before the second batch.
        """
        return self._counts.stats()

    def close(self) -> None:
        """Ends the threads of a running loop. The loader can be used again."""
        loop = None if self._loop is None else self._loop()
        self._loop = None
        if loop is not None:
            loop.close()

    def __enter__(self) -> Loader:  # noqa: PYI034 - Self is of Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _processor(
    recipe: Recipe | str | Processor | Mix,
    layout: Layout,
    dtype: DType,
    candidates: Sequence[Candidate] | Chooser | None,
) -> Processor:
    if not isinstance(recipe, Processor):
        first = recipe.recipes[0] if isinstance(recipe, Mix) else recipe
        return Processor(first, layout, dtype, candidates=candidates)
    if candidates is not None:
        raise TypeError("candidates are the processor's own, where one is passed")
    return recipe
