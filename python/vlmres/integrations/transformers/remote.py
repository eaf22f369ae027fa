"""Image processors of remote code, whose class prepares images in its own way; a recipe lists the class.

How such a class uses its settings and images is only known from its results. So small images of the kinds of a call,
with its settings, go through both implementations before vlmres takes over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.inputs import number_of
from vlmres.integrations.transformers.kinds import Kind, kind_of
from vlmres.integrations.transformers.memo import remembered
from vlmres.integrations.transformers.output import Output
from vlmres.integrations.transformers.route import settings_of
from vlmres.integrations.transformers.samples import Call, Form
from vlmres.integrations.transformers.trial import expected_of, recipe_of
from vlmres.integrations.transformers.twin import Twin, twin_of
from vlmres.processor import Processor

# Most kinds of images in a trial; a call with more kinds is left to the original.
_MOST_KINDS = 4


class AcceleratedRemote(Twin):
    """The base that comes before a class of remote code and replaces `preprocess`."""

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """The result of the class's own method."""
        original = functools.partial(self._vlmres_original.preprocess, self)

        def ours() -> Any:
            items = list(images) if isinstance(images, (list, tuple)) else [images]
            kinds = tuple(sorted({kind_of(image, None) for image in items}, key=str))
            if args or not items or len(kinds) > _MOST_KINDS:
                raise DeclinedError("arguments", "the call has no list of images and settings by name")
            make = functools.partial(_make_route, self, original, kinds, kwargs)
            processor, output = remembered(self, kwargs, make, ("remote", kinds))
            return output.build(processor, Call(Form(), items, None), None)

        return answer(
            self._vlmres_original.__name__, number_of(images), ours, lambda: original(images, *args, **kwargs)
        )


def accelerate_remote(processor: Any) -> Any | None:
    """The accelerated twin of an image processor of remote code; None if no recipe lists its class."""
    cls = type(processor)
    if isinstance(processor, AcceleratedRemote):
        return processor
    own: Callable[..., Any] | None = getattr(cls, "preprocess", None)
    if own is None or own.__module__.partition(".")[0] == "transformers":
        return None
    try:
        make_remote_processor(processor, {})
    except DeclinedError:
        return None
    return twin_of(processor, AcceleratedRemote)


def make_remote_processor(processor: Any, kwargs: dict[str, Any]) -> Processor:
    """The vlmres `Processor` of such an image processor, called with these settings.

    Raises:
        DeclinedError: No recipe follows them.
    """
    # Such a class does not declare its settings, and always rescales and normalises.
    own = {name: value for name, value in vars(processor).items() if not name.startswith("_")}
    given = {name: value for name, value in kwargs.items() if value is not None}
    settings = settings_of(processor, {"do_rescale": True, "do_normalize": True, **own, **given})
    try:
        recipe, dtype = recipe_of(settings)
        arithmetic = recipe.params["arithmetic"]
        return Processor(recipe, dtype=dtype, arithmetic="torch" if arithmetic == "torch" else "pillow-installed")
    except (ValueError, TypeError) as error:
        raise DeclinedError("recipe", str(error)) from error


def _make_route(
    processor: Any, original: Callable[..., Any], kinds: tuple[Kind, ...], kwargs: dict[str, Any]
) -> tuple[Processor, Output]:
    ours = make_remote_processor(processor, kwargs)
    call = Form().trial(kinds)
    expected = expected_of(original, call.images, **kwargs)
    return ours, Output.of(ours, call, expected, None)
