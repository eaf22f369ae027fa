"""One call of a `Processor`: images, or videos, to a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres import documents, profiling
from vlmres import videos as video_items
from vlmres._core import Call, Recipe
from vlmres.arithmetic import resolve_backend
from vlmres.batch import Batch, beside
from vlmres.choosing.batches import chosen
from vlmres.inputs import as_list
from vlmres.inputs.settings import settled
from vlmres.item_errors import namer, with_index, with_name
from vlmres.processor.cached import Kept, KnownBy
from vlmres.processor.items import load_images, load_videos
from vlmres.processor.outputs import Outputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vlmres._core import Crew, Memory, Stop
    from vlmres.inputs import DataFormat, Loader
    from vlmres.outputs import Allocate, Out
    from vlmres.processor.items import Item, Items
    from vlmres.processor.settings import Settings

What = Literal["image", "video"]
Errors = Literal["raise", "return"]


@dataclass(frozen=True)
class Options:
    """What a caller says of one call."""

    out: Out | None = None
    errors: Errors = "raise"
    data_format: DataFormat | None = None
    """Where the channels of arrays are, which `Processor.__call__` names `input_data_format`."""
    allocate: Allocate | None = None
    """Gives memory in place of the processor's own `allocate`."""
    crew: Crew | None = None
    """The threads to use, in place of the process's."""
    is_part: bool = False
    """Whether this is one of two parts of a call: images, and videos beside them."""
    stop: Stop | None = None
    """Ends the call early."""


def call(
    settings: Settings,
    pool: Memory,
    images: Any,
    videos: Any,
    fps: float | Sequence[float] | None,
    options: Options,
) -> Batch:
    """What `Processor.__call__` returns.

    Args:
        settings: The processor's.
        pool: The processor's memory for results.
        images: As passed to the processor.
        videos: As passed to the processor.
        fps: As passed to the processor.
        options: The other arguments of the call.

    Raises:
        TypeError: There are neither images nor videos, or arguments exclude each other.
        ValueError: There are none, or `errors` has an unsupported value.
    """
    if images is None and videos is None:
        raise TypeError("pass images or videos, or both")
    if options.errors not in ("raise", "return"):
        raise ValueError(f'errors must be "raise" or "return", got {options.errors!r}')
    if videos is None:
        if fps is not None:
            raise TypeError("fps is only for videos")
        return process(settings, pool, *_as_images(images, settings.recipe), options=options)
    films = video_items.as_videos(videos)
    if not films:
        raise ValueError("videos is empty")
    rates = rates_of(fps, len(films))
    if images is None:
        return process(settings, pool, films, None, "video", rates, options=options)
    listed = _as_images(images, settings.recipe)
    if settings.layout == "packed":
        raise TypeError('layout="packed" takes images and videos in separate calls: their patches differ in length')
    if options.out is not None and not isinstance(options.out, dict):
        raise TypeError("for images and videos together, out must be a dict by key")
    options = replace(options, is_part=True)
    first = process(settings, pool, *listed, options=options)
    return beside(first, process(settings, pool, films, None, "video", rates, options=options))


@profiling.counted
def process(
    settings: Settings,
    pool: Memory,
    items: Sequence[Any],
    samples: Sequence[int] | None,
    what: What = "image",
    rates: Sequence[float] | None = None,
    recipes: Sequence[Recipe] | None = None,
    *,
    options: Options,
) -> Batch:
    """A batch of images, or one of videos.

    Args:
        settings: The processor's.
        pool: The processor's memory for results.
        items: Images in one list, or videos.
        samples: How many images each sample has; None where images are passed without samples.
        what: Whether the items are images or videos.
        rates: Frames a second of each video.
        recipes: The recipe of each image. These may differ in their views only.
        options: The other arguments of the call.
    """
    outputs = Outputs(settings.dtype, pool, options.allocate or settings.allocate, options.out, options.is_part)
    if what == "video":
        return _videos(settings, outputs, items, rates, options)
    return _images(settings, outputs, items, samples, recipes, options)


def rates_of(fps: float | Sequence[float] | None, count: int) -> list[float] | None:
    """Frames a second of each of `count` videos.

    Raises:
        ValueError: There are not as many rates as videos, or one is not positive.
    """
    if fps is None:
        return None
    given = np.asarray(fps, dtype=np.float64)
    rates: list[float] = np.full(count, given).tolist() if given.ndim == 0 else given.tolist()
    if len(rates) != count:
        raise ValueError(f"fps must be one number or one for each of {count} videos, got {len(rates)}")
    for rate in rates:
        if not 0 < rate < math.inf:
            raise ValueError(f"fps must be positive, got {rate}")
    return rates


def _as_images(images: Any, recipe: Recipe) -> tuple[list[Any], list[int] | None]:
    """Images as a list, and the number of images of each sample."""
    items, samples = as_list(documents.with_pages(images, recipe))
    if not items:
        raise ValueError("images is empty")
    return items, samples


