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
        recipe: A recipe or the name of one. With "auto", each sample gets the cheapest of `candidates` that keeps its
            text legible (docs/choose.md); then all images of a call are decoded before the first is written.
        layout: "hf" for the keys, shapes and order of the reference processor, or "packed" for all patches in one
            array. "auto" needs "packed".
        dtype: Type of the pixel values. "uint8" gives pixels before normalisation.
        arithmetic: Whose rounding to reproduce bit for bit in resizes and normalisation: "torch" (transformers'
            torchvision backend) or "pillow" (transformers' PIL backend and most authors' code, on Pillow 13).
            "pillow-12" (12.2 and 12.3) and "pillow-11" (up to 12.1) have the order of passes of older versions,
            "pillow-13" equals "pillow", and "pillow-installed" is that of the installed Pillow. The default for images
            is `Recipe.params["arithmetic"]`. For videos it is "torch", because transformers has only torchvision
            classes for them.
        num_threads: Threads per call. By default `VLMRES_NUM_THREADS`, else all processors; one in a DataLoader worker.
        decoder: Which decoder reads image files. "auto": vlmres; for files that it does not read, Pillow if installed
            (docs/files.md). "native": only vlmres. "pillow": only Pillow.
        alpha: How transparency is converted, in files and in objects. "reference": as the reference does, which may
            treat files and objects differently (docs/files.md); warns once if a transparent page may have become
            black. "white": composited on white. "drop": the alpha channel is dropped. "reject": images with transparent
            pixels are refused. The recipe's parameter `convert` has the same values.
        gray16: How 16-bit gray in files and PIL images is converted. "clip": values above 255 become white, as in
            Pillow and so in transformers. "scale": the high byte is used.
        fetch: Whether to fetch images from http and https addresses; a `Fetch` sets the limits of size, time and
            redirects. Only public hosts are reached by default. The images of a call are fetched at the same time.
        max_image_pixels: Files of more pixels are refused before they are decoded. By default Pillow's limit.
        max_file_bytes: Larger files are refused before they are read. By default 2 GiB.
        max_decoded_bytes: Most bytes for decoding, of one file and of all files that are decoded at the same time. The
            bytes of a file that is read from a path count, too. By default 4 GiB.
        max_output_bytes: Most bytes of a call's outputs, masks included. A call over the limit is refused; an image
            that exceeds it alone is a bad image. By default 4 GiB for each image or frame.
        decode: "exact" for Pillow's pixels. "scaled" decodes a JPEG file at a half, a quarter or an eighth of its size
            if no view of its plan is larger: faster, not exact. Plans and shapes stay the same.
        allocate: A function `allocate(key, shape, dtype)` that returns memory for pixel values: a C-contiguous numpy
            array or CPU tensor of that shape and dtype, which is this processor's. By default the processor uses its
            own pool.
        candidates: Only with "auto": recipes, names or pairs (name, overrides); or a `vlmres.Chooser`. All must be for
            one encoder, so that they cut and normalise patches alike.
        cache: A `Cache`. A call with the same images and settings is read from disk, any other is computed and stored.
            Not cached: videos, documents, images with settings of their own, "auto", calls with `out`, calls with bad
            images.
        max_in_flight: Most calls of `acall` that run at the same time; others wait in order. By default the number of
            threads.
        **overrides: Parameters of the recipe, such as `max_pixels=1_000_000`. `Recipe.parameters`, `help(recipe)` and
            `vlmres recipes NAME` list them.

    A processor is thread-safe, can be pickled, and works after a fork. It keeps the memory of large results in a pool
    and reuses it when they are freed: at most 256 MiB, or the size of the largest tensor so far. `trim()` empties it.

    Raises:
        RecipeError: The recipe does not exist, it has no such parameter or does not allow the value, or its filter does
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
        """Releases memory that is kept for later calls.

        That is this processor's pool, and what the process shares: memory of decoded images and weights of resizes.
        """
        self._memory.trim()
        trim_process()

    def plan(self, size: Sizable) -> Plan:
        """The plan of an image or a video, as `vlmres.plan` makes it, with this processor's recipe and limits."""
        return planned(size, self.recipe, self.loader, of_videos=self.video_recipe)

    def shapes(
        self,
        sizes: Sequence[Sizable],
        samples: Sequence[int] | None = None,
        *,
        fps: float | Sequence[float] | None = None,
    ) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shapes and dtypes of the arrays of a batch, from sizes alone.

        Args:
            sizes: (width, height) of every image, or (frames, width, height) of every video; or anything else that
                `plan` takes, such as files.
            samples: Number of images of each sample, if images are passed in one list per sample.
            fps: Frames per second of videos, as in a call.

        Returns:
            (shape, dtype) of every array by key.

        Raises:
            PlanError: An image of such a size cannot be planned.
            VlmresError: There are no sizes, they cannot be in one batch, or `samples` does not match them.
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
            raise TypeError("fps is only for videos")
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
        """Processes images, videos or, with `layout="hf"`, both.

        A batch of both has the arrays of the images, then those of the videos, as processors of transformers return
        them. Plans, errors and `video_infos` are in the same order.

        Args:
            images: One image or a list of images: PIL images, uint8 numpy arrays or CPU torch tensors (HWC, CHW or HW,
                any strides), or something that holds an image file: paths, bytes, open files, data URIs and others
                (docs/files.md). In a list of lists, each inner list is one sample. For references with samples the
                batch has a row per sample, padded to the longest; for others the images count as one list.
                A pair `(image, {"max_pixels": ...})` is an image with settings of its own: budgets of the recipe,
                `resized_width` and `resized_height`, `longest_side`, or `do_resize=False` (docs/files.md).
                A PDF file or a `vlmres.Document` is a sample of its pages (`pip install 'vlmres[pdf]'`).
            videos: One video or a list of videos. Arrays or CPU tensors of frames (THWC or TCHW; several of the same
                shape may be stacked), uint8, or floats that are whole numbers from 0 to 255. Or lists of frames, which
                are images as above, all RGB or gray and of one size. Or files: paths, bytes, data URIs, open files,
                rows of data sets or `vlmres.Video`, from which the frames that the reference picks are decoded
                (`pip install 'vlmres[video]'`). A pair `(video, {"fps": 2.0})` is a video with settings of its own
                (docs/documents.md). If a patch along time lacks frames, the last frame is repeated.
            fps: Frames per second, one number or one for each video: of frames their rate, of files the rate at which
                frames are picked. If the reference returns the seconds between patches along time (Qwen2.5-VL), the
                batch has them when the rate is known, which it always is for files.
            out: Memory for the pixel values: by key, C-contiguous numpy arrays or CPU tensors (also pinned or shared)
                of the exact shape and dtype, see `shapes`; or a single one if there is one key. bfloat16 is written to
                bfloat16 tensors, or to uint16 or int16 arrays. If one of them does not fit, nothing is written, except
                that in a call with images and videos the images may be. If an image turns out bad while it is decoded,
                the arrays of the batch are the beginning of this memory.
            errors: "raise" the error of the first bad image; or "return" all errors in `Batch.errors` and process the
                other images.
            input_data_format: "channels_first" or "channels_last", for arrays whose shape fits both.

        Returns:
            The batch. Its arrays are as `shapes` says.

        Raises:
            VlmresError: An image, a video or `out` cannot be used. The message starts with the index of the image or
                video, or with the indices of sample and image.
            OSError: A file cannot be read.
            TypeError: A list mixes images and lists of images.
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
        """A call for event loops: `await processor.acall(images)`. Arguments and result are those of a call.

        All work, including reading files, is done on other threads, by at most `max_in_flight` calls at the same time.
        If the task is cancelled, a call that waits never starts, and a running call ends within about 50 ms. The task
        continues only after it has ended, so that nothing is written to `out` afterwards.

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
