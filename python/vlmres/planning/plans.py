"""The plan of one image or video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmres._core import DecodeError, Plan, PlanError, Recipe
from vlmres._core import plan as plan_size
from vlmres._imported import imported
from vlmres.documents import Document, beginning, is_document
from vlmres.inputs import Loader, handles
from vlmres.inputs.arrays import on_cpu
from vlmres.inputs.settings import plan_with, settled
from vlmres.planning.sizes import Sizable, may_be_sides, sides_of, size_of
from vlmres.videos import Video, is_video, opened, with_settings

if TYPE_CHECKING:
    from vlmres._types import RecipeName
    from vlmres.inputs import Decoder


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
        if may_be_sides(held):
            frames, width, height = sides_of(held)  # type: ignore[misc]  # three, as `_is_video` found
            return one.plan(frames, (width, height))
        file = opened(one, loader, fps).picked(one.recipe)
        return one.plan(len(file), file.size)
    if pair is not None:
        width, height = size_of(held, loader)[-2:]
        return plan_with((width, height), recipe, pair.settings)
    try:
        return plan_size(size_of(size, loader), recipe, images)
    except DecodeError:
        content = None if may_be_sides(size) else _content(size, loader)
        if content is not None and is_document(beginning(content)):
            return planned(Document(content, max_file_bytes=loader.limits[1]), recipe, loader, images)
        raise


def tells_rate(size: Sizable) -> bool:
    """Whether a call with this video knows its rate: a file's, or one that is said."""
    pair = settled(size)
    held = size if pair is None else pair.image
    return not may_be_sides(held) or (pair is not None and ("fps" in pair.settings or "sample_fps" in pair.settings))


def _is_video(size: Sizable, loader: Loader) -> bool:
    """Whether it is a video: its sides, a `Video`, or a file of one by its content."""
    if isinstance(size, Video):
        return True
    if may_be_sides(size):
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
