"""Videos to test with."""

import numpy as np
from numpy.typing import NDArray

from tests.images import pixels


def video(frames: int, width: int, height: int, kind: str = "noise", *, seed: int = 0) -> NDArray[np.uint8]:
    """Seeded frames that all differ, of shape (frames, height, width, 3)."""
    return np.stack([pixels(width, height, kind, seed=seed * 1000 + frame) for frame in range(frames)])
