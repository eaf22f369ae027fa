"""Images and settings drawn from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vlmres.inputs import CHANNELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]
# (frames, width, height)
VideoSize = tuple[int, int, int]

# PIL modes and two kinds of arrays. Families that do not convert colours get the first and the last two.
FORMS = ("RGB", "L", "LA", "P", "RGBA", "CMYK", "1", "array", "tensor")
PLAIN_FORMS = ("RGB", "array", "tensor")
KINDS = ("noise", "binary", "checker", "gradient")

# Settings that are lengths or counts. A case lowers them together, for less work and other numbers.
SCALED = (
    "size",
    "crop_size",
    "tile_size",
    "image_grid_pinpoints",
    "max_num_patches",
    "high_res_size",
    "max_image_size",
    "min_image_tokens",
    "max_image_tokens",
    "scale_resolution",
    "max_patches",
)
FACTORS = (0.25, 0.5, 0.75)

VALUES: tuple[dict[str, Any], ...] = (
    {"resample": 0},
    {"resample": 1},
    {"resample": 2},
    {"resample": 3},
    {"do_normalize": False},
    {"do_rescale": False},
    {"rescale_factor": 1 / 127.5},
    {"image_mean": [0.11, 0.5, 0.93], "image_std": [0.2, 1.5, 0.07]},
)


@dataclass(frozen=True)
class Case:
    """A case: one call."""

    number: int
    settings: dict[str, Any]
    """Settings that differ from the checkpoint's."""
    images: list[Any]
    """Images or videos."""
    sizes: list[Any]
    """The size of each: `Size` or `VideoSize`."""
    forms: list[str]

    def __str__(self) -> str:
        images = ", ".join(
            f"{form} {'x'.join(map(str, size))}" for form, size in zip(self.forms, self.sizes, strict=True)
        )
        settings = "".join(f", {key}={value}" for key, value in self.settings.items())
        return images + settings


def draw(seed: int, number: int, reference: Any, fixed: tuple[str, ...] = ()) -> Case:
    """The case of this number for a transformers image processor; the same number always gives the same case.

    Settings named in `fixed` stay those of the image processor.
    """
    rng = np.random.default_rng((seed, number))
    count = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))
    forms = FORMS if reference.do_convert_rgb else PLAIN_FORMS
    chances = [0.6, *[0.4 / (len(forms) - 1)] * (len(forms) - 1)]
    chosen = [str(rng.choice(forms, p=chances)) for _ in range(count)]
    sizes = [draw_size(rng) for _ in range(count)]
    chosen = [_readable(form, size) for form, size in zip(chosen, sizes, strict=True)]
    images = [_image(rng, size, form) for size, form in zip(sizes, chosen, strict=True)]
    settings = {name: value for name, value in draw_settings(rng, reference).items() if name not in fixed}
    return Case(number, settings, images, sizes, chosen)


def draw_size(rng: np.random.Generator) -> Size:
    """Mostly small sizes, some elongated, some near multiples of patches."""
    sort = rng.random()
    if sort < 0.05:
        short = int(rng.integers(1, 5))
        long = int(short * rng.uniform(20, 210))
        return (short, long) if rng.random() < 0.5 else (long, short)
    if sort < 0.15:
        width, height = (int(rng.choice([14, 16, 28, 32])) * int(rng.integers(1, 16)) for _ in range(2))
        return max(1, width + int(rng.integers(-1, 2))), max(1, height + int(rng.integers(-1, 2)))
    most = math.log(1024 if sort < 0.25 else 300)
    width, height = (int(math.exp(side)) for side in rng.uniform(0, most, 2))
    # Beyond this aspect ratio the references refuse, or make intermediate images of a hundred megapixels.
    return max(width, height // 210), max(height, width // 210)


def _readable(form: str, size: Size) -> str:
    """The form; "RGB" instead of an array whose axis order is ambiguous, which vlmres refuses."""
    rows = {"array": size[1], "tensor": size[0]}.get(form)
    return "RGB" if rows in CHANNELS else form


def _image(rng: np.random.Generator, size: Size, form: str) -> Any:
    pixels = draw_pixels(rng, size)
    if form == "array":
        return pixels
    if form == "tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
    image = Image.fromarray(pixels)
    if form in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(np.ascontiguousarray(pixels[::-1, :, 1])))
    return image if form == "RGB" else image.convert(form)


def draw_pixels(rng: np.random.Generator, size: Size) -> NDArray[np.uint8]:
    """(height, width, 3). Binary noise and checkers make the wide filters overshoot at both ends."""
    shape = (size[1], size[0], 3)
    kind = rng.choice(KINDS)
    if kind == "noise":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if kind == "binary":
        return (rng.integers(0, 2, shape) * 255).astype(np.uint8)
    y, x, c = np.ogrid[: shape[0], : shape[1], :3]
    checker = (x // 3 + y // 5 + c) % 2 * 255
    gradient = (x * 3 + y * 2 + c * 40) % 256
    return np.asarray(checker if kind == "checker" else gradient, dtype=np.uint8)


def draw_settings(rng: np.random.Generator, reference: Any) -> dict[str, Any]:
    """Settings that differ from those of a transformers image or video processor."""
    settings: dict[str, Any] = {}
    if rng.random() < 0.25:
        return settings
    if rng.random() < 0.8:
        factor = float(rng.choice(FACTORS))
        scaled = {name: _scale(getattr(reference, name, None), factor) for name in SCALED}
        settings.update({name: value for name, value in scaled.items() if value is not None})
    if rng.random() < 0.5:
        for index in rng.choice(len(VALUES), int(rng.integers(1, 3)), replace=False):
            settings.update(VALUES[index])
        if not settings.get("do_normalize", True):
            settings.pop("do_rescale", None)  # with neither, classes return different types
    return settings


def _scale(value: Any, factor: float) -> Any:
    if value is None:
        return None
    if isinstance(value, (list, tuple)):
        return [_scale(item, factor) for item in value]
    if isinstance(value, int):
        return round(value * factor)
    return {key: _scale(item, factor) for key, item in dict(value).items()}
