"""Images and videos to tensors."""

from __future__ import annotations

import functools
import inspect
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np

from vlmres import cached, documents, profiling
from vlmres import videos as video_items
from vlmres._core import (
    Call,
    ImageFile,
    Memory,
    Plan,
    Recipe,
    RecipeError,
    VlmresError,
    shapes,
    trim_process,
)
from vlmres.arithmetic import Arithmetic, resolve_backend
from vlmres.asynchronous import Calls
from vlmres.batch import Batch, beside
from vlmres.checks import check_choice, check_count
from vlmres.choosing import Candidate, Chooser
from vlmres.choosing.batches import check_alike, chosen
from vlmres.inputs import Alpha, DataFormat, Decoder, Fetch, Gray16, Hidden, Loaded, Loader, as_list
from vlmres.inputs.arrays import data_format_of
from vlmres.inputs.handles import Address
from vlmres.inputs.settings import Settled, plan_with, settled
from vlmres.item_errors import namer, with_index, with_name
from vlmres.outputs import AMBIENT, STORAGE, Allocate, Out, allocated, as_array, first_rows, given
from vlmres.outputs import DType as DType
from vlmres.planning import Sizable, planned, tells_rate
from vlmres.threads import usual_threads

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from vlmres._core import Crew, Stop
    from vlmres.cache import Cache
    from vlmres.video_files import VideoInfo

Layout = Literal["hf", "packed"]
Decode = Literal["exact", "scaled"]

Item: TypeAlias = "Loaded | list[Loaded] | tuple[Loaded | list[Loaded], Plan] | tuple[Loaded, Recipe] | None"

# From so many bytes on, fresh memory costs page faults.
_POOLED_BYTES = 1 << 20


class LimitSettings(TypedDict, total=False):
    """What files, images and outputs may take, as of `Processor`."""

    max_image_pixels: int | None
    max_file_bytes: int | None
    max_decoded_bytes: int | None
    max_output_bytes: int | None


