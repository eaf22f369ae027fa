"""The cost of an image, from its plan."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from vlmres._core import Plan, shapes

if TYPE_CHECKING:
    from vlmres.inputs import Limits
    from vlmres.processor import DType, Layout

ITEM_SIZE: Final[dict[DType, int]] = {"float32": 4, "bfloat16": 2, "float16": 2, "uint8": 1}


def value_bytes(plan: Plan, layout: Layout, dtype: DType, limits: Limits | None = None) -> int:
    """Bytes of the pixel values of one image on its own.

    Raises:
        VlmresError: Its arrays are over the limits.
    """
    found = shapes(plan.recipe, [plan], layout, None, None if limits is None else (dtype, limits))
    return sum(math.prod(shape) for shape, kind in found.values() if kind is None) * ITEM_SIZE[dtype]
