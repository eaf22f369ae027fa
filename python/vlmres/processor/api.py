"""The `Processor`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal

from vlmres._core import Memory, Plan, Recipe, VlmresError, shapes, trim_process
from vlmres.arithmetic import Arithmetic
from vlmres.checks import check_choice
from vlmres.inputs import Fetch
from vlmres.planning import Sizable, planned, tells_rate
from vlmres.processor.asynchronous import Calls
from vlmres.processor.run import Options, call, process, rates_of
from vlmres.processor.settings import Settings, chooser_for, load_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.batch import Batch
    from vlmres.cache import Cache
    from vlmres.choosing import Candidate, Chooser
    from vlmres.inputs import Alpha, DataFormat, Decoder, Gray16
    from vlmres.outputs import Allocate, DType, Out
    from vlmres.processor.run import What
    from vlmres.processor.settings import Decode, Layout


class Processor(Settings):
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
        if alpha in ("white", "drop"):
            overrides = {"convert": alpha, **overrides}
        if arithmetic is not None:
            check_choice("arithmetic", arithmetic, Arithmetic)
        chooser = chooser_for(recipe, candidates, layout, decode)
        if chooser is not None:
            chooser = chooser.map(lambda one: load_recipe(one, overrides, arithmetic, _ARGUMENTS))
            recipe, overrides = chooser.default, {}
        recipe = load_recipe(recipe, overrides, arithmetic, _ARGUMENTS)
        super().__init__(
            recipe=recipe,
            chooser=chooser,
            arithmetic=arithmetic or recipe.params["arithmetic"],
            video_arithmetic=arithmetic or "torch",
            layout=layout,
            dtype=dtype,
            num_threads=num_threads,
            decoder=decoder,
            alpha=alpha,
            gray16=gray16,
            fetch=fetch if isinstance(fetch, Fetch) else Fetch() if fetch else None,
            max_image_pixels=max_image_pixels,
            max_file_bytes=max_file_bytes,
            max_decoded_bytes=max_decoded_bytes,
            max_output_bytes=max_output_bytes,
            decode=decode,
            allocate=allocate,
            cache=cache,
            max_in_flight=max_in_flight,
        )
        self._memory = Memory()
        self._calls = Calls(self.max_in_flight or self.threads)

    def __repr__(self) -> str:
        return (
            f"Processor({self.recipe!r}, layout={self.layout!r}, dtype={self.dtype!r}, arithmetic={self.arithmetic!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("_memory", "_calls")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._memory = Memory()
        self._calls = Calls(self.max_in_flight or self.threads)

    def trim(self) -> None:
        """Releases cached result buffers.

        So does what the process keeps for all processors: memory of decoded images, and weights of resizes.
        """
        self._memory.trim()
        trim_process()

    def plan(self, size: Sizable) -> Plan:
        """The plan of an image, or of a video: what `vlmres.plan` gives of it with this processor's recipe."""
        return planned(size, self.recipe, self.loader, of_videos=self.video_recipe)

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
        rates = rates_of(fps, len(sizes))
        plans = [
            planned(
                size, self.recipe, self.loader, count, of_videos=self.video_recipe, fps=rates[at] if rates else None
            )
            for at, (size, count) in enumerate(zip(sizes, counts, strict=True))
        ]
        are_videos = bool(plans) and all(plan.frames is not None for plan in plans)
        if rates is not None and not are_videos:
            raise TypeError("fps is of videos")
        found = shapes(self.video_recipe if are_videos else self.recipe, plans, self.layout, samples)
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
        return call(self, self._memory, images, videos, fps, Options(out, errors, input_data_format))

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
        return await self._calls.run(
            lambda stop: call(
                self, self._memory, images, videos, fps, Options(out, errors, input_data_format, stop=stop)
            )
        )

    def _process(
        self,
        items: Sequence[Any],
        samples: Sequence[int] | None,
        what: What = "image",
        *,
        recipes: Sequence[Recipe] | None = None,
        **options: Any,
    ) -> Batch:
        """A call of a `Loader`: see `run.process`, and `run.Options` for the options."""
        return process(self, self._memory, items, samples, what, recipes=recipes, options=Options(**options))


# Of the processor itself: every other name is a parameter of a recipe.
_ARGUMENTS = [name for name in inspect.signature(Processor).parameters if name != "overrides"]
