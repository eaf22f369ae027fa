"""`vlmres.resize` against live Pillow and torchvision, for every filter and order of passes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional

import vlmres
from tests.images import KINDS, pixels, random_sizes
from vlmres.arithmetic import Arithmetic
from vlmres.resizing import Filter

PILLOW: dict[Filter, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
TORCH: dict[Filter, functional.InterpolationMode] = {
    "nearest": functional.InterpolationMode.NEAREST_EXACT,
    "bilinear": functional.InterpolationMode.BILINEAR,
    "bicubic": functional.InterpolationMode.BICUBIC,
    "lanczos": functional.InterpolationMode.LANCZOS,
}

Case = tuple[tuple[int, int], tuple[int, int]]

EXTREMES: list[Case] = [
    ((1, 1), (1, 1)),
    ((1, 1), (57, 31)),
    ((1, 500), (7, 9)),
    ((500, 1), (9, 7)),
    ((1, 500), (1, 3)),
    ((500, 1), (3, 1)),
    ((33, 29), (33, 29)),
    ((33, 29), (33, 58)),
    ((33, 29), (66, 29)),
    ((33, 29), (1, 1)),
    ((640, 480), (896, 448)),
    ((300, 401), (224, 224)),
    ((401, 300), (224, 224)),
    ((3000, 7), (11, 5)),
    ((7, 3000), (5, 11)),
    ((2048, 3), (8, 3)),
    ((3, 4096), (3, 16)),
    ((1536, 1280), (6, 5)),
    ((4000, 11), (3, 600)),
    ((11, 4000), (600, 3)),
    ((2, 2), (700, 700)),
    ((10, 1001), (40, 1000)),
    ((10, 1001), (10, 1000)),
    ((255, 257), (256, 256)),
    ((2, 28), (219, 2814)),
    ((2, 121), (60, 47)),
]


def random_cases(count: int, seed: int) -> list[Case]:
    return list(zip(random_sizes(count, 700, seed=seed), random_sizes(count, 500, seed=seed + 1), strict=True))


def tied_cases() -> list[Case]:
    """Around the tie of Pillow 13's choice of the first pass: (in_h - out_h) against 2 * (in_w - out_w)."""
    cases: list[Case] = []
    for dw in (-6, -1, 0, 1, 2, 9):
        for dh in (-5, -2, -1, 0, 1, 2, 3, 4, 5, 17, 18, 19):
            if max(dw, dh, -dw, -dh) < 30:
                cases.append(((60 + max(dw, 0), 70 + max(dh, 0)), (60 + max(-dw, 0), 70 + max(-dh, 0))))
    return cases


def assert_same(got: NDArray[np.uint8], expected: NDArray[np.uint8], what: object) -> None:
    assert got.dtype == np.uint8
    assert got.shape == expected.shape, what
    difference = np.abs(got.astype(np.int16) - expected)
    assert not difference.any(), f"{what}: {np.count_nonzero(difference)} values differ, by up to {difference.max()}"


def resize(array: NDArray[np.uint8], size: tuple[int, int], *rest: Any) -> NDArray[np.uint8]:
    """By a PIL image: an array of 1, 3 or 4 rows would be read as channels-first."""
    return vlmres.resize(Image.fromarray(array), size, *rest)


def by_pillow(array: NDArray[np.uint8], size: tuple[int, int], name: Filter) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(array).resize(size, PILLOW[name]))


