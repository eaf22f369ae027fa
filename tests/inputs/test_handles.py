"""What holds the bytes of an image file."""

import array
import base64
import io
import itertools
import mmap
import urllib.parse
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vlmres
from tests import files
from tests.compare import assert_equal_batches
from tests.images import EXAMPLES, image, pixels
from vlmres.inputs import lists

PHOTO = EXAMPLES / "photo-portrait.jpg"
DATA = PHOTO.read_bytes()
TEXT = base64.b64encode(DATA).decode()


class Reader:
    """An open file that cannot go back, as that of a network is."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


class Lines(str):
    """A text of a class of its own."""


def handles() -> dict[str, Any]:
    wrapped = base64.encodebytes(DATA).decode()
    row = memoryview(DATA)
    return {
        "data URI": f"data:image/jpeg;base64,{TEXT}",
        "data URI without a type": f"data:;base64,{TEXT}",
        "data URI with parameters": f"data:image/jpeg;name=a.jpg;base64,{TEXT}",
        "data URI, upper case": f"DATA:image/jpeg;BASE64,{TEXT}",
        "data URI, percent": "data:image/jpeg," + urllib.parse.quote_from_bytes(DATA),
        "base64": TEXT,
        "base64 of lines": wrapped,
        "base64 without its end": TEXT.rstrip("="),
        "base64 for addresses": base64.urlsafe_b64encode(DATA).decode(),
        "a str's own class": Lines(TEXT),
        "file://": PHOTO.resolve().as_uri(),
        "file://localhost": "file://localhost" + urllib.parse.quote(str(PHOTO.resolve())),
        "row with bytes": {"bytes": DATA, "path": None},
        "row with bytes and a name": {"bytes": DATA, "path": "nowhere.jpg"},
        "row with a path": {"bytes": None, "path": str(PHOTO)},
        "BytesIO": io.BytesIO(DATA),
        "reader": Reader(DATA),
        "memoryview": row,
        "memoryview of signed bytes": row.cast("b"),
        "bytearray": bytearray(DATA),
        "array.array": array.array("B", DATA),
        "numpy": np.frombuffer(DATA, np.uint8),
        "numpy, strided": np.repeat(np.frombuffer(DATA, np.uint8), 2)[::2],
        "torch": torch.frombuffer(bytearray(DATA), dtype=torch.uint8),
    }


HANDLES = handles()


@pytest.mark.parametrize("name", HANDLES)
def test_every_handle_is_the_file(name: str) -> None:
    handle = HANDLES[name]
    proc = vlmres.Processor("llava-1.5", dtype="uint8")
    expected = proc(PHOTO)
    if isinstance(handle, Reader):
        assert_equal_batches(proc([Reader(DATA)]).torch(), expected.torch())
        assert_equal_batches(proc(Reader(DATA)).torch(), expected.torch())
        return
    assert_equal_batches(proc([handle]).torch(), expected.torch())
    assert_equal_batches(proc(handle).torch(), expected.torch())
    assert vlmres.image_size(handle) == vlmres.image_size(PHOTO)
    assert vlmres.plan(handle, "llava-1.5") == expected.plans[0]
    assert proc.plan(handle) == expected.plans[0]
    np.testing.assert_array_equal(vlmres.resize(handle, (50, 40)), vlmres.resize(PHOTO, (50, 40)))


def test_open_files_are_read_from_their_start_and_left_where_they_were() -> None:
    proc = vlmres.Processor("llava-1.5", dtype="uint8")
    expected = proc(PHOTO).torch()
    with PHOTO.open("rb") as file, io.BytesIO(DATA) as memory:
        for opened in (file, memory):
            opened.seek(100)
            assert_equal_batches(proc([opened, opened]).torch(), proc([PHOTO, PHOTO]).torch())
            assert opened.tell() == 100
    with PHOTO.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert_equal_batches(proc(mapped).torch(), expected)


def test_files_of_fsspec() -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    with system.open("/photo.jpg", "wb") as file:
        file.write(DATA)
    with system.open("/photo.jpg", "rb") as file:
        assert vlmres.image_size(file) == vlmres.image_size(PHOTO)


def test_data_uris_and_base64_are_transformers() -> None:
    from transformers.image_utils import load_image

    data = files.encode(image(40, 30), "PNG")
    text = base64.b64encode(data).decode()
    for given in (text, f"data:image/png;base64,{text}"):
        np.testing.assert_array_equal(vlmres.resize(given, (40, 30), "nearest"), np.asarray(load_image(given)))


@pytest.mark.parametrize(
    "many",
    [
        lambda images: (one for one in images),
        iter,
        deque,
        lambda images: dict.fromkeys(images).keys(),
        lambda images: np.array([*images, None], dtype=object)[:-1],
    ],
)
def test_generators_and_other_collections(many: Callable[[Any], Any]) -> None:
    paths = [str(PHOTO), str(EXAMPLES / "page.png")]
    proc = vlmres.Processor("llava-1.5", dtype="uint8")
    expected = proc(paths)
    assert_equal_batches(proc(many(paths)).torch(), expected.torch())
    nested = proc([many(paths), many(paths[:1])])
    assert_equal_batches(nested.torch(), proc([paths, paths[:1]]).torch())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("data:image/png;base64", "no comma"),
        ("data:text/html;base64,AAAA", "'text/html', not of an image"),
        ("data:image/png;base64,abc!", "no base64"),
        (f"data:image/png;base64,{TEXT[:4001]}", "no base64"),
        (f"data:image/png;base64,{TEXT[:40]}", "cannot decode"),
        ("data:image/png;base64,", "cannot decode"),
        (TEXT[:9001], "holds no base64"),
        ("x!" * 5000, "neither a path nor base64"),
        ("x\0y", "NUL"),
        ("file://elsewhere/a.png", "another host"),
        ("file://", "no path"),
        ({"bytes": None, "path": None}, "are None"),
        (io.BytesIO(b""), "cannot decode"),
        (np.zeros(0, np.uint8), "cannot decode"),
    ],
)
def test_bad_handles(given: Any, message: str) -> None:
    for call in (lambda: vlmres.Processor("llava-1.5")([given]), lambda: vlmres.image_size(given)):
        with pytest.raises(vlmres.VlmresError, match=message) as caught:
            call()
        assert len(str(caught.value)) < 300
        assert TEXT[100:140] not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "got None"),
        (3.5, "got 3.5"),
        (True, "got True"),
        ({}, "an empty one"),
        ({"image": "x"}, "from_messages"),
        ({"bytes": 5}, "'bytes'|\"bytes\""),
        (io.StringIO("text"), "binary mode"),
        (memoryview(array.array("i", [1, 2])), "holds bytes, got format 'i'"),
        (object(), "got object"),
    ],
)
def test_what_is_no_image(given: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        vlmres.Processor("llava-1.5")([given])
    assert len(str(caught.value)) < 300


def test_a_closed_file_says_so() -> None:
    file = io.BytesIO(DATA)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        vlmres.image_size(file)


class Cuda:
    __cuda_array_interface__ = None
    shape = (3, 5, 5)


class Jax:
    shape = (5, 5, 3)

    def __array__(self) -> Any:
        return np.zeros((5, 5, 3), np.uint8)


def test_arrays_of_other_libraries_are_told_what_to_do() -> None:
    with pytest.raises(TypeError, match="on a GPU: copy it"):
        vlmres.Processor("llava-1.5")([Cuda()])
    with pytest.raises(TypeError, match=r"numpy.asarray\(image\)"):
        vlmres.Processor("llava-1.5")([Jax()])


def test_an_error_of_a_nested_list_names_sample_and_image() -> None:
    proc = vlmres.Processor("idefics2")
    with pytest.raises(vlmres.DecodeError, match=r"^sample 1, image 2: "):
        proc([[PHOTO], [PHOTO, PHOTO, b"junk"]])
    with pytest.raises(TypeError, match=r"^sample 0, image 0: "):
        proc([[None], [PHOTO]])
    batch = proc([[PHOTO], [b"junk", PHOTO]], errors="return")
    assert list(batch.errors) == [1]


class Endless(io.RawIOBase):
    """A file that never ends."""

    def __init__(self) -> None:
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return bytes(size)


def test_endless_files_end_at_the_limit() -> None:
    file = Endless()
    with pytest.raises(vlmres.VlmresError, match=r"over the limit of 10,000,000 \(max_file_bytes\)"):
        vlmres.Processor("llava-1.5", max_file_bytes=10_000_000)([file])
    assert file.given < 20_000_000


def test_everything_in_memory_has_the_limit_of_files() -> None:
    proc = vlmres.Processor("llava-1.5", max_file_bytes=1000)
    for name, handle in HANDLES.items():
        if "path" in name or "file://" in name:
            continue
        given = Reader(DATA) if isinstance(handle, Reader) else handle
        with pytest.raises(vlmres.VlmresError, match="max_file_bytes"):
            proc([given])


def test_endless_generators_end_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists, "MOST_ITEMS", 1000)
    proc = vlmres.Processor("llava-1.5")
    with pytest.raises(vlmres.VlmresError, match=r"1,001 images .* one iterator"):
        proc(itertools.repeat(PHOTO))

    def growing() -> Iterator[Any]:
        while True:
            yield np.broadcast_to(np.uint8(0), (1 << 15, 1 << 15, 3))

    with pytest.raises(vlmres.VlmresError, match="one iterator"):
        proc(growing())


def test_another_array_of_the_call_says_where_channels_are() -> None:
    proc = vlmres.Processor("llava-1.5", dtype="uint8")
    thin = pixels(40, 4)  # (4, 40, 3)
    both = proc([thin, pixels(50, 40)])
    assert_equal_batches(both.torch(), proc([thin, pixels(50, 40)], input_data_format="channels_last").torch())
    planar = np.ascontiguousarray(pixels(50, 40).transpose(2, 0, 1))
    assert proc.plan((3, 40)) == proc([thin, planar]).plans[0]
    with pytest.raises(vlmres.VlmresError, match=r"image 0: .*input_data_format"):
        proc([thin, planar, pixels(50, 40)])
    assert proc(np.zeros((1, 1, 3), np.uint8)).plans[0] is not None


def test_decoded_images_of_data_sets_are_pil_images() -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"image": [str(PHOTO), str(EXAMPLES / "page.png")]})
    proc = vlmres.Processor("llava-1.5", dtype="uint8")
    raw = table.cast_column("image", datasets.Image(decode=False))
    expected = proc([PHOTO, EXAMPLES / "page.png"]).torch()
    assert_equal_batches(proc([row["image"] for row in raw]).torch(), expected)
    assert_equal_batches(proc(raw["image"]).torch(), expected)
    stream = raw.to_iterable_dataset()
    assert_equal_batches(proc(row["image"] for row in stream).torch(), expected)
    decoded = table.cast_column("image", datasets.Image())[1]["image"]
    assert isinstance(decoded, Image.Image)
    assert_equal_batches(proc([decoded]).torch(), proc([EXAMPLES / "page.png"]).torch())
