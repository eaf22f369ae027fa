"""A call is planned once and bounded in memory, and an image that turns out bad costs nothing but itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image

import vlmres
from tests import files, images
from tests.compare import assert_equal_batches
from vlmres._core import Call, ImageFile, Source

LAYOUTS = ("hf", "packed")


def jpeg(width: int, height: int, seed: int = 0) -> bytes:
    return files.encode(Image.fromarray(images.pixels(width, height, "smooth", seed=seed)), "JPEG", quality=90)


def broken(data: bytes) -> bytes:
    """A file whose header is whole and whose pixels are not."""
    cut = data[: len(data) * 2 // 3]
    assert vlmres.image_size(cut) == vlmres.image_size(data)
    return cut


GOOD: list[Any] = [
    files.encode(images.image(90, 60), "JPEG"),
    images.pixels(90, 60, seed=1),
    files.encode(Image.fromarray(images.pixels(90, 60, seed=2)), "PNG"),
]
BAD = [broken(jpeg(90, 60, 3)), broken(GOOD[2]), broken(jpeg(120, 400))]


def processor(name: str, layout: Any = "hf", **options: Any) -> vlmres.Processor:
    return vlmres.Processor(name, layout, dtype="uint8", **options)


def outcome(proc: vlmres.Processor, given: Any, **options: Any) -> Any:
    try:
        return proc(given, **options)
    except ValueError as error:
        return str(error)


def check(batch: Any, expected: Any, kept: list[int]) -> None:
    if isinstance(expected, str):
        assert batch == expected
        return
    arrays, wanted = dict(batch.torch()), dict(expected.torch())
    if "image_index" in wanted:
        index = np.array(kept, np.int32)[wanted.pop("image_index").numpy()]
        np.testing.assert_array_equal(arrays.pop("image_index").numpy(), index)
    assert_equal_batches(arrays, wanted)
    assert [plan for plan in batch.plans if plan is not None] == expected.plans
    assert batch.indices == kept


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", vlmres.recipes())
def test_a_call_equals_the_one_without_its_bad_images(name: str, layout: str) -> None:
    proc = processor(name, layout, num_threads=2)
    given = [BAD[0], GOOD[0], GOOD[1], BAD[1], GOOD[2], BAD[2]]
    check(outcome(proc, given, errors="return"), outcome(proc, GOOD), [1, 2, 4])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["llava-onevision", "smolvlm", "idefics3", "mllama", "lfm2-vl", "qwen2-vl"])
def test_samples_equal_those_without_their_bad_images(name: str, layout: str) -> None:
    proc = processor(name, layout, num_threads=2)
    given = [[GOOD[0], BAD[0], GOOD[1]], [BAD[1], GOOD[2]], [GOOD[1]]]
    expected = [[GOOD[0], GOOD[1]], [GOOD[2]], [GOOD[1]]]
    check(outcome(proc, given, errors="return"), outcome(proc, expected), [0, 2, 4, 5])


def test_an_image_that_is_left_alone_is_planned_alone() -> None:
    data = jpeg(900, 500)
    proc = processor("llava-onevision")
    alone, together = proc([[data]]).plans[0], proc([[data, data]]).plans[0]
    assert alone != together
    for bad in (b"no image", broken(data)):
        batch = proc([[data, bad]], errors="return")
        assert batch.plans == [alone, None]
        assert_equal_batches(batch.torch(), proc([[data]]).torch())


@pytest.mark.parametrize("bad", [b"no image", BAD[0]])
def test_the_first_error_is_raised(bad: bytes) -> None:
    proc = processor("internvl2")
    with pytest.raises(vlmres.DecodeError, match=r"^image 1: "):
        proc([GOOD[0], bad, GOOD[1], bad])


def test_videos_without_their_bad_ones() -> None:
    pictures = [images.image(90, 60, seed=seed) for seed in range(5)]
    frames = [files.encode(picture, "JPEG") for picture in pictures]
    for layout in LAYOUTS:
        proc = processor("qwen2-vl", layout)
        batch = proc(videos=[[*frames[:3], BAD[0], frames[4]], frames, frames[::-1]], errors="return")
        check(batch, proc(videos=[frames, frames[::-1]]), [1, 2])
        assert str(batch.errors[0]).startswith("frame 3: ")


def test_reduced_decoding_follows_the_plan_of_the_sample() -> None:
    data = jpeg(3000, 2000)
    exact, scaled = (processor("llava-onevision", decode=way)([[data, data]]) for way in ("exact", "scaled"))
    assert scaled.plans == exact.plans
    assert np.abs(exact["pixel_values"].astype(np.int16) - scaled["pixel_values"]).mean() < 3


def test_frames_of_videos_are_decoded_reduced() -> None:
    frames = [files.encode(images.image(1200, 800, "smooth").rotate(180 * turn), "JPEG") for turn in range(2)]
    exact, scaled = (processor("llava-onevision", decode=way)(videos=[frames]) for way in ("exact", "scaled"))
    difference = np.abs(exact["pixel_values_videos"].astype(np.int16) - scaled["pixel_values_videos"])
    assert 0 < difference.mean() < 3


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["llava-1.5", "internvl2", "qwen2-vl"])
def test_results_are_the_first_rows_of_out(name: str, layout: str) -> None:
    proc = processor(name, layout)
    whole = proc([GOOD[0], GOOD[0], GOOD[1], GOOD[0], GOOD[2]])
    out = {key: np.empty_like(whole[key]) for key in proc.shapes([(90, 60)]) if whole[key].dtype == np.uint8}
    batch = proc([GOOD[0], BAD[0], GOOD[1], BAD[1], GOOD[2]], out=out, errors="return")
    check(batch, proc(GOOD), [0, 2, 4])
    for key, memory in out.items():
        assert np.shares_memory(batch[key], memory)
        assert batch[key].ctypes.data == memory.ctypes.data


def test_out_that_is_too_small_without_the_bad_image() -> None:
    data = jpeg(900, 500)
    proc = processor("llava-onevision")
    out = {"pixel_values": np.empty(proc.shapes([(900, 500)] * 2, [2])["pixel_values"][0], np.uint8)}
    with pytest.raises(ValueError, match=r"without the images that turned out bad, out\['pixel_values'\] must have"):
        proc([[data, broken(data)]], out=out, errors="return")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "uint8"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_is_asked_for(layout: Any, dtype: Any) -> None:
    asked: list[tuple[str, tuple[int, ...], str]] = []

    def allocate(key: str, shape: tuple[int, ...], dtype: str) -> Any:
        asked.append((key, shape, dtype))
        return torch.empty(shape, dtype=getattr(torch, dtype)).share_memory_()

    given = [GOOD[0], BAD[0], *GOOD[1:]]
    proc = vlmres.Processor("deepseek-ocr-2", layout, dtype, allocate=allocate)
    batch = proc(given, errors="return")
    plain = vlmres.Processor("deepseek-ocr-2", layout, dtype)
    assert_equal_batches(batch.torch(), plain(given, errors="return").torch())
    shapes = plain.shapes([(90, 60)] * len(given))
    assert asked == [(key, *shapes[key]) for key in batch if shapes[key][1] == dtype]


def test_shapes_are_those_of_the_batch() -> None:
    sizes = [(90, 60), (300, 40), (61, 47)]
    for name in vlmres.recipes():
        for layout in LAYOUTS:
            proc = processor(name, layout)
            for samples in (None, [1, 2]):
                pictures = [images.pixels(*size) for size in sizes]
                given = pictures if samples is None else [pictures[:1], pictures[1:]]
                batch = outcome(proc, given)
                try:
                    shapes: Any = proc.shapes(sizes, samples)
                except ValueError as error:
                    shapes = str(error)
                    assert isinstance(batch, str)
                    assert batch.endswith(shapes)
                else:
                    assert {key: (array.shape, array.dtype.name) for key, array in batch.items()} == shapes
    proc = processor("qwen2-vl")
    video = proc(videos=np.zeros((3, 60, 90, 3), np.uint8))
    assert {key: (array.shape, array.dtype.name) for key, array in video.items()} == proc.shapes([(3, 90, 60)])
    proc = processor("qwen2.5-vl")
    video = proc(videos=[np.zeros((3, 60, 90, 3), np.uint8)] * 2, fps=2)
    found = proc.shapes([(3, 90, 60)] * 2, fps=2)
    assert {key: (array.shape, array.dtype.name) for key, array in video.items()} == found
    assert found["second_per_grid_ts"] == ((2,), "float32")
    with pytest.raises(TypeError, match="fps is only for videos"):
        proc.shapes([(90, 60)], fps=2)
    with pytest.raises(vlmres.VlmresError, match="samples"):
        proc.shapes(sizes, [2])


@pytest.mark.parametrize(("kind", "shift"), [("V4", 1), ("S4", 0), ("<i4", 0), ("<f4", 1)])
def test_outputs_are_of_the_type_and_aligned(kind: str, shift: int) -> None:
    """numpy calls void memory aligned wherever it lies."""
    recipe = vlmres.Recipe.load("qwen2-vl")
    source = Source.from_array(images.pixels(280, 280), False, False)
    settings: Any = {"scaled": False, "limits": (None, None, None, None), "decoder": None, "num_threads": 1}
    call = Call(recipe, [source], None, "hf", "float32", ("pillow", 13), **settings)
    ((_, shape),) = call.lay_out()
    memory = np.full(int(np.prod(shape)) * 4 + 128, 0xA5, np.uint8)
    start = -memory.ctypes.data % 64 + shift
    array: Any = np.ndarray(shape, kind, memory.data, start)
    with pytest.raises(vlmres.VlmresError, match=r"must hold float32|aligned"):
        call.run([array], leave_out=False)
    assert (memory == 0xA5).all()


@pytest.mark.parametrize("how", ["tensor", "pinned", "shared", "mapping"])
def test_out_takes_tensors(how: str) -> None:
    if how == "pinned" and not torch.cuda.is_available():
        pytest.skip("page-locked memory needs a device")
    for dtype in ("float32", "bfloat16", "float16", "uint8"):
        proc = vlmres.Processor("qwen2-vl", dtype=cast("Any", dtype))
        expected = proc(GOOD).torch()
        memory = torch.empty_like(expected["pixel_values"])
        memory = memory.pin_memory() if how == "pinned" else memory.share_memory_() if how == "shared" else memory
        batch = proc(GOOD, out={"pixel_values": memory} if how == "mapping" else memory)
        assert torch.equal(memory, expected["pixel_values"])
        assert batch.torch()["pixel_values"].data_ptr() == memory.data_ptr()


def test_a_small_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(files.encode(Image.fromarray(images.pixels(90, 60)), "PNG"))
    other = tmp_path / "other.png"
    other.write_bytes(files.encode(Image.fromarray(images.pixels(90, 60, seed=9)), "PNG"))
    source = images.pixels(90, 60)

    def allocate(_: str, shape: tuple[int, ...], dtype: str) -> Any:
        # Headers were read, and no pixels.
        other.replace(path)
        return np.empty(shape, dtype)

    batch = processor("llava-1.5", allocate=allocate)(path)
    assert_equal_batches(batch.torch(), processor("llava-1.5")(source).torch())


CHILD = """
import resource, sys
import numpy as np
resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300))
import vlmres
paths = sys.argv[2:]
which = sys.argv[1]
opened = []

