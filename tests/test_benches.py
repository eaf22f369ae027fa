"""The comparison's own parts: what it calls exact is exact, and its tables say what was measured."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benches.compare import decoding, report, verify
from benches.compare.contestants import CONTESTANTS
from benches.compare.measure import Result
from benches.compare.tables import TABLES, Table
from benches.compare.work import Shelf, Work, load

import vlmres

ROOT = Path(__file__).parent.parent
QWEN = Work("qwen2-vl", ((56, 28),))


def patches(values: np.ndarray[Any, Any]) -> verify.Arrays:
    return {"pixel_values": values}


def test_equal_bits_are_no_difference() -> None:
    values = np.random.default_rng(0).random((8, 1176), np.float32)
    assert verify.difference(patches(values), patches(values.copy()), QWEN) == 0


def test_one_bit_is_a_difference() -> None:
    values = np.ones((8, 1176), np.float32)
    other = values.copy()
    other[3, 700] = np.nextafter(np.float32(1), np.float32(2))
    assert 0 < verify.difference(patches(other), patches(values), QWEN) < 1e-4
    values[0, 0], other[3, 700] = 0.0, 1.0
    other[0, 0] = -0.0
    with pytest.raises(ValueError, match="bits"):
        verify.difference(patches(other), patches(values), QWEN)


def test_differences_are_in_levels_of_the_channel() -> None:
    std = vlmres.Recipe.load("qwen2-vl").params["image_std"]
    values = np.zeros((8, 3, 392), np.float32)
    other = values.copy()
    other[5, 2, 100] = 2 / (255 * std[2])
    difference = verify.difference(patches(other.reshape(8, -1)), patches(values.reshape(8, -1)), QWEN)
    assert difference == pytest.approx(2)


def test_packed_patches_are_compared_with_the_first_frame() -> None:
    image = np.random.default_rng(1).integers(0, 256, (56, 112, 3), np.uint8)
    planes = vlmres.Processor("qwen2-vl", "hf", "uint8", "torch")(image)
    packed = {"patches": vlmres.Processor("qwen2-vl", "packed", "uint8", "torch")(image)["patches"].copy()}
    assert verify.difference(packed, patches(planes["pixel_values"]), QWEN) == 0
    packed["patches"][2, 9] ^= 4
    assert verify.difference(packed, patches(planes["pixel_values"]), QWEN) == 4


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({"pixel_values": np.zeros((4, 1176), np.float32)}, r"\(4, 1176\), reference float32\(8, 1176\)"),
        ({"pixel_values": np.zeros((8, 1176), np.uint16)}, "uint16.*reference float32"),
        ({"images_crop": np.zeros((8, 1176), np.float32)}, "keys images_crop, reference pixel_values"),
    ],
)
def test_what_cannot_be_compared_says_why(got: verify.Arrays, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        verify.difference(got, patches(np.zeros((8, 1176), np.float32)), QWEN)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_row_has_its_counterpart_and_reference(table: Table) -> None:
    for name in table.rows:
        contestant = CONTESTANTS[name]
        assert contestant.versus is None or contestant.versus in table.rows
        if not contestant.part:
            assert CONTESTANTS[table.reference(contestant.equals or table.nearest)].process != "vlmres"


def test_the_same_pixels_for_every_process(tmp_path: Path) -> None:
    work = Work("llava-1.5", ((30, 20), (20, 90)))
    paths = Shelf(tmp_path).put(work)
    first, second = load(paths, "array"), load(paths, "pil")
    assert [image.shape for image in first] == [(20, 30, 3), (90, 20, 3)]
    assert all(np.array_equal(array, image) for array, image in zip(first, second, strict=True))
    assert Work.from_json(work.to_json()) == work


def column(ms: float) -> report.Column:
    return {
        "vlmres": Result([ms, ms], 0.0),
        "vlmres out=": Result([ms / 2, ms / 2], 0.0),
        "transformers torchvision": Result([4 * ms, 6 * ms], 0.0),
        "torch by hand, tuned": Result([ms, ms], 0.0),
        "OpenCV + numpy": Result([2 * ms, 2 * ms], 31.0),
        "kornia-rs + numpy": Result(skipped="ModuleNotFoundError: No module named 'kornia_rs'"),
    }


def test_tables_have_ratios_within_rounds(tmp_path: Path) -> None:
    results = report.Results("a machine", {"qwen2-vl": {"640x480": column(2), "1024x1024": column(4)}}, "the memory")
    results.save(tmp_path / "results.json")
    results = report.Results.load(tmp_path / "results.json")
    text = report.full(results)
    assert "| transformers torchvision | 10.00, **5.0x** (4.5 to 5.5) | 20.00, **5.0x** (4.5 to 5.5) | 0 |" in text
    # Beside the row that writes to memory kept, as it does.
    assert "| torch by hand, tuned | 2.00, **2.0x** (2.0 to 2.0) |" in text
    assert "| OpenCV + numpy | 4.00, **2.0x** (2.0 to 2.0) | 8.00, **2.0x** (2.0 to 2.0) | 31 |" in text
    assert "Not timed: kornia-rs + numpy (ModuleNotFoundError: No module named 'kornia_rs')." in text
    assert text.startswith("a machine\n")
    assert text.endswith("\nthe memory")
    assert "| Qwen2-VL, 640x480 | 2.00 | 5.0x | - | - | 2.0x | 2.0x | - |" in report.summary(results)


def test_tables_go_between_their_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- measured: summary -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(report, "FILES", [page])
    monkeypatch.setattr(report, "ROOT", tmp_path)
    results = report.Results("a machine", {"qwen2-vl": {"640x480": column(2)}})
    assert report.write(results) == [Path("page.md")]
    assert report.write(results) == []
    text = page.read_text(encoding="utf-8")
    assert text == f"before\n<!-- measured: summary -->\n{report.summary(results)}\n<!-- end -->\nafter\n"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benches.compare", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_a_column_as_a_user_measures_it(tmp_path: Path) -> None:
    saved = tmp_path / "results.json"
    peer = "transformers torchvision"
    done = run("run", "llava-1.5", "--column", "640", "--peer", peer, "--runs", "2", "--save", str(saved))
    assert done.returncode == 0, done.stderr
    results = report.Results.load(saved).tables["llava-1.5"]["640x480"]
    assert len(results[peer].ms) == 2
    assert results["vlmres"].levels == 0
    assert results["vlmres, Pillow's arithmetic"].levels == 0
    assert f"\n| {peer} | " in done.stdout


def test_an_unknown_table_is_named() -> None:
    done = run("run", "qwen9")
    assert done.returncode == 1
    assert "there is no table qwen9; there are qwen2-vl, " in done.stderr


def _nothing(_data: bytes) -> None:
    """A decoder that reads no file."""


def test_decoding_is_measured_where_the_pixels_are_pillow_s() -> None:
    table = decoding.report(((64, 48),), rounds=1)
    rows = [line for line in table.splitlines()[2:] if line]
    assert len(rows) == 21
    assert all(" 64x48" not in row and row.count("x ") + row.count("- |") >= 1 for row in rows)
    data = next(iter(decoding.files(64, 48)))[1]
    found = decoding.times(data, {"vlmres": decoding.decoders()["vlmres"], "none": _nothing}, 1)
    assert found["vlmres"] is not None
    assert found["none"] is None
