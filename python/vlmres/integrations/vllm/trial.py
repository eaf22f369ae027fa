"""What hooks have in common: sample images, and settings that were tried with them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.kinds import kind_of, pictures, plain
from vlmres.integrations.transformers.memo import remembered_as

T = TypeVar("T")

RGB = plain("PIL image", None)


def samples() -> list[Any]:
    """Small RGB images, and long ones."""
    return list(pictures(RGB))


def check_rgb(images: Sequence[Any]) -> None:
    """Declines a call with anything but PIL images of mode RGB, as which vLLM loads images.

    Raises:
        DeclinedError: There is such an image, or none at all.
    """
    if not images:
        raise DeclinedError("empty", "there are no images")
    for image in images:
        kind = kind_of(image, None)
        if kind != RGB:
            raise DeclinedError(f"kind {kind}", f"an image is {kind}")


def tried(key: Hashable, make: Callable[[], T], ours: Callable[[T], Any], original: Callable[[], Any]) -> T:
    """What `make` makes for settings, which gives the original's bits for the samples; found once, then remembered.

    Args:
        key: The settings.
        make: Makes what computes with them.
        ours: Its results for the samples.
        original: The original's.

    Raises:
        DeclinedError: It cannot be made, or its results differ.
    """

    def trial() -> T:
        try:
            made = make()
        except (ValueError, TypeError) as error:
            raise DeclinedError("recipe", str(error)) from error
        try:
            expected = original()
        except Exception as error:
            raise DeclinedError("settings", f"with these settings vLLM itself fails: {error}") from error
        if not same(ours(made), expected):
            raise DeclinedError("samples", f"the results for sample images differ: settings {key!r}")
        return made

    return remembered_as(key, trial)
