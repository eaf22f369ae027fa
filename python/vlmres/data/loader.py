"""Batches for a training loop, from threads of one process."""

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
        recipe: A recipe, its name, or a `Processor`, which then says `layout`, `dtype` and all else; or a `Mix`, which
            draws a recipe for each sample in each epoch: of recipes that differ in their views alone, so that pixels
            become the same values and patches; or "auto", as of `Processor`, with `candidates`.
        batch_size: The most samples of a batch.
        max_tokens: The most tokens of a batch's images: `vlmres.pack` packs them online. At least one of both is given,
            or a schedule. With "auto" a sample counts with the most that a candidate gives it.
        schedule: A `Schedule` of the samples, of which this rank's packs are the batches, in order; or what makes that
            of an epoch, a function of its number, as a `Mix` needs it. Ranks and seed are the schedule's own.
        sizes: (width, height) of every image of a sequence, so that no header is read before the first batch: integers
            of shape (n, 2), a list of such for each sample, or an index file, which `vlmres plan ... -o` makes. A file
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
        candidates: Of "auto", as of `Processor`.
        collate: Called as `collate(samples, batch)` with what passes through, a list, and the `Batch`; what it returns
            is the loader's batch. It runs in a thread, one batch at a time.
        progress: Whether a bar shows how far an epoch is; needs tqdm or rich.

    Without `collate` a batch is a `Batch` that also has `samples`, `item_indices`, `image_counts`, `video_batch` and
    `is_filler`. Where there are several ranks, a batch of which nothing is left, and a schedule's empty pack, is one
    without arrays, so that all ranks take as many steps.

    Raises:
        ValueError: An argument has an unsupported value, or a sample alone has more than `max_tokens`.
        TypeError: `items` holds no items, or nothing says what a batch is, or two arguments do.
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
        # Where ranks run in step, each gets as many batches, and be they empty.
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
        # The loop lives as long as its caller wants it: one that is left in the middle ends its threads.
        self._loop = weakref.ref(loop)
        return loop

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next loop is."""
        check_integer("epoch", epoch, 0)
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
