"""vLLM's loader of images: JPEG files are decoded by vlmres, when somebody asks for their pixels.

Hashes are of the bytes; sizes and EXIF data come from the header. What an accelerated processor gets it decodes with
the rest of its work, on its threads. Other files are vLLM's.
"""

from __future__ import annotations

import functools
from io import BytesIO
from types import ModuleType
from typing import Any

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vlmres.integrations.operations.calls import answer
from vlmres.integrations.operations.compare import same
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import LazyImage
from vlmres.integrations.transformers.memo import remembered_as
from vlmres.integrations.vllm.hooks import Hook, digest
from vlmres.integrations.vllm.trial import samples

PARSER = "vllm.multimodal.parse"
# Digests of its function that turns images.
_NORMALIZERS = frozenset({"ed56501d4d3fdb47"})


def _replace(original: Any, module: ModuleType) -> Any:
    def load_bytes(self: Any, data: bytes) -> Any:
        def ours() -> Any:
            key = ("media", self.image_mode)
            return remembered_as(key, lambda: _tried(self, lazily, original))(self, data)

        return answer(
            LOADER.part, 1, ours, lambda: original(self, data), whose="vLLM", compare=_same_media, announce=False
        )

    def lazily(self: Any, data: bytes) -> Any:
        if self.image_mode not in ("RGB", None):
            raise DeclinedError("image_mode", f"images are loaded in mode {self.image_mode}")
        try:
            image = module.open_image(BytesIO(data))
        except Exception as error:
            raise DeclinedError("file", "a file cannot be opened") from error
        if type(image) is not JpegImageFile or image.mode != "RGB":
            raise DeclinedError(f"file {image.format} {image.mode}", f"a file is {image.format} of mode {image.mode}")
        most = module.envs.VLLM_MAX_IMAGE_PIXELS
        if 0 < most < image.width * image.height:
            raise DeclinedError("limit", "an image is over vLLM's limit of pixels")
        return module.MediaWithBytes(LazyImage.of(image, data), data, None)

    return load_bytes


def keep_lazy(module: ModuleType) -> None:
    """Has vLLM's parser of requests turn images that wait for their pixels without decoding them.

    A parser gives images the orientation that their EXIF data tells. Those of the loader have it, and are copied.
    """
    original = getattr(module, "normalize_image", None)
    if original is None or hasattr(original, "_vlmres_original"):
        return
    if digest(module, ("normalize_image",)) not in _NORMALIZERS:
        return  # images are decoded there, as without vlmres

    @functools.wraps(original)
    def normalize_image(image: Any) -> Any:
        if isinstance(image, LazyImage) and image.getexif().get(0x0112, 1) not in range(2, 9):
            return image.copy()
        return original(image)

    normalize_image._vlmres_original = original  # type: ignore[attr-defined]
    module.normalize_image = normalize_image  # type: ignore[attr-defined]


def _tried(loader: Any, lazily: Any, original: Any) -> Any:
    for file in _files():
        try:
            expected = original(loader, file)
        except Exception as error:
            raise DeclinedError("settings", f"vLLM does not load a sample file: {error}") from error
        if not _same_media(lazily(loader, file), expected):
            raise DeclinedError("samples", "the pixels or data of a sample file differ")
    return lazily


def _files() -> list[bytes]:
    """JPEG files of each sampling, progressive ones among them, plain and turned."""
    files = []
    images = samples()
    turns = [None, 6, 3, 5]
    for image, turn, subsampling in zip(images, turns, ("4:2:0", "4:4:4", "4:2:2", "4:2:0"), strict=True):
        exif = Image.Exif()
        exif[0x010E] = "a sample"
        if turn is not None:
            exif[0x0112] = turn
        with BytesIO() as file:
            image.save(file, "JPEG", subsampling=subsampling, exif=exif, progressive=turn == 3, dpi=(72, 72))
            files.append(file.getvalue())
    return files


def _same_media(first: Any, second: Any) -> bool:
    """Whether two results are the same to all who use them."""
    images = first.media, second.media
    return (
        type(first) is type(second)
        and first.original_bytes == second.original_bytes
        and first.io_config == second.io_config
        and all(same(*(getattr(image, name) for image in images)) for name in ("mode", "size", "info"))
        and dict(images[0].getexif()) == dict(images[1].getexif())
        and images[0] == images[1]
        and type(images[0]) is type(images[1])
    )


LOADER = Hook(
    module="vllm.multimodal.media.image",
    cls="ImageMediaIO",
    method="load_bytes",
    sources=("ImageMediaIO._convert_image_mode", "ImageMediaIO.load_bytes", "normalize_image", "open_image"),
    digests=frozenset({"d56bc62c87b05daf"}),
    replace=_replace,
    models="all that load images from addresses, data URIs and files",
    left="all but RGB JPEG files",
)
