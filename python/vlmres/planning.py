"""Plans of one image or video, and of many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vlmres._core import DecodeError, Plan, PlanError, Recipe, plan_columns
from vlmres._core import image_size as encoded_size
from vlmres._core import plan as plan_size
from vlmres._imported import imported
from vlmres.documents import Document, beginning, is_document
from vlmres.inputs import Loader, handles
from vlmres.inputs.arrays import on_cpu
from vlmres.inputs.errors import kind
from vlmres.inputs.settings import plan_with, settled
from vlmres.video_files import Video, is_video
from vlmres.videos import opened, with_settings

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from vlmres._types import RecipeName, Size
    from vlmres.inputs import Decoder, Limits

_UNLIMITED = 2**63 - 1

# Heights of a video that a shape (height, width, channels) would have.
_CHANNELS = (1, 3, 4)

Sizable: TypeAlias = Any
"""What `plan` takes a size from."""


def plan(
    size: Sizable,
    recipe: Recipe | RecipeName | str,
    images: int = 1,
    *,
    page: int | None = None,
    decoder: Decoder = "auto",
) -> Plan:
    """What an image's or a video's preprocessing will be: views, tiles, patches and tokens, without decoding anything.

    Args:
        size: (width, height) of an image, or (frames, width, height) of a video, as any sequence of integers; or an
            image: a PIL image, or what holds a file (a path, bytes, a data URI, an open file, ...), of which the header
            is read and the EXIF orientation applied as in `image_size`; or a `Document`, a PDF file, a `Video` or the
            file of one; or a pair of one of these and settings of its own, such as `("clip.mp4", {"fps": 1})`.
        recipe: A recipe or the name of one.
        images: How many images the image's sample has: LLaVA-OneVision alone gives one of several another plan.
        page: Which page of a PDF file or a `Document`, from 0; one of several must be named.
        decoder: As of `Processor`.

    Raises:
        PlanError: Nothing can have such a size, or the recipe cannot plan it. A last of three that is 1, 3 or 4 is
            taken for the channels of an array's shape.
        DecodeError: The file's header cannot be read.
        OSError: The file cannot be read.
        TypeError: `size` is none of these.
    """
    loaded = Recipe.load(recipe) if isinstance(recipe, str) else recipe
    return planned(size, loaded, Loader(decoder=decoder), images, page=page)


def planned(
    size: Sizable,
    recipe: Recipe,
    loader: Loader,
    images: int = 1,
    *,
    of_videos: Recipe | None = None,
    fps: float | None = None,
    page: int | None = None,
) -> Plan:
    """As `plan`; videos have the recipe `of_videos`, and are picked at `fps` where they do not say another rate."""
    films = of_videos or recipe
    if page is not None and not isinstance(size, Document):
        size = Document(size, max_file_bytes=loader.limits[1])
    if isinstance(size, Document):
        return plan_size(_page(size, page).fitted(recipe)[0].size, recipe, images)
    pair = settled(size)
    held = size if pair is None else pair.image
    if _is_video(held, loader):
        one = with_settings(size, films)
        if _may_be_sides(held):
            frames, width, height = _sides(held)  # type: ignore[misc]  # three, as `_is_video` found
            return one.plan(frames, (width, height))
        file = opened(one, loader, fps).picked(one.recipe)
        return one.plan(len(file), file.size)
    if pair is not None:
        width, height = size_of(held, loader)[-2:]
        return plan_with((width, height), recipe, pair.settings)
    try:
        return plan_size(size_of(size, loader), recipe, images)
    except DecodeError:
        content = None if _may_be_sides(size) else _content(size, loader)
        if content is not None and is_document(beginning(content)):
            return planned(Document(content, max_file_bytes=loader.limits[1]), recipe, loader, images)
        raise


def tells_rate(size: Sizable) -> bool:
    """Whether a call with this video knows its rate: a file's, or one that is said."""
    pair = settled(size)
    held = size if pair is None else pair.image
    return not _may_be_sides(held) or (pair is not None and ("fps" in pair.settings or "sample_fps" in pair.settings))