def allocate(key, shape, dtype):
    import os
    opened.append(len(os.listdir("/proc/self/fd")))
    if which == "changed":
        for path in paths[-3:]:
            data = open(path, "rb").read()
            os.unlink(path)
            open(path, "wb").write(data)
    return np.empty(shape, dtype)

batch = vlmres.Processor("siglip2-naflex", dtype="uint8", allocate=allocate, num_threads=2)(paths, errors="return")
assert opened[0] < 200, opened
print(len(batch.indices), sorted(batch.errors), *{str(error) for error in batch.errors.values()})
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
@pytest.mark.parametrize("which", ["same", "changed"])
def test_more_files_than_descriptors(which: str, tmp_path: Path) -> None:
    # Too large to wait in memory: 300 kB of a comment each.
    data = jpeg(40, 30)
    padded = data[:2] + b"".join(b"\xff\xfe\xff\xff" + bytes(65533) for _ in range(5)) + data[2:]
    paths = [tmp_path / f"{index}.jpg" for index in range(350)]
    for path in paths:
        path.write_bytes(padded)
    command = [sys.executable, "-c", CHILD, which, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    if which == "same":
        assert done.stdout == "350 []\n"
    else:
        assert done.stdout.startswith("347 [347, 348, 349] ")
        assert "has changed since its header was read" in done.stdout


PEAK = """
import resource, sys
import vlmres
processor = vlmres.Processor("clip", "hf", dtype="uint8", num_threads=2)
data = open(sys.argv[1], "rb").read()
processor([data])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
processor([data] * int(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_a_batch_does_not_hold_its_decoded_images(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    smooth = Image.fromarray(images.pixels(400, 300)).resize((4000, 3000))
    path.write_bytes(files.encode(smooth, "JPEG", quality=70))
    command = [sys.executable, "-c", PEAK, str(path), "32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    # Two decoded images of 36 MB for each of two threads, of 1,152 MB for all.
    assert int(done.stdout) < 4 * 36_000 + 40_000


def test_a_file_that_is_opened_is_not_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(jpeg(90, 60))
    for recipe in ("qwen2-vl", "llava-onevision"):
        proc = processor(recipe)
        for given in ([path], [[path]], [[path, path]]):
            expected = proc(given)
            opened: Any = ImageFile(path, proc.recipe, proc.limits, None)
            assert opened.plan == proc.plan((90, 60))
            path.rename(tmp_path / "elsewhere")
            other: Any = given
            found = [opened if item is path else [opened] * len(item) for item in other]
            if len(expected.plans) == 1:
                assert_equal_batches(proc(found).torch(), expected.torch())
            (tmp_path / "elsewhere").rename(path)
            if len(expected.plans) == 2:  # read anew, and planned for its sample
                assert_equal_batches(proc(found).torch(), expected.torch())
    with pytest.raises(vlmres.DecodeError, match="90x60"):
        ImageFile(path, proc.recipe, (100, None, None, None), None)
