"""What every recipe makes of one image: stored, because `tests/parity` is what compares with the references.

`python -m tests.quick.known` writes the file anew, which is for changes that `make test` has found right.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vlmres

FILE = Path(__file__).with_name("known.json")
SIZE = (701, 350)


def pixels() -> NDArray[np.uint8]:
    """A picture with slopes, edges and noise."""
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(7).integers(0, 64, (height, width))
    layers = [x * 191 // width, y * 191 // height, (x // 37 + y // 23) % 2 * 191]
    return np.stack([layer + noise for layer in layers], axis=2).astype(np.uint8)


def answers(name: str) -> dict[str, Any]:
    """Numbers of the plan, and digests of the pixels in the recipe's default arithmetic."""
    plan = vlmres.plan(SIZE, name)
    found: dict[str, Any] = {
        "tokens": plan.num_tokens,
        "patches": plan.num_patches,
        "tiles": plan.num_tiles,
        "grid": list(plan.grid),
    }
    for layout, dtype in (("packed", "uint8"), ("hf", "float32")):
        batch = vlmres.Processor(name, layout, dtype)(pixels(), input_data_format="channels_last")  # type: ignore[arg-type]
        digest = hashlib.sha256()
        for key, array in batch.items():
            digest.update(f"{key} {array.shape} {array.dtype} ".encode() + np.ascontiguousarray(array).tobytes())
        found[layout] = digest.hexdigest()[:16]
    return found


if __name__ == "__main__":
    text = json.dumps({name: answers(name) for name in vlmres.recipes()}, indent=1)
    FILE.write_text(text + "\n", encoding="utf-8")
