"""Files that Pillow reads where the compiled part does not."""

import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

import vlmres
from tests import files
from tests.compare import assert_equal_batches
from tests.images import image, pixels
from vlmres.inputs import decoders


def bigtiff() -> bytes:
    return files.encode(image(45, 31), "TIFF", big_tiff=True)


def kinds() -> dict[str, bytes]:
    rgb, gray = image(45, 31), image(45, 31).convert("L")
    rgba = Image.fromarray(pixels(45, 31, channels=4))
    found = {form: files.encode(rgb, form) for form in ("AVIF", "JPEG2000", "PPM", "TGA", "QOI", "PCX", "SGI", "DIB")}
    return found | {
        "AVIF turned": files.encode(rgb, "AVIF", exif=files.exif(6)),
        "AVIF alpha": files.encode(rgba, "AVIF"),
        "ICO": files.encode(image(48, 48), "ICO"),
        "PGM": files.encode(gray, "PPM"),
        "XBM": files.encode(gray.convert("1"), "XBM"),
        "MSP": files.encode(gray.convert("1"), "MSP"),
        "Sun raster": struct.pack(">8I", 0x59A66A95, 44, 31, 24, 44 * 31 * 3, 1, 0, 0) + pixels(44, 31).tobytes(),
        "XPM": b'/* XPM */\nstatic char *p[] = {\n"3 2 2 1",\n"a c #ff0000",\n"b c #00ff80",\n"aba",\n"bab"\n};\n',
        "BigTIFF": bigtiff(),
        "TIFF Group 3": files.encode(gray.convert("1"), "TIFF", compression="group3"),
        "TIFF palette": files.encode(rgb.quantize(50), "TIFF"),
        "TIFF YCbCr": files.encode(rgb.convert("YCbCr"), "TIFF", compression="jpeg"),
        "TIFF turned": files.encode(rgb.quantize(50), "TIFF", tiffinfo={274: 6}),
    }


KINDS = kinds()


@pytest.mark.parametrize("name", KINDS)
def test_what_is_not_native_is_pillows(name: str, tmp_path: Path) -> None:
    data = KINDS[name]
    expected = files.by_pillow(data)
    size = (expected.shape[1], expected.shape[0])
    path = tmp_path / "no suffix says what it is"
    path.write_bytes(data)
    for given in (data, path):
        assert vlmres.image_size(given) == size
        assert vlmres.plan(given, "qwen2-vl").size == size
        np.testing.assert_array_equal(vlmres.resize(given, size, "nearest"), expected, strict=True)
    with Image.open(path) as opened:
        stored = (opened.tag_v2[256], opened.tag_v2[257]) if isinstance(opened, TiffImageFile) else opened.size
    assert vlmres.image_size(data, exif=False) == stored


@pytest.mark.parametrize("decoder", ["auto", "pillow"])
def test_one_call_of_both_equals_that_of_decoded_images(decoder: Any) -> None:
    data = [*KINDS.values(), files.encode(image(45, 31), "PNG"), files.encode(image(60, 31), "JPEG")]
    decoded = [files.by_pillow(one) for one in data]
    proc = vlmres.Processor("qwen2-vl", decoder=decoder, num_threads=3)
    assert_equal_batches(proc(data).torch(), proc(decoded).torch())


@pytest.mark.parametrize("name", ["png-rgba", "jpeg-420", "gif", "tiff-lzw", "webp-lossless", "bmp-palette"])
def test_pillow_alone_reads_what_is_native_too(name: str) -> None:
    data = files.exact_files()[name]
    size = vlmres.image_size(data, decoder="pillow")
    assert size == vlmres.image_size(data, decoder="native")
    np.testing.assert_array_equal(vlmres.resize(data, size, decoder="pillow"), files.by_pillow(data), strict=True)


