"""JPEG files that a call names by path: whoever decodes them, the results are transformers'."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.images import image
from tests.integrations.test_transformers_dropin import ARITHMETICS, both, pair
from vlmres.inputs import Loader
from vlmres.integrations.transformers import files

Fetched = Callable[[], int]


@pytest.fixture
def by_transformers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The files that transformers decoded for accelerated calls, those of trials left out."""
    paths: list[Any] = []

    def stand_ins(processor: Any, images: Any) -> Any:
        found = files.stand_ins(processor, images)

        def look(image: Any, path: Any) -> None:
            if isinstance(path, (list, tuple)):
                for pair in zip(image, path, strict=True):
                    look(*pair)
            elif type(path) is str and not hasattr(image, "vlmres_file"):
                paths.append(path)

        look(found, images)
        return found

    monkeypatch.setattr("vlmres.integrations.transformers.drop_in.stand_ins", stand_ins)
    return paths


def save(path: Path, mode: str = "RGB", size: tuple[int, int] = (301, 203), /, **settings: Any) -> str:
    image(*size).convert(mode).save(path, "JPEG", **settings)
    return str(path)


def several(path: Path, **settings: Any) -> str:
    image(90, 120).save(path, "MPO", save_all=True, append_images=[image(90, 120)], **settings)
    return str(path)


def exif(*entries: tuple[int, int, int], order: str = "<", magic: int = 42) -> bytes:
    """EXIF data with tags: number, type and value of one 16-bit number."""
    data = b"Exif\0\0" + (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", magic, 8, len(entries))
    for tag, kind, value in entries:
        data += struct.pack(f"{order}HHI", tag, kind, 1)
        data += struct.pack(f"{order}I" if kind == 4 else f"{order}Hxx", value)
    return data + bytes(4)


# transformers leaves a file of several images open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("recipe", ["qwen2-vl", "llava-1.5", "idefics3"])
def test_files_are_decoded_by_vlmres(
    recipe: str, arithmetic: str, tmp_path: Path, by_transformers: list[Any], runs: list[int], reasons: Any
) -> None:
    processors = pair(recipe, arithmetic)
    paths = [
        save(tmp_path / "a.jpg"),
        save(tmp_path / "b.jpg", "RGB", (64, 400), subsampling="4:4:4"),
        save(tmp_path / "c.jpg", progressive=True, quality=92),
        save(tmp_path / "d.jpg", "L"),
        save(tmp_path / "no suffix"),
        save(tmp_path / "long header.jpg", icc_profile=bytes(300_000)),
        save(tmp_path / "upright by XMP.jpg", xmp=_XMP.replace(b"6", b"1")),
        several(tmp_path / "brighter.jpg", xmp=b'<x hdrgm:Version="1.0"/>'),
    ]
    both(processors, paths, return_tensors="pt")
    both(processors, paths[0], return_tensors="pt")
    nested = [[paths[0], image(120, 90)], [paths[2]]] if recipe == "idefics3" else [image(120, 90), paths[2]]
    both(processors, nested, return_tensors="pt")
    assert (by_transformers, reasons()) == ([], [])
    assert runs == [8, 1, 3 if recipe == "idefics3" else 2]


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_orientations(arithmetic: str, tmp_path: Path) -> None:
    processors = pair("qwen2-vl", arithmetic)
    for order in "<>":
        for orientation in range(10):
            path = save(tmp_path / "a.jpg", exif=exif((0x0112, 3, orientation), order=order))
            both(processors, [path], return_tensors="pt")


# transformers' backends do not agree about these; each is followed.
_XMP = b'<x tiff:Orientation="6"/>'
ODD: dict[str, dict[str, Any]] = {
    "a 32-bit orientation": {"exif": exif((0x0112, 4, 6))},
    "one of another type": {"exif": exif((0x0112, 8, 6))},
    "two": {"exif": exif((0x0112, 3, 6), (0x0112, 3, 3))},
    "another magic number": {"exif": exif((0x0112, 3, 6), order=">", magic=43)},
    "another end of the prefix": {"exif": b"Exif\0\xff" + exif((0x0112, 3, 6))[6:]},
    "XMP alone": {"xmp": _XMP},
    "XMP beside EXIF data": {"exif": exif((0x0100, 3, 6)), "xmp": _XMP},
}


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_odd_orientations_are_left(arithmetic: str, tmp_path: Path, by_transformers: list[Any]) -> None:
    processors = pair("qwen2-vl", arithmetic)
    paths = [save(tmp_path / what, **settings) for what, settings in ODD.items()]
    for path in paths:
        both(processors, [path], return_tensors="pt")
    assert by_transformers == paths


# transformers leaves a file of several images open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_other_files_are_left(arithmetic: str, tmp_path: Path, by_transformers: list[Any], runs: list[int]) -> None:
    processors = pair("qwen2-vl", arithmetic)
    cmyk = save(tmp_path / "a.jpg", "CMYK")
    png = str(tmp_path / "b.jpg")
    image(90, 120).save(png, "PNG")
    both_eyes = several(tmp_path / "d.jpg")
    # Those may come out of either: not every backend knows them.
    for path in (cmyk, png, both_eyes):
        both(processors, [path, save(tmp_path / "c.jpg")], return_tensors="pt")
    assert by_transformers == [cmyk, png, both_eyes]
    assert runs == [2, 2, 2]


# transformers leaves a file open that it could not read.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_bad_files_are_transformers_errors(arithmetic: str, tmp_path: Path, by_transformers: list[Any]) -> None:
    processors = pair("qwen2-vl", arithmetic)
    good = save(tmp_path / "good.jpg")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(Path(good).read_bytes()[:-400])
    odd = save(tmp_path / "odd.jpg", exif=exif((0x0112, 3, 6))[:20])  # an error for one backend
    for path in (str(cut), odd, str(tmp_path / "missing.jpg"), str(tmp_path)):
        both(processors, [good, path], return_tensors="pt")
    for wrong in (good.encode(), 5, Path(good)):
        both(processors, [wrong], return_tensors="pt")
    assert good not in by_transformers


def test_a_file_that_is_read_as_other_pixels_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by_transformers: list[Any], runs: list[int]
) -> None:
    processors = pair("qwen2-vl", "pillow")
    path = save(tmp_path / "a.jpg")

    monkeypatch.setattr(files, "Loader", _Brighter)
    both(processors, [path], return_tensors="pt")
    assert by_transformers == [path]
    assert runs == [1]


class _Brighter(Loader):
    def source(self, image: Any, data_format: Any = None) -> Any:
        found = super().source(image, data_format)
        return type(found).from_array(255 - found.to_array(), False, False)