class Processor:
    """Turns images, or the frames of videos, into the tensors that a family's encoder reads.

    Args:
        recipe: A recipe or the name of one; or "auto", with `candidates`, for the cheapest of these that keeps the text
            of each sample legible (docs/choose.md). That decodes all images of a call before the first is written.
        layout: "hf" for the reference processor's keys, shapes and order; "packed" for all patches in one buffer, and
            for "auto" the only one.
        dtype: Type of the pixel values. "uint8" are pixels before normalisation.
        arithmetic: Whose resize and normalisation to equal bit for bit: "torch" (transformers' torchvision backend),
            "pillow" (transformers' PIL backend and most authors' code, on Pillow 13), "pillow-12" (12.2 and 12.3) or
            "pillow-11" (up to 12.1) with the order of passes of those versions, "pillow-13" (the same as "pillow"), or
            "pillow-installed" with that of the Pillow installed here. By default the recipe's own for images, which
            `Recipe.params["arithmetic"]` tells, and "torch" for videos, whose classes in transformers are torchvision's
            alone.
        num_threads: Threads per call. By default `VLMRES_NUM_THREADS`, else all processors; one in a DataLoader worker.
        decoder: Who reads image files. "auto": vlmres, and Pillow where it is installed for what vlmres does not read
            (docs/files.md). "native": vlmres alone. "pillow": Pillow alone.
        alpha: What becomes of transparency, of files as of objects. "reference": what the reference does, which may
            differ between them (docs/files.md); a warning, once, where a transparent page may have become black.
            "white": images are composited on white. "drop": alpha is discarded. "reject": images with transparent
            pixels are refused. The recipe's `convert` has the same words.
        gray16: What becomes of gray of 16 bits in files and PIL images: "clip" has values from 255 on white, as Pillow
            and so transformers have it; "scale" keeps the high byte.
        fetch: Whether images are fetched from addresses of http and https, or within which limits: of size, time and
            redirects, and from public hosts alone. Those of a call are fetched beside each other.
        max_image_pixels: Files of more pixels are refused before they are decoded. By default Pillow's limit.
        max_file_bytes: Files of more bytes are refused before they are read. By default 2 GiB.
        max_decoded_bytes: Files whose decoding takes more bytes are refused; files that are decoded at once take no
            more together. The bytes of a path's file count, which are read for it. By default 4 GiB.
        max_output_bytes: Calls whose outputs, masks included, take more bytes are refused; where images do so on their
            own, those images. By default 4 GiB for each image or frame.
        decode: "exact" for Pillow's pixels. "scaled" decodes a JPEG file to a half, a quarter or an eighth of its sides
            where every view of its plan is at most that large: faster, not exact. Plans and shapes stay the same.
        allocate: Called as `allocate(key, shape, dtype)` for memory to write pixel values to, dtype being this
            processor's: it returns a C-contiguous numpy array or CPU tensor of that shape and type. By default the
            processor has memory of its own.
        candidates: Of "auto": recipes, names or (name, overrides), or a `vlmres.Chooser`. All are for one encoder: they
            cut and normalise patches alike.
        cache: A `Cache`: a call whose images and settings it knows is read from disk, another one is kept there. Not so
            videos, documents, images with settings or a choice of their own, calls with `out` or with bad images.
        max_in_flight: Most calls of `acall` that are worked on at once; others wait in the order in which they came. By
            default one for each of the threads.
        **overrides: Parameters of the recipe, such as `max_pixels=1_000_000`. `Recipe.parameters`, `help(recipe)` and
            `vlmres recipes NAME` say which it has, and what each means.

    A processor may be called from many threads, pickled, and used after a fork. Memory of its large results returns to
    it when nobody uses them any more, and is used again: at most 256 MiB, or as much as the largest tensor so far.
    `trim()` gives it back to the system.

    Raises:
        RecipeError: The recipe does not exist, it has no such parameter or not with such a value, or its filter does
            not exist in this arithmetic.
        ValueError: Another argument has an unsupported value.
        TypeError: A number is not an integer.
    """

    def __init__(
        self,
        recipe: Recipe | str,
        layout: Layout = "hf",
        dtype: DType = "float32",
        arithmetic: Arithmetic | None = None,
        num_threads: int | None = None,
        *,
        decoder: Decoder = "auto",
        alpha: Alpha = "reference",
        gray16: Gray16 = "clip",
        fetch: bool | Fetch = False,
        max_image_pixels: int | None = None,
        max_file_bytes: int | None = None,
        max_decoded_bytes: int | None = None,
        max_output_bytes: int | None = None,
        decode: Decode = "exact",
        allocate: Allocate | None = None,
        candidates: Sequence[Candidate] | Chooser | None = None,
        cache: Cache | None = None,
        max_in_flight: int | None = None,
        **overrides: Any,
    ) -> None:
        check_choice("layout", layout, Layout)
        check_choice("dtype", dtype, DType)
        check_choice("decode", decode, Decode)
        check_count("num_threads", num_threads)
        check_count("max_in_flight", max_in_flight)
        check_count("max_image_pixels", max_image_pixels)
        check_count("max_file_bytes", max_file_bytes)
        check_count("max_decoded_bytes", max_decoded_bytes)
        check_count("max_output_bytes", max_output_bytes)
        if arithmetic is not None:
            check_choice("arithmetic", arithmetic, Arithmetic)
        if alpha in ("white", "drop"):
            overrides = {"convert": alpha, **overrides}
        self.chooser: Chooser | None = None
        """Chooses the recipe of each sample, of "auto" alone."""
        if candidates is not None or (isinstance(recipe, str) and recipe == "auto"):
            self.chooser = _chooser(recipe, candidates, layout, decode)
            self.chooser = self.chooser.map(lambda one: _recipe(one, overrides, arithmetic))
            recipe, overrides = self.chooser.default, {}
        self.recipe = _recipe(recipe, overrides, arithmetic)
        if self.chooser is not None:
            check_alike(self.recipe, self.chooser.recipes)
        self.video_arithmetic: Arithmetic = arithmetic or "torch"
        self.arithmetic: Arithmetic = arithmetic or self.recipe.params["arithmetic"]
        self.layout: Layout = layout
        self.dtype: DType = dtype
        self.num_threads = num_threads
        self.decoder: Decoder = decoder
        self.alpha: Alpha = alpha
        self.gray16: Gray16 = gray16
        self.fetch = fetch if isinstance(fetch, Fetch) else Fetch() if fetch else None
        self.max_image_pixels = max_image_pixels
        self.max_file_bytes = max_file_bytes
        self.max_decoded_bytes = max_decoded_bytes
        self.max_output_bytes = max_output_bytes
        self._memory = Memory()
        self.decode: Decode = decode
        self.allocate = allocate
        self.cache = cache
        self.max_in_flight = max_in_flight
        self._calls = self._awaited()
        self._hidden = Hidden(watching=alpha == "reference")
        self.loader: Loader = self._loader(self.arithmetic)
        """Reads images as this processor does."""

    def __repr__(self) -> str:
        return (
            f"Processor({self.recipe!r}, layout={self.layout!r}, dtype={self.dtype!r}, arithmetic={self.arithmetic!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_memory", "_calls")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._memory = Memory()
        self._calls = self._awaited()

    def trim(self) -> None:
        """Releases cached result buffers.

        So does what the process keeps for all processors: memory of decoded images, and weights of resizes.
        """
        self._memory.trim()
        trim_process()

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe, or those of which one is chosen for each sample."""
        return (self.recipe,) if self.chooser is None else (self.recipe, *self.chooser.recipes)

    @property
    def limits(self) -> tuple[int | None, int | None, int | None, int | None]:
        """The most pixels of a file's image, bytes of a file, of decoding and of outputs; None for the default."""
        return (self.max_image_pixels, self.max_file_bytes, self.max_decoded_bytes, self.max_output_bytes)

    def _loader(self, arithmetic: Arithmetic | None) -> Loader:
        """Reads images in this arithmetic, or frames of videos."""
        convert = self.recipe.params["convert"]
        key = convert == "white" and arithmetic is not None and resolve_backend(arithmetic)[0] == "pillow"
        return Loader(convert, self.decoder, self.limits, self.alpha, self.gray16, key, self.fetch, self._hidden)

    @functools.cached_property
    def _video_recipe(self) -> Recipe:
        """The recipe in the arithmetic of videos."""
        own = self.arithmetic == self.video_arithmetic
        return self.recipe if own else self.recipe.replace(arithmetic=self.video_arithmetic)

    def plan(self, size: Sizable) -> Plan:
        """The plan of an image, or of a video: what `vlmres.plan` gives of it with this processor's recipe."""
        return planned(size, self.recipe, self.loader, of_videos=self._video_recipe)

    def shapes(
        self,
        sizes: Sequence[Sizable],
        samples: Sequence[int] | None = None,
        *,
        fps: float | Sequence[float] | None = None,
    ) -> dict[str, tuple[tuple[int, ...], str]]:
        """(shape, dtype) of every array of a batch by key, from sizes alone.

        Args:
            sizes: (width, height) of every image, or (frames, width, height) of every video, or what `plan` takes:
                files, pairs of what is passed to a call and its settings.
            samples: The number of images of each sample, where images are passed in a list for each.
            fps: As of a call, of videos.

        Raises:
            PlanError: An image of such a size cannot be planned.
            VlmresError: There are none, they cannot be in one batch, or they are not as many as the samples have.
        """
        counts = [1] * len(sizes) if samples is None else [count for count in samples for _ in range(count)]
        if len(counts) != len(sizes):
            raise VlmresError(f"samples of {list(samples or ())} images for {len(sizes)} images")
        rates = _rates(fps, len(sizes))
        plans = [
            planned(
                size, self.recipe, self.loader, count, of_videos=self._video_recipe, fps=rates[at] if rates else None
            )
            for at, (size, count) in enumerate(zip(sizes, counts, strict=True))
        ]
        are_videos = bool(plans) and all(plan.frames is not None for plan in plans)
        if rates is not None and not are_videos:
            raise TypeError("fps is of videos")
        found = shapes(self._video_recipe if are_videos else self.recipe, plans, self.layout, samples)
        arrays = {key: (tuple(shape), dtype or self.dtype) for key, (shape, dtype) in found.items()}
        key = self.recipe.seconds_key
        if key is not None and are_videos and (rates is not None or all(tells_rate(size) for size in sizes)):
            arrays[key] = (len(plans),), "float32"
        return arrays

    def __call__(
        self,
        images: Any = None,
        *,
        videos: Any = None,
        fps: float | Sequence[float] | None = None,
        out: Out | None = None,
        errors: Literal["raise", "return"] = "raise",
        input_data_format: DataFormat | None = None,
    ) -> Batch:
        """Processes one image or a list of them, one video or a list of them, or, with `layout="hf"`, both.

        Of both the batch has the arrays of the images, then those of the videos, as processors of transformers give
        them; plans, errors and `video_infos` are those of the images, then those of the videos.

        Args:
            images: PIL images, uint8 numpy arrays or CPU torch tensors (HWC, CHW or HW, any strides), or what holds an
                image file: paths, bytes, open files, data URIs and others (docs/files.md). In a list of lists each
                holds the images of one sample: references that know samples have a row for each, padded to the longest;
                to the others the images are one list. A pair `(image, {"max_pixels": ...})` is an image
                with settings of its own: budgets of the recipe, `resized_width` and `resized_height`, `longest_side`,
                or `do_resize=False` (docs/files.md).
                A PDF file, or a `vlmres.Document`, is the sample of its pages (`pip install 'vlmres[pdf]'`).
            videos: Arrays or CPU tensors of frames (THWC or TCHW, stacked where they are alike), uint8 or floats that
                are whole numbers from 0 to 255; or lists of frames, which are images as above, all RGB or gray and of
                one size; or files: paths, bytes, data URIs, open files, rows of data sets or `vlmres.Video`, of which
                the frames are decoded that the reference picks (`pip install 'vlmres[video]'`). A pair
                `(video, {"fps": 2.0})` is a video with settings of its own (docs/documents.md). A video's last frame is
                repeated where a patch lacks frames.
            fps: Frames a second of the videos as they are passed, one number or one for each; of files the rate at
                which frames are picked. Where the family's processor gives the seconds between patches along time
                (Qwen2.5-VL), they are in the batch then; with files always.
            out: Memory to write the pixel values to: C-contiguous numpy arrays or CPU tensors (pinned and shared ones
                too) of the exact shape and type by key, or one where there is one key; `shapes` tells them. bfloat16
                goes to uint16 or int16 arrays or to such tensors. Where one does not fit, nothing is written, of images
                beside videos the images may be. Where an image turns out bad when its pixels are decoded, the result is
                the beginning of this memory.
            errors: "raise" on the first bad image, or "return" what is wrong in `Batch.errors` and process the others.
            input_data_format: "channels_first" or "channels_last" for arrays whose shape fits both.

        Raises:
            VlmresError: An image, a video or `out` cannot be used; the message starts with the index of the first two,
                or with those of sample and image.
            OSError: A file cannot be read.
            TypeError: Images and lists of them are mixed.
        """
        return self._call(images, videos, fps, out, errors, input_data_format)

    async def acall(
        self,
        images: Any = None,
        *,
        videos: Any = None,
        fps: float | Sequence[float] | None = None,
        out: Out | None = None,
        errors: Literal["raise", "return"] = "raise",
        input_data_format: DataFormat | None = None,
    ) -> Batch:
        """A call that an event loop awaits: `await processor.acall(images)`. It takes and returns what a call does.

        All of it, reading of files included, is done on other threads, by at most `max_in_flight` calls at once. Where
        the task is cancelled, a call that waits is never begun; one under way ends within some 50 ms, and has ended
        when the task goes on, so that nothing is written to `out` any more.

        Raises:
            asyncio.CancelledError: The task was cancelled.
        """
        call = functools.partial(self._call, images, videos, fps, out, errors, input_data_format)
        return await self._calls.run(lambda stop: call(stop=stop))

    def _awaited(self) -> Calls:
        return Calls(self.max_in_flight or self.num_threads or usual_threads())

    def _call(
        self,
        images: Any,
        videos: Any,
        fps: float | Sequence[float] | None,
        out: Out | None,
        errors: Literal["raise", "return"],
        input_data_format: DataFormat | None,
        stop: Stop | None = None,
    ) -> Batch:
        if images is None and videos is None:
            raise TypeError("pass images or videos, or both")
        if errors not in ("raise", "return"):
            raise ValueError(f'errors must be "raise" or "return", got {errors!r}')
        settings: dict[str, Any] = {"out": out, "errors": errors, "data_format": input_data_format, "stop": stop}
        if videos is None:
            if fps is not None:
                raise TypeError("fps is of videos")
            return self._process(*self._images(images), **settings)
        films = video_items.as_videos(videos)
        if not films:
            raise ValueError("videos is empty")
        rates = _rates(fps, len(films))
        if images is None:
            return self._process(films, None, "video", rates, **settings)
        return self._both(self._images(images), films, rates, **settings)

    def _images(self, images: Any) -> tuple[list[Any], list[int] | None]:
        """Images as a list, and the number of those of each sample."""
        items, samples = as_list(documents.with_pages(images, self.recipe))
        if not items:
            raise ValueError("images is empty")
        return items, samples

    def _both(
        self,
        images: tuple[list[Any], list[int] | None],
        films: list[Any],
        rates: Sequence[float] | None,
        *,
        out: Out | None,
        errors: Literal["raise", "return"],
        data_format: DataFormat | None,
        stop: Stop | None,
    ) -> Batch:
        """Images and videos of one call."""
        if self.layout == "packed":
            raise TypeError(
                'images and videos are calls of their own with layout="packed": their patches differ in length'
            )
        if out is not None and not isinstance(out, dict):
            raise TypeError("out of images and videos is a dict by key")
        settings: dict[str, Any] = {"out": out, "errors": errors, "data_format": data_format, "stop": stop}
        settings["is_part"] = True
        first = self._process(*images, **settings)
        return beside(first, self._process(films, None, "video", rates, **settings))

    @profiling.counted
    def _process(
        self,
        items: Sequence[Any],
        samples: Sequence[int] | None,
        what: Literal["image", "video"] = "image",
        rates: Sequence[float] | None = None,
        *,
        out: Out | None = None,
        errors: Literal["raise", "return"] = "raise",
        data_format: DataFormat | None = None,
        allocate: Allocate | None = None,
        crew: Crew | None = None,
        recipes: Sequence[Recipe] | None = None,
        is_part: bool = False,
        stop: Stop | None = None,
    ) -> Batch:
        """A call of images in one list, with the number of images of each sample, or of videos.

        `allocate` comes before the processor's own, and the threads are those of `crew` where there is one. `recipes`
        are images' own, which may differ in their views alone. `out` of a part of a call has keys of other parts too.
        `stop` ends the call early.
        """
        is_image = what == "image"
        loader = self.loader if is_image else self._loader(None)
        picked: dict[int, VideoInfo] = {}
        speeds: dict[int, float] = {}
        if is_image:
            loaded, failures = self._load_images(items, data_format, loader, recipes)
        else:
            loaded, failures, picked, speeds = self._load_videos(items, data_format, rates, loader)
        if loader.fetch is not None:
            _fetch(loaded, failures, loader.fetch)
        given: Sequence[Item] = loaded
        if self.chooser is not None and is_image:
            given = chosen(self.chooser, loader, items, loaded, samples, self.num_threads or usual_threads())
        backend = resolve_backend(self.arithmetic if is_image else self.video_arithmetic)
        allocate = allocate or self.allocate
        kept = None
        if self.cache is not None and self.chooser is None and is_image and out is None:
            decoding = (self.decoder, self.decode, self.alpha, self.gray16, self.limits)
            known_by = cached.Settings(self.layout, self.dtype, backend, *decoding)
            kept = cached.Kept.of(self.cache, known_by, self.recipe, loaded, samples, recipes)
            outputs = functools.partial(self._outputs, out=None, allocate=allocate)
            if kept is not None and (known := kept.batch(outputs, self._hidden)) is not None:
                return known
        call = Call(
            self.recipe if is_image else self._video_recipe,
            given,
            None if samples is None else list(samples),
            self.layout,
            self.dtype,
            backend,
            scaled=self.decode == "scaled",
            limits=self.limits,
            decoder=loader.decoding,
            num_threads=self.num_threads or usual_threads(),
        )
        failed = [index for index, _, _ in call.failures()] if is_image else ()
        files, reasons = documents.opened(loaded, failed, self.max_file_bytes)
        if files:
            images = [
                item if one is None or settled(item) else one[0] if isinstance(one, tuple) else one
                for item, one in zip(items, loaded, strict=True)
            ]
            pages, counts, owners = _with_documents(images, samples, files)
            settings: dict[str, Any] = {"out": out, "errors": errors, "data_format": data_format, "stop": stop}
            own = None if recipes is None else [recipes[owner] for owner in owners]
            batch = self._process(pages, counts, **settings, allocate=allocate, crew=crew, recipes=own, is_part=is_part)
            batch._items = owners
            return batch
        name = namer(what, samples)
        self._note(call, failures, errors, name, reasons)
        tensors = call.lay_out()
        self._note(call, failures, errors, name)
        if is_part and isinstance(out, dict):
            out = {key: out[key] for key, _ in tensors if key in out}
        values = self._outputs(tensors, out, allocate)
        while not call.run(list(values.values()), errors == "return", crew, stop):
            # Some turned out bad: the others are laid out anew.
            self._note(call, failures, errors, name)
            values = self._remaining(values, call.lay_out(), out, allocate)
        self._hidden.tell(call.is_dark)
        arrays = {**values, **call.arrays()}
        arrays = {key: arrays[key] for key in call.keys}
        arrays.update(call.segments() or {})
        plans = call.plans
        key = self.recipe.seconds_key
        if key is not None and arrays and speeds and all(at in speeds for at, plan in enumerate(plans) if plan):
            seconds = [self.recipe.temporal_patch_size / speeds[at] for at, plan in enumerate(plans) if plan]
            arrays[key] = np.array(seconds, dtype=np.float32)
        infos = [picked.get(index) if plan else None for index, plan in enumerate(plans)]
        batch = Batch(arrays, plans, failures, values=frozenset(values), dtype=self.dtype, video_infos=infos)
        if kept is not None and not failures:
            kept.keep(batch, is_dark=call.is_dark)
        return batch

    def _settled(
        self, pair: Settled, loader: Loader, data_format: DataFormat | None, recipe: Recipe
    ) -> tuple[Loaded, Plan]:
        """An image with settings of its own, and its plan."""
        image = loader.load(pair.image, data_format)
        if isinstance(image, Address):
            image = loader.content(image)
        if isinstance(image, ImageFile):
            raise TypeError("an opened file has its plan")
        return image, plan_with(loader.size(image), recipe, pair.settings)

    def _load_images(
        self,
        items: Sequence[Any],
        data_format: DataFormat | None,
        loader: Loader,
        recipes: Sequence[Recipe] | None,
    ) -> tuple[list[Item], dict[int, Exception]]:
        """Images as the compiled part takes them, and why it does not get others."""
        loaded: list[Item] = []
        failures: dict[int, Exception] = {}
        if len(items) > 1:
            data_format = data_format or data_format_of(items)
        for index, item in enumerate(items):
            try:
                if (pair := settled(item)) is not None:
                    own = self.recipe if recipes is None else recipes[index]
                    loaded.append(self._settled(pair, loader, data_format, own))
                else:
                    image = loader.load(item, data_format)
                    loaded.append(image if recipes is None else (image, recipes[index]))
            except Exception as error:
                failures[index] = error
                loaded.append(None)
        return loaded, failures

    def _load_videos(
        self, items: Sequence[Any], data_format: DataFormat | None, rates: Sequence[float] | None, loader: Loader
    ) -> tuple[list[Item], dict[int, Exception], dict[int, VideoInfo], dict[int, float]]:
        """Videos as the compiled part takes them, why it does not get others, those of files, and known rates."""
        loaded: list[Item] = []
        failures: dict[int, Exception] = {}
        picked: dict[int, VideoInfo] = {}
        known: dict[int, float] = {}
        for index, item in enumerate(items):
            try:
                one = video_items.with_settings(item, self._video_recipe)
                fps = one.fps or (rates[index] if rates else None)
                frames: list[Loaded]
                if video_items.holds_file(one.video):
                    file = video_items.opened(one, loader, fps).picked(one.recipe)
                    frames, picked[index] = list(file.deferred()), file.info
                    fps, size = file.info.sampled_fps, file.size
                else:
                    frames = video_items.load(one.video, loader, data_format)
                    size = None
                loaded.append(video_items.settle(one, frames, size, loader))
                if fps is not None:
                    known[index] = fps
            except Exception as error:
                failures[index] = error
                loaded.append(None)
        return loaded, failures, picked, known

    @staticmethod
    def _note(
        call: Call,
        failures: dict[int, Exception],
        errors: Literal["raise", "return"],
        name: Callable[[int], str],
        reasons: Mapping[int, Exception] = MappingProxyType({}),
    ) -> None:
        """Adds what is wrong with items of a call, by better `reasons` where there are; or raises the first."""
        for index, frame, error in call.failures():
            failures[index] = error if frame is None else with_index(error, frame, "frame")
        failures.update(reasons)
        for index in sorted(failures):
            error = failures.pop(index)
            if errors == "raise":
                raise with_name(error, name(index)) from error
            failures[index] = error  # in order

    def _outputs(
        self, tensors: Sequence[tuple[str, list[int]]], out: Out | None, allocate: Allocate | None
    ) -> dict[str, NDArray[Any]]:
        if out is not None and tensors:
            return given(out, tensors, self.dtype)
        if allocate is not None:
            return allocated(allocate, tensors, self.dtype)
        return {key: self._empty(key, shape, np.dtype(STORAGE[self.dtype][0])) for key, shape in tensors}

    def _remaining(
        self,
        values: dict[str, NDArray[Any]],
        tensors: Sequence[tuple[str, list[int]]],
        out: Out | None,
        allocate: Allocate | None,
    ) -> dict[str, NDArray[Any]]:
        """Memory for what is left of a batch whose tensors were to be written to `values`: its first rows."""
        first = {key: first_rows(values[key], shape) if key in values else None for key, shape in tensors}
        kept = {key: array for key, array in first.items() if array is not None}
        missing = [(key, shape) for key, shape in tensors if key not in kept]
        if missing and out is not None:
            key, shape = missing[0]
            raise ValueError(f"without the images that turned out bad, out[{key!r}] must have shape {tuple(shape)}")
        return {**kept, **self._outputs(missing, None, allocate)} if missing else kept

    def _empty(self, key: str, shape: list[int], dtype: np.dtype[Any]) -> NDArray[Any]:
        ambient = AMBIENT.get()
        if ambient is not None and (memory := ambient(key, tuple(shape), self.dtype)) is not None:
            return as_array(memory, f"memory for {key!r}", self.dtype)
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < _POOLED_BYTES:
            return np.empty(shape, dtype=dtype)
        return np.ndarray(shape, dtype, buffer=self._memory.take(nbytes))


