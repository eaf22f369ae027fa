"""64 hostile files among 64 good ones: the good ones' bits, an error for each of the others, little memory."""

import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests import files, images

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures memory with /proc")

CHILD = """
import hashlib, json, re, sys

import vlmres


def memory(name):
    return int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])


paths = json.load(sys.stdin)
limits = {"max_image_pixels": 1_000_000, "max_file_bytes": 4_000_000, "max_decoded_bytes": 16_000_000}
processor = vlmres.Processor("qwen2-vl", "packed", "uint8", num_threads=2, **limits)
before = memory("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
batch = processor(paths, errors="return")
arrays = {key: hashlib.sha256(memoryview(batch[key]).cast("B")).hexdigest() for key in batch.keys()}
errors = {index: f"{type(error).__name__}: {error}" for index, error in batch.errors.items()}
print(json.dumps([arrays, batch.indices, errors, memory("VmHWM") - before]))
"""


def riff_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data


def webp(*chunks: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WEBP" + b"".join(chunks)


def tiff(tag: int, kind: int, count: int) -> bytes:
    """A TIFF of 8x8 grays, of which a tag has so many values."""
    entries = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    entries |= {277: (3, 1, 1), 278: (3, 1, 8), 279: (4, 1, 64), tag: (kind, count, 8)}
    directory = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(80)


def gif(canvas: tuple[int, int], frame: tuple[int, int]) -> bytes:
    """A GIF whose only frame has no pixels in its data."""
    screen = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0x80, 0, 0) + bytes(6)
    return screen + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\x02\x02L\x01\x00;"


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)))
    body = files.chunk(b"IHDR", header) + extra + files.chunk(b"IDAT", rows) + files.chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg(width: int, height: int, components: int, scans: int) -> bytes:
    """A progressive JPEG whose scans have no data."""

    def segment(marker: int, data: bytes) -> bytes:
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    parts = b"".join(bytes([index + 1, 0x11, 0]) for index in range(components))
    data = b"\xff\xd8" + segment(0xDB, b"\0" + bytes([1] * 64)) + segment(0xC4, b"\x00\x01" + bytes(15) + b"\0")
    data += segment(0xC2, struct.pack(">BHHB", 8, height, width, components) + parts)
    data += segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + b"\0\0"
    return data + (segment(0xDA, bytes([1, 1, 0, 0, 0, 0x10])) + b"\0\0") * (scans - 1) + b"\xff\xd9"


def hostile() -> list[bytes]:
    """Damaged files, and files over a limit that the child sets."""
    whole = {**files.exact_files(), **files.lossy_files()}
    halves = [data[: len(data) // 2] for data in whole.values()][:35]
    lossy = riff_chunk(b"VP8 ", struct.pack("<3sBBBHH", b"\x10\x02\0", 0x9D, 1, 0x2A, 16383, 16383) + bytes(40))
    extended = riff_chunk(b"VP8X", bytes(10))
    animated = (
        riff_chunk(b"VP8X", b"\x02" + bytes(9)) + riff_chunk(b"ANIM", bytes(6)) + riff_chunk(b"ANMF", bytes(16) + lossy)
    )
    lossless = riff_chunk(b"VP8L", b"\x2f" + struct.pack("<I", 16382 | 10899 << 14) + bytes(17))
    return [
        *halves,
        b"",
        b"no image",
        b"\xff\xd8\xff",
        b"\x89PNG\r\n\x1a\n" + bytes(100_000),
        *[tiff(273, kind, 0x0FFF_FFFF) for kind in (1, 3, 4)],
        tiff(273, 4, 1)[:8],
        webp(extended, lossy),
        webp(animated),
        webp(lossless),
        gif((13377, 13377), (1, 1)),
        gif((8, 8), (65535, 65535)),
        gif((8, 8), (3000, 3000)),
        gif((0, 0), (0, 0)),
        png(13377, 13377),
        png(1_000_001, 1),
        png(1, 1_000_001),
        jpeg(13000, 13000, 3, 1),
        jpeg(5000, 5000, 1, 499),
        jpeg(1000, 1000, 1, 1000),
        png(8, 8) + bytes(5_000_000),
        whole["bmp-rgb"][:18] + struct.pack("<ii", 30_000, 30_000) + whole["bmp-rgb"][26:],
        whole["bmp-rgb"][:-7],
    ]


def run(paths: list[str]) -> tuple[dict[str, str], list[int], dict[str, str], int]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps(paths),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    arrays, indices, errors, peak = json.loads(child.stdout)
    return arrays, indices, errors, peak


def test_hostile_files_cost_themselves(tmp_path: Path) -> None:
    good, bad = [], []
    for index in range(64):
        form = ("JPEG", "PNG", "WEBP", "BMP")[index % 4]
        picture = Image.fromarray(images.pixels(200 + 7 * index, 320 - 3 * index, "smooth", seed=index))
        good.append(tmp_path / f"good-{index}")
        good[-1].write_bytes(files.encode(picture, form))
    for index, data in enumerate(hostile()):
        bad.append(tmp_path / f"bad-{index}")
        bad[-1].write_bytes(data)
    bad += [tmp_path, tmp_path / "missing", Path("/dev/zero"), tmp_path / "endless", tmp_path / "pipe"]
    (tmp_path / "endless").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    assert len(bad) == 64
    alone, indices, errors, peak_alone = run([str(path) for path in good])
    assert (indices, errors) == (list(range(64)), {})
    mixed = [str(path) for pair in zip(bad, good, strict=True) for path in pair]
    arrays, indices, errors, peak = run(mixed)
    assert sorted(map(int, errors)) == list(range(0, 128, 2)), "each hostile file is an error"
    assert indices == list(range(1, 128, 2))
    del arrays["image_index"], alone["image_index"]
    assert arrays == alone, "the good ones' bits"
    assert peak < 2 * peak_alone, f"{peak} kB, {peak_alone} kB without them"
