"""The images or videos of a call, as the compiled part takes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from vlmres import videos as video_items
from vlmres._core import ImageFile, Plan, Recipe
from vlmres.inputs import Loaded
from vlmres.inputs.arrays import data_format_of
from vlmres.inputs.handles import Address
from vlmres.inputs.settings import plan_with, settled
from vlmres.item_errors import with_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.inputs import DataFormat, Fetch, Loader
    from vlmres.inputs.settings import Settled
    from vlmres.videos import VideoInfo

Item: TypeAlias = "Loaded | list[Loaded] | tuple[Loaded | list[Loaded], Plan] | tuple[Loaded, Recipe] | None"
"""An image, or the frames of a video; with a plan or a recipe where it has its own; None where it is bad."""


@dataclass
class Items:
    """The images, or videos, of a call."""

    loaded: list[Item] = field(default_factory=list)
    """Each of them; None where `failures` says why."""
    failures: dict[int, Exception] = field(default_factory=dict)
    """What is wrong with bad ones, by index."""
    infos: dict[int, VideoInfo] = field(default_factory=dict)
    """Frames and rates of videos that are files, by index."""
    rates: dict[int, float] = field(default_factory=dict)
    """Frames a second of videos, by index, where known."""

    def fetch(self, fetch: Fetch) -> None:
        """Replaces the addresses of images and frames by their content; all are fetched at the same time."""
        places: list[tuple[int, list[Any], int]] = []
        for index, item in enumerate(self.loaded):
            if isinstance(item, list):
                places += [(index, item, at) for at, frame in enumerate(item) if isinstance(frame, Address)]
            elif isinstance(item, Address):
                places.append((index, self.loaded, index))
        contents = fetch.all([str(held[at]) for _, held, at in places])
        for (index, held, at), content in zip(places, contents, strict=True):
            if isinstance(content, Exception):
                error = content if held is self.loaded else with_index(content, at, "frame")
                self.failures.setdefault(index, error)
            else:
                held[at] = content
        for index in self.failures:
            self.loaded[index] = None

    def _fail(self, index: int, error: Exception) -> None:
        self.failures[index] = error
        self.loaded.append(None)


def load_images(
    images: Sequence[Any],
    loader: Loader,
    data_format: DataFormat | None,
    recipe: Recipe,
    recipes: Sequence[Recipe] | None,
) -> Items:
    """Images of a call.

    Args:
        images: What was passed.
        loader: Reads them.
        data_format: Where the channels of arrays are, if the caller said so.
        recipe: The call's recipe.
        recipes: The recipe of each image, where they have their own.
    """
    items = Items()
    if len(images) > 1:
        data_format = data_format or data_format_of(images)
    for index, image in enumerate(images):
        try:
            if (pair := settled(image)) is not None:
                own = recipe if recipes is None else recipes[index]
                items.loaded.append(_with_plan(pair, loader, data_format, own))
            else:
                loaded = loader.load(image, data_format)
                items.loaded.append(loaded if recipes is None else (loaded, recipes[index]))
        except Exception as error:
            items._fail(index, error)
    return items


def load_videos(
    videos: Sequence[Any],
    loader: Loader,
    data_format: DataFormat | None,
    recipe: Recipe,
    rates: Sequence[float] | None,
) -> Items:
    """Videos of a call.

    Args:
        videos: What was passed.
        loader: Reads frames and files.
        data_format: Where the channels of arrays are, if the caller said so.
        recipe: The call's recipe for videos.
        rates: Frames a second of each video, if the caller said so.
    """
    items = Items()
    for index, video in enumerate(videos):
        try:
            one = video_items.with_settings(video, recipe)
            fps = one.fps or (rates[index] if rates else None)
            frames: list[Loaded]
            if video_items.holds_file(one.video):
                file = video_items.opened(one, loader, fps).picked(one.recipe)
                frames, items.infos[index] = list(file.deferred()), file.info
                fps, size = file.info.sampled_fps, file.size
            else:
                frames = video_items.load(one.video, loader, data_format)
                size = None
            items.loaded.append(video_items.settle(one, frames, size, loader))
            if fps is not None:
                items.rates[index] = fps
        except Exception as error:
            items._fail(index, error)
    return items


def _with_plan(pair: Settled, loader: Loader, data_format: DataFormat | None, recipe: Recipe) -> tuple[Loaded, Plan]:
    """An image with settings of its own, and its plan."""
    image = loader.load(pair.image, data_format)
    if isinstance(image, Address):
        image = loader.content(image)
    if isinstance(image, ImageFile):
        raise TypeError("an opened file has a plan already and takes no settings")
    return image, plan_with(loader.size(image), recipe, pair.settings)