def _fetch(loaded: list[Item], failures: dict[int, Exception], fetch: Fetch) -> None:
    """Puts the bytes of images and frames on the web in their places, all of them fetched beside each other."""
    places: list[tuple[int, list[Any], int]] = []
    for index, item in enumerate(loaded):
        if isinstance(item, list):
            places += [(index, item, at) for at, frame in enumerate(item) if isinstance(frame, Address)]
        elif isinstance(item, Address):
            places.append((index, loaded, index))
    contents = fetch.all([str(held[at]) for _, held, at in places])
    for (index, held, at), content in zip(places, contents, strict=True):
        if isinstance(content, Exception):
            failures.setdefault(index, content if held is loaded else with_index(content, at, "frame"))
        else:
            held[at] = content
    for index in failures:
        loaded[index] = None


def _chooser(
    recipe: Recipe | str, candidates: Sequence[Candidate] | Chooser | None, layout: Layout, decode: Decode
) -> Chooser:
    """What chooses the recipes of "auto"."""
    if recipe != "auto":
        raise TypeError(f'candidates are of recipe="auto", got {recipe!r}')
    if candidates is None:
        raise TypeError(
            'recipe="auto" needs candidates, such as candidates=["deepseek-ocr-small", "deepseek-ocr-base"]'
        )
    if layout != "packed":
        raise ValueError(f'recipe="auto" needs layout="packed", in which images of several recipes lie, got {layout!r}')
    if decode != "exact":
        raise ValueError(f'recipe="auto" looks at all pixels, so decode must be "exact", got {decode!r}')
    return candidates if isinstance(candidates, Chooser) else Chooser(candidates)