def _is_video(size: Sizable, loader: Loader) -> bool:
    """Whether it is a video: its sides, a `Video`, or a file of one by its content."""
    if isinstance(size, Video):
        return True
    if _may_be_sides(size):
        return len(size) == 3
    content = _content(size, loader)
    return content is not None and is_video(beginning(content))


def _content(size: Sizable, loader: Loader) -> bytes | str | None:
    """The bytes of a file, or its path; None of anything else."""
    pil = imported("PIL.Image", "Image")
    if pil is not None and isinstance(size, pil.Image):
        return None
    content = handles.encoded(on_cpu(size), loader.limits[1])
    return loader.content(content) if isinstance(content, handles.Address) else content


def _page(document: Document, page: int | None) -> Document:
    """The one page that is meant."""
    if page is None and len(document) != 1:
        raise PlanError(f"{document!r}: say which page, page=0 to page={len(document) - 1}")
    return document.chosen([document.numbers[page or 0]])


def image_size(
    image: Any, *, exif: bool = True, decoder: Decoder = "auto", max_image_pixels: int | None = None
) -> Size:
    """(width, height) of an image file from its header, without decoding a pixel.

    Args:
        image: What holds a file: a path, bytes, a data URI, an open file, a row of a data set.
        exif: As the image is to be seen, with EXIF orientation applied; false for the size as stored.
        decoder: As of `Processor`.
        max_image_pixels: Images of more pixels are refused; by default none is.

    Raises:
        DecodeError: The header cannot be read.
        VlmresError: It holds no file of an image.
        OSError: The file cannot be read.
        TypeError: It holds something else.
    """
    loader = Loader(decoder=decoder, limits=(max_image_pixels, None, None, None))
    loaded = loader.load(image)
    if not isinstance(loaded, (bytes, str)):
        raise TypeError(f"a path, bytes or an open file is wanted, got {kind(image)}")
    return encoded_size(loaded, exif, _of_headers(loader), loader.decoding)


def _of_headers(loader: Loader) -> Limits:
    """A loader's limits where no pixel is decoded: those that somebody has set."""
    pixels, file_bytes, decoded, outputs = loader.limits
    return (_UNLIMITED if pixels is None else pixels, file_bytes, _UNLIMITED if decoded is None else decoded, outputs)


def size_of(size: Sizable, loader: Loader) -> tuple[int, int] | tuple[int, int, int]:
    """(width, height) or (frames, width, height) of what `plan` takes."""
    pil = imported("PIL.Image", "Image")
    if pil is not None and isinstance(size, pil.Image):
        width, height = size.size
        return width, height
    if not _may_be_sides(size):
        encoded = handles.encoded(on_cpu(size), loader.limits[1])
        if isinstance(encoded, handles.Address):
            encoded = loader.content(encoded)
        if encoded is not None:
            return encoded_size(encoded, True, _of_headers(loader), loader.decoding)
    if isinstance(size, np.ndarray) and size.ndim > 1:
        raise TypeError(f"a size is (width, height), got an array of shape {size.shape}: pass its width and height")
    if not isinstance(size, (Sequence, np.ndarray)) or len(size) not in (2, 3):
        raise TypeError(
            "a size is (width, height), (frames, width, height), a PIL image, a path or bytes, "
            f"got {size if isinstance(size, Sequence) else type(size).__qualname__}"
        )
    return _sides(size)


def _sides(size: Sequence[int] | NDArray[Any]) -> tuple[int, int] | tuple[int, int, int]:
    sides = tuple(size)
    if len(sides) == 3 and sides[2] in _CHANNELS:
        raise PlanError(_taken_for_shape(sides))
    return sides


def _may_be_sides(size: Any) -> bool:
    return isinstance(size, (list, tuple, range)) or (isinstance(size, np.ndarray) and size.size <= 3)


