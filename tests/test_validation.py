"""Arguments that cannot be used: refused early, by name and value."""

import os
import re
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pytest

import vlmres
from tests.images import EXAMPLES, pixels
from vlmres.arithmetic import Arithmetic
from vlmres.processor import DType, Layout

PICTURE = pixels(40, 30)
HUGE = 2**63
COUNTS = ["num_threads", "max_image_pixels", "max_file_bytes", "max_decoded_bytes", "max_output_bytes"]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [True, False, 2.0, "2", np.True_, np.float64(2), [2]])
def test_counts_are_integers(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"{name} must be an integer or None, got {value!r}")):
        vlmres.Processor("llava-1.5", **{name: value})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -3, np.int64(0)])
def test_counts_are_positive(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be at least 1, got {value}$"):
        vlmres.Processor("llava-1.5", **{name: value})


@pytest.mark.parametrize("name", COUNTS)
def test_counts_fit_64_bits(name: str) -> None:
    for value in (2**64, 2**70):
        with pytest.raises(ValueError, match=f"^{name} must be at most {2**64 - 1}, got {value}$"):
            vlmres.Processor("llava-1.5", **cast("Any", {name: value}))
    largest = vlmres.Processor("llava-1.5", **cast("Any", {name: 2**64 - 1}))
    assert len(largest([PICTURE, EXAMPLES / "line.png"]).plans) == 2


@pytest.mark.parametrize("value", [None, 1, 2, np.int64(2), np.uint8(2)])
def test_counts_that_are_taken(value: Any) -> None:
    expected = vlmres.Processor("llava-1.5")(PICTURE)["pixel_values"]
    batch = vlmres.Processor("llava-1.5", num_threads=value)(PICTURE)
    assert np.array_equal(batch["pixel_values"], expected)
    assert vlmres.resize(PICTURE, (8, 6), num_threads=value).shape == (6, 8, 3)
    limited = vlmres.Processor("llava-1.5", max_image_pixels=value)
    path = EXAMPLES / "line.png"
    if value is None:
        assert len(limited(path).plans) == 1
    else:
        with pytest.raises(vlmres.DecodeError):
            limited(path)


def test_threads_of_resize() -> None:
    for value in (0, -1):
        with pytest.raises(ValueError, match=f"^num_threads must be at least 1, got {value}$"):
            vlmres.resize(PICTURE, (8, 6), num_threads=value)
    for wrong in (True, 1.5):
        with pytest.raises(TypeError, match=f"num_threads must be an integer or None, got {wrong}"):
            vlmres.resize(PICTURE, (8, 6), num_threads=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-1, 4), (4, 2**40)])
def test_target_size(size: tuple[int, int]) -> None:
    with pytest.raises(vlmres.VlmresError, match=f"^target .*{size[0]}x{size[1]}: both sides must be between 1 and"):
        vlmres.resize(PICTURE, size)


def test_size_of_the_source_is_not_the_target() -> None:
    with pytest.raises(vlmres.VlmresError) as caught:
        vlmres.resize(np.empty((0, 4, 3), np.uint8), (8, 6))
    assert "target" not in str(caught.value)


@pytest.mark.parametrize(("name", "kind"), [("layout", Layout), ("dtype", DType), ("arithmetic", Arithmetic)])
def test_choices(name: str, kind: Any) -> None:
    names = get_args(kind)
    for choice in names:
        assert getattr(vlmres.Processor("llava-1.5", **{name: choice}), name) == choice
    unknown: list[Any] = ["best", "", 1, ["uint8"]]
    for wrong in unknown:
        message = re.escape(f"{name} must be one of {', '.join(names)}, got {wrong!r}")
        with pytest.raises(ValueError, match=message):
            vlmres.Processor("llava-1.5", **{name: wrong})


@pytest.mark.parametrize("out", [[1], (), 3, "pixel_values", {"pixel_values"}])
def test_out_is_an_array_or_a_mapping(out: Any) -> None:
    message = f"^out must be a numpy array, a CPU tensor or a mapping of them, got {type(out).__name__}$"
    with pytest.raises(TypeError, match=message):
        vlmres.Processor("llava-1.5")(PICTURE, out=out)


def test_keys_of_out() -> None:
    with pytest.raises(ValueError, match="exactly the keys pixel_values, got 1"):
        vlmres.Processor("llava-1.5")(PICTURE, out={1: PICTURE})
    proc = vlmres.Processor("llava-1.5")
    batch = proc(PICTURE)
    again = proc(PICTURE, out=batch)  # a batch is a mapping
    assert again["pixel_values"] is batch["pixel_values"]


@pytest.mark.parametrize("value", [HUGE, HUGE + 5, 2**64 - 1])
@pytest.mark.parametrize("order", ["<", ">"])
def test_sizes_over_int64(value: int, order: str) -> None:
    sizes = np.array([(640, 480), (value, 480), (0, 5), (640, value), (28, 28)], dtype=f"{order}u8")
    with pytest.raises(vlmres.PlanError, match=f"^row 1: image size {value}x480: "):
        vlmres.plan_many(sizes, "qwen2-vl")
    before = sizes.copy()
    table = vlmres.plan_many(sizes, "qwen2-vl", errors="return")
    assert np.array_equal(sizes, before)
    assert sorted(table.errors) == [1, 2, 3]
    assert f"{value}x480" in str(table.errors[1])
    assert "0x5" in str(table.errors[2])
    assert f"640x{value}" in str(table.errors[3])
    assert table.sizes.tolist() == [[640, 480], [-1, 480], [0, 5], [640, -1], [28, 28]]
    assert table.num_tokens[[1, 2, 3]].tolist() == [-1, -1, -1]
    good = vlmres.plan_many([(640, 480), (28, 28)], "qwen2-vl")
    assert table.num_tokens[[0, 4]].tolist() == good.num_tokens.tolist()


def test_the_first_bad_row_is_raised() -> None:
    with pytest.raises(vlmres.PlanError, match=r"^row 0: image size 0x5: "):
        vlmres.plan_many(np.array([(0, 5), (HUGE, 5)], dtype=np.uint64), "qwen2-vl")
    with pytest.raises(vlmres.PlanError, match=f"^row 0: image size {HUGE - 1}x5: "):
        vlmres.plan_many(np.array([(HUGE - 1, 5)], dtype=np.uint64), "qwen2-vl")


class BytesPath(os.PathLike[bytes]):
    """A path-like whose path is bytes."""

    def __init__(self, path: Path | str) -> None:
        self.path = os.fsencode(path)

    def __fspath__(self) -> bytes:
        return self.path


def test_paths_of_bytes(tmp_path: Path) -> None:
    proc = vlmres.Processor("llava-1.5")
    source = EXAMPLES / "line.png"
    path = tmp_path / "líne 1.png"
    path.write_bytes(source.read_bytes())
    assert np.array_equal(proc(BytesPath(path))["pixel_values"], proc(source)["pixel_values"])
    with pytest.raises(FileNotFoundError, match="missing"):
        proc(BytesPath(tmp_path / "missing.png"))
    # A path names a file, whatever it looks like.
    with pytest.raises(FileNotFoundError, match="example"):
        proc(BytesPath("https://example.com/a.png"))
