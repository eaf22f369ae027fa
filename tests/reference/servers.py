"""What servers compute in code of their own, restated: Mistral's mistral-common, and Step3's class in vLLM.

Nothing here calls vlmres. `make test-servers` compares with the packages themselves.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2 import functional

from tests.reference.authors import Arithmetic

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def _cubic(length: int, to: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Inputs and weights of every output of an axis: OpenCV's INTER_CUBIC."""
    one, a = np.float32(1), np.float32(-0.75)
    at = ((np.arange(to) + 0.5) * (1 / (to / length)) - 0.5).astype(np.float32)
    low = np.floor(at)
    x = at - low
    left = ((a * (x + one) - 5 * a) * (x + one) + 8 * a) * (x + one) - 4 * a
    near = ((a + 2) * x - (a + 3)) * x * x + one
    y = one - x
    far = ((a + 2) * y - (a + 3)) * y * y + one
    indices = np.clip(low.astype(np.int64)[:, None] + np.arange(-1, 3), 0, length - 1)
    return indices, np.stack([left, near, far, one - left - near - far], 1)


def opencv_cubic(pixels: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """OpenCV's own resize of floats on x86-64: each product and sum rounds; columns from the left, rows from below."""
    if pixels.shape[:2] == (height, width):
        return pixels
    indices, weights = _cubic(pixels.shape[1], width)
    across = pixels[:, indices[:, 0]] * weights[:, 0, None]
    for tap in (1, 2, 3):
        across = across + pixels[:, indices[:, tap]] * weights[:, tap, None]
    indices, weights = _cubic(pixels.shape[0], height)
    down = across[indices[:, 3]] * weights[:, 3, None, None]
    for tap in (2, 1, 0):
        down = down + across[indices[:, tap]] * weights[:, tap, None, None]
    return down


def mistral_common(
    images: list[Image.Image], patch: int = 16, merge: int = 1, longest: int = 1024
) -> dict[str, torch.Tensor]:
    """mistral-common's ImageEncoder, its images padded to one batch."""
    made = []
    for image in images:
        width, height = image.size
        ratio = max(height / longest, width / longest)
        if ratio > 1:
            width, height = max(round(width / ratio), 1), max(round(height / ratio), 1)
        side = patch * merge
        width, height = ((one - 1) // side * side + side for one in (width, height))
        values: Any = opencv_cubic(np.asarray(image.convert("RGB"), dtype=np.float32), width, height) / np.float32(255)
        values = (values - np.asarray(MEAN, dtype=np.float32)) / np.asarray(STD, dtype=np.float32)
        made.append(torch.from_numpy(values.transpose(2, 0, 1)))
    sizes = torch.tensor([value.shape[1:] for value in made])
    batch = torch.zeros(len(made), 3, int(sizes[:, 0].max()), int(sizes[:, 1].max()))
    for row, value in zip(batch, made, strict=True):
        row[:, : value.shape[1], : value.shape[2]] = value
    return {"pixel_values": batch, "image_sizes": sizes}


def _step3_windows(width: int, height: int, small: int, side: int) -> int:
    """The side of windows; 0 where there are none."""
    long, short = max(width, height), min(width, height)
    if long < small:
        return short if long / short > 1.5 else 0
    return min(short, side) if long / short > 4 else side


def _step3_grid(length: int, window: int) -> int:
    """A side that is whole windows, or as it is where it is shorter than one."""
    if length < window:
        return length
    count = length // window
    return window * (count + 1 if length / window - count > 0.2 else count)


def step3_vl(
    images: list[Image.Image], arithmetic: Arithmetic, small: int = 728, side: int = 504, longest: int = 3024
) -> dict[str, torch.Tensor]:
    """The pixels of vLLM's Step3VLImageProcessor under transformers' keys: Pillow's resizes, then normalised floats."""
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
        if arithmetic == "pillow":
            return image.resize(size, Image.Resampling.BILINEAR)
        mode = functional.InterpolationMode.BILINEAR
        resized = functional.resize(functional.pil_to_tensor(image), [size[1], size[0]], mode, antialias=True)
        return Image.fromarray(resized.permute(1, 2, 0).contiguous().numpy())

    def view(image: Image.Image, edge: int) -> torch.Tensor:
        mode = transforms.InterpolationMode.BILINEAR
        resized: torch.Tensor = transforms.Resize((edge, edge), mode, antialias=True)(normalise(image))
        return resized

    wholes, windows, counts = [], [], []
    ends: list[list[bool]] = []
    for image in images:
        width, height = image.size
        if min(width, height) < 32 and not 1 / 4 <= width / height <= 4:
            square = Image.new("RGB", (max(width, height),) * 2)
            square.paste(image, (0, 0))
            image = square
        if max(image.size) > longest:
            scale = longest / max(image.size)
            image = resize(image, (int(image.width * scale), int(image.height * scale)))
        wholes.append(view(image, small))
        window = _step3_windows(*image.size, small, side)
        if not window:
            counts.append(0)
            ends.append([])
            continue
        size = _step3_grid(image.width, window), _step3_grid(image.height, window)
        cut = resize(image, size) if size != image.size else image
        columns, rows = (math.ceil(one / window) for one in size)
        boxes = [(x * window, y * window) for y in range(rows) for x in range(columns)]
        windows += [view(cut.crop((x, y, x + window, y + window)), side) for x, y in boxes]
        counts.append(len(boxes))
        ends.append([(index + 1) % columns == 0 and index + 1 < len(boxes) for index in range(len(boxes))])
    made = {"pixel_values": torch.stack(wholes), "num_local_patches": torch.tensor(counts)}
    if windows:
        made["pixel_values_local"] = torch.stack(windows)
    masks = torch.zeros(len(images), max(counts), dtype=torch.bool)
    for mask, own in zip(masks, ends, strict=True):
        mask[: len(own)] = torch.tensor(own, dtype=torch.bool)
    return {**made, "patch_newline_masks": masks}
