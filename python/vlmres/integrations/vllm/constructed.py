"""Models of vLLM whose code calls a processor class itself, so that no gate sees what it makes.

The class is one of transformers, or is made as those are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from vlmres.integrations.operations.imports import when_imported
from vlmres.integrations.transformers.auto import accelerated


@dataclass(frozen=True)
class Place:
    """A module, and the names of classes that it calls, and uses for nothing else."""

    module: str
    names: tuple[str, ...]
    models: str
    """Those of the module, for people."""


PLACES = (
    Place("vllm.model_executor.models.opencua", ("Qwen2VLImageProcessor", "Qwen2VLVideoProcessor"), "OpenCUA"),
    Place("vllm.model_executor.models.glm4v", ("GLM4VImageProcessorFast",), "GLM-4V (2024)"),
)


class Accelerating:
    """A class that makes accelerated processors when it is called, and is the original in all else."""

    def __init__(self, original: Any) -> None:
        self._vlmres_original = original

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """An accelerated processor."""
        return accelerated(self._vlmres_original(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vlmres_original, name)


def install_places(places: Iterable[Place]) -> None:
    """Has the modules make accelerated processors, each when it has been imported."""
    for place in places:
        when_imported(place.module, functools.partial(_install, place))


def _install(place: Place, module: ModuleType) -> None:
    for name in place.names:
        cls = getattr(module, name, None)
        if isinstance(cls, type):
            setattr(module, name, Accelerating(cls))
