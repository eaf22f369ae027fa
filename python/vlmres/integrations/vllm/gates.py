"""Where vLLM loads transformers' processors, of whatever class it asks for."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

from vlmres.integrations.transformers.auto import accelerated

MODULE = "vllm.transformers_utils.processor"
_GATES = ("get_processor", "get_image_processor", "get_video_processor")


def install_gates(module: ModuleType) -> None:
    """Has the functions that load processors return accelerated ones, and those that remember what was loaded.

    The latter are objects of `lru_cache` made at import, whose names other modules may have imported.
    """
    for name in _GATES:
        function = getattr(module, name, None)
        if function is None or hasattr(function, "_vlmres_original"):
            continue
        gate = _gate(function)
        setattr(module, name, gate)
        _rebind(function, gate, name)
        remembering: Any = getattr(module, f"cached_{name}", None)
        if hasattr(remembering, "cache_parameters"):
            again = functools.lru_cache(**remembering.cache_parameters())(gate)
            setattr(module, f"cached_{name}", again)
            _rebind(remembering, again, f"cached_{name}")


def _gate(function: Any) -> Any:
    @functools.wraps(function)
    def gate(*args: Any, **kwargs: Any) -> Any:
        return accelerated(function(*args, **kwargs))

    gate._vlmres_original = function  # type: ignore[attr-defined]
    return gate


def _rebind(before: Any, after: Any, name: str) -> None:
    for module_name, module in list(sys.modules.items()):
        if module_name.startswith("vllm.") and getattr(module, "__dict__", {}).get(name) is before:
            setattr(module, name, after)