def _taken_for_shape(sides: Sequence[int]) -> str:
    height, width, channels = sides
    return (
        f"size {tuple(map(int, sides))} reads as an array's shape (height, width, channels), because {channels} is a "
        f"number of channels: pass (width, height), here ({width}, {height}); of a video (frames, width, height)"
    )


@dataclass(frozen=True)
class PlanTable:
    """Columns of plans, one int64 row per image or video; -1 in the rows of `errors`."""

    sizes: NDArray[np.int64]
    """(n, 2) width and height of the images, or (n, 3) with a video's frames first; -1 for what int64 cannot hold."""
    num_tokens: NDArray[np.int64]
    """Tokens that the language model receives, separators included."""
    num_visual_tokens: NDArray[np.int64]
    """Tokens that carry image features."""
    num_valid_tokens: NDArray[np.int64]
    """Visual tokens that are not over padding."""
    num_patches: NDArray[np.int64]
    """Patches that the vision encoder receives."""
    num_tiles: NDArray[np.int64]
    """Tiles of all views, an uncut view counting as one."""
    rows: NDArray[np.int64]
    """Rows of `Plan.grid`."""
    cols: NDArray[np.int64]
    """Columns of `Plan.grid`."""
    canvas_width: NDArray[np.int64]
    """Width of the main view's canvas."""
    canvas_height: NDArray[np.int64]
    """Height of the main view's canvas."""
    errors: dict[int, PlanError] = field(default_factory=dict)
    """What is wrong with rows that cannot be planned."""

    def __len__(self) -> int:
        return len(self.sizes)


def plan_many(
    sizes: ArrayLike | Sequence[Sequence[int]],
    recipe: Recipe | RecipeName | str,
    *,
    errors: Literal["raise", "return"] = "raise",
) -> PlanTable:
    """Plans images, or videos, by their sizes.

    Args:
        sizes: Integers of shape (n, 2), width and height of images, or (n, 3), frames, width and height of videos.
        recipe: A recipe or the name of one.
        errors: "raise" the first row that cannot be planned, or "return" all of them in `PlanTable.errors`.

    Raises:
        PlanError: A row cannot be planned; the message names the row. Rows of three whose last is 1, 3 or 4 are taken
            for the shapes of arrays, as in `plan`.
        TypeError: `sizes` are not integers of such a shape.
    """
    if errors not in ("raise", "return"):
        raise ValueError(f'errors must be "raise" or "return", got {errors!r}')
    array = np.asarray(sizes)
    if array.size == 0:
        array = np.empty((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] not in (2, 3) or array.dtype.kind not in "iu":
        raise TypeError(f"sizes must be integers of shape (n, 2) or (n, 3), got {array.dtype} of shape {array.shape}")
    array, overflows = _to_int64(array)
    columns, failures = plan_columns(array, recipe)
    messages = dict(failures) | overflows
    if array.shape[1] == 3:
        shapes = np.flatnonzero(np.isin(array[:, 2], _CHANNELS))
        messages |= {row: _taken_for_shape(array[row].tolist()) for row in shapes.tolist()}
        for column in columns.values():
            column[shapes] = -1
    if messages and errors == "raise":
        row = min(messages)
        raise PlanError(f"row {row}: {messages[row]}")
    return PlanTable(sizes=array, **columns, errors={row: PlanError(messages[row]) for row in sorted(messages)})


def _to_int64(sizes: NDArray[Any]) -> tuple[NDArray[np.int64], dict[int, str]]:
    """The sizes as int64, -1 where that cannot hold them, and what is wrong with those rows."""
    result = sizes.astype(np.int64, copy=False)
    if np.can_cast(sizes.dtype, np.int64):
        return result, {}
    # uint64: what is over int64's range wraps around to a negative number, which is not what the caller gave.
    wrapped = result < 0
    result[wrapped] = -1
    rows = np.flatnonzero(wrapped.any(axis=1)).tolist()
    what = "image size" if sizes.shape[1] == 2 else "video size"
    return result, {row: f"{what} {'x'.join(map(str, sizes[row]))}: a side is over 2**63 - 1" for row in rows}
