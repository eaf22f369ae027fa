"""Images to test with: random, adversarial and real."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "python" / "vlmres" / "samples"
REAL = ("line.png", "screenshot.webp", "page.png", "photo.jpg", "photo-portrait.jpg")
KINDS = ("noise", "smooth", "checker", "stripes", "binary")

Pixels = NDArray[np.uint8]


def pixels(width: int, height: int, kind: str = "noise", *, channels: int = 3, seed: int = 0) -> Pixels:
    """Seeded pixels of shape (height, width, channels).

    Checkers and stripes of 0 and 255 make bicubic and Lanczos overshoot, so that both ends clamp.
    """
    rng = np.random.default_rng((seed, width, height, channels))
    shape = (height, width, channels)
    y, x, c = np.ogrid[:height, :width, :channels]
    if kind == "noise":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "binary":
        return np.where(rng.integers(0, 2, shape), np.uint8(255), np.uint8(0))
    if kind == "smooth":
        waves = np.sin(x / 37 + c) + np.cos(y / 23 - c) + np.sin((x + 2 * y) / 11)
        smooth: Pixels = np.clip(waves * 42 + 128, 0, 255).astype(np.uint8)
        return smooth
    if kind == "checker":
        return np.broadcast_to(((x // 3 + y // 5 + c) % 2 * 255).astype(np.uint8), shape).copy()
    if kind == "stripes":
        return np.broadcast_to(((x * 7 + y + c) % 4 // 2 * 255).astype(np.uint8), shape).copy()
    raise ValueError(kind)


def image(width: int, height: int, kind: str = "noise", *, seed: int = 0) -> Image.Image:
    """A seeded RGB image."""
    return Image.fromarray(pixels(width, height, kind, seed=seed))


def real(name: str) -> Image.Image:
    """An example image, as RGB."""
    with Image.open(EXAMPLES / name) as opened:
        return opened.convert("RGB")


def random_sizes(count: int, most: int, *, seed: int = 0, ratio: float = 100.0) -> list[tuple[int, int]]:
    """Sizes (width, height), small ones as likely as large ones, of at most this aspect ratio."""
    rng = np.random.default_rng(seed)
    sizes: list[tuple[int, int]] = []
    while len(sizes) < count:
        width, height = (int(np.exp(side)) for side in rng.uniform(0, np.log(most), 2))
        if max(width, height) <= ratio * min(width, height):
            sizes.append((width, height))
    return sizes