def _recipe(recipe: Recipe | str, overrides: dict[str, Any], arithmetic: Arithmetic | None) -> Recipe:
    """The recipe with these parameters; the recipe knows no versions of Pillow."""
    if not isinstance(recipe, (Recipe, str)):
        raise TypeError(f"a recipe is a Recipe or a name, got {type(recipe).__qualname__}")
    if arithmetic is not None:
        overrides = {**overrides, "arithmetic": "torch" if arithmetic == "torch" else "pillow"}
    try:
        return Recipe.load(recipe, **overrides) if isinstance(recipe, str) else recipe.replace(**overrides)
    except RecipeError as error:
        known = (Recipe.load(recipe) if isinstance(recipe, str) else recipe).params
        if overrides.keys() <= known.keys():
            raise
        own = ", ".join(name for name in inspect.signature(Processor).parameters if name != "overrides")
        raise RecipeError(f"{error}; Processor's own arguments are {own}") from None


def _with_documents(
    items: Sequence[Any], samples: Sequence[int] | None, files: dict[int, documents.Document]
) -> tuple[list[Any], list[int], list[int]]:
    """A call's images with the pages of its documents in their places.

    Also the number of images of each sample, and which image, or document, each of them was before.
    """
    pages = [list(files[index]) if index in files else [one] for index, one in enumerate(items)]
    counts, first = [], 0
    for count in samples or [1] * len(items):
        counts.append(sum(map(len, pages[first : first + count])))
        first += count
    owners = [index for index, item in enumerate(pages) for _ in item]
    return [page for item in pages for page in item], counts, owners


def _rates(fps: float | Sequence[float] | None, count: int) -> list[float] | None:
    """Frames a second of every video."""
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
