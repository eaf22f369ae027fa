"""The result that transformers would return, from the values that vlmres computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import unread
from vlmres.integrations.transformers.samples import Call
from vlmres.integrations.transformers.structure import Lengths, Structure
from vlmres.integrations.transformers.trial import check_outputs, check_same
from vlmres.processor import Processor


@dataclass(frozen=True)
class Output:
    """The containers of a result, as found with small images."""

    container: Callable[[dict[str, Any]], Any]
    """The class of transformers' result."""
    attributes: dict[str, Any]
    """What such a result contains besides values."""
    structures: dict[str, Structure]

    @staticmethod
    def of(processor: Processor, call: Call, expected: Any, data_format: Any) -> Output:
        """Finds the containers of `expected`, the result of transformers for a call.

        Raises:
            DeclinedError: The values of `processor` differ, or do not fit such containers.
        """
        arrays, lengths = run(processor, call, data_format)
        name = processor.recipe.name
        if list(arrays) != list(expected):
            raise DeclinedError(
                "outputs", f"recipe {name!r} gives {', '.join(arrays)}, transformers {', '.join(expected)}"
            )
        structures = {key: Structure.of(value, arrays[key], lengths) for key, value in expected.items()}
        unknown = [key for key, structure in structures.items() if structure is None]
        if unknown:
            raise DeclinedError("outputs", f"no array could be put in place of {', '.join(unknown)}")
        known = {key: structure for key, structure in structures.items() if structure is not None}
        attributes = {name: value for name, value in getattr(expected, "__dict__", {}).items() if name != "data"}
        output = Output(type(expected), attributes, known)
        check_same(name, output.build(processor, call, data_format), expected, "images")
        return output

    def build(self, processor: Processor, call: Call, data_format: Any) -> Any:
        """The result for a call whose images `processor` is known to read as transformers does.

        Raises:
            DeclinedError: vlmres does not read one of the images, or has an output that the sample images did not have.
        """
        arrays, lengths = run(processor, call, data_format)
        check_outputs(arrays, self.structures, "images")
        result = self.container({key: self.structures[key].build(array, lengths) for key, array in arrays.items()})
        if self.attributes:
            vars(result).update(self.attributes)
        return result


def run(processor: Processor, call: Call, data_format: Any) -> tuple[Mapping[str, Any], Lengths]:
    """The arrays of `processor` for a call's images; tensors if numpy lacks their type.

    Raises:
        DeclinedError: It does not read one of the images.
    """
    samples = unread(call.images) if call.counts is None else [unread(sample) for sample in call.samples]
    try:
        batch = processor(samples, input_data_format=getattr(data_format, "value", data_format))
    except (ValueError, TypeError, OSError) as error:
        raise DeclinedError(f"input {type(error).__name__}", str(error)) from error
    tiles = [plan.num_tiles for plan in batch.plans if plan is not None]
    if call.whole and any(plan is None or plan.views[0].resized != plan.size for plan in batch.plans):
        raise DeclinedError("whole", "do_resize=False, and an image's sides are no whole merged patches")
    return batch.torch() if processor.dtype == "bfloat16" else batch, Lengths(call.counts or (), tiles)
