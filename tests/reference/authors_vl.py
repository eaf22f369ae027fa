"""Further restatements of authors' code: DeepSeek-VL2, NVLM-D, Kimi-VL, Phi-3.5-vision and Ovis2.5.

Nothing here calls vlmres.
"""

import math
from typing import Any

import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms.v2 import functional

from tests.reference.authors import GRAY, Arithmetic, Resize, closest_grid, pillow_resize, torch_resize

Size = tuple[int, int]

# (width, height)
CANDIDATES = [
    *[(1, 1), (1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (4, 1), (2, 2), (1, 5), (5, 1), (1, 6), (6, 1), (2, 3), (3, 2)],
    *[(1, 7), (7, 1), (1, 8), (8, 1), (2, 4), (4, 2), (1, 9), (9, 1), (3, 3)],
]


def _resize(arithmetic: Arithmetic) -> Resize:
    return pillow_resize if arithmetic == "pillow" else torch_resize


def _normalise(mean: tuple[float, ...], std: tuple[float, ...]) -> Any:
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])


def _padded(image: Image.Image, size: Size, resize: Resize) -> Image.Image:
    """`ImageOps.pad` with any resize."""
    width, height = image.size
    content = size
    if width / height > size[0] / size[1]:
        content = (size[0], round(height / width * size[0]))
    elif width / height < size[0] / size[1]:
        content = (round(width / height * size[1]), size[1])
    canvas = Image.new("RGB", size, GRAY)
    offset = (round((size[0] - content[0]) * 0.5), round((size[1] - content[1]) * 0.5))
    canvas.paste(resize(image, content), offset)
    return canvas


def _bilinear(image: Image.Image, size: Size, arithmetic: Arithmetic) -> Image.Image:
    if arithmetic == "pillow":
        return image.resize(size, Image.Resampling.BILINEAR)
    tensor = functional.pil_to_tensor(image)
    mode = functional.InterpolationMode.BILINEAR
    resized = functional.resize(tensor, [size[1], size[0]], interpolation=mode, antialias=True)
    return Image.fromarray(resized.permute(1, 2, 0).contiguous().numpy())


def _tiles(image: Image.Image, side: int) -> list[Image.Image]:
    boxes = [(x, y) for y in range(0, image.height, side) for x in range(0, image.width, side)]
    return [image.crop((x, y, x + side, y + side)) for x, y in boxes]


def best_canvas(width: int, height: int, candidates: list[Size]) -> Size:
    """DeepSeek-VL2's select_best_resolution: most kept, then least wasted, then the first."""
    best, most, least = (0, 0), 0, math.inf
    for canvas in candidates:
        scale = min(canvas[0] / width, canvas[1] / height)
        kept = min(int(width * scale) * int(height * scale), width * height)
        wasted = canvas[0] * canvas[1] - kept
        if kept > most or (kept == most and wasted < least):
            best, most, least = canvas, kept, wasted
    return best


