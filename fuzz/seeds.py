"""Writes the seeds of the fuzz targets: small files of every kind, recipes, configurations; and the words of recipes.

python fuzz/seeds.py, from the repository's root, in an environment with vlmres and Pillow.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from pathlib import Path
from typing import Any

from PIL import Image
from tests.checkpoints.published import PUBLISHED
from tests.files import chunk, deep, encode, png, top_down_bmp
from tests.images import image, pixels

import vlmres

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 21, 18
LONGEST = 4096
# One recipe of each strategy, and those that take videos.
STRATEGIES = ("clip", "siglip", "qwen2-vl", "glm-4v", "llava-next", "internvl2", "deepseek-ocr-2", "idefics2")
SIZES = {"photo": (640, 480), "tall": (30, 900), "pixel": (1, 1), "line": (1 << 20, 1)}


def jpegs() -> dict[str, bytes]:
    """Every way of coding that is read."""
    rgb = image(WIDTH, HEIGHT, "smooth")
    gray, inks = rgb.convert("L"), rgb.convert("CMYK")
    files = {
        "gray": encode(gray, "JPEG", quality=80),
        "gray-progressive": encode(gray, "JPEG", quality=80, progressive=True),
        "cmyk": encode(inks, "JPEG", quality=70),
        "restarts": encode(rgb, "JPEG", quality=60, restart_marker_blocks=1),
        "optimized": encode(rgb, "JPEG", quality=60, optimize=True),
        "rgb": encode(rgb, "JPEG", quality=60, keep_rgb=True),
        "noise": encode(image(9, 7), "JPEG", quality=100, subsampling=0),
    }
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        for progressive in (False, True):
            kind = "-progressive" if progressive else ""
            files[name + kind] = encode(rgb, "JPEG", quality=60, subsampling=subsampling, progressive=progressive)
    # Other factors: the second bytes of the components in the frame's header.
    at = files["420"].index(b"\xff\xc0") + 11
    for name, factors in (("440", 0x12), ("411", 0x41), ("410", 0x42)):
        data = bytearray(files["420"])
        data[at] = factors
        files[name] = bytes(data)
    files["truncated"] = files["420-progressive"][:-60]
    return files


def pngs() -> dict[str, bytes]:
    """Every kind of colour."""
    rgb, rgba = image(WIDTH, HEIGHT), Image.fromarray(pixels(7, 5, channels=4))
    small = image(7, 5)
    return {
        "rgb": encode(image(7, 5), "PNG"),
        "rgba": encode(rgba, "PNG"),
        "la": encode(rgba.convert("LA"), "PNG"),
        "bits": encode(rgb.convert("1"), "PNG"),
        "palette": encode(small.quantize(11), "PNG", bits=4, transparency=3),
        "gray16": png(deep(7, 5, 1), 0, extra=chunk(b"tRNS", b"\0\7")),
        "rgb16": png(deep(5, 4, 3), 2),
        "rgba16": png(deep(5, 4, 4), 6),
        "interlaced": png(pixels(9, 7), 2, interlaced=True),
        "animated": encode(small, "PNG", save_all=True, append_images=[image(7, 5, "smooth")]),
    }


def others() -> dict[str, dict[str, bytes]]:
    """The other formats, by folder."""
    small, rgba = image(9, 7), Image.fromarray(pixels(9, 7, channels=4))
    gray, palette = small.convert("L"), small.quantize(7)
    frames = [image(9, 7, "smooth", seed=index).quantize(6) for index in range(3)]
    offset = bytearray(encode(palette, "GIF"))
    struct.pack_into("<HH", offset, 6, 20, 15)
    return {
        "webp": {
            "lossy": encode(small, "WEBP", quality=60),
            "lossy-alpha": encode(rgba, "WEBP", quality=60),
            "lossless": encode(small, "WEBP", lossless=True),
            "lossless-alpha": encode(rgba, "WEBP", lossless=True, exact=True),
            "palette": encode(palette.convert("RGB"), "WEBP", lossless=True),
            "animated": encode(small, "WEBP", save_all=True, append_images=[image(9, 7, "smooth")], lossless=True),
        },
        "gif": {
            "plain": encode(palette, "GIF"),
            "animated": encode(frames[0], "GIF", save_all=True, append_images=frames[1:]),
            "transparent": encode(palette, "GIF", transparency=3),
            "offset": bytes(offset),
        },
        "bmp": {
            "rgb": encode(small, "BMP"),
            "gray": encode(gray, "BMP"),
            "bits": encode(gray.convert("1"), "BMP"),
            "rgba": encode(rgba, "BMP"),
            "top-down": top_down_bmp(pixels(9, 7)),
            "runs": runs(),
        },
        "tiff": {
            "rgb": encode(small, "TIFF"),
            "gray": encode(gray, "TIFF"),
            "lzw": encode(small, "TIFF", compression="tiff_lzw"),
            "predictor": encode(small, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}),
            "deflate": encode(gray, "TIFF", compression="tiff_adobe_deflate"),
            "packbits": encode(small, "TIFF", compression="packbits"),
            "rgba": encode(rgba, "TIFF"),
            "bits": encode(gray.convert("1"), "TIFF"),
            "gray16": encode(Image.fromarray(deep(9, 7, 1)[..., 0]), "TIFF"),
            "cmyk": encode(small.convert("CMYK"), "TIFF"),
            "fax": encode(gray.convert("1"), "TIFF", compression="group4"),
            "big": encode(small, "TIFF", big_tiff=True),
        },
    }


def runs() -> bytes:
    """A BMP file whose rows are runs of colours, which Pillow does not write."""
    rows = b"".join(bytes([5, row % 4, 4, (row + 1) % 4, 0, 0]) for row in range(7)) + b"\0\1"
    colours = bytes(range(16))
    header = struct.pack("<IiiHHIIiiII", 40, 9, 7, 1, 8, 1, len(rows), 0, 0, 4, 0)
    start = 14 + len(header) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + colours + rows


def orientations() -> dict[str, bytes]:
    """EXIF data, of both orders of bytes."""
    files = {}
    for order, mark in (("<", b"II*\0"), (">", b"MM\0*")):
        for value in (1, 6):
            entry = struct.pack(f"{order}IHHHIHH", 8, 1, 0x0112, 3, 1, value, 0)
            files[f"{mark[:2].decode()}-{value}"] = mark + entry + bytes(4)
    exif = Image.Exif()
    exif.update({0x010F: "maker", 0x0112: 8, 0x8769: {0x9003: "2024:01:01 00:00:00"}})
    return {**files, "more": exif.tobytes()[6:]}


def recipes() -> dict[str, bytes]:
    """One of each strategy."""
    return {name: vlmres.Recipe.load(name).to_toml().encode() for name in STRATEGIES}


def checkpoints() -> dict[str, bytes]:
    """One of each recipe."""
    files = {}
    for folder in PUBLISHED.values():
        content: dict[str, Any] | None = folder.image or folder.processor or folder.model
        if content is not None and folder.recipe not in files:
            files[folder.recipe] = json.dumps(content).encode()
    return files


class Choices:
    """Bytes that a structured target reads as these choices, by the rules of the `arbitrary` crate.

    Bytes that are missing are the first of each choice. Where a target asks for other things than here, its seeds say
    less, and nothing breaks.
    """

    def __init__(self) -> None:
        self.data = bytearray()

    def number(self, value: int, low: int, high: int) -> Choices:
        """`int_in_range(low..=high)`."""
        count = ((high - low).bit_length() + 7) // 8
        self.data += (value - low).to_bytes(count, "big")
        return self

    def choose(self, index: int, count: int) -> Choices:
        """`choose` of so many."""
        return self.number(index, 0, count - 1)

    def ratio(self, hit: bool, denominator: int) -> Choices:
        """`ratio(1, denominator)`."""
        return self.number(1 if hit else 2, 1, denominator)

    def boolean(self, value: bool) -> Choices:
        """`arbitrary::<bool>()`."""
        self.data.append(value)
        return self

    def recipe(self, name: str) -> Choices:
        """A built-in recipe without overrides."""
        names = vlmres.recipes()
        return self.choose(names.index(name), len(names)).number(0, 0, 3)

    def size(self, width: int, height: int, most: int) -> Choices:
        """A size of sides that are numbers up to `most`."""
        for side in (width, height):
            self.number(4, 0, 4).number(side, 1, most)
        return self


def plans() -> dict[str, bytes]:
    """One of each strategy, with images of all sizes and a video."""
    files = {}
    for name in STRATEGIES:
        choices = Choices().recipe(name)
        # 300 frames at 30 a second, of which 2 a second or 16 are picked.
        choices.number(1, 0, 2).number(300, 1, 2000).number(1, 0, 4).number(30, 1, 240).number(4, 0, 4)
        choices.number(2, 0, 4).number(2000, 1, 10_000).number(1, 0, 3).number(16, 1, 300).ratio(False, 8)
        choices.number(len(SIZES), 1, 4)
        for width, height in SIZES.values():
            choices.size(width, height, (1 << 30) - 1)
        choices.number(0, 0, 2).number(8, 0, 4096).size(320, 240, 1 << 16)
        files[name] = bytes(choices.data)
    return files


def calls(count: int) -> dict[str, bytes]:
    """One of each strategy with an image, and with a video; images of all sizes; files, so many of them."""

    def begin(name: str, video: bool, items: int) -> Choices:
        choices = Choices().recipe(name)
        for _ in range(4):
            choices.ratio(False, 8)
        # Pillow's arithmetic, transformers' layout, float32, one thread.
        choices.choose(0, 4).choose(0, 2).boolean(False).number(1, 1, 2).choose(0, 4)
        return choices.ratio(video, 4).number(items, 1, 4)

    def view(choices: Choices) -> Choices:
        choices.number(5, 0, 9).choose(1, 3).choose(0, 3).number(0, 0, 4)
        for zero in (8, 16, 16):
            choices.ratio(False, zero).ratio(False, 4)
        return choices.number(7, 0, 255)

    files = {}
    for name in STRATEGIES:
        files[f"image-{name}"] = view(begin(name, False, 1).size(320, 240, 1 << 20).ratio(False, 20)).data
        video = begin(name, True, 1).size(64, 48, 1 << 20).ratio(False, 20).number(4, 0, 5)
        for _ in range(4):
            view(video)
        files[f"video-{name}"] = video.data
    for kind, (width, height) in SIZES.items():
        files[kind] = view(begin("siglip", False, 1).size(width, height, 1 << 20).ratio(False, 20)).data
    for first in range(0, count, 4):
        choices = begin("clip", False, min(4, count - first))
        for index in range(first, min(first + 4, count)):
            choices.size(9, 7, 1 << 20).ratio(False, 20)
            choices.number(0, 0, 9).choose(index, count).number(0, 0, 2).ratio(False, 4)
        files[f"files-{first}"] = choices.data
    # Paths: a device, what is missing, a folder.
    for index in range(5):
        path = begin("clip", False, 1).size(9, 7, 1 << 20).ratio(False, 20).number(3, 0, 9)
        files[f"path-{index}"] = path.number(index, 0, 255).data
    return {name: bytes(data) for name, data in files.items()}


def words(*texts: bytes) -> str:
    """A dictionary of the words of texts."""
    found = {word for text in texts for word in re.findall(r"[A-Za-z_$][A-Za-z0-9_]{2,}", text.decode())}
    return "".join(f'"{word}"\n' for word in sorted(found))


def main() -> None:
    """Replaces all of them."""
    images = {"jpeg": jpegs(), "png": pngs(), **others()}
    folders = {
        **images,
        "plans": plans(),
        "calls": calls(sum(map(len, images.values()))),
        "exif": orientations(),
        "recipes": recipes(),
        "checkpoints": checkpoints(),
    }
    shutil.rmtree(HERE / "seeds", ignore_errors=True)
    for folder, files in folders.items():
        (HERE / "seeds" / folder).mkdir(parents=True)
        for name, content in files.items():
            if len(content) > LONGEST * 3:
                raise ValueError(f"{folder}/{name} has {len(content)} bytes")
            (HERE / "seeds" / folder / name).write_bytes(content)
    built_in = [path.read_bytes() for path in (HERE.parent / "src/recipe/builtin").glob("*.toml")]
    stripped = [re.sub(rb"#.*|\\b(title|reference|note) = .*", b"", text) for text in built_in]
    (HERE / "dictionaries/recipe_toml.dict").write_text(words(*stripped), encoding="utf-8")
    (HERE / "dictionaries/checkpoint_json.dict").write_text(words(*folders["checkpoints"].values()), encoding="utf-8")


if __name__ == "__main__":
    main()