def _images(
    settings: Settings,
    outputs: Outputs,
    images: Sequence[Any],
    samples: Sequence[int] | None,
    recipes: Sequence[Recipe] | None,
    options: Options,
) -> Batch:
    loader = settings.loader
    items = load_images(images, loader, options.data_format, settings.recipe, recipes)
    if loader.fetch is not None:
        items.fetch(loader.fetch)
    given: Sequence[Item] = items.loaded
    if settings.chooser is not None:
        given = chosen(settings.chooser, loader, images, items.loaded, samples, settings.threads)
    backend = resolve_backend(settings.arithmetic)
    kept = None
    if settings.cache is not None and settings.chooser is None and options.out is None:
        decoding = (settings.decoder, settings.decode, settings.alpha, settings.gray16, settings.limits)
        known_by = KnownBy(settings.layout, settings.dtype, backend, *decoding)
        kept = Kept.of(settings.cache, known_by, settings.recipe, items.loaded, samples, recipes)
        if kept is not None and (known := kept.batch(outputs.take, settings.hidden)) is not None:
            return known
    opened = _opened(settings, settings.recipe, given, samples, backend, loader)
    failed = [index for index, _, _ in opened.failures()]
    files, reasons = documents.opened(items.loaded, failed, settings.max_file_bytes)
    if files:
        return _with_documents(settings, outputs, images, items, samples, files, recipes, options)
    batch = _run(settings, outputs, opened, items, namer("image", samples), options, reasons)
    if kept is not None and not items.failures:
        kept.keep(batch, is_dark=opened.is_dark)
    return batch


def _videos(
    settings: Settings, outputs: Outputs, videos: Sequence[Any], rates: Sequence[float] | None, options: Options
) -> Batch:
    loader, recipe = settings.loader_of(None), settings.video_recipe
    items = load_videos(videos, loader, options.data_format, recipe, rates)
    if loader.fetch is not None:
        items.fetch(loader.fetch)
    opened = _opened(settings, recipe, items.loaded, None, resolve_backend(settings.video_arithmetic), loader)
    return _run(settings, outputs, opened, items, namer("video", None), options)


def _with_documents(
    settings: Settings,
    outputs: Outputs,
    images: Sequence[Any],
    items: Items,
    samples: Sequence[int] | None,
    files: dict[int, documents.Document],
    recipes: Sequence[Recipe] | None,
    options: Options,
) -> Batch:
    """The batch of a call of which some images are PDF files: their pages take their places."""
    # What was loaded is used again, so that nothing is read twice.
    known = [
        image if one is None or settled(image) else one[0] if isinstance(one, tuple) else one
        for image, one in zip(images, items.loaded, strict=True)
    ]
    parts = [list(files[index]) if index in files else [one] for index, one in enumerate(known)]
    counts, first = [], 0
    for count in samples or [1] * len(known):
        counts.append(sum(map(len, parts[first : first + count])))
        first += count
    owners = [index for index, part in enumerate(parts) for _ in part]
    own = None if recipes is None else [recipes[owner] for owner in owners]
    batch = _images(settings, outputs, [page for part in parts for page in part], counts, own, options)
    batch._items = owners
    return batch


def _opened(
    settings: Settings,
    recipe: Recipe,
    given: Sequence[Item],
    samples: Sequence[int] | None,
    backend: tuple[str, int],
    loader: Loader,
) -> Call:
    """A call of the compiled part, which has read the headers and made the plans."""
    return Call(
        recipe,
        given,
        None if samples is None else list(samples),
        settings.layout,
        settings.dtype,
        backend,
        scaled=settings.decode == "scaled",
        limits=settings.limits,
        decoder=loader.decoding,
        num_threads=settings.threads,
    )


def _run(
    settings: Settings,
    outputs: Outputs,
    call: Call,
    items: Items,
    name: Callable[[int], str],
    options: Options,
    reasons: Mapping[int, Exception] = MappingProxyType({}),
) -> Batch:
    """Lays a call out, writes its values, and leaves out what turns out bad."""
    failures = items.failures
    _note(call, failures, options.errors, name, reasons)
    tensors = call.lay_out()
    _note(call, failures, options.errors, name)
    values = outputs.take(tensors)
    while not call.run(list(values.values()), options.errors == "return", options.crew, options.stop):
        # Some turned out bad: the others are laid out anew.
        _note(call, failures, options.errors, name)
        values = outputs.shrunk(values, call.lay_out())
    settings.hidden.tell(call.is_dark)
    arrays = {**values, **call.arrays()}
    arrays = {key: arrays[key] for key in call.keys}
    arrays.update(call.segments() or {})
    plans = call.plans
    key, known = settings.recipe.seconds_key, items.rates
    if key is not None and arrays and known and all(at in known for at, plan in enumerate(plans) if plan):
        seconds = [settings.recipe.temporal_patch_size / known[at] for at, plan in enumerate(plans) if plan]
        arrays[key] = np.array(seconds, dtype=np.float32)
    infos = [items.infos.get(index) if plan else None for index, plan in enumerate(plans)]
    return Batch(arrays, plans, failures, values=frozenset(values), dtype=settings.dtype, video_infos=infos)


def _note(
    call: Call,
    failures: dict[int, Exception],
    errors: Errors,
    name: Callable[[int], str],
    reasons: Mapping[int, Exception] = MappingProxyType({}),
) -> None:
    """Adds what the call found wrong with items, `reasons` first; or raises the error of the first bad item."""
    for index, frame, error in call.failures():
        failures[index] = error if frame is None else with_index(error, frame, "frame")
    failures.update(reasons)
    for index in sorted(failures):
        error = failures.pop(index)
        if errors == "raise":
            raise with_name(error, name(index)) from error
        failures[index] = error  # in order
