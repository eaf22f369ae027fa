"""A cache of the routes of settings, because trying settings costs more than a call."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
from transformers.image_utils import SizeDict

from vlmres._imported import imported
from vlmres.integrations.operations.decline import DeclinedError

R = TypeVar("R")

# More settings than a program uses at once. The limit bounds a program that draws its settings at random.
_MOST_ROUTES = 256

_SIMPLE = frozenset({bool, int, float, str, type(None)})

_routes: dict[Hashable, Any] = {}


def remembered(processor: Any, settings: dict[str, Any], make: Callable[[], R], form: Hashable = None) -> R:
    """The route of a processor for the resolved `settings`. Routes and refusals are made once, then cached.

    Args:
        processor: transformers' processor.
        settings: Every setting that the route may depend on.
        make: Makes the route.
        form: Anything else on which the route depends.

    Raises:
        DeclinedError: There is none, with the reason.
    """
    # A class may read its attributes as well as its settings.
    try:
        key = (type(processor), form, frozen(vars(processor)), frozen(settings))
        hash(key)
    except TypeError as error:
        raise DeclinedError("settings", f"a setting has no fixed value: {error}") from error
    return remembered_as(key, make)


def remembered_as(key: Hashable, make: Callable[[], R]) -> R:
    """As `remembered`, with a key of the caller's. torch's defaults, which affect results, are added to the key.

    Raises:
        DeclinedError: There is no route, with the reason.
    """
    key = (key, _torch_defaults())
    route = _routes.get(key)
    if route is None:
        try:
            route = make()
        except DeclinedError as declined:
            route = declined.with_traceback(None)
        if len(_routes) >= _MOST_ROUTES:
            _routes.clear()
        _routes[key] = route
    if isinstance(route, DeclinedError):
        raise DeclinedError(route.kind, route.reason)
    return route


def frozen(value: Any) -> Hashable:
    """The value as a key that does not change when the original does.

    Raises:
        TypeError: It contains something that cannot be a key.
    """
    if type(value) in _SIMPLE:
        return value  # type: ignore[no-any-return]
    if isinstance(value, dict):
        return tuple([(key, item if type(item) in _SIMPLE else frozen(item)) for key, item in value.items()])
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(frozen, value))
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, SizeDict):
        return tuple(vars(value).values())
    hash(value)
    return value  # type: ignore[no-any-return]


def _torch_defaults() -> Hashable:
    torch = imported("torch", "get_default_device")
    if torch is None:
        return None
    return torch.get_default_dtype(), torch.get_default_device(), has_one_thread()


def has_one_thread() -> bool:
    """Whether torch computes on one thread, as in a DataLoader worker; some of its kernels then round differently."""
    torch = imported("torch", "get_num_threads")
    return torch is not None and torch.get_num_threads() == 1
