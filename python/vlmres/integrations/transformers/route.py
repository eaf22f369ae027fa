"""From a processor's resolved settings to a vlmres `Processor` that gave the same bits in a trial."""

from __future__ import annotations

import enum
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers.image_utils import SizeDict

from vlmres.integrations.operations.compare import is_tensor
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.transformers.kinds import Kind, Source, plain
from vlmres.integrations.transformers.memo import has_one_thread, remembered
from vlmres.integrations.transformers.output import Output
from vlmres.integrations.transformers.reading import Readings, alpha_rule, reader
from vlmres.integrations.transformers.samples import Call, Form
from vlmres.integrations.transformers.trial import expected_of, recipe_of
from vlmres.processor import Processor

Original = Callable[..., Any]

# Arguments that do not affect the pixels.
_MANNERS = frozenset({"return_tensors", "device", "data_format", "input_data_format", "disable_grouping"})


@dataclass(frozen=True)
class Route:
    """A way to compute a call with vlmres, for given settings."""

    processor: Processor
    readings: Readings
    output: Output

    def run(self, call: Call, kinds: frozenset[Kind], processor: Any, kwargs: Mapping[str, Any]) -> Any:
        """The result that transformers' `processor` would return for a call with images of these kinds.

        Raises:
            DeclinedError: vlmres does not read one of the images, or has an output that the sample images did not have.
        """
        self.readings.check(kinds, reader(processor, kwargs))
        return self.output.build(self.processor, call, kwargs.get("input_data_format"))


def find_route(
    processor: Any, original: Original, form: Form, sources: tuple[Source, ...], kwargs: dict[str, Any]
) -> Route:
    """The route of a processor for the resolved settings `kwargs`; found once, then cached.

    Args:
        processor: transformers' processor.
        original: Its own implementation, called with images and settings.
        form: The form of the call.
        sources: The kinds of its images.
        kwargs: All settings, as transformers resolved them.

    Raises:
        DeclinedError: There is none, with the reason.
    """
    make = functools.partial(_make_route, processor, original, form, sources, kwargs)
    return remembered(processor, kwargs, make, (processor.backend, form, sources))


def make_processor(processor: Any, kwargs: Mapping[str, Any]) -> Processor:
    """The vlmres `Processor` for a transformers processor with the resolved settings `kwargs`.

    Raises:
        DeclinedError: No recipe follows them.
    """
    settings = settings_of(processor, kwargs)
    torch = processor.backend == "torchvision"
    try:
        recipe, dtype = recipe_of(settings)
        # Colours are converted before the class gets the image; only this setting controls it.
        colours = kwargs.get("do_convert_rgb")
        recipe = recipe.replace(convert=alpha_rule(reader(processor, kwargs), torch=torch) if colours else "none")
        if "one_thread" in recipe.params:
            recipe = recipe.replace(one_thread=has_one_thread())
        return Processor(recipe, dtype=dtype, arithmetic="torch" if torch else "pillow-installed")
    except (ValueError, TypeError) as error:
        raise DeclinedError("recipe", str(error)) from error


def own_settings(processor: Any) -> dict[str, Any]:
    """The settings that a processor holds as attributes.

    An attribute that is not a setting of the class, such as one that a user added, is left out. The trial shows whether
    the class reads it.
    """
    declared = getattr(getattr(processor, "valid_kwargs", None), "__annotations__", None)
    return {
        name: value
        for name, value in vars(processor).items()
        if not name.startswith("_") and (declared is None or name in declared)
    }


def settings_of(processor: Any, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint's file that would make these settings the defaults."""
    settings: dict[str, Any] = {
        "image_processor_type": type(processor).__name__,
        "do_rescale": False,
        "do_normalize": False,
    }
    for name, value in {**own_settings(processor), **kwargs}.items():
        if name not in _MANNERS:
            settings[name] = _plain(value)
    return settings


def _make_route(
    processor: Any, original: Original, form: Form, sources: tuple[Source, ...], kwargs: dict[str, Any]
) -> Route:
    ours = make_processor(processor, kwargs)
    data_format = kwargs.get("input_data_format")
    call = form.trial([plain(source, data_format) for source in sources])
    expected = expected_of(original, *call.arguments, **kwargs)
    if ours.dtype == "float32" and _has_bfloat16(list(expected.values())):
        ours.dtype = "bfloat16"
    output = Output.of(ours, call, expected, data_format)
    readings = Readings(ours.recipe.params["convert"], torch=ours.arithmetic == "torch", data_format=data_format)
    return Route(ours, readings, output)


def _has_bfloat16(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_bfloat16, value))
    return is_tensor(value) and str(value.dtype) == "torch.bfloat16"


def _plain(value: Any) -> Any:
    """The value after a round trip through JSON."""
    if isinstance(value, (Mapping, SizeDict)):
        return {str(key): _plain(item) for key, item in dict(value).items()}
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