def deepseek_vl2(images: list[Image.Image], arithmetic: Arithmetic, side: int = 384) -> dict[str, torch.Tensor]:
    """Padded whole images, each followed by the tiles of its best canvas."""
    resize, normalise = _resize(arithmetic), _normalise((0.5,) * 3, (0.5,) * 3)
    views, grids = [], []
    for image in images:
        canvas = best_canvas(*image.size, [(side * cols, side * rows) for cols, rows in CANDIDATES])
        views += [_padded(image, (side, side), resize), *_tiles(_padded(image, canvas, resize), side)]
        grids.append([canvas[0] // side, canvas[1] // side])
    return {"images": torch.stack([normalise(view) for view in views]), "images_spatial_crop": torch.tensor(grids)}


def deepseek_vl2_tokens(width: int, height: int) -> int:
    """Rows of the whole image and of the tiles with their newlines, and the separator."""
    canvas = best_canvas(width, height, [(384 * cols, 384 * rows) for cols, rows in CANDIDATES])
    cols, rows = canvas[0] // 384, canvas[1] // 384
    side = math.ceil(384 // 14 / 2)
    return side * (side + 1) + 1 + rows * side * (cols * side + 1)


def nvlm_d(images: list[Image.Image], arithmetic: Arithmetic, side: int = 448) -> dict[str, torch.Tensor]:
    """InternVL's dynamic_preprocess with up to six tiles and a thumbnail."""
    resize = _resize(arithmetic)
    normalise = _normalise((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    views, counts = [], []
    for image in images:
        cols, rows = closest_grid(*image.size, side, 1, 6)
        tiles = _tiles(resize(image, (cols * side, rows * side)), side)
        if len(tiles) > 1:
            tiles.append(resize(image, (side, side)))
        views += tiles
        counts.append(len(tiles))
    return {"pixel_values": torch.stack([normalise(view) for view in views]), "num_patches": torch.tensor(counts)}


def kimi_vl(images: list[Image.Image], arithmetic: Arithmetic, limit: int = 4096) -> dict[str, torch.Tensor]:
    """Shrunk to a limit of patches, then padded to whole merged patches."""
    resize, normalise = _resize(arithmetic), _normalise((0.5,) * 3, (0.5,) * 3)
    patches, grids = [], []
    for image in images:
        width, height = image.size
        if (width // 14) * (height // 14) > limit:
            scale = math.sqrt(limit / ((width // 14) * (height // 14)))
            image = resize(image, (int(width * scale), int(height * scale)))
        canvas = Image.new("RGB", (math.ceil(image.width / 28) * 28, math.ceil(image.height / 28) * 28))
        canvas.paste(image, (0, 0))
        values = normalise(canvas).reshape(3, canvas.height // 14, 14, canvas.width // 14, 14)
        patches.append(values.permute(1, 3, 0, 2, 4).reshape(-1, 3, 14, 14))
        grids.append([canvas.height // 14, canvas.width // 14])
    return {"pixel_values": torch.cat(patches), "image_grid_hws": torch.tensor(grids)}


def phi3_v(images: list[Image.Image], arithmetic: Arithmetic, most: int = 16) -> dict[str, torch.Tensor]:
    """Phi-3.5-vision: the canvas of tiles, and all of it once more, interpolated after it is normalised."""
    side = 336
    normalise = _normalise((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    rows, sizes, counts = [], [], []
    for image in images:
        upright = image.height > image.width
        lying = image.transpose(Image.Transpose.TRANSPOSE) if upright else image
        ratio = lying.width / lying.height
        scale = 1
        while scale * math.ceil(scale / ratio) <= most:
            scale += 1
        width = (scale - 1) * side
        lying = _bilinear(lying, (width, int(width / ratio)), arithmetic)
        height = math.ceil(lying.height / side) * side
        canvas = Image.new("RGB", (width, height), (255, 255, 255))
        canvas.paste(lying, (0, (height - lying.height) // 2))
        canvas = canvas.transpose(Image.Transpose.TRANSPOSE) if upright else canvas
        values = normalise(canvas)
        whole = torch.nn.functional.interpolate(values[None], size=(side, side), mode="bicubic")
        tiles = [normalise(tile) for tile in _tiles(canvas, side)]
        zeros = torch.zeros(most - len(tiles), 3, side, side)
        rows.append(torch.cat([whole, torch.stack(tiles), zeros]))
        sizes.append([canvas.height, canvas.width])
        counts.append((len(tiles) + 1) * 144 + 1 + (canvas.height // side + 1) * 12)
    return {
        "pixel_values": torch.stack(rows),
        "image_sizes": torch.tensor(sizes),
        "num_img_tokens": torch.tensor(counts),
    }


def ovis2_5_size(width: int, height: int, low: int, high: int, factor: int = 32) -> Size:
    """Ovis2.5's smart_resize."""
    if min(width, height) < factor:
        if height < width:
            width, height = round(factor / height * width), factor
        else:
            width, height = factor, round(factor / width * height)
    elif max(width, height) / min(width, height) > 200:
        width, height = min(width, 200 * height), min(height, 200 * width)
    columns, rows = round(width / factor), round(height / factor)
    if columns * rows * factor**2 > high:
        beta = math.sqrt(height * width / high)
        columns, rows = math.floor(width / beta / factor), math.floor(height / beta / factor)
    elif columns * rows * factor**2 < low:
        beta = math.sqrt(low / (height * width))
        columns, rows = math.ceil(width * beta / factor), math.ceil(height * beta / factor)
    return columns * factor, rows * factor


def ovis2_5(
    images: list[Image.Image], arithmetic: Arithmetic, low: int = 448**2, high: int = 1344 * 1792
) -> dict[str, torch.Tensor]:
    """SigLIP's processor asked for a size, then Qwen2-VL's order of patches."""
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.siglip.image_processing_siglip import SiglipImageProcessor

    cls: Any = SiglipImageProcessorPil if arithmetic == "pillow" else SiglipImageProcessor
    processor = cls(resample=2, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    patches, grids = [], []
    for image in images:
        width, height = ovis2_5_size(*image.size, low, high)
        size = {"height": height, "width": width}
        values = processor(image.convert("RGB"), size=size, return_tensors="pt")["pixel_values"][0]
        values = values.reshape(3, height // 32, 2, 16, width // 32, 2, 16)
        patches.append(values.permute(1, 4, 2, 5, 0, 3, 6).reshape(-1, 3 * 16 * 16))
        grids.append([1, height // 16, width // 16])
    return {"pixel_values": torch.cat(patches), "image_grid_thw": torch.tensor(grids)}
