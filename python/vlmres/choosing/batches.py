"""`Processor("auto")`: the images of a call, each with the recipe that is chosen for its sample."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from vlmres._core import Call, Deferred, Source, VlmresError
from vlmres.choosing.text import text_of
from vlmres.documents import Page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres._core import Recipe
    from vlmres.choosing.chooser import Chooser
    from vlmres.choosing.text import PageText
    from vlmres.inputs import Loader

# A size that every recipe plans.
_SIDE = 448


def chosen(
    chooser: Chooser,
    loader: Loader,
    items: Sequence[Any],
    loaded: Sequence[Any],
    samples: Sequence[int] | None,
    threads: int,
) -> list[Any]:
    """Decodes each image and pairs it with the recipe of its sample.

    Args:
        chooser: Chooses the recipes.
        loader: Decodes the images.
        items: The images as the caller passed them.
        loaded: The same images as the compiled part takes them; None for a bad one.
        samples: Number of images of each sample; by default each image is a sample.
        threads: Threads for decoding.

    Returns:
        (image, recipe) for each image. An image that cannot be decoded is left unchanged, so that the call reports its
        error; so is an image with settings of its own.
    """
    known = [page if isinstance(page, Page) else one for page, one in zip(items, loaded, strict=True)]
    with ThreadPoolExecutor(min(threads, len(known))) as pool:
        read = list(pool.map(lambda one: _read(one, loader), known))
    found: list[Any] = []
    for count in samples or [1] * len(loaded):
        first = len(found)
        sample = read[first : first + count]
        pages = [one for one in sample if one is not None]
        if pages:
            recipe = chooser.of([text for _, text in pages]).recipe
        found += [
            before if one is None else (one[0], recipe)
            for one, before in zip(sample, loaded[first : first + count], strict=True)
        ]
    return found


def check_alike(first: Recipe, others: Sequence[Recipe]) -> None:
    """Refuses recipes whose images cannot be in one batch.

    Raises:
        VlmresError: Two recipes cut or normalise patches differently; the message names them.
    """
    pixels = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    pairs = [(Source.from_array(pixels, False, False), recipe) for recipe in others]
    settings: Any = {"scaled": False, "limits": (None,) * 4, "decoder": None, "num_threads": 1}
    Call(first, pairs, None, "packed", "uint8", ("pillow", 13), **settings)


def _read(one: Any, loader: Loader) -> tuple[Source, PageText] | None:
    if isinstance(one, Page):
        source = Source.from_array(one.draw(), False, False)
    elif one is None or isinstance(one, (Deferred, tuple)):
        return None
    else:
        try:
            source = loader.source(one)
        except (VlmresError, OSError):
            return None
    return source, text_of(source)
