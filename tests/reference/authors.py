"""The preprocessing of authors' code that is in no library, restated from descriptions of it.

Nothing here calls vlmres. Pixels come from Pillow and torchvision, sizes from the arithmetic below.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torchvision import transforms
from torchvision.transforms.v2 import functional

Resize = Callable[[Image.Image, tuple[int, int]], Image.Image]
Arithmetic = Literal["pillow", "torch"]

GRAY = (127, 127, 127)


def pillow_resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC)


def torch_resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """torchvision's uint8 resize."""
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    mode = functional.InterpolationMode.BICUBIC
    resized = functional.resize(tensor, [size[1], size[0]], interpolation=mode, antialias=True)
    return Image.fromarray(resized.permute(1, 2, 0).contiguous().numpy())


def padded(image: Image.Image, side: int, resize: Resize) -> Image.Image:
    """`ImageOps.pad` to a gray square: with Pillow's resize the function itself, else its steps."""
    if resize is pillow_resize:
        return ImageOps.pad(image, (side, side), color=GRAY)
    width, height = image.size
    if width > height:
        content = (side, round(height / width * side))
    elif width < height:
        content = (round(width / height * side), side)
    else:
        content = (side, side)
    canvas = Image.new("RGB", (side, side), GRAY)
    canvas.paste(resize(image, content), (round((side - content[0]) * 0.5), round((side - content[1]) * 0.5)))
    return canvas


@dataclass(frozen=True)
class Mode:
    """A mode of DeepSeek-OCR: side of the global view, side of the tiles, whether there are any."""

    base: int
    tile: int
    crop: bool


MODES = {
    "tiny": Mode(512, 512, False),
    "small": Mode(640, 640, False),
    "base": Mode(1024, 1024, False),
    "large": Mode(1280, 1280, False),
    "gundam": Mode(1024, 640, True),
    "gundam-m": Mode(1280, 1024, True),
}


def closest_grid(width: int, height: int, tile: int, fewest: int, most: int) -> tuple[int, int]:
    """(columns, rows) of the closest aspect ratio; among equals the later one whose area the image fills by half."""
    grids = {
        (cols, rows) for cols in range(1, most + 1) for rows in range(1, most + 1) if fewest <= cols * rows <= most
    }
    return closest_of(width, height, tile, sorted(grids, key=lambda grid: grid[0] * grid[1]))


def closest_of(width: int, height: int, tile: int, grids: list[tuple[int, int]]) -> tuple[int, int]:
    """The same of given grids; (1, 1) where there are none."""
    best, difference = (1, 1), math.inf
    for cols, rows in grids:
        off = abs(width / height - cols / rows)
        if off < difference:
            best, difference = (cols, rows), off
        elif off == difference and width * height > 0.5 * tile * tile * cols * rows:
            best = (cols, rows)
    return best


def deepseek_ocr(
    images: list[Image.Image], mode: Mode, arithmetic: Arithmetic, most: int = 9
) -> dict[str, torch.Tensor]:
    """The three tensors of a list of RGB images."""
    resize: Resize = pillow_resize if arithmetic == "pillow" else torch_resize
    normalise = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])
    views: list[Any] = []
    crops: list[Any] = []
    grids: list[list[int]] = []
    for image in images:
        cols, rows = 1, 1
        if mode.crop:
            if max(image.size) > 640:
                cols, rows = closest_grid(*image.size, mode.tile, 2, most)
                whole = resize(image, (cols * mode.tile, rows * mode.tile))
                for index in range(cols * rows):
                    left, top = index % cols * mode.tile, index // cols * mode.tile
                    crops.append(normalise(whole.crop((left, top, left + mode.tile, top + mode.tile))))
            view = padded(image, mode.base, resize)
        elif mode.tile <= 640:
            view = resize(image, (mode.tile, mode.tile))
        else:
            view = padded(image, mode.tile, resize)
        views.append(normalise(view))
        grids.append([cols, rows])
    return {
        "pixel_values": torch.stack(views),
        "images_crop": torch.stack(crops) if crops else torch.zeros((1, 3, mode.base, mode.base)),
        "images_spatial_crop": torch.tensor(grids, dtype=torch.long),
    }


