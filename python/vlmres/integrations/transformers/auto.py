"""`install`: transformers' classes return accelerated processors when they load processors."""

from __future__ import annotations

import functools
import threading
from typing import Any

from vlmres.integrations.operations import log, parts
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.drop_in import accelerate

_lock = threading.Lock()
# The wrapped methods, and their originals. A wrapper that another library has wrapped again cannot be removed: it
# stays, and passes results through until the next `install`.
_wrapped: dict[Any, tuple[Any, Any]] = {}
_active = False


def install() -> None:
    """Makes every `from_pretrained`, of auto classes and of processor classes, return accelerated processors.

    It is thread-safe, and may be called repeatedly. For a processor that a constructor makes, call `accelerate`.
    """
    global _active
    from transformers import AutoImageProcessor, AutoProcessor, AutoVideoProcessor
    from transformers.image_processing_base import ImageProcessingMixin
    from transformers.video_processing_utils import BaseVideoProcessor

    with _lock:
        _active = True
        # A `ProcessorMixin` loads its parts through the auto classes. In some versions video processors inherit the
        # method.
        auto_classes: tuple[Any, ...] = (AutoImageProcessor, AutoVideoProcessor, AutoProcessor)
        for cls in (*auto_classes, ImageProcessingMixin, BaseVideoProcessor):
            if cls not in _wrapped and "from_pretrained" in vars(cls):
                before = vars(cls)["from_pretrained"]
                wrapper: Any = classmethod(_wrapper(before.__func__))
                _wrapped[cls] = (wrapper, before)
                cls.from_pretrained = wrapper


def uninstall() -> None:
    """Undoes `install`. Processors that were loaded meanwhile stay accelerated. It may be called repeatedly."""
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
        # With return_unused_kwargs=True the result is a pair.
        return (accelerated(loaded[0]), *loaded[1:]) if isinstance(loaded, tuple) else accelerated(loaded)

    return from_pretrained


def accelerated(loaded: Any) -> Any:
    """The accelerated object, if it is or holds an image or video processor (AutoProcessor may return a tokenizer)."""
    from transformers.image_processing_utils import BaseImageProcessor
    from transformers.processing_utils import ProcessorMixin

    if not isinstance(loaded, (BaseImageProcessor, ProcessorMixin)):
        return loaded
    try:
        return accelerate(loaded)
    except Exception as error:
        # A program that loads a processor must get one, whatever goes wrong here.
        name = type(loaded).__name__
        declined = DeclinedError(f"error {type(error).__name__}", f"vlmres failed: {error!r}", error)
        log.log_once(name, declined)
        parts.left(name, declined.reason)
        return loaded
