"""JPEG files that a call names by their paths: vlmres decodes them, together with the rest of its work.

transformers decodes a file before a class sees it, into fresh memory. Here a stand-in without pixels goes the same way:
it has the file's size, and the place in memory that its pixels would have. Each form of file is tried first.
"""

from __future__ import annotations

import functools
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from vlmres._core import jpeg_form
from vlmres.inputs import Loader
from vlmres.integrations.operations.compare import is_tensor
from vlmres.integrations.operations.decline import DeclinedError
from vlmres.integrations.operations.lazy import LazyImage
from vlmres.integrations.transformers.kinds import Kind, Shape, kind_of, pictures
from vlmres.integrations.transformers.memo import remembered_as

Fetch = Callable[[Any], Any]
"""transformers' reading of a path: a PIL image, or a tensor."""

_ORIENTATION = 0x0112
_SAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")


class Form(NamedTuple):
    """What tells one JPEG file from another for those who read them."""

    mode: str
    """Of Pillow: RGB or L."""
    orientation: int


def stand_ins(processor: Any, images: Any) -> Any:
    """A call's images as transformers would fetch them, but that JPEG files are not decoded yet.

    Args:
        processor: transformers' processor, whose `fetch_images` reads what is no such file.
        images: Images, paths and addresses, nested or not.
    """
    return _stand_ins(processor, images, {})


def _stand_ins(processor: Any, images: Any, kinds: dict[Form, Kind | None]) -> Any:
    if isinstance(images, (list, tuple)):
        return [_stand_ins(processor, image, kinds) for image in images]
    found = _stand_in(processor, images, kinds) if type(images) is str else None
    return processor.fetch_images(images) if found is None else found


def fetched(processor: Any, images: Any) -> Any:
    """The same with the stand-ins' files decoded, by transformers."""
    if isinstance(images, (list, tuple)):
        return [fetched(processor, image) for image in images]
    file = getattr(images, "vlmres_file", None)
    return processor.fetch_images(str(file)) if isinstance(file, Path) else images


def _stand_in(processor: Any, path: str, kinds: dict[Form, Kind | None]) -> Any:
    """The stand-in of a file, None where transformers is to read it. `kinds` are those of this call's files so far."""
    if path.startswith(("http://", "https://")):
        return None
    try:
        found = jpeg_form(path)
        if found is None:
            return None
        (width, height), is_gray, orientation = found
        form = Form("L" if is_gray else "RGB", orientation)
        if form not in kinds:
            kinds[form] = _kind(processor, form)
        kind = kinds[form]
        if kind is None:
            return None
        if kind.source == "PIL image":
            with Image.open(path) as image:
                return LazyImage.of(image, Path(path)) if type(image) is JpegImageFile else None
    except Exception:
        # transformers says what is wrong with the path or its file, or reads what the string holds.
        return None
    return _without_pixels(Path(path), (height, width) if orientation in range(5, 9) else (width, height), kind)


def _kind(processor: Any, form: Form) -> Kind | None:
    """The kind of image that transformers reads files of a form as; None where vlmres does not read the same."""
    fetch = type(processor).fetch_images
    make = functools.partial(_tried, form, functools.partial(fetch, processor))
    try:
        return remembered_as(("files", fetch, form), make)
    except DeclinedError:
        return None


def _without_pixels(file: Path, size: tuple[int, int], kind: Kind) -> Any:
    import torch

    # What reads it instead of the file fails: such a tensor has no memory.
    tensor: Any = torch.empty((3, size[1], size[0]), dtype=torch.uint8, device="meta")
    tensor.vlmres_file, tensor.vlmres_kind = file, kind
    return tensor


def _tried(form: Form, fetch: Fetch) -> Kind:
    """The kind of image that files of a form are read as, by vlmres as by `fetch`.

    Raises:
        DeclinedError: Pixels of a sample file differ, or their layout does from another's.
    """
    kinds = set()
    with tempfile.TemporaryDirectory(prefix="vlmres-") as folder:
        path = Path(folder) / "sample.jpg"
        for sample in _samples(form):
            path.write_bytes(sample)
            expected = fetch(str(path))
            pixels = np.moveaxis(np.asarray(expected), 0, -1) if is_tensor(expected) else np.asarray(expected)
            if not np.array_equal(pixels, Loader().source(path).to_array()):
                raise DeclinedError("files", f"transformers reads JPEG files of {form} as other pixels")
            kinds.add(kind_of(expected, None))
    if len(kinds) > 1:
        raise DeclinedError("files", f"transformers reads JPEG files of {form} in more than one way")
    return kinds.pop()


def _samples(form: Form) -> list[bytes]:
    """Files of a form: of each sampling of colours, sequential and progressive."""
    exif = Image.Exif()
    if form.orientation != 1:
        exif[_ORIENTATION] = form.orientation
    files = []
    for index, sampling in enumerate(_SAMPLINGS):
        image = pictures(Kind("array", Shape("HWC", 3)))[index]
        for progressive in (False, True):
            file = io.BytesIO()
            colours = {} if form.mode == "L" else {"subsampling": sampling}
            opened = Image.fromarray(image).convert(form.mode)
            opened.save(file, "JPEG", exif=exif, progressive=progressive, **colours)
            files.append(file.getvalue())
    return files
