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
    """Plans the preprocessing of an image or a video: views, tiles, patches and tokens. Nothing is decoded.

    Args:
        size: (width, height) of an image, or (frames, width, height) of a video, as any sequence of integers. Or an
            image: a PIL image, or something that holds a file (a path, bytes, a data URI, an open file), whose header
            is read as in `image_size`. Or a `Document`, a PDF file, a `Video` or a video file. Or a pair of one of
            these and its settings, such as `("clip.mp4", {"fps": 1})`.
        recipe: A recipe or the name of one.
        images: Number of images in the image's sample. Only LLaVA-OneVision plans an image among several differently.
        page: Index of a page of a PDF file or a `Document`, from 0. It may be omitted if there is only one page.
        decoder: As of `Processor`.

    Raises:
        PlanError: The size is impossible, or the recipe cannot plan it. Three numbers of which the last is 1, 3 or 4
            are refused as the shape of an array, (height, width, channels).
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
    """As `plan`. Videos have the recipe `of_videos`; their frames are picked at `fps` unless they have another rate."""
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
    """Whether the rate of this video is known: it is a file, or its settings have a rate."""
    pair = settled(size)
    held = size if pair is None else pair.image
    return not may_be_sides(held) or (pair is not None and ("fps" in pair.settings or "sample_fps" in pair.settings))


def _is_video(size: Sizable, loader: Loader) -> bool:
    """Whether it is a video: three sides, a `Video`, or a video file, by its content."""
    if isinstance(size, Video):
        return True
    if may_be_sides(size):
        return len(size) == 3
    content = _content(size, loader)
    return content is not None and is_video(beginning(content))


def _content(size: Sizable, loader: Loader) -> bytes | str | None:
    """The bytes of a file, or its path; None for anything else."""
    pil = imported("PIL.Image", "Image")
    if pil is not None and isinstance(size, pil.Image):
        return None
    content = handles.encoded(on_cpu(size), loader.limits[1])
    return loader.content(content) if isinstance(content, handles.Address) else content


def _page(document: Document, page: int | None) -> Document:
    """The document reduced to one page."""
    if page is None and len(document) != 1:
        raise PlanError(f"{document!r}: say which page, page=0 to page={len(document) - 1}")
    if page is not None and not -len(document) <= page < len(document):
        raise IndexError(f"{document!r} has pages 0 to {len(document) - 1}, got page={page}")
    return document.chosen([document.numbers[page or 0]])
