"""Methods of vLLM's own classes, replaced when their modules have been imported.

A hook is for source that vlmres knows: where the digest of what it replaces, and of what that calls, is another, the
class is left alone, and the log says so. At first use with settings, sample images go through the original and through
vlmres, and vlmres takes over only if both agree in every bit.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from vlmres.integrations.operations import log, parts
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.imports import when_imported

Replace = Callable[[Any, ModuleType], Any]
"""From a method and its module to the method that takes its place."""


@dataclass(frozen=True)
class Hook:
    """A method of a class of vLLM's that vlmres replaces."""

    module: str
    cls: str
    method: str
    sources: tuple[str, ...]
    """What the digest is of: names in the module, and of methods of classes in it."""
    digests: frozenset[str]
    """Of the sources that vlmres follows."""
    replace: Replace
    models: str
    """Models that have the class, for people."""
    left: str = ""
    """What of its calls stays vLLM's, for people."""

    @property
    def part(self) -> str:
        """The name under which it is counted and switched off."""
        return self.cls


def digest(module: ModuleType, sources: Iterable[str]) -> str:
    """The digest of sources in a module: "function" or "Class.method".

    Raises:
        DeclinedError: One does not exist, or its source is not at hand.
    """
    found = hashlib.sha256()
    for name in sources:
        try:
            value: Any = functools.reduce(getattr, name.split("."), module)
            found.update(inspect.getsource(inspect.unwrap(value)).encode())
        except (AttributeError, OSError, TypeError) as error:
            raise DeclinedError("source", f"it has no {name} whose source can be read: {error}") from error
    return found.hexdigest()[:16]


def reason_to_leave(hook: Hook, module: ModuleType) -> DeclinedError | None:
    """Why a class is left alone, or None where vlmres follows its source."""
    try:
        got = digest(module, hook.sources)
    except DeclinedError as declined:
        return declined.with_traceback(None)
    if got in hook.digests:
        return None
    return DeclinedError("source", f"its source is another than vlmres follows (digest {got})")


def install_hooks(hooks: Iterable[Hook]) -> None:
    """Replaces the methods, each when its module has been imported."""
    for hook in hooks:
        when_imported(hook.module, functools.partial(install_hook, hook))


def install_hook(hook: Hook, module: ModuleType) -> None:
    """Replaces the method, unless the source is another. May be called any number of times."""
    cls = getattr(module, hook.cls, None)
    method = None if cls is None else vars(cls).get(hook.method)
    if method is not None and hasattr(method, "_vlmres_original"):
        return
    declined = reason_to_leave(hook, module)
    if declined is not None:
        log.log_once(hook.part, declined, "vLLM")
        parts.left(hook.part, declined.reason)
        return
    replacement = functools.wraps(method)(hook.replace(method, module))  # type: ignore[arg-type]
    replacement._vlmres_original = method  # type: ignore[attr-defined]
    setattr(cls, hook.method, replacement)
    parts.on(hook.part)
