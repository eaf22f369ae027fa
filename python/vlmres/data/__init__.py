"""Data for training: loading at the engine's speed, packing and balance.

Importing it needs only numpy; torch, `datasets` and others are used if the caller has them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlmres.data.batches import LoaderBatch
    from vlmres.data.loader import Loader
    from vlmres.data.mixing import Mix
    from vlmres.data.packing import Segments, padding, segments
    from vlmres.data.schedule import Schedule, Step

# Public names, and the modules that define them. A module is imported when a name of it is first used.
_MODULES: dict[str, str] = {
    "Loader": "loader",
    "LoaderBatch": "batches",
    "Mix": "mixing",
    "Schedule": "schedule",
    "Segments": "packing",
    "Step": "schedule",
    "padding": "packing",
    "segments": "packing",
}

__all__ = ["Loader", "LoaderBatch", "Mix", "Schedule", "Segments", "Step", "padding", "segments"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
