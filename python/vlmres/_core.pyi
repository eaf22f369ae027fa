"""The compiled part of vlmres. Private: use the names that `vlmres` exports."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL.Image import Image

from vlmres._types import Coordinates, Grid, Parameter, RecipeName, Size
from vlmres.encoder import Cost, EncoderConfig

__all__ = [
    "Call",
    "Crew",
    "DecodeError",
    "Deferred",
    "ImageFile",
    "Memory",
    "NotNativeError",
    "Plan",
    "PlanError",
    "Recipe",
    "RecipeError",
    "Source",
    "Stop",
    "View",
    "VlmresError",
    "build_info",
    "default_threads",
    "first_equal",
    "image_size",
    "jpeg_form",
    "pack_samples",
    "plan",
    "plan_columns",
    "plan_like",
    "recipes",
    "resize_source",
    "shapes",
    "text_lines",
    "trim_process",
    "watch",
    "watched",
]

_Encoded: TypeAlias = bytes | str | os.PathLike[str]
_Image: TypeAlias = Source | ImageFile | Deferred | _Encoded
# Pixels of a file's image, bytes of a file, bytes of decoding, bytes of a call's outputs; None for the default.
_Limits: TypeAlias = tuple[int | None, int | None, int | None, int | None]
# An object with `header` and `decode`, and what it decodes; None for nobody beside this module.
_Decoder: TypeAlias = tuple[_DecoderObject, Literal["rest", "transparent", "all"]] | None
_Convention: TypeAlias = Literal["pixels", "0-1000", "0-999", "0-1"]

class _DecoderObject(Protocol):
    def header(self, encoded: bytes | Path, may_leave: bool, /) -> tuple[tuple[int, int], tuple[int, int], int] | None:
        """The size as stored, the size as it is to be seen, and bytes that decoding takes; None of what
        it leaves.
        """
    def decode(self, encoded: bytes | Path, /) -> Source:
        """The pixels."""

class VlmresError(ValueError):
    """Base of the errors of vlmres."""

class RecipeError(VlmresError):
    """A recipe, override or checkpoint that cannot be followed."""

class PlanError(VlmresError):
    """A size of an image or video that a recipe cannot plan."""

class DecodeError(VlmresError):
    """Bytes that are not an image, or one over the pixel limit."""

class NotNativeError(DecodeError):
    """An image that Pillow may decode, but vlmres itself does not, or not to Pillow's pixels."""

