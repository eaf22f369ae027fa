"""Which of the installed vLLM's own classes vlmres accelerates, and how much faster some are."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from io import BytesIO
from types import ModuleType
from typing import Any

from vlmres.integrations.operations.report import Part, example, times_faster
from vlmres.integrations.vllm import internvl, media
from vlmres.integrations.vllm.classes import HOOKS, LEFT
from vlmres.integrations.vllm.hooks import Hook, install_hook, reason_to_leave


def examine() -> list[Part]:
    """Every class that has a hook, and those of the installed version that have none.

    Raises:
        ImportError: vLLM is not installed.
    """
    importlib.import_module("vllm")
    left = [Part(one.cls, f"{one.models}: {one.reason}") for one in LEFT if _is_there(one.module)]
    return [*map(_examined, HOOKS), *left]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False  # the package that it would be in


def _examined(hook: Hook) -> Part:
    try:
        module = importlib.import_module(hook.module)
    except ImportError as error:
        return Part(hook.part, f"it cannot be imported: {error}")
    declined = reason_to_leave(hook, module)
    if declined is not None:
        return Part(hook.part, declined.reason)
    install_hook(hook, module)
    call = _CALLS.get(hook.part)
    return Part(hook.part, None, None if call is None else call(module, getattr(module, hook.cls)))


def _internvl(_module: ModuleType, cls: Any) -> float:
    processor, images = cls(448, 1, 12, True, True), [example()]
    original = cls._images_to_pixel_values_lst._vlmres_original
    return times_faster(lambda: processor._images_to_pixel_values_lst(images), lambda: original(processor, images))


def _loader(_module: ModuleType, cls: Any) -> float:
    loader = cls()
    with BytesIO() as file:
        example().save(file, "JPEG", quality=90)
        data = file.getvalue()
    # Pixels are asked for: without that nothing is decoded.
    return times_faster(
        lambda: loader.load_bytes(data).media.load(), lambda: cls.load_bytes._vlmres_original(loader, data).media.load()
    )


_CALLS: Mapping[str, Callable[[ModuleType, Any], float]] = {
    internvl.IMAGES.part: _internvl,
    media.LOADER.part: _loader,
}
