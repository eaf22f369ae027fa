"""Images of extreme shape through every recipe: tensors as the plan says, or an error that the plan gives too."""

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vlmres

# Of few bytes, thin and long; most recipes stretch them to a square, some refuse the ratio.
SIZES = [(1, 4001), (4001, 1), (2, 3000), (3000, 3)]


def _png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", compress_level=1)
    return file.getvalue()


def _plan(processor: vlmres.Processor, size: tuple[int, int]) -> vlmres.Plan | vlmres.VlmresError:
    try:
        return processor.plan(size)
    except vlmres.VlmresError as error:
        return error


@pytest.mark.parametrize("name", vlmres.recipes())
def test_thin_images(name: str) -> None:
    processor = vlmres.Processor(name, "packed", "uint8", num_threads=2)
    draw = np.random.default_rng(0)
    for size in SIZES:
        pixels = draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        plan = _plan(processor, size)
        if isinstance(plan, vlmres.VlmresError):
            with pytest.raises(type(plan), match=re.escape(str(plan))):
                processor(pixels, input_data_format="channels_last")
            continue
        batch = processor([pixels, _png(pixels)], input_data_format="channels_last")
        patches = batch["patches"]
        assert len(patches) == 2 * plan.num_patches
        # The file's pixels and the array's are the same, and so is what becomes of them, whatever else is in the call.
        assert np.array_equal(patches[: plan.num_patches], patches[plan.num_patches :])
        assert [plan.num_tokens] * 2 == list(batch.num_tokens)
