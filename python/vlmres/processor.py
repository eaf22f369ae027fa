"""Images and videos to tensors."""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from vlmres._core import (
    BatchLayout,
    Memory,
    Plan,
    PlanError,
    Recipe,
    RecipeError,
    Source,
    VlmresError,
    default_threads,
    execute,
    plan,
    resize_source,
)
from vlmres.batch import Batch
from vlmres.inputs import DataFormat, Loader, as_list
from vlmres.planning import Sizable, size_of
from vlmres.videos import as_videos
from vlmres.videos import load as load_video

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Layout = Literal["hf", "packed"]
DType = Literal["float32", "bfloat16", "float16", "uint8"]
Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Decode = Literal["exact", "scaled"]
Arithmetic = Literal["torch", "pillow", "pillow-installed", "pillow-13", "pillow-12", "pillow-11"]

# numpy types that may hold each dtype; the first is what a fresh array has.
_STORAGE: dict[DType, tuple[str, ...]] = {
    "float32": ("float32",),
    "bfloat16": ("uint16", "int16", "bfloat16"),
    "float16": ("float16",),
    "uint8": ("uint8",),
}


# From so many bytes on, fresh memory costs page faults.
_POOLED_BYTES = 1 << 20


class Processor:
    """Turns images, or the frames of videos, into the tensors that a family's encoder reads.

    Args:
        recipe: A recipe or the name of one.
        layout: "hf" for the reference processor's keys, shapes and order; "packed" for all patches in one buffer.
        dtype: Type of the pixel values. "uint8" are pixels before normalisation.
        arithmetic: Whose resize and normalisation to equal bit for bit: "torch" (transformers' torchvision backend),
            "pillow" (transformers' PIL backend and most authors' code, on Pillow 13), "pillow-12" (12.2 and 12.3) or
            "pillow-11" (up to 12.1) with the order of passes of those versions, "pillow-13" (the same as "pillow"), or
            "pillow-installed" with that of the Pillow installed here. By default the recipe's own for images, which
            `Recipe.params["arithmetic"]` tells, and "torch" for videos, whose classes in transformers are torchvision's
            alone.
        num_threads: Threads per call. By default `VLMRES_NUM_THREADS`, else all processors; one in a DataLoader worker.
        max_image_pixels: Files of more pixels are refused before they are decoded. By default Pillow's limit.
        decode: "exact" for Pillow's pixels. "scaled" decodes a JPEG file to a half, a quarter or an eighth of its sides
            where every view of its plan is at most that large: faster, not exact. Plans and shapes stay the same.
        **overrides: Parameters of the recipe, such as `max_pixels=1_000_000`; `Recipe.params` and
            `vlmres recipes NAME` say which it has.

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
        max_image_pixels: int | None = None,
        decode: Decode = "exact",
        **overrides: Any,
    ) -> None:
        _check_choice("layout", layout, Layout)
        _check_choice("dtype", dtype, DType)
        _check_choice("decode", decode, Decode)
        _check_count("num_threads", num_threads)
        _check_count("max_image_pixels", max_image_pixels)
        if arithmetic is not None:
            _check_choice("arithmetic", arithmetic, Arithmetic)
        self.recipe = _recipe(recipe, overrides, arithmetic)
        self.video_arithmetic: Arithmetic = arithmetic or "torch"
        self.arithmetic: Arithmetic = arithmetic or self.recipe.params["arithmetic"]
        self.layout: Layout = layout
        self.dtype: DType = dtype
        self.num_threads = num_threads
        self.max_image_pixels = max_image_pixels
        self._memory = Memory()
        self.decode: Decode = decode

    def __repr__(self) -> str:
        return (
            f"Processor({self.recipe!r}, layout={self.layout!r}, dtype={self.dtype!r}, arithmetic={self.arithmetic!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_memory"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._memory = Memory()

    def trim(self) -> None:
        """Gives memory of results that nobody uses any more back to the system."""
        self._memory.trim()

    @functools.cached_property
    def _video_recipe(self) -> Recipe:
        """The recipe in the arithmetic of videos."""
        own = self.arithmetic == self.video_arithmetic
        return self.recipe if own else self.recipe.replace(arithmetic=self.video_arithmetic)

    def plan(self, size: Sizable) -> Plan:
        """The plan of an image, or of a video: what `vlmres.plan` gives of it with this processor's recipe."""
        sides = size_of(size)
        return plan(sides, self.recipe if len(sides) == 2 else self._video_recipe)

    def __call__(
        self,
        images: Any = None,
        *,
        videos: Any = None,
        fps: float | Sequence[float] | None = None,
        out: NDArray[Any] | Mapping[str, NDArray[Any]] | None = None,
        errors: Literal["raise", "return"] = "raise",
        input_data_format: DataFormat | None = None,
    ) -> Batch:
        """Processes one image or a list of them, or one video or a list of them.

        Args:
            images: PIL images, uint8 numpy arrays or CPU torch tensors (HWC, CHW or HW, any strides), paths, or bytes
                of image files. In a list of lists each holds the images of one sample: references that know samples
                have a row for each, padded to the longest; to the others the images are one list.
            videos: In place of images: uint8 arrays or CPU tensors of frames (THWC or TCHW, stacked where they are
                alike), or lists of frames, which are images as above, all RGB or gray and of one size. A video's last
                frame is repeated where a patch lacks frames. Files of videos are not decoded.
            fps: Frames a second of the videos as they are passed, one number or one for each. Where the family's
                processor gives the seconds between patches along time (Qwen2.5-VL), they are in the batch then.
            out: Memory to write the pixel values to: C-contiguous arrays of the exact shape and type by key, or one
                array where there is one key (bfloat16 goes to uint16 or int16 arrays). Where one does not fit, nothing
                is written.
            errors: "raise" on the first bad image, or "return" what is wrong in `Batch.errors` and process the others.
            input_data_format: "channels_first" or "channels_last" for arrays whose shape fits both.

        Raises:
            VlmresError: An image, a video or `out` cannot be used; the message starts with the index of the first two
                (over all lists).
            OSError: A file cannot be read.
            TypeError: Images and lists of them are mixed.
        """
        if (images is None) == (videos is None):
            raise TypeError("pass images or videos")
        if errors not in ("raise", "return"):
            raise ValueError(f'errors must be "raise" or "return", got {errors!r}')
        samples: list[int] | None = None
        if videos is None:
            (items, samples), what = as_list(images), "image"
        else:
            items, what = as_videos(videos), "video"
        if not items:
            raise ValueError(f"{what}s is empty")
        rates = _rates(fps, len(items), what)
        threads = self.num_threads or _default_threads()
        sources: list[Source] = []
        plans: list[Plan | None] = []
        failures: dict[int, Exception] = {}
        sample_of = [sample for sample, count in enumerate(samples or ()) for _ in range(count)]
        if videos is None:
            counts = [samples[sample] for sample in sample_of] if samples else [1] * len(items)
            found = self._load_images(items, counts, input_data_format, threads)
        else:
            found = self._load_videos(items, input_data_format, threads)
        for index, loaded in enumerate(found):
            if isinstance(loaded, Exception):
                if errors == "raise":
                    raise with_index(loaded, index, what) from loaded
                failures[index] = loaded
                plans.append(None)
            else:
                planned, frames = loaded
                plans.append(planned)
                sources.extend(frames)
        if not sources:
            return Batch({}, plans, failures, values=frozenset(), dtype=self.dtype)
        if samples:
            for index in failures:
                samples[sample_of[index]] -= 1
        seconds: dict[str, NDArray[Any]] = {}
        key = self.recipe.seconds_key
        if rates is not None and key is not None:
            kept = [rate for index, rate in enumerate(rates) if index not in failures]
            seconds[key] = np.array([self.recipe.temporal_patch_size / rate for rate in kept], dtype=np.float32)
        return self._run(sources, plans, samples, failures, out, threads, seconds)

    def _load_images(
        self, images: list[Any], counts: list[int], data_format: DataFormat | None, threads: int
    ) -> Iterator[tuple[Plan, list[Source]] | Exception]:
        """The plan and the source of every image, in a sample of `counts` images, or what is wrong with it."""
        loader = Loader(
            self.recipe.params["convert"],
            torch_alpha=self.arithmetic == "torch",
            max_pixels=self.max_image_pixels,
            num_threads=threads,
            scaled_for=self.recipe if self.decode == "scaled" else None,
        )
        for source, count in zip(loader.load(images, data_format), counts, strict=True):
            try:
                if isinstance(source, Exception):
                    raise source
                loaded = plan(source.size, self.recipe, count), [source]
            except Exception as error:
                yield error
            else:
                yield loaded

    def _load_videos(
        self, videos: list[Any], data_format: DataFormat | None, threads: int
    ) -> Iterator[tuple[Plan, list[Source]] | Exception]:
        """The plan and the sources of the frames of every video, or what is wrong with it."""
        recipe = self._video_recipe
        loader = Loader(
            recipe.params["convert"], torch_alpha=True, max_pixels=self.max_image_pixels, num_threads=threads
        )
        for video in videos:
            try:
                frames = load_video(video, loader, data_format)
                loaded = plan((len(frames), *frames[0].size), recipe), frames
            except Exception as error:
                yield error
            else:
                yield loaded

    def _run(
        self,
        sources: list[Source],
        plans: list[Plan | None],
        samples: list[int] | None,
        failures: dict[int, Exception],
        out: NDArray[Any] | Mapping[str, NDArray[Any]] | None,
        threads: int,
        others: dict[str, NDArray[Any]],
    ) -> Batch:
        planned = [item for item in plans if item is not None]
        layout = BatchLayout(planned[0].recipe, planned, self.layout, samples)
        values = self._outputs(layout.tensors, out)
        arithmetic = resolve_arithmetic(self.arithmetic if planned[0].frames is None else self.video_arithmetic)
        execute(layout, sources, list(values.values()), self.dtype, arithmetic, threads)
        arrays = {**values, **layout.arrays()}
        arrays = {key: arrays[key] for key in layout.keys}
        segments = layout.segments()
        if segments is not None:
            if failures:
                kept = np.array([index for index, item in enumerate(plans) if item is not None], dtype=np.int32)
                segments["image_index"] = kept[segments["image_index"]]
            arrays.update(segments)
        arrays.update(others)
        return Batch(arrays, plans, failures, values=frozenset(values), dtype=self.dtype)

    def _outputs(
        self, tensors: Sequence[tuple[str, list[int]]], out: NDArray[Any] | Mapping[str, NDArray[Any]] | None
    ) -> dict[str, NDArray[Any]]:
        storage = _STORAGE[self.dtype]
        if out is None:
            return {key: self._empty(shape, np.dtype(storage[0])) for key, shape in tensors}
        keys = [key for key, _ in tensors]
        if isinstance(out, np.ndarray):
            if len(keys) != 1:
                raise ValueError(f"out must be a dict with arrays for {', '.join(keys)}")
            out = {keys[0]: out}
        if not isinstance(out, Mapping):
            raise TypeError(f"out must be a numpy array or a mapping of them, got {type(out).__qualname__}")
        if set(out) != set(keys):
            raise ValueError(f"out must have exactly the keys {', '.join(keys)}, got {', '.join(map(str, out))}")
        for key in keys:
            array = out[key]
            if not isinstance(array, np.ndarray):
                raise TypeError(f"out[{key!r}] must be a numpy array, got {type(array).__qualname__}")
            if array.dtype.name not in storage or not array.dtype.isnative:
                raise ValueError(f"out[{key!r}] must have dtype {' or '.join(storage)}, got {array.dtype}")
        return {key: out[key] for key in keys}

    def _empty(self, shape: list[int], dtype: np.dtype[Any]) -> NDArray[Any]:
        nbytes = math.prod(shape) * dtype.itemsize
        if nbytes < _POOLED_BYTES:
            return np.empty(shape, dtype=dtype)
        return np.ndarray(shape, dtype, buffer=self._memory.take(nbytes))