def by_torch(array: NDArray[np.uint8], size: tuple[int, int], name: Filter) -> NDArray[np.uint8]:
    tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    if size == (1, 1):
        # torch 2.15 fails an assertion of its own on several channels.
        planes = [functional.resize(plane[None], [1, 1], interpolation=TORCH[name], antialias=True) for plane in tensor]
        return torch.cat(planes).permute(1, 2, 0).numpy()
    resized = functional.resize(tensor, [size[1], size[0]], interpolation=TORCH[name], antialias=True)
    return np.ascontiguousarray(resized.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("name", PILLOW)
def test_pillow(name: Filter) -> None:
    for index, (source, target) in enumerate(EXTREMES + tied_cases() + random_cases(60, 100)):
        array = pixels(*source, KINDS[index % 2])
        assert_same(resize(array, target, name), by_pillow(array, target, name), (source, target))


@pytest.mark.parametrize("name", TORCH)
def test_torch(name: Filter) -> None:
    for index, (source, target) in enumerate(EXTREMES + random_cases(80, 200)):
        array = pixels(*source, KINDS[index % 2])
        got = resize(array, target, name, "torch")
        assert_same(got, by_torch(array, target, name), (source, target))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arithmetic", ["pillow", "torch"])
def test_kinds_of_pixels(kind: str, arithmetic: Arithmetic) -> None:
    reference = by_torch if arithmetic == "torch" else by_pillow
    names: tuple[Filter, ...] = ("bilinear", "bicubic", "lanczos")
    for source, target in [((203, 311), (448, 448)), ((640, 480), (168, 84)), ((97, 1203), (310, 288))]:
        array = pixels(*source, kind)
        for name in names:
            assert_same(resize(array, target, name, arithmetic), reference(array, target, name), (source, target))


@pytest.mark.parametrize("name", PILLOW)
def test_large_reduction(name: Filter) -> None:
    """Weights of hundreds of taps: torch's precision reaches its most at about 256x."""
    array = pixels(5120, 600)
    for size in [(20, 2), (19, 600), (5120, 2), (1, 1)]:
        assert_same(resize(array, size, name), by_pillow(array, size, name), size)
        if name in TORCH:
            assert_same(resize(array, size, name, "torch"), by_torch(array, size, name), size)


@pytest.mark.parametrize("arithmetic", ["pillow", "torch"])
def test_any_strides(arithmetic: Arithmetic) -> None:
    base = pixels(260, 190)
    views = {
        "flipped": base[::-1, ::-1],
        "bgr": base[:, :, ::-1],
        "sliced": base[3:181:2, 7:250:3],
        "fortran": np.asfortranarray(base),
        "planar": np.ascontiguousarray(base.transpose(2, 0, 1)).transpose(1, 2, 0),
        "turned": base.transpose(1, 0, 2),
        "broadcast": np.broadcast_to(base[:1, :, :], base.shape),
    }
    for what, view in views.items():
        got = vlmres.resize(view, (113, 87), "bicubic", arithmetic)
        assert_same(got, vlmres.resize(np.ascontiguousarray(view), (113, 87), "bicubic", arithmetic), what)


def test_pillow_11_is_always_horizontal_first() -> None:
    """Two resizes of one axis each are Pillow's passes in the chosen order, whatever its version."""
    names: tuple[Filter, ...] = ("box", "bilinear", "hamming", "bicubic", "lanczos")
    for source, target in EXTREMES + random_cases(40, 300):
        array = pixels(*source)
        for name in names:
            half = by_pillow(array, (target[0], source[1]), name)
            expected = by_pillow(half, target, name)
            assert_same(resize(array, target, name, "pillow-11"), expected, (source, target, name))


def test_pillow_13_by_name() -> None:
    array = pixels(300, 401)
    assert_same(resize(array, (224, 224), "bicubic", "pillow-13"), by_pillow(array, (224, 224), "bicubic"), "")
    assert not np.array_equal(
        resize(array, (224, 224), "bicubic", "pillow-12"), by_pillow(array, (224, 224), "bicubic")
    )


PILLOW_12_SCRIPT = """
import json, sys
import numpy as np
import PIL
from PIL import Image
assert PIL.__version__.startswith("12.3."), PIL.__version__
folder = sys.argv[1]
given = np.load(folder + "/sources.npz")
results = {}
for key, (width, height), resampling in json.load(open(folder + "/cases.json")):
    source = Image.fromarray(given[key])
    results[f"{key}-{width}-{height}-{resampling}"] = np.asarray(source.resize((width, height), resampling))
np.savez(folder + "/results.npz", **results)
import vlmres
from vlmres.arithmetic import resolve_arithmetic
assert resolve_arithmetic("pillow") == "pillow-13"
assert resolve_arithmetic("pillow-installed") == "pillow-12"
array = given["1"]
expected = np.asarray(Image.fromarray(array).resize((9, 100), Image.Resampling.BICUBIC))
assert np.array_equal(vlmres.resize(array, (9, 100), arithmetic="pillow-installed"), expected)
# Whatever is installed, "pillow" is 13, here and in a processor.
assert np.array_equal(vlmres.resize(array, (9, 100)), vlmres.resize(array, (9, 100), arithmetic="pillow-13"))
assert not np.array_equal(vlmres.resize(array, (9, 100)), expected)
values = {}
for name in ("pillow", "pillow-installed", "pillow-12", "pillow-13"):
    processor = vlmres.Processor("paligemma", arithmetic=name, image_width=98, image_height=98)
    values[name] = processor(array)["pixel_values"].tobytes()
assert values["pillow"] == values["pillow-13"] != values["pillow-12"] == values["pillow-installed"]
print("done")
"""


def run_with_pillow_12(pillow12: Path, script: str, *arguments: str) -> str:
    path = os.pathsep.join([str(pillow12), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_pillow_12(pillow12: Path, tmp_path: Path) -> None:
    tall: list[Case] = [
        ((3, 301), (9, 100)),
        ((3, 300), (9, 100)),
        ((3, 301), (9, 301)),
        ((3, 301), (9, 400)),
        ((1, 101), (40, 100)),
        ((1, 100), (40, 99)),
        ((7, 3000), (5, 11)),
        ((20, 2001), (448, 448)),
        ((20, 2001), (3, 2000)),
        ((8, 801), (336, 336)),
        ((12, 4000), (12, 999)),
    ]
    cases = tall + EXTREMES + tied_cases()[::3] + random_cases(25, 400)
    sources = {str(index): pixels(*source) for index, (source, _) in enumerate(cases)}
    np.savez(tmp_path / "sources.npz", **sources)  # type: ignore[arg-type]
    jobs = [(str(index), target, int(code)) for index, (_, target) in enumerate(cases) for code in PILLOW.values()]
    (tmp_path / "cases.json").write_text(json.dumps(jobs))
    assert run_with_pillow_12(pillow12, PILLOW_12_SCRIPT, str(tmp_path)).strip() == "done"
    results = np.load(tmp_path / "results.npz")
    differs_from_11 = 0
    for index, (source, target) in enumerate(cases):
        for name, code in PILLOW.items():
            expected = results[f"{index}-{target[0]}-{target[1]}-{int(code)}"]
            array = sources[str(index)]
            assert_same(resize(array, target, name, "pillow-12"), expected, (source, target, name))
            differs_from_11 += not np.array_equal(resize(array, target, name, "pillow-11"), expected)
    assert differs_from_11, "no case tells pillow-12 from pillow-11"


def test_pillow_decides_without_being_imported(pillow12: Path) -> None:
    script = """
import sys
from vlmres.arithmetic import resolve_arithmetic
print(resolve_arithmetic("pillow-installed"), "PIL" in sys.modules)
"""
    assert run_with_pillow_12(pillow12, script).split() == ["pillow-12", "False"]


@pytest.mark.parametrize(
    ("filter", "arithmetic", "size", "message"),
    [
        ("cubic", "pillow", (4, 4), "cubic"),
        ("box", "torch", (4, 4), "box"),
        ("hamming", "torch", (4, 4), "hamming"),
        ("bicubic", "pillow-9", (4, 4), "pillow-9"),
        ("bicubic", "pillow", (0, 4), "0x4"),
        ("bicubic", "pillow", (4, -1), "4x-1"),
    ],
)
def test_refusals(filter: Filter, arithmetic: Arithmetic, size: tuple[int, int], message: str) -> None:
    with pytest.raises(vlmres.VlmresError, match=message):
        vlmres.resize(pixels(8, 8), size, filter, arithmetic)
