"""Seeded canvases, packed as the engine packs them, and as the references read them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tests.images import Pixels, pixels
from vlmres.encoder.config import Patch


@dataclass
class Packed:
    """A packed batch."""

    patches: torch.Tensor
    grids: NDArray[np.int64]
    positions: NDArray[np.int64]


def canvases(sizes: Sequence[tuple[int, int]]) -> list[Pixels]:
    """Noise of the given (width, height)."""
    return [pixels(width, height, seed=index) for index, (width, height) in enumerate(sizes)]


def pack(images: Sequence[Pixels], size: int, merge: int = 1) -> Packed:
    """Patches of `size`, cells of merge² patches following each other."""
    patches, grids, positions = [], [], []
    for image in images:
        rows, cols = image.shape[0] // size, image.shape[1] // size
        blocks = image.reshape(rows // merge, merge, size, cols // merge, merge, size, 3).transpose(0, 3, 1, 4, 2, 5, 6)
        patches.append(blocks.reshape(rows * cols, size * size * 3))
        places = np.moveaxis(np.mgrid[:rows, :cols], 0, -1).reshape(rows // merge, merge, cols // merge, merge, 2)
        positions.append(places.transpose(0, 2, 1, 3, 4).reshape(-1, 2))
        grids.append((rows, cols))
    return Packed(torch.from_numpy(np.concatenate(patches)), np.array(grids), np.concatenate(positions))


def normalised(values: torch.Tensor, patch: Patch) -> torch.Tensor:
    """Bytes [..., 3] to the reference's float32 values."""
    mean, std = torch.tensor(patch.mean), torch.tensor(patch.std)
    return (values.float() * patch.rescale - mean) / std


def planes(image: Pixels, patch: Patch) -> torch.Tensor:
    """[1, 3, height, width]."""
    return normalised(torch.from_numpy(image), patch).permute(2, 0, 1).unsqueeze(0)


def qwen_patches(packed: Packed, patch: Patch) -> torch.Tensor:
    """[N, channels * frames * size * size]."""
    values = normalised(packed.patches.view(-1, patch.size, patch.size, 3), patch).permute(0, 3, 1, 2)
    return values.unsqueeze(2).expand(-1, -1, patch.frames, -1, -1).flatten(1)


def relative_error(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Norm of the difference over that of the reference."""
    assert found.shape == wanted.shape, (found.shape, wanted.shape)
    return float((found.double() - wanted.double()).norm() / wanted.double().norm())