def test_native_alone_refuses(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(KINDS["AVIF"])
    proc = vlmres.Processor("qwen2-vl", decoder="native")
    for call in (
        lambda: proc([path]),
        lambda: proc.plan(path),
        lambda: vlmres.image_size(path, decoder="native"),
        lambda: vlmres.plan(path, "qwen2-vl", decoder="native"),
        lambda: vlmres.resize(path, (9, 9), decoder="native"),
    ):
        with pytest.raises(vlmres.DecodeError, match=r"not read natively.*decoder=\"auto\""):
            call()


def test_an_unknown_decoder_is_refused() -> None:
    for call in (
        lambda: vlmres.Processor("qwen2-vl", decoder="opencv"),  # type: ignore[arg-type]
        lambda: vlmres.resize(b"", (1, 1), decoder="opencv"),  # type: ignore[arg-type]
        lambda: vlmres.image_size(b"", decoder="opencv"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match="decoder must be one of auto, native, pillow"):
            call()


def test_bad_files_cost_themselves() -> None:
    """Those that fail at the header, at the pixels, in either decoder."""
    png, avif = files.encode(image(64, 48), "PNG"), KINDS["AVIF"]
    good = [png, avif, KINDS["JPEG2000"]]
    bad = [b"junk", avif[:100], avif[: len(avif) // 2], png[: len(png) // 2], KINDS["TIFF YCbCr"][:-300]]
    proc = vlmres.Processor("qwen2-vl")
    mixed = [item for pair in zip(bad, [*good, *good], strict=False) for item in pair]
    batch = proc(mixed, errors="return")
    assert sorted(batch.errors) == [index for index, item in enumerate(mixed) if item in bad]
    assert all(isinstance(error, vlmres.DecodeError) for error in batch.errors.values())
    assert_equal_batches(batch.torch(), proc([item for item in mixed if item in good]).torch())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "PostScript"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(50), "register_heif_opener"),
        (b"<!DOCTYPE html><html>404</html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "Git LFS"),
        (b"\xff\x0a" + bytes(60), "JPEG XL"),
        (b"SIMPLE  =                    T" + bytes(100), "it is FITS"),
        (b"\xd7\xcd\xc6\x9a" + bytes(100), "Pillow does not read it either"),
        (b"GRIB" + bytes(100), "Pillow does not read it either"),
    ],
)
def test_what_nobody_may_read(data: bytes, message: str) -> None:
    with pytest.raises(vlmres.DecodeError, match=message) as caught:
        vlmres.Processor("llava-1.5")([data])
    assert len(str(caught.value)) < 300


def test_no_format_that_starts_a_program_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow opens EPS with Ghostscript."""
    assert not {"EPS", "WMF", "FITS", "GRIB", "HDF5", "BUFR", "MPEG", "PDF"} & set(decoders.FORMATS)
    Image.init()
    monkeypatch.setitem(Image.OPEN, "EPS", (lambda *_: pytest.fail("EPS was opened"), None))
    for decoder in ("auto", "pillow"):
        with pytest.raises(vlmres.DecodeError, match="PostScript"):
            vlmres.Processor("llava-1.5", decoder=decoder)([b"%!PS-Adobe-3.0 EPSF-3.0\n"])


class Recorder:
    """Counts what Pillow decodes, and how much at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.decoded = self.now = self.most = 0
        self._lock = threading.Lock()
        original = decoders.PillowDecoder.decode

        def decode(decoder: decoders.PillowDecoder, encoded: Any) -> Any:
            with self._lock:
                self.decoded += 1
                self.now += 1
                self.most = max(self.most, self.now)
            try:
                return original(decoder, encoded)
            finally:
                with self._lock:
                    self.now -= 1

        monkeypatch.setattr(decoders.PillowDecoder, "decode", decode)


def test_images_are_decoded_one_for_each_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    proc = vlmres.Processor("llava-1.5", num_threads=2, dtype="uint8")
    call = proc([KINDS["PPM"]] * 50)
    assert call["pixel_values"].shape[0] == 50
    assert recorder.decoded == 50
    assert recorder.most <= 2


@pytest.mark.parametrize("decoder", ["auto", "pillow"])
def test_limits_hold_before_pixels(decoder: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    path = tmp_path / "image"
    for name in ("AVIF", "JPEG2000", "QOI"):
        path.write_bytes(KINDS[name])
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({"max_image_pixels": 45 * 31 - 1}, "45x31 has 1395 pixels, over the limit of 1394"),
            ({"max_decoded_bytes": 9000}, "max_decoded_bytes"),
            ({"max_file_bytes": len(KINDS[name]) - 1}, "max_file_bytes"),
        )
        for limits, message in cases:
            given = [path] if "max_file_bytes" in limits else [path, KINDS[name]]
            for one in given:
                with pytest.raises(vlmres.DecodeError, match=message):
                    vlmres.Processor("llava-1.5", decoder=decoder, **limits)([one])
    assert recorder.decoded == 0


def test_a_png_over_the_limit_is_not_decoded_for_its_exif(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import PngImagePlugin

    data = files.encode(image(45, 31), "PNG")
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(vlmres.DecodeError, match="over the limit"):
        vlmres.image_size(data, decoder="pillow", max_image_pixels=100)


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes")
def test_pipes_are_refused_by_either_decoder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for decoder in ("auto", "pillow"):
        with pytest.raises(OSError, match="regular file"):
            vlmres.image_size(tmp_path / "pipe", decoder=decoder)


def test_a_missing_file_says_so() -> None:
    for decoder in ("auto", "pillow"):
        with pytest.raises(FileNotFoundError, match="image 0: "):
            vlmres.Processor("llava-1.5", decoder=decoder)(["/nowhere/image.avif"])


def test_without_pillow_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["PIL"] = None
import vlmres
native = vlmres.Processor("llava-1.5")([sys.argv[1]])["pixel_values"].shape
assert native == (1, 3, 336, 336), native
try:
    vlmres.image_size(b"qoif" + bytes(60))
except vlmres.DecodeError as error:
    assert "pip install 'vlmres[files]'" in str(error), error
else:
    raise SystemExit("it was read")
"""
    example = Path(__file__).resolve().parents[2] / "python" / "vlmres" / "samples" / "line.png"
    subprocess.run([sys.executable, "-c", code, str(example)], check=True, timeout=120)


def test_heif_is_read_where_its_opener_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    Image.init()
    for table in ("OPEN", "SAVE", "MIME", "EXTENSION"):
        monkeypatch.setattr(Image, table, dict(getattr(Image, table)))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    pillow_heif.register_heif_opener()
    data = files.encode(image(64, 48, "smooth"), "HEIF", quality=90)
    np.testing.assert_array_equal(vlmres.resize(data, (64, 48), "nearest"), files.by_pillow(data), strict=True)


def test_a_processor_with_a_decoder_can_be_pickled() -> None:
    import pickle

    proc = pickle.loads(pickle.dumps(vlmres.Processor("llava-1.5", decoder="pillow")))
    assert proc.decoder == "pillow"
    assert proc([KINDS["QOI"]]).plans[0].size == (45, 31)
