"""vLLM's loader of images, which decodes lazily."""

import copy
import importlib
import pickle
from collections.abc import Callable
from io import BytesIO
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Qwen2VLImageProcessor

from tests.images import image
from vlmres.integrations.operations.counters import IMAGES, counters
from vlmres.integrations.operations.lazy import LazyImage, unread
from vlmres.integrations.transformers import accelerate
from vlmres.integrations.vllm import hooks, media
from vlmres.integrations.vllm.hooks import Hook

Install = Callable[[Hook], ModuleType]
Reasons = Callable[[], list[str]]


def jpeg(orientation: int | None = None, mode: str = "RGB", **settings: Any) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    if orientation is not None:
        exif[0x0112] = orientation
    with BytesIO() as file:
        image(80, 50, "smooth").convert(mode).save(file, "JPEG", exif=exif, **settings)
        return file.getvalue()


@pytest.fixture
def loaders(install: Install) -> tuple[Callable[[bytes], Any], Callable[[bytes], Any]]:
    """vlmres' loader and vLLM's."""
    cls = install(media.LOADER).ImageMediaIO
    return cls().load_bytes, lambda data: cls.load_bytes._vlmres_original(cls(), data)


@pytest.mark.parametrize("orientation", [None, 1, 2, 3, 4, 5, 6, 7, 8])
def test_it_is_what_vllm_loads(loaders: Any, orientation: int | None) -> None:
    data = jpeg(orientation)
    expected = loaders[1](data).media
    uses: tuple[Callable[[Any], Any], ...] = (
        np.asarray,
        lambda one: np.array(one)[0],
        lambda one: np.asarray(one.resize((9, 7))),
        lambda one: np.asarray(one.convert("L").crop((3, 4, 30, 20))),
        lambda one: np.frombuffer(one.tobytes(), np.uint8),
        lambda one: np.asarray(pickle.loads(pickle.dumps(one))),
        lambda one: np.asarray(copy.copy(one)),
        lambda one: np.asarray(one.getpixel((5, 6))),
    )
    for use in uses:
        lazy = loaders[0](data).media
        assert type(lazy) is LazyImage
        assert (lazy.size, lazy.mode, lazy.info) == (expected.size, expected.mode, expected.info)
        assert dict(lazy.getexif()) == dict(expected.getexif())
        assert type(lazy) is LazyImage, "a look at its data decoded it"
        assert np.array_equal(use(lazy), use(expected))
        assert type(lazy) is type(expected) is Image.Image
        assert not hasattr(lazy, "vlmres_file")
    assert loaders[0](data).media == expected
    assert pickle.dumps(loaders[0](data).media) == pickle.dumps(expected)
    assert counters.value(IMAGES, path="original") == 0


def test_bytes_and_settings_go_with_it(loaders: Any) -> None:
    ours, theirs = (load(jpeg()) for load in loaders)
    assert (ours.original_bytes, ours.io_config) == (theirs.original_bytes, theirs.io_config)


def test_broken_files_fail_in_the_same_words(loaders: Any) -> None:
    data = jpeg()[:-200]
    with pytest.raises(ValueError, match="Failed to load image: image file is truncated") as theirs:
        loaders[1](data)
    lazy = loaders[0](data).media
    with pytest.raises(ValueError, match="Failed to load image: image file is truncated") as ours:
        lazy.load()
    assert str(ours.value) == str(theirs.value)
    with pytest.raises(ValueError, match="cannot identify image file"):
        loaders[0](b"nothing")


def test_what_is_left_to_vllm(loaders: Any, install: Install, reasons: Reasons) -> None:
    with BytesIO() as file:
        image(20, 30).convert("RGBA").save(file, "PNG")
        png = file.getvalue()
    for data in (png, jpeg(mode="L"), jpeg(mode="CMYK")):
        assert loaders[0](data) == loaders[1](data)
    with BytesIO() as file:
        image(2000, 1000).save(file, "JPEG")
        with pytest.raises(ValueError, match="exceed the maximum"):
            loaders[0](file.getvalue())
    cls = install(media.LOADER).ImageMediaIO
    assert cls("L").load_bytes(jpeg()) == cls.load_bytes._vlmres_original(cls("L"), jpeg())
    assert counters.value(IMAGES, path="vlmres") == 0
    assert [reason.removeprefix("ImageMediaIO: left to vLLM: ") for reason in reasons()] == [
        "a file is PNG of mode RGBA",
        "a file is JPEG of mode L",
        "a file is JPEG of mode CMYK",
        "an image is over vLLM's limit of pixels",
        "images are loaded in mode L",
    ]


def test_an_accelerated_processor_takes_the_file(loaders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    processor = Qwen2VLImageProcessor()
    accelerated = accelerate(processor)
    expected = processor(loaders[1](jpeg(6)).media, return_tensors="pt")
    lazy = loaders[0](jpeg(6)).media
    monkeypatch.setattr(LazyImage, "decode", lambda _: pytest.fail("it was decoded"))
    result = accelerated(lazy, return_tensors="pt")
    assert torch.equal(result["pixel_values"], expected["pixel_values"])


@pytest.mark.parametrize("orientation", [None, 6, 9])
def test_a_parser_does_not_decode(loaders: Any, monkeypatch: pytest.MonkeyPatch, orientation: int | None) -> None:
    parser = importlib.import_module(media.PARSER)
    theirs = parser.normalize_image
    monkeypatch.setattr(media, "_NORMALIZERS", frozenset({hooks.digest(parser, ("normalize_image",))}))
    for _ in range(2):
        media.keep_lazy(parser)
    data = jpeg(orientation)
    lazy = loaders[0](data).media
    (kept,) = parser.parsed([lazy])
    assert type(kept) is type(lazy) is LazyImage
    assert kept is not lazy
    expected = theirs(loaders[1](data).media)
    assert (kept.size, kept.mode, kept.info) == (expected.size, expected.mode, expected.info)
    assert dict(kept.getexif()) == dict(expected.getexif())
    assert kept == expected
    turned = image(20, 30)
    turned.getexif()[0x0112] = 6
    assert parser.parsed([turned])[0].size == (30, 20)


def test_a_parser_of_another_source_is_left(loaders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    parser = importlib.import_module(media.PARSER)
    monkeypatch.setattr(media, "_NORMALIZERS", frozenset())
    media.keep_lazy(parser)
    (decoded,) = parser.parsed([loaders[0](jpeg()).media])
    assert type(decoded) is Image.Image


def test_unread() -> None:
    lazy = LazyImage.of(Image.open(BytesIO(jpeg())), jpeg())
    plain = image(5, 5)
    assert unread([lazy, plain]) == [jpeg(), plain]
    lazy.load()
    assert unread([lazy]) == [lazy]


def test_another_thread_has_decoded_it() -> None:
    lazy = LazyImage.of(Image.open(BytesIO(jpeg())), jpeg())
    lazy.load()
    LazyImage.decode(lazy)
    assert np.asarray(lazy).shape == (50, 80, 3)
