"""transformers' auto classes returning accelerated processors."""

from __future__ import annotations

import functools
import threading
from typing import Any

from vlmres.integrations.transformers.drop_in import accelerate

_lock = threading.Lock()
# Where the wrappers stand, and what stood there. A wrapper over which another library has put its own cannot be taken
# out: it stays and passes results through until the next `install`.
_wrapped: dict[Any, tuple[Any, Any]] = {}
_active = False


def install() -> None:
    """Makes `AutoImageProcessor`, `AutoVideoProcessor` and `AutoProcessor` load accelerated processors.

    Processor classes load their parts by the auto classes, so `Qwen2VLProcessor.from_pretrained` does too. May be
    called any number of times and from any thread.
    """
    global _active
    from transformers import AutoImageProcessor, AutoProcessor, AutoVideoProcessor

    with _lock:
        _active = True
        auto_classes: tuple[Any, ...] = (AutoImageProcessor, AutoVideoProcessor, AutoProcessor)
        for cls in auto_classes:
            if cls not in _wrapped:
                before = vars(cls)["from_pretrained"]
                wrapper: Any = classmethod(_wrapper(before.__func__))
                _wrapped[cls] = (wrapper, before)
                cls.from_pretrained = wrapper


def uninstall() -> None:
    """Undoes `install`; processors made meanwhile stay as they are. May be called any number of times."""
    global _active
    with _lock:
        _active = False
        for cls, (wrapper, before) in list(_wrapped.items()):
            if vars(cls)["from_pretrained"] is wrapper:
                cls.from_pretrained = before
                del _wrapped[cls]


def _wrapper(function: Any) -> Any:
    @functools.wraps(function)
    def from_pretrained(cls: type, *args: Any, **kwargs: Any) -> Any:
        loaded = function(cls, *args, **kwargs)
        if not _active:
            return loaded
        # With return_unused_kwargs=True it is a pair.
        return (_accelerated(loaded[0]), *loaded[1:]) if isinstance(loaded, tuple) else _accelerated(loaded)

    return from_pretrained


def _accelerated(loaded: Any) -> Any:
    """Accelerated where it is or holds an image or video processor; AutoProcessor may also return a tokenizer."""
    from transformers.image_processing_utils import BaseImageProcessor
    from transformers.processing_utils import ProcessorMixin

    return accelerate(loaded) if isinstance(loaded, (BaseImageProcessor, ProcessorMixin)) else loaded