def resize(
    image: Any,
    size: tuple[int, int],
    filter: Filter = "bicubic",
    arithmetic: Arithmetic = "pillow",
    *,
    num_threads: int | None = None,
    input_data_format: DataFormat | None = None,
) -> NDArray[np.uint8]:
    """Resizes one image exactly as Pillow or torchvision does.

    Args:
        image: Anything that a `Processor` takes.
        size: (width, height).
        filter: "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos"; torch has neither "box" nor "hamming".
        arithmetic: As of `Processor`.
        num_threads: As of `Processor`.
        input_data_format: As of `Processor.__call__`.

    Returns:
        uint8 of shape (height, width, 3).

    Raises:
        VlmresError: The image cannot be used, nothing can have such a size, or there is no such filter or arithmetic.
    """
    _check_count("num_threads", num_threads)
    threads = num_threads or _default_threads()
    loader = Loader("white", torch_alpha=arithmetic == "torch", max_pixels=None, num_threads=threads)
    source = loader.load([image], input_data_format)[0]
    if isinstance(source, Exception):
        raise source
    try:
        return resize_source(source, size, filter, resolve_arithmetic(arithmetic), threads)
    except PlanError as error:
        # The image has been loaded, so that the size at fault is the one asked for.
        raise VlmresError(f"target {error}") from None


