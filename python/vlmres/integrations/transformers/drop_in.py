"""The accelerated twin of a transformers processor."""

from __future__ import annotations

import copy
import functools
from typing import Any, TypeVar

from transformers.image_processing_backends import PilBackend, TorchvisionBackend
from transformers.image_processing_utils import BaseImageProcessor
from transformers.processing_utils import ProcessorMixin
from transformers.video_processing_utils import BaseVideoProcessor

from vlmres.integrations.operations import log, parts
from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.files import fetched, stand_ins
from vlmres.integrations.transformers.inputs import kinds_of, number_of
from vlmres.integrations.transformers.remote import accelerate_remote
from vlmres.integrations.transformers.route import find_route
from vlmres.integrations.transformers.samples import Call
from vlmres.integrations.transformers.twin import Twin, twin_of
from vlmres.integrations.transformers.videos import accelerate_video

T = TypeVar("T")


class Accelerated(Twin):
    """The base of the classes that `accelerate` makes.

    Such a class comes before the processor's own in the method resolution order and replaces one method, which gets
    images and resolved settings. Validation, defaults and nesting stay transformers' code, and an instance has the
    attributes of the original.
    """

    def _preprocess_image_like_inputs(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        original = functools.partial(self._vlmres_original._preprocess_image_like_inputs, self)
        # Addresses are fetched once, whether vlmres or transformers continues.
        images = stand_ins(self, images)

        def ours() -> Any:
            whole = kwargs.get("do_resize") is False
            call = Call.of(self._prepare_images_structure(images), args, whole=whole)  # type: ignore[attr-defined]
            kinds = kinds_of(call.images, self.backend, kwargs)  # type: ignore[attr-defined]
            sources = tuple(sorted({kind.source for kind in kinds}))
            route = find_route(self, original, call.form, sources, kwargs)
            return route.run(call, kinds, self, kwargs)

        name = self._vlmres_original.__name__
        return answer(name, number_of(images), ours, lambda: original(fetched(self, images), *args, **kwargs))


def accelerate(processor: T) -> T:
    """Returns a processor that gives the same results, with pixels computed by vlmres.

    It is an instance of `processor`'s class with the same attributes and configuration, and plain transformers can load
    what it saves. The arithmetic is that of the backend: torchvision's, or the installed Pillow's. Before settings are
    used for the first time, a few small images run through both implementations. If one bit differs, if no recipe
    follows the settings, or for inputs such as float images or another device, transformers' own code runs, and a
    warning is logged once.

    Args:
        processor: An image or video processor of transformers, or a `ProcessorMixin` that holds some. It is not
            changed.

    Returns:
        The accelerated processor; or `processor` itself if its class prepares images or videos in its own way.

    Raises:
        TypeError: It is none of these.
    """
    accelerated: Any = processor
    if isinstance(processor, ProcessorMixin):
        accelerated = copy.copy(processor)
        for name, part in vars(processor).items():
            if isinstance(part, BaseImageProcessor):
                setattr(accelerated, name, accelerate(part))
    elif isinstance(processor, BaseVideoProcessor):  # an image processor, to judge by its class
        accelerated = accelerate_video(processor)
    elif isinstance(processor, BaseImageProcessor):
        cls = type(processor)
        # A method that `vlmres.integrations.vllm.hooks` has replaced computes with vlmres already.
        if not isinstance(processor, Accelerated) and not hasattr(getattr(cls, "preprocess", None), "_vlmres_original"):
            if _is_pipeline(cls):
                accelerated = twin_of(processor, Accelerated)
            elif (twin := accelerate_remote(processor)) is not None:
                accelerated = twin
            else:
                declined = DeclinedError("pipeline", "the class prepares images in a way of its own")
                log.log_once(cls.__name__, declined)
                parts.left(cls.__name__, declined.reason)
    else:
        got = type(processor).__qualname__
        raise TypeError(f"processor must be an image or video processor or ProcessorMixin of transformers, got {got}")
    return accelerated  # type: ignore[no-any-return]


def _is_pipeline(cls: type) -> bool:
    """Whether the class reads images as transformers' backends do, and so as `vlmres.inputs` does."""
    backend: Any = next((base for base in (TorchvisionBackend, PilBackend) if issubclass(cls, base)), None)
    if backend is None:
        return False
    kept = ("_preprocess_image_like_inputs", "_prepare_image_like_inputs", "process_image")
    # How transformers' classes convert colours shows in the pixels that they read.
    converts: Any = cls.convert_to_rgb  # type: ignore[attr-defined]
    return converts.__module__.startswith("transformers.") and all(
        getattr(cls, name) is getattr(backend, name) for name in kept
    )