@final
class Recipe:
    """A family's preprocessing as data. Make one with `Recipe.load`, `Recipe.from_toml` or
    `Recipe.from_pretrained`.
    """

    @staticmethod
    def load(name: RecipeName | str, **overrides: Any) -> Recipe:
        """The recipe `name` with `overrides` of its parameters.

        The name may differ from the recipe's in case and punctuation: "Qwen3VL" is "qwen3-vl". `Recipe.parameters` says
        what can be overridden.

        Raises:
            RecipeError: There is no such recipe, or no such parameter of it, or not with such a value.
        """
    @staticmethod
    def from_pretrained(
        directory_or_config: str | os.PathLike[str] | dict[str, Any],
        *,
        family: RecipeName | str | None = None,
        ignore: Sequence[str] = ...,
        **overrides: Any,
    ) -> Recipe:
        """The recipe that a checkpoint asks for. Nothing is downloaded.

        Where images can be followed but boxes or videos cannot, only using the recipe for those is an error.

        Args:
            directory_or_config: A folder with `preprocessor_config.json`, `processor_config.json`, `config.json` or
                `open_clip_config.json`, and of videos perhaps `video_preprocessor_config.json`; one such file; the name
                of a model on the Hugging Face Hub that lies in the local cache; or a file's content as a dict.
            family: The recipe whose family the model is of, where its files do not say or contradict each other.
            ignore: Keys that are taken for absent.
            overrides: Parameters that change the recipe further.

        Raises:
            RecipeError: No recipe follows the files exactly, or they contradict each other.
            FileNotFoundError: There are no such files.
        """
    @staticmethod
    def from_toml(path_or_text: str | os.PathLike[str], name: str | None = None, **overrides: Any) -> Recipe:
        """The recipe that a TOML file or text holds, with `overrides` of its parameters (docs/recipes.md).

        Args:
            path_or_text: A path, or the text itself: a string with a newline or an equals sign is text.
            name: Which of several recipes.
            **overrides: New values of parameters.

        Raises:
            RecipeError: The text is no TOML, or a recipe in it is wrong. The message names file, line, recipe and key.
            OSError: The file cannot be read.
        """
    def to_toml(self) -> str:
        """The recipe as TOML that needs no other file, overrides included: `from_toml` makes an equal one of it."""
    def replace(self, **overrides: Any) -> Recipe:
        """This recipe with further overrides."""
    @property
    def name(self) -> str:
        """The name under which the recipe is loaded."""
    @property
    def file(self) -> str | None:
        """The user's file that it is of; None of a built-in recipe, of a text and of a pickle."""
    @property
    def title(self) -> str:
        """The family's name for people."""
    @property
    def strategy(self) -> Literal["squash", "tiles", "native", "hybrid"]:
        """How the family handles image size."""
    @property
    def reference(self) -> str:
        """The code whose output this recipe reproduces."""
    @property
    def video_reference(self) -> str:
        """The code whose output of videos this recipe reproduces; empty where it takes none."""
    def sample_frames(
        self,
        total_frames: int,
        *,
        video_fps: float | None = None,
        duration: float | None = None,
        fps: float | None = None,
        num_frames: int | None = None,
        first: int = 0,
    ) -> NDArray[np.int64]:
        """Indices of the frames that the reference's processor picks of a video, so that others need not be decoded.

        Args:
            total_frames: Frames of the video.
            video_fps: Its frames a second.
            duration: Its seconds; by default those of its frames.
            fps: Frames a second to pick; by default the recipe's.
            num_frames: Number of frames to pick, in place of a rate.
            first: The frame with which the part of the video begins that has `total_frames`; qwen-vl-utils alone, of
                `sampling="qwen-vl-utils"`, takes a part.

        Raises:
            RecipeError: The recipe takes no videos.
            VlmresError: The reference picks no frame, needs what is not given, or does not follow what is.
        """
    @property
    def seconds_key(self) -> str | None:
        """Key of the seconds between patches along time, where the reference's processor gives them."""
    @property
    def note(self) -> str:
        """What of the recipe is not established, and why; empty where all is."""
    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""
    @property
    def merge_size(self) -> int:
        """Patches per side that the processor aligns to."""
    @property
    def temporal_patch_size(self) -> int:
        """Frames in a patch of the reference's layout; a still image is repeated."""
    @property
    def token_stride(self) -> int:
        """Patches per side of a token."""
    @property
    def params(self) -> dict[str, Any]:
        """All parameters with their values."""
    @property
    def parameters(self) -> dict[str, Parameter]:
        """What the parameters are and mean, by name: value, meaning, unit and limits. `help(recipe)` prints them."""
    @property
    def coordinates(self) -> Coordinates:
        """Convention and frame of the boxes and points that the model reads and writes."""
    @property
    def overrides(self) -> dict[str, Any]:
        """The parameters whose values differ from the built-in recipe's."""
    def show(self, image: Any) -> Image:
        """A picture of what the encoder sees of `image`, a path, a PIL image or an array; needs Pillow."""
    def _repr_html_(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class View:
    """One view of an image: how it becomes a canvas, and how that is cut into tiles and patches."""

    @property
    def role(self) -> Literal["global", "tile", "crop", "detail", "frame"]:
        """What it is to the model."""
    @property
    def resized(self) -> Size:
        """(width, height) after the last resize, before padding and cropping."""
    @property
    def canvas(self) -> Size:
        """(width, height) of the canvas: the resized image padded or cropped."""
    @property
    def offset(self) -> tuple[int, int]:
        """(x, y) of the resized image's upper left corner on the canvas; negative where it is cropped."""
    @property
    def fill(self) -> tuple[int, int, int]:
        """RGB of the canvas where the image does not cover it."""
    @property
    def tiles(self) -> Grid:
        """(rows, cols) of tiles."""
    @property
    def tile_size(self) -> Size:
        """(width, height) of a tile."""
    @property
    def overlap(self) -> int:
        """Pixels that neighbouring tiles share."""
    @property
    def patches(self) -> Grid:
        """(rows, cols) of patches in a tile."""
    @property
    def num_patches(self) -> int:
        """Patches of all tiles."""
    @property
    def num_tokens(self) -> int:
        """Tokens of this view, separators included."""

@final
class Plan:
    """Everything about the preprocessing of an image, or of a video, that follows from its size."""

    @property
    def size(self) -> Size:
        """(width, height) of the image, or of a video's frames."""
    @property
    def frames(self) -> int | None:
        """Frames of the video, or None of an image."""
    @property
    def grid_thw(self) -> list[tuple[int, int, int]]:
        """(times, rows, cols) of patches: a row for each chunk of a video, as in the reference's `video_grid_thw`; of
        an image one for each tile.
        """
    @property
    def tubelets(self) -> list[tuple[int, ...]]:
        """Of a video: the frames of every patch along time, the last one repeated where it lacks some."""
    @property
    def recipe(self) -> Recipe:
        """The recipe."""
    @property
    def views(self) -> list[View]:
        """Views in the order in which the language model receives them; a video's one is that of every frame."""
    @property
    def grid(self) -> Grid:
        """(rows, cols) of tiles in a recipe with tiles, (1, 1) where an image gets none; else of patches."""
    @property
    def num_tokens(self) -> int:
        """Tokens that the language model receives, separators included."""
    @property
    def num_visual_tokens(self) -> int:
        """Tokens that carry image features: no newlines, separators, start or end."""
    @property
    def num_valid_tokens(self) -> int:
        """Visual tokens that are not over padding (DeepSeek-OCR, arXiv:2510.18234, equation 1)."""
    @property
    def num_patches(self) -> int:
        """Patches that the vision encoder receives."""
    @property
    def num_tiles(self) -> int:
        """Tiles of all views, an uncut view counting as one, at all times of a video: segments of a packed batch."""
    def to_model(
        self,
        boxes: ArrayLike,
        convention: _Convention | None = None,
        *,
        view: int | None = None,
        tile: int | None = None,
        clip: bool = False,
    ) -> NDArray[np.float64]:
        """Source pixels to the model's coordinates, of boxes or points.

        Args:
            boxes: Boxes (x0, y0, x1, y1) of shape (n, 4) or (4,), or points (x, y) of shape (n, 2) or (2,).
            convention: Units; by default the recipe's own, which `Recipe.coordinates` tells.
            view: Index of a view, whose canvas the coordinates are then relative to.
            tile: Index of a tile of that view, row by row, whose coordinates they then are.
            clip: Whether what lies outside of the frame moves to its edge.

        Returns:
            float64 of the shape of `boxes`.

        Raises:
            VlmresError: A coordinate is not finite, a box is turned (x1 < x0 or y1 < y0), there is no such convention,
                or `tile` comes without `view`.
            IndexError: There is no such view or tile.
            TypeError: `boxes` has another shape.
        """
    def to_image(
        self,
        boxes: ArrayLike,
        convention: _Convention | None = None,
        *,
        view: int | None = None,
        tile: int | None = None,
        clip: bool = False,
    ) -> NDArray[np.float64]:
        """The model's coordinates to source pixels: the inverse of `to_model`, with the same arguments.

        With `clip`, what lies outside of the image moves to its edge.
        """
    def cost(self, config: EncoderConfig, *, value_bytes: int = 2) -> Cost:
        """What encoding the image takes: FLOPs, bytes and activation memory. Needs neither pixels nor torch.

        `config` is of `vlmres.encoder.load_config` or of an encoder; `value_bytes` are those of a weight and of an
        activation, 2 for bfloat16. Raises ValueError where the plan's patches are not the encoder's.
        """
    def show(self, image: Any = None) -> Image:
        """A picture of what the encoder sees of `image`, or without one of how the plan cuts; needs Pillow."""
    def _repr_html_(self) -> str: ...
    def __eq__(self, other: object, /) -> bool: ...
    __hash__: Final = None  # type: ignore[assignment]

@final
class Source:
    """An image's pixels. Private: `Processor` makes them."""

    @staticmethod
    def from_array(array: NDArray[np.uint8], channels_first: bool, on_white: bool) -> Source:
        """Borrows a uint8 array: (h, w), (h, w, c) or, where `channels_first`, (c, h, w); c is 1, 3 or 4.

        A fourth channel is composited on white or ignored.
        """
    @staticmethod
    def decode(encoded: _Encoded, limits: _Limits = ..., decoder: _Decoder = None) -> Source:
        """Decodes an image file within limits."""
    @staticmethod
    def from_pil(image: object) -> Source:
        """Borrows a PIL image of mode L, or of one with four bytes a pixel, of which the first three are read. It must
        lie in one block.
        """
    @staticmethod
    def from_pil_bands(size: Size, bands: Iterable[object]) -> Source:
        """Copies PIL images of one width that follow each other downwards, such as parts of one that lies in several
        blocks.
        """
    @property
    def size(self) -> Size:
        """(width, height) in pixels."""
    def to_array(self, backend: str = "pillow") -> NDArray[np.uint8]:
        """The pixels as a new (height, width, 3) array; a fourth channel is composited by the arithmetic `backend`."""

@final
class ImageFile:
    """A file whose header was read and planned: what takes images takes it. Private: jobs make it."""

    def __new__(cls, path: str | os.PathLike[str], recipe: Recipe, limits: _Limits, decoder: _Decoder) -> ImageFile:
        """Opens a file within limits, as `Call` has them, and plans it, alone in its sample."""
    @property
    def path(self) -> Path:
        """Where it lies."""
    @property
    def plan(self) -> Plan:
        """Its plan."""

@final
class Deferred:
    """An image whose pixels are made when a call needs them, on any thread. Private: pages and frames are such."""

    def __new__(cls, size: tuple[int, int], draw: Callable[[], Source]) -> Deferred: ...

@final
class Memory:
    """Memory for outputs, which returns when the last array over it is gone. Private: `Processor` has one."""

    def __new__(cls, results: int = 1) -> Memory: ...
    def take(self, bytes: int) -> NDArray[np.uint8]:
        """`bytes` bytes that hold nothing of meaning."""
    def trim(self) -> None:
        """Gives memory that no array uses back to the system."""

def trim_process() -> None:
    """Gives back to the system what the process keeps: memory of decoded images, and passes of resizes.

    A call that is under way keeps what it uses.
    """

@final
class Call:
    """Images or videos on their way to a batch: planned from their headers, laid out, then written.

    Private: `Processor` makes it.
    """

    def __new__(
        cls,
        recipe: Recipe,
        items: Sequence[
            _Image | Sequence[_Image] | tuple[_Image | Sequence[_Image], Plan] | tuple[_Image, Recipe] | None
        ],
        samples: list[int] | None,
        layout: Literal["hf", "packed"],
        dtype: str,
        arithmetic: tuple[str, int],
        *,
        scaled: bool,
        limits: _Limits,
        decoder: _Decoder,
        num_threads: int,
    ) -> Call: ...
    def failures(self) -> list[tuple[int, int | None, Exception]]:
        """What is wrong with items that are left out, in order: (item, frame of a video, exception)."""
    @property
    def plans(self) -> list[Plan | None]:
        """The plan of every item; None of those that are left out."""
    @property
    def is_dark(self) -> bool:
        """Whether the alpha of a PNG was dropped where dark pixels were transparent: a page may have become black."""
    @property
    def keys(self) -> list[str]:
        """Keys of all outputs in the reference's order."""
    def lay_out(self) -> list[tuple[str, list[int]]]:
        """Lays out the items that are left: (key, shape) of every tensor of pixel values; none where none is left.

        Items that cannot be laid out on their own are left out.
        """
    def arrays(self) -> dict[str, NDArray[np.int64] | NDArray[np.int32]]:
        """Integer arrays by key."""
    def segments(self) -> dict[str, NDArray[np.int32]] | None:
        """Of a packed batch: `cu_seqlens`, `grids`, `image_index` and `positions`, of videos also `times`."""
    def run(
        self, outputs: list[NDArray[Any]], leave_out: bool, crew: Crew | None = None, stop: Stop | None = None
    ) -> bool:
        """Decodes, resizes, and writes every value of every tensor into `outputs`.

        True where all items are in the tensors. Else some turned out bad: with `leave_out` the others are to be laid
        out anew and written again, which is quick where they are written to the beginning of the same memory. The
        threads are the call's own, or those of `crew`; `stop` ends the work early.
        """

@final
class Stop:
    """Says that a call is no longer wanted. Private: calls of `acall` have one each."""

    def __new__(cls) -> Stop: ...
    def stop(self) -> None:
        """Ends the call's work early; its exception is `KeyboardInterrupt`."""

@final
class Crew:
    """Threads that calls side by side share, in the order in which they come. Private: a `Loader` has one."""

    def __new__(cls, num_threads: int) -> Crew: ...
    def stop(self) -> None:
        """Ends the work of all calls early; their exception is `KeyboardInterrupt`."""
    def times(self) -> tuple[int, float, float, float]:
        """How many images were worked on, and seconds of decoding (reading included), resampling and writing."""

def watch(begin: bool) -> None:
    """Begins, or ends, to measure what the threads of all calls do. Private: `vlmres.profile` does so."""

def watched() -> tuple[float, float, float, float]:
    """Seconds that all calls' threads spent while somebody watched: opening, decoding, resampling, writing."""

def build_info() -> dict[str, str]:
    """Version, SIMD level and target of the compiled module."""

def default_threads() -> int:
    """Threads that a call uses where it does not say."""

def first_equal(
    patches: NDArray[np.uint8], size: int, cells: NDArray[np.int64], len: int, groups: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Of each cell the first one of its group that holds the same bytes: int64, itself where none does.

    `patches` are of `size` bytes each; a cell is `len` of them by index, -1 for one that it lacks. Private: use
    `Batch.unique`.
    """

def image_size(path_or_bytes: _Encoded, exif: bool, limits: _Limits, decoder: _Decoder) -> Size:
    """(width, height) of an encoded image from its header. Private: use `vlmres.image_size`."""

def jpeg_form(path: str | os.PathLike[str]) -> tuple[Size, bool, int] | None:
    """The form of a JPEG file of which all readers make the same: its size as stored, whether it is gray, and the
    number of its EXIF orientation, 1 without one.

    None of any other file, and where readers differ: several images in one file, inks, an odd orientation. Private.

    Raises:
        OSError: It cannot be read.
    """

def pack_samples(
    lengths: NDArray[np.int64],
    order: NDArray[np.int64],
    budget: int,
    items: NDArray[np.int64] | None,
    max_items: int | None,
    costs: NDArray[np.float64] | None,
    max_cost: float | None,
    open: int | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of samples in packs, and where each pack ends in them. Private: `vlmres.pack` checks and shuffles.

    By best fit with `open` packs open, the samples in `order`; where that is None, the longest first.
    """

def plan(size: tuple[int, int] | tuple[int, int, int], recipe: Recipe | str, images: int = 1) -> Plan:
    """The plan of an image of (width, height), or of a video of (frames, width, height). Private: use `vlmres.plan`."""

def plan_like(size: tuple[int, int], like: tuple[int, int], recipe: Recipe, frames: int | None = None) -> Plan:
    """The plan of an image of `size`, or a video of so many frames, resized as one of the size `like` is. Private."""

def plan_columns(
    sizes: NDArray[np.int64], recipe: Recipe | str
) -> tuple[dict[str, NDArray[np.int64]], list[tuple[int, str]]]:
    """Columns of many plans, and the errors as (row, message)."""

def recipes() -> list[str]:
    """Names of the built-in recipes, sorted."""

def resize_source(
    source: Source, size: tuple[int, int], filter: str, arithmetic: tuple[str, int], num_threads: int
) -> NDArray[np.uint8]:
    """Resizes a source to (width, height), bytes to bytes: a new (height, width, 3) array."""

def shapes(
    recipe: Recipe,
    plans: list[Plan],
    layout: Literal["hf", "packed"],
    samples: Sequence[int] | None = None,
    within: tuple[str, _Limits] | None = None,
) -> dict[str, tuple[list[int], str | None]]:
    """(shape, dtype) of every array of a batch by key; the dtype of pixel values is None.

    Raises:
        VlmresError: They take more than `within`, the dtype of pixel values and limits, allows.
    """

def text_lines(source: Source) -> NDArray[np.float32]:
    """Lines of text as the pixels tell them: float32 of shape (lines, 8): x0, y0, x1, y1, x-height, characters, 1 where
    characters fill squares, and evidence. Private: use `vlmres.choosing.read_text`.
    """
