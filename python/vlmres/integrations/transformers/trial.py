"""What the trials of images and of videos share: when settings are declined, and the reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from vlmres._core import Recipe
from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.processor import DType

# More pixels than fit into memory.
_UNBOUNDED = 1 << 40


def recipe_of(settings: dict[str, Any]) -> tuple[Recipe, DType]:
    """The recipe for a checkpoint's settings, and the type of its pixel values.

    Raises:
        ValueError: There is none.
    """
    dtype: DType = "float32"
    settings = _unresized(settings)
    if not settings["do_rescale"] and not settings["do_normalize"]:
        dtype, settings = "uint8", {**settings, "do_rescale": True}  # pixels before they are rescaled
    return Recipe.from_pretrained(settings), dtype


def _unresized(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings for a class with size limits that must not resize: limits that keep sides of whole merged patches."""
    size = settings.get("size")
    if settings.get("do_resize") is not False or not isinstance(size, Mapping):
        return settings
    if not {"shortest_edge", "longest_edge"} <= {name for name, value in size.items() if value is not None}:
        return settings
    kept = {name: value for name, value in settings.items() if name not in ("min_pixels", "max_pixels")}
    return {**kept, "do_resize": True, "size": {"shortest_edge": 1, "longest_edge": _UNBOUNDED}}


def expected_of(original: Callable[..., Any], *samples: Any, **kwargs: Any) -> Any:
    """The result of transformers for samples.

    Raises:
        DeclinedError: It fails.
    """
    try:
        return original(*samples, **kwargs)
    except Exception as error:
        raise DeclinedError("settings", f"with these settings transformers itself fails: {error}") from error


def check_outputs(outputs: Iterable[str], known: Mapping[str, Any], what: str) -> None:
    """Declines a call with an output whose container the samples did not show."""
    names = list(outputs)
    if not set(names) <= known.keys():
        raise DeclinedError("outputs", f"outputs {', '.join(names)} where sample {what} gave {', '.join(known)}")


def check_same(recipe: str, got: Mapping[str, Any], expected: Mapping[str, Any], what: str) -> None:
    """Declines settings if the results of the samples differ in anything."""
    differing = [key for key in expected if key not in got or not same(got[key], expected[key])]
    if differing or list(got) != list(expected):
        raise DeclinedError(
            "samples", f"recipe {recipe!r} gives other values of {', '.join(differing or got)} for sample {what}"
        )