def resolve_arithmetic(name: str) -> str:
    """The arithmetic with the version of Pillow that it means: "pillow" is 13, whatever is installed."""
    if name == "pillow-installed":
        return installed_pillow()
    return "pillow-13" if name == "pillow" else name


def installed_pillow() -> str:
    """Which of the Pillow arithmetics the installed Pillow has.

    Raises:
        ModuleNotFoundError: Pillow is not installed.
    """
    module = sys.modules.get("PIL")
    return _pillow_of(module.__version__ if module is not None else _pillow_version())


@functools.cache
def _pillow_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pillow")
    except PackageNotFoundError:
        raise ModuleNotFoundError('arithmetic="pillow-installed" needs Pillow, which is not installed') from None


def _pillow_of(version: str) -> str:
    major, minor = (*(int(part) for part in version.split(".")[:2] if part.isdigit()), 0)[:2]
    if major >= 13:
        return "pillow-13"
    return "pillow-12" if (major, minor) >= (12, 2) else "pillow-11"


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


def _check_choice(name: str, value: object, kind: Any) -> None:
    """Refuses what is none of the names of a `Literal`."""
    names = get_args(kind)
    if value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}, got {value!r}")


def _check_count(name: str, value: object) -> None:
    """Refuses what is neither None nor a positive integer."""
    if value is None:
        return
    # numpy's integers are not int, and its bool is not an integer.
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer or None, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def _default_threads() -> int:
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:
        return 1
    return default_threads()


def _rates(fps: float | Sequence[float] | None, count: int, what: str) -> list[float] | None:
    """Frames a second of every video."""
    if fps is None:
        return None
    if what != "video":
        raise TypeError("fps is of videos")
    given = np.asarray(fps, dtype=np.float64)
    rates: list[float] = np.full(count, given).tolist() if given.ndim == 0 else given.tolist()
    if len(rates) != count:
        raise ValueError(f"fps must be one number or one for each of {count} videos, got {len(rates)}")
    for rate in rates:
        if not 0 < rate < math.inf:
            raise ValueError(f"fps must be positive, got {rate}")
    return rates


def with_index(error: Exception, index: int, what: str = "image") -> Exception:
    """The same kind of error, saying which image or video it is about."""
    if isinstance(error, OSError) and error.errno is not None:
        return type(error)(error.errno, f"{what} {index}: {error.strerror}", error.filename)
    try:
        return type(error)(f"{what} {index}: {error}")
    except Exception:
        return ValueError(f"{what} {index}: {type(error).__qualname__}: {error}")
