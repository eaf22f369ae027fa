"""Files, arguments and checkpoints that ask for more than there is: each in a process with 3 GB of addresses.

An exception or a result is right; a signal, or memory that is not given back, is not.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("resource")

PRELUDE = """
import ctypes, os, resource, signal, struct, sys, threading, time, zlib

resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
# A shell's background jobs ignore it, and so would their children.
signal.signal(signal.SIGINT, signal.default_int_handler)
import numpy as np
import vlmres


def attempt(what):
    try:
        what()
        print("result")
    except Exception as error:
        print(type(error).__name__, str(error)[:300])


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = bytes((width + 7) // 8 + 1)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row * min(1000, height - at)) for at in range(0, height, 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def gif(width, height):
    canvas = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return canvas + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\\x02\\x02L\\x01\\x00;"


def segment(marker, data):
    return b"\\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(width, height, components, frame, *scans):
    # DC code 0 is a difference of nothing; AC code 0 the longest run of bands without coefficients.
    data = b"\\xff\\xd8" + segment(0xDB, b"\\0" + bytes([1] * 64))
    data += segment(0xC4, b"\\x00\\x01" + bytes(15) + b"\\0") + segment(0xC4, b"\\x10\\x01" + bytes(15) + b"\\xe0")
    parts = b"".join(bytes([index + 1, 0x11, 0]) for index in range(components))
    data += segment(frame, struct.pack(">BHHB", 8, height, width, components) + parts)
    return data + b"".join(scans) + b"\\xff\\xd9"


def scan(first, last, approximation, data=b"\\0\\0", components=1):
    parts = b"".join(bytes([index + 1, 0]) for index in range(components))
    return segment(0xDA, bytes([components]) + parts + bytes([first, last, approximation])) + data


def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20
"""


def run(code: str, *arguments: str) -> list[str]:
    """The lines that a child prints. It must not end by a signal."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    child = subprocess.run(
        [sys.executable, "-c", PRELUDE + code, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, f"{child.returncode}: {child.stdout}{child.stderr[-2000:]}"
    return child.stdout.splitlines()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_is_given_back() -> None:
    """Weights of sides that nobody has seen before, and decoded images."""
    lines = run("""
proc = vlmres.Processor("siglip", num_threads=1)
proc(png(64, 64))
before = resident()
for index in range(3):
    proc(png(3_000_000 - index, 1))
    proc(png(250_000 - index, 1))
proc.trim()
print(resident() - before)
""")
    assert int(lines[0]) <= 64


@pytest.mark.parametrize("size", ["(178956970, 1)", "(20000000, 1)", "(1, 20000000)"])
def test_extreme_sides(size: str) -> None:
    lines = run(f"""
data = png(*{size})
for arithmetic in ("pillow", "torch"):
    attempt(lambda: vlmres.Processor("siglip", arithmetic=arithmetic, num_threads=1)(data))
""")
    assert len(lines) == 2
    limits = ("over the limit of 268435456", "Memory limit exceeded")
    assert all(line == "result" or any(limit in line for limit in limits) for line in lines), lines


def test_a_pass_that_pillow_refuses_too_is_an_error_that_names_the_size() -> None:
    lines = run(
        "line = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1, 1 << 28, 3))\n"
        "attempt(lambda: vlmres.resize(line, (384, 384), input_data_format='channels_last'))"
    )
    assert "from 268435456 to 384 samples" in lines[0]


FILES = {
    "gifs": "[gif(13377, 13377)] * 6",
    "progressive without data": "jpeg(13000, 13000, 3, 0xC2, scan(0, 0, 0, b'', 3))",
    "runs of bands": "jpeg(4000, 4000, 1, 0xC2, scan(0, 0, 0), *[scan(1, 63, 0)] * 499)",
    "refined without data": "jpeg(4000, 4000, 1, 0xC2, scan(0, 0, 0), *[scan(0, 0, 0x10)] * 499)",
    "a run of fill bytes": "jpeg(64, 64, 1, 0xC0, scan(0, 63, 0, b'\\0' + b'\\xff' * 40_000_000))",
}


@pytest.mark.parametrize("name", FILES)
def test_small_files_of_large_images(name: str) -> None:
    """Each is a result or an error of vlmres, or there is no memory for it."""
    code = f"attempt(lambda: vlmres.Processor('siglip', num_threads=1, dtype='uint8')({FILES[name]}))"
    assert run(code)[0].split()[0] in {"result", "DecodeError", "MemoryError"}


def test_scans_over_scans_are_refused() -> None:
    """Each block of them has data, so that none can be passed over."""
    lines = run("""
blocks = (8192 // 8) ** 2
scans = [scan(0, 0, 0x10, bytes(blocks // 8))] * 560
data = jpeg(8192, 8192, 1, 0xC2, scan(0, 0, 0x01, bytes(blocks // 8)), *scans)
attempt(lambda: vlmres.Processor('siglip', num_threads=1)(data))
""")
    assert lines[0].startswith("DecodeError")
    assert "scans" in lines[0]


@pytest.mark.parametrize("count", [10**11, 1 << 40])
def test_frames_to_pick(count: int) -> None:
    lines = run(f"""
attempt(lambda: vlmres.Recipe.load("qwen3-vl").sample_frames(10, num_frames={count}))
attempt(lambda: vlmres.Recipe.load("glm-4v").sample_frames(10, video_fps=30.0, duration=100.0, fps={count / 100}))
""")
    assert [line.split()[0] for line in lines] == ["VlmresError"] * 2
    assert all(str(count) in line for line in lines)


CONFIGURATIONS = [
    ("qwen2-vl", {"min_pixels": 2**40, "max_pixels": 2**40}, {}),
    (
        "qwen2-vl",
        {"patch_size": 1, "merge_size": 1, "min_pixels": 10**9, "max_pixels": 2 * 10**9},
        {"layout": "packed"},
    ),
    ("siglip2-naflex", {"max_num_patches": 1 << 24, "patch_size": 64}, {}),
    ("clip", {"shortest_edge": 65536, "crop_width": 65536, "crop_height": 65536}, {}),
    ("idefics2", {"longest_edge": 60000, "shortest_edge": 60000}, {}),
]


@pytest.mark.parametrize(("recipe", "overrides", "settings"), CONFIGURATIONS)
def test_configurations_of_large_outputs(recipe: str, overrides: dict[str, int], settings: dict[str, str]) -> None:
    lines = run(
        """
import json
recipe, overrides, settings = json.loads(sys.argv[1])
pixels = np.zeros((100, 100, 3), np.uint8)
attempt(lambda: vlmres.Processor(vlmres.Recipe.load(recipe, **overrides), num_threads=1, **settings)(pixels))
""",
        json.dumps([recipe, overrides, settings]),
    )
    assert lines[0].split()[0] in {"MemoryError", "VlmresError", "RecipeError", "PlanError"}, lines


def test_nested_lists() -> None:
    lines = run(
        """
nested = []
nested.append(nested)
attempt(lambda: vlmres.Recipe.load("llava-next", image_grid_pinpoints=nested))
for _ in range(200_000):
    nested = [nested]
attempt(lambda: vlmres.Recipe.load("llava-next", image_grid_pinpoints=nested))
os._exit(0)  # the list itself is too deep for the interpreter to end in peace
""".replace("os._exit", "sys.stdout.flush(); os._exit")
    )
    assert lines == ["RecipeError image_grid_pinpoints: lists are nested more than 8 deep"] * 2


def test_borrowed_pixels_that_are_not_there() -> None:
    """What a subclass of a PIL image may lend: structs that were released, without children, or without values."""
    lines = run("""
from PIL import Image

pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
SCHEMA, ARRAY = (b"arrow_schema", 0), (b"arrow_array", 1)
# Where a word of a struct lies, and what is put there.
CHANGES = [(ARRAY, 64, 0), (SCHEMA, 56, 0), (ARRAY, 48, 0), (ARRAY, 32, 0), (ARRAY, 8, 5), (SCHEMA, 40, 0)]


class Lent(Image.Image):
    def __arrow_c_array__(self, requested_schema=None):
        capsules = super().__arrow_c_array__(requested_schema)
        (name, which), at, value = self.change
        ctypes.c_int64.from_address(pointer(capsules[which], name) + at).value = value
        return capsules


for change in CHANGES:
    image = Image.new("RGB", (40, 30))
    lent = Lent()
    lent.__dict__.update(image.__dict__)
    lent.change = change
    attempt(lambda: vlmres._core.Source.from_pil(lent))
    # Such an image is copied instead.
    attempt(lambda: vlmres.Processor("siglip", num_threads=1)(lent))
sys.stdout.flush()
os._exit(0)  # what was changed is not released
""")
    assert all(line.startswith("VlmresError Pillow lends") for line in lines[::2]), lines
    assert len(lines) == 12
    assert {line.split()[0] for line in lines[1::2]} <= {"VlmresError", "result"}


@pytest.mark.parametrize(
    ("source", "to"),
    [("(1, 1, 3)", "(1 << 30, 1)"), ("(1, 1 << 28, 3)", "(4, 4)"), ("(4, 4, 3)", "(1 << 30, 1 << 30)")],
)
def test_resizes(source: str, to: str) -> None:
    code = f"attempt(lambda: vlmres.resize(np.broadcast_to(np.zeros((1, 1, 1), np.uint8), {source}), {to}))"
    assert run(code)[0].split()[0] in {"MemoryError", "VlmresError"}


def test_threads_of_all_counts() -> None:
    lines = run("""
picture = np.zeros((2000, 2000, 3), np.uint8)
for count in range(2, 40):
    vlmres.Processor("internvl2", num_threads=count)(picture)
print(threading.active_count(), len(os.listdir("/proc/self/task")) if os.path.exists("/proc/self/task") else 0)
""")
    _, threads = map(int, lines[0].split())
    assert threads <= 2 * max(4 * (os.cpu_count() or 1), 16) + (os.cpu_count() or 1) + 8


INTERRUPTED: dict[str, Callable[[], str]] = {
    "resampling": lambda: "proc([np.zeros((3000, 4000, 3), np.uint8)] * 400)",
    "decoding": lambda: "proc([jpeg(6000, 6000, 1, 0xC2, scan(0, 0, 0))] * 400)",
    "one long pass": lambda: (
        "vlmres.resize(np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (1, 1 << 25, 3)), (384, 384), "
        "input_data_format='channels_last')"
    ),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", INTERRUPTED)
def test_interrupts_end_a_call(name: str, threads: int) -> None:
    """Long before it is through."""
    lines = run(f"""
proc = vlmres.Processor("siglip", num_threads={threads}, dtype="uint8")
proc(np.zeros((100, 100, 3), np.uint8))
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    for _ in range(100):
        {INTERRUPTED[name]()}
    print("through")
except KeyboardInterrupt:
    print("interrupted")
proc(np.zeros((100, 100, 3), np.uint8))
print("again")
""")
    assert lines == ["interrupted", "again"]


def test_files_that_are_none(tmp_path: Path) -> None:
    """Pipes are not waited for, and devices are not read."""
    os.mkfifo(tmp_path / "pipe.png")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(3 << 30)
    lines = run(
        """
for path in (sys.argv[1] + "/pipe.png", "/dev/zero", sys.argv[1] + "/large.png"):
    attempt(lambda: vlmres.image_size(path))
    attempt(lambda: vlmres.Processor("siglip")(path))
""",
        str(tmp_path),
    )
    assert all(line.startswith("OSError") and "not a regular file" in line for line in lines[:4]), lines
    assert all(line.startswith("DecodeError") and "over the limit of 2147483648" in line for line in lines[4:]), lines


def test_a_header_needs_no_profile() -> None:
    """400 MB of one, in a file of 400 kB."""
    lines = run("""
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

packer = zlib.compressobj(9)
profile = b"".join(packer.compress(bytes(1 << 20)) for _ in range(400)) + packer.flush()
data = png(8, 8)
data = data[:33] + chunk(b"iCCP", b"x\\0\\0" + profile) + data[33:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
attempt(lambda: print(tuple(vlmres.image_size(data))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
""")
    assert lines[:2] == ["(8, 8)", "result"]
    assert int(lines[2]) < 128 << 10


def test_outputs_have_a_limit() -> None:
    lines = run("""
thin = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (178956970, 1, 3))
attempt(lambda: vlmres.Processor("minicpm-v-4.6", num_threads=1)(thin))
""")
    assert lines[0].startswith("VlmresError")
    assert "over the limit of 4294967296 (max_output_bytes)" in lines[0]


def test_limits_are_the_callers() -> None:
    lines = run("""
for limits in ({"max_decoded_bytes": 1000}, {"max_output_bytes": 1000}, {"max_image_pixels": 1000}):
    attempt(lambda: vlmres.Processor("siglip", num_threads=1, **limits)(png(100, 100)))
""")
    assert [line.split()[0] for line in lines] == ["DecodeError", "VlmresError", "DecodeError"]
    assert all("over the limit of 1000" in line for line in lines)


def test_coefficients_of_every_image_that_keeps_them_are_foretold() -> None:
    """A JPEG of several scans keeps them, progressive or not; one of a single scan does not."""
    lines = run("""
processor = vlmres.Processor("siglip", num_threads=1, dtype="uint8", max_decoded_bytes=4 << 20)
for frame, last, parts in ((0xC0, 63, 3), (0xC0, 63, 1), (0xC2, 0, 3)):
    attempt(lambda: processor(jpeg(1000, 1000, 3, frame, scan(0, last, 0, bytes(1 << 16), components=parts))))
""")
    assert not any("max_decoded_bytes" in line for line in lines[:1]), lines
    assert all("over the limit of 4194304 (max_decoded_bytes)" in line for line in lines[1:]), lines
    assert len(lines) == 3


def test_ordinary_work_meets_no_limit() -> None:
    """What the defaults leave for the largest inputs: those of Pillow's limit, and the largest outputs of an image."""
    lines = run("""
for recipe in vlmres.recipes():
    for size in ((13377, 13377), (12000, 9000), (640, 480), (4000, 300)):
        try:
            shapes = vlmres.Processor(recipe).shapes([size])
        except vlmres.PlanError:
            continue
        print(max(int(np.prod(shape)) * 4 for shape, _ in shapes.values()))
""")
    assert len(lines) > 200
    assert max(map(int, lines)) < (4 << 30) // 4


def test_small_files_ask_for_little() -> None:
    """Under 128 MB of addresses more than the process has: room that cannot be had would end it."""
    lines = run("""
def tiff(tag, kind, count):
    entries = {256: (3, 1, 8), 257: (3, 1, 8), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8)}
    entries |= {277: (3, 1, 1), 278: (3, 1, 8), 279: (4, 1, 64), tag: (kind, count, 8)}
    directory = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(entries.items()))
    return b"II*\\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(80)

def chunk(name, data):
    return name + struct.pack("<I", len(data)) + data

def webp(*chunks):
    return b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WEBP" + b"".join(chunks)

lossy = chunk(b"VP8 ", struct.pack("<3sBBBHH", b"\\x10\\x02\\0", 0x9D, 1, 0x2A, 16383, 16383) + bytes(40))
animated = chunk(b"VP8X", b"\\x02" + bytes(9)) + chunk(b"ANIM", bytes(6)) + chunk(b"ANMF", bytes(16) + lossy)
frame = bytearray(gif(2, 2))
frame[-11:-7] = struct.pack("<HH", 4000, 4000)
processor = vlmres.Processor("siglip", num_threads=1, dtype="uint8", max_decoded_bytes=1 << 20)
attempt(lambda: processor(png(8, 8)))
pages = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + (128 << 20),) * 2)
for tag in (258, 273, 279, 338, 339):
    for kind in (1, 3, 4):
        attempt(lambda: vlmres.image_size(tiff(tag, kind, 8_000_000)))
rows = bytearray(tiff(278, 4, 1))
# Strips of no bytes, one for each of 2^30 rows.
for tag, value in ((257, 1 << 30), (278, 1)):
    at = rows.index(struct.pack("<H", tag), 10)
    rows[at : at + 12] = struct.pack("<HHII", tag, 4, 1, value)
rows = bytes(rows).replace(struct.pack("<HHII", 279, 4, 1, 64), struct.pack("<HHII", 700, 4, 1, 64))
attempt(lambda: vlmres.image_size(rows))
for data in (webp(chunk(b"VP8X", bytes(10)), lossy), webp(animated), bytes(frame)):
    attempt(lambda: processor(data))
small = chunk(b"VP8 ", struct.pack("<3sBBBHH", b"\\x10\\x02\\0", 0x9D, 1, 0x2A, 9, 7) + bytes(40))
extended = chunk(b"VP8X", b"\\x08\\0\\0\\0\\x08\\0\\0\\x06\\0\\0")
attempt(lambda: vlmres.image_size(webp(extended, small, b"EXIF\\0\\0\\0\\xf0")))
""")
    assert lines[0] == "result"
    assert {line.split()[0] for line in lines[1:17]} <= {"result", "DecodeError", "NotNativeError"}, lines
    assert all("Error" in line.split()[0] for line in lines[17:20]), lines
    assert "over the limit of 1048576 (max_decoded_bytes)" in lines[19]
    # EXIF data that is cut off says nothing, or spoils the file.
    assert lines[20].split()[0] in {"result", "DecodeError"}
    assert len(lines) == 21