def deepseek_ocr_tokens(width: int, height: int, mode: Mode, most: int = 9) -> int:
    """Tokens of an image: rows of the views with their newlines, and the separator."""
    side = math.ceil(mode.base // 16 / 4)
    tokens = side * (side + 1) + 1
    if mode.crop and max(width, height) > 640:
        cols, rows = closest_grid(width, height, mode.tile, 2, most)
        local = math.ceil(mode.tile // 16 / 4)
        tokens += rows * local * (cols * local + 1)
    return tokens


def qwen_vl_utils_size(width: int, height: int, factor: int = 28, low: int = 4, high: int = 16384) -> tuple[int, int]:
    """qwen-vl-utils' smart_resize, budgets in tokens."""
    low, high = low * factor**2, high * factor**2
    if max(width, height) / min(width, height) > 200:
        raise ValueError("aspect ratio")
    new_height = max(factor, round(height / factor) * factor)
    new_width = max(factor, round(width / factor) * factor)
    if new_height * new_width > high:
        beta = math.sqrt(height * width / high)
        new_height = math.floor(height / beta / factor) * factor
        new_width = math.floor(width / beta / factor) * factor
    elif new_height * new_width < low:
        beta = math.sqrt(low / (height * width))
        new_height = math.ceil(height * beta / factor) * factor
        new_width = math.ceil(width * beta / factor) * factor
    return new_width, new_height


def nativeres_llava(
    images: list[Image.Image], arithmetic: Arithmetic, fewest: int = 4, most: int = 2048
) -> dict[str, torch.Tensor]:
    """Pillow's resize to qwen-vl-utils' size, then transformers' Qwen2-VL processor."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    cls: Any = Qwen2VLImageProcessorPil if arithmetic == "pillow" else Qwen2VLImageProcessor
    processor = cls(
        size={"shortest_edge": fewest * 784, "longest_edge": most * 784},
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
        patch_size=14,
        merge_size=2,
        temporal_patch_size=2,
    )
    resized = [image.convert("RGB").resize(qwen_vl_utils_size(*image.size)) for image in images]
    return dict(processor(resized, return_tensors="pt"))


def qwen2_5_vl_utils(images: list[Image.Image], arithmetic: Arithmetic, most: int = 16384) -> dict[str, torch.Tensor]:
    """Pillow's resize to qwen-vl-utils' size, then Qwen2.5-VL's processor with the checkpoints' budgets.

    tests/parity/test_qwen_vl_utils.py has the live package.
    """
    return _qwen_vl_utils(images, _qwen_processor(arithmetic, 14), 28, most)


def qwen3_vl_utils(images: list[Image.Image], arithmetic: Arithmetic, most: int = 16384) -> dict[str, torch.Tensor]:
    """Pillow's resize to qwen-vl-utils' size, then Qwen3-VL's processor, which resizes nothing."""
    return _qwen_vl_utils(images, _qwen_processor(arithmetic, 16), 32, most, do_resize=False)


def _qwen_processor(arithmetic: Arithmetic, patch_size: int) -> Any:
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    cls: Any = Qwen2VLImageProcessorPil if arithmetic == "pillow" else Qwen2VLImageProcessor
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3} if patch_size == 16 else {}
    return cls(size={"shortest_edge": 3136, "longest_edge": 12845056}, patch_size=patch_size, **half)


def _qwen_vl_utils(
    images: list[Image.Image], processor: Any, factor: int, most: int, **call: Any
) -> dict[str, torch.Tensor]:
    sizes = [qwen_vl_utils_size(*image.size, factor, 4, most) for image in images]
    resized = [image.convert("RGB").resize(size) for image, size in zip(images, sizes, strict=True)]
    return dict(processor(resized, return_tensors="pt", **call))


def open_clip(images: list[Image.Image], arithmetic: Arithmetic, side: int = 224) -> dict[str, torch.Tensor]:
    """open_clip's and timm's transforms for evaluation: torchvision's on Pillow images."""
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    after = transforms.Compose([transforms.CenterCrop(side), transforms.ToTensor(), transforms.Normalize(mean, std)])
    resize = transforms.Resize(side, transforms.InterpolationMode.BICUBIC)

    def shortest(image: Image.Image) -> Image.Image:
        # The sizes are those of `transforms.Resize`, whose resize of a Pillow image is Pillow's.
        if arithmetic == "pillow":
            return resize(image)  # type: ignore[no-any-return]
        short = min(image.size)
        width, height = (side if one == short else int(side * one / short) for one in image.size)
        return torch_resize(image, (width, height))

    return {"pixel_values": torch.stack([after(shortest(image)) for image in images])}


def llava(images: list[Image.Image], ratio: str, candidates: list[tuple[int, int]]) -> list[torch.Tensor]:
    """LLaVA 1.5's and 1.6's `process_images`: Pillow's resizes before transformers' CLIP processor.

    `candidates` are (width, height).
    """
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    processor = CLIPImageProcessorPil(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})

    def squared(image: Image.Image) -> Image.Image:
        fill = tuple(int(mean * 255) for mean in processor.image_mean)
        side = max(image.size)
        square = Image.new("RGB", (side, side), fill)
        square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
        return square

    def tiles(image: Image.Image) -> list[Image.Image]:
        def worth(canvas: tuple[int, int]) -> tuple[int, int]:
            scale = min(canvas[0] / image.width, canvas[1] / image.height)
            kept = min(int(image.width * scale) * int(image.height * scale), image.width * image.height)
            return kept, kept - canvas[0] * canvas[1]

        width, height = max(candidates, key=worth)
        across, down = width / image.width, height / image.height
        if across < down:
            size = width, min(math.ceil(image.height * across), height)
        else:
            size = min(math.ceil(image.width * down), width), height
        canvas = Image.new("RGB", (width, height))
        canvas.paste(image.resize(size), ((width - size[0]) // 2, (height - size[1]) // 2))
        starts = [(left, top) for top in range(0, height, 336) for left in range(0, width, 336)]
        cut = [canvas.crop((left, top, left + 336, top + 336)) for left, top in starts]
        return [image.resize((336, 336)), *cut]

    views = {"square": lambda image: [image], "pad": lambda image: [squared(image)], "anyres": tiles}[ratio]
    found = [processor(views(image), return_tensors="pt")["pixel_values"] for image in images]
    return found if ratio == "anyres" else [values[0] for values in found]
