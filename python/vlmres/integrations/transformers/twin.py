"""Twins of transformers' processors: of the same class to all callers, with some methods replaced."""

from __future__ import annotations

import copy
import functools
from typing import Any, ClassVar


class Twin:
    """A base that comes before a processor's own class. An instance has the attributes of the original."""

    _vlmres_methods: ClassVar[Any]
    _vlmres_original: ClassVar[Any]

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _empty, (self._vlmres_methods, self._vlmres_original), self.__dict__


def twin_of(processor: Any, methods: type[Twin]) -> Any:
    """A processor's twin, with methods of a base before its own."""
    twin = _empty(methods, type(processor))
    twin.__dict__.update(copy.deepcopy(vars(processor)))
    return twin


def original_of(processor: Any) -> Any:
    """A processor as its own class made it; what is no twin is returned as it is."""
    if not isinstance(processor, Twin):
        return processor
    original = object.__new__(processor._vlmres_original)
    original.__dict__.update(vars(processor))
    return original


def _empty(methods: type, original: type) -> Any:
    """An instance without attributes, from which copying and unpickling start."""
    return object.__new__(_twin_class(methods, original))


@functools.cache
def _twin_class(methods: type, original: type) -> type:
    # The class's name is written into configurations.
    names = {"__module__": original.__module__, "__qualname__": original.__qualname__, "__doc__": original.__doc__}
    own = {"_vlmres_methods": methods, "_vlmres_original": original}
    return type(original.__name__, (methods, original), {**names, **own})
