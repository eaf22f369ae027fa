"""Files of mixed sizes, and what modules of transformers are called with."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

if TYPE_CHECKING:
    import vlmres

IMAGES = Path(__file__).parents[2] / "python" / "vlmres" / "samples"
# (width, height), taken in turn.
SIZES = {
    # Pages, screenshots, photographs, thumbnails and lines of text.
    "mixed": [(1240, 1754), (1500, 4500), (2048, 1536), (640, 480), (300, 200), (1024, 1024), (512, 64), (1920, 1080)],
    # A4 and US letter at 150 dpi, upright and across, and A4 at 200 dpi.
    "pages": [(1240, 1754), (1275, 1650), (1754, 1240), (1654, 2339)],
    "small": [(300, 300), (512, 64)],
}
TINY_SIZES = [(124, 175), (150, 320), (96, 64), (200, 60)]


def sizes_of(kind: str, count: int, *, tiny: bool) -> tuple[tuple[int, int], ...]:
    """(width, height) of so many images of a kind."""
    sizes = TINY_SIZES if tiny else SIZES[kind]
    return tuple(sizes[index % len(sizes)] for index in range(count))


@functools.lru_cache(4)
def jpegs(sizes: tuple[tuple[int, int], ...]) -> list[bytes]:
    """Real pictures of these sizes, as files."""
    pictures = [Image.open(IMAGES / name).convert("RGB") for name in ("photo.jpg", "page.png", "screenshot.webp")]
    files = []
    for index, size in enumerate(sizes):
        buffer = io.BytesIO()
        pictures[index % len(pictures)].resize(size).save(buffer, "JPEG", quality=90)
        files.append(buffer.getvalue())
    return files


def decoded(files: list[bytes]) -> list[Image.Image]:
    """The pictures, by Pillow."""
    return [Image.open(io.BytesIO(file)).convert("RGB") for file in files]


def from_batch(batch: vlmres.Batch) -> dict[str, Any]:
    """A batch in the reference's layout as what the reference's processor gives."""
    inputs: dict[str, Any] = batch.torch()
    if "images_crop" in inputs:
        grids = inputs.pop("images_spatial_crop").tolist()
        counts = [cols * rows if cols * rows > 1 else 0 for cols, rows in grids]
        tiles = inputs.pop("images_crop")
        inputs |= {"num_local_patches": counts, "patches_grid": grids}
        inputs["pixel_values_local"] = tiles if sum(counts) else None
    return inputs


def placed(inputs: dict[str, Any], device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """The same on the device; values in the model's type, as its users do it."""
    found: dict[str, Any] = {}
    for key, value in inputs.items():
        if key == "num_local_patches":
            found[key] = value.tolist() if isinstance(value, torch.Tensor) else value
        elif isinstance(value, torch.Tensor):
            moved = value.to(device)
            found[key] = moved.to(dtype) if moved.is_floating_point() else moved
        else:
            found[key] = value
    return found
