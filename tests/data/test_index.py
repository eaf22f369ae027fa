"""Index files: `vlmres plan -o` writes them, `Loader(sizes=)` reads them, PDF files and bad files included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import vlmres
from tests.images import pixels
from tests.pdf import pdf
from vlmres.cli.app import app
from vlmres.data import Loader, index
from vlmres.data.sizes import Sizes

FORMATS = ["parquet", "csv", "jsonl"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images and a PDF file of three pages between them, and one that is bad."""
    made = tmp_path / "files"
    made.mkdir()
    for number, name in enumerate("acd"):
        Image.fromarray(pixels(60 + 20 * number, 90, seed=number)).save(made / f"{name}.png")
    (made / "b.pdf").write_bytes(pdf(3, size=(200, 120)))
    return made


def written(folder: Path, out: Path, code: int = 0) -> Path:
    done = CliRunner().invoke(app, ["plan", str(folder), "-r", "qwen2-vl", "-o", str(out)])
    assert done.exit_code == code, done.output
    return out


@pytest.mark.parametrize("format", FORMATS)
def test_a_loader_reads_what_plan_wrote(folder: Path, tmp_path: Path, format: str) -> None:
    pytest.importorskip("pypdfium2")
    path = written(folder, tmp_path / f"index.{format}")
    files = sorted(folder.iterdir())
    sizes = Sizes(path, 4)
    assert [sizes.of(sample) for sample in range(4)] == [[(60, 90)], [(400, 240)] * 3, [(80, 90)], [(100, 90)]]
    tokens = [vlmres.plan((60, 90), "qwen2-vl").num_tokens, 3 * vlmres.plan((400, 240), "qwen2-vl").num_tokens]
    assert sizes.tokens(vlmres.Recipe.load("qwen2-vl")).tolist()[:2] == tokens
    known = list(Loader(files, "qwen2-vl", max_tokens=sum(tokens), sizes=path))
    measured = list(Loader(files, "qwen2-vl", max_tokens=sum(tokens)))
    assert [batch.item_indices.tolist() for batch in known] == [batch.item_indices.tolist() for batch in measured]
    assert sum(batch.image_counts.sum() for batch in known) == 6
    assert sum(sum(batch.num_tokens) for batch in known) == sizes.tokens(vlmres.Recipe.load("qwen2-vl")).sum()


def test_sizes_alone(folder: Path, tmp_path: Path) -> None:
    (folder / "b.pdf").unlink()
    path = written(folder, tmp_path / "index.npy")
    assert np.load(path).tolist() == [[60, 90], [80, 90], [100, 90]]
    assert len(Sizes(path, 3)) == 3
    (folder / "b.pdf").write_bytes(pdf(2))
    done = CliRunner().invoke(app, ["plan", str(folder), "-r", "qwen2-vl", "-o", str(path)])
    assert done.exit_code == 2
    assert "choose .parquet" in done.output
    assert len(Sizes(path, 3)) == 3  # what was there stays
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("format", FORMATS)
def test_a_bad_file_keeps_its_row(folder: Path, tmp_path: Path, format: str) -> None:
    pytest.importorskip("pypdfium2")
    (folder / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    path = written(folder, tmp_path / f"index.{format}", code=1)
    loader = Loader(sorted(folder.iterdir()), "qwen2-vl", max_tokens=2000, sizes=path, errors="skip")
    (batch,) = loader
    assert batch.item_indices.tolist() == [0, 1, 3]
    assert batch.image_counts.tolist() == [1, 3, 1]
    assert loader.stats()["skipped"] == 1
    # A file that was mended since has another size than the index says: none.
    Image.fromarray(pixels(50, 50)).save(folder / "c.png")
    with pytest.raises(vlmres.VlmresError, match=r"item 2 .*its images are 50x50, sizes say none"):
        list(Loader(sorted(folder.iterdir()), "qwen2-vl", batch_size=4, sizes=path))


def test_rows_say_what_an_image_costs(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    rows = [json.loads(line) for line in written(folder, tmp_path / "index.jsonl").read_text().splitlines()]
    assert [row.get("page") for row in rows] == [None, 0, 1, 2, None, None]
    plan = vlmres.plan((60, 90), "qwen2-vl")
    assert rows[0] == {
        "path": str(folder / "a.png"),
        "width": 60,
        "height": 90,
        "tiles": plan.num_tiles,
        "patches": plan.num_patches,
        "tokens": plan.num_tokens,
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("index.txt", "", r"an index ends in \.parquet, \.csv, \.jsonl, \.npy"),
        ("index.csv", "path,height\na,3\n", "no column 'width'; its columns are path, height"),
        ("index.jsonl", '{"width": 3}\n', "no column 'height'"),
    ],
)
def test_what_is_no_index_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        Sizes(path, 1)
    if name == "index.txt":
        done = CliRunner().invoke(app, ["plan", "3x4", "-r", "qwen2-vl", "-o", str(path)])
        assert done.exit_code == 2


def test_one_file_twice_is_two_samples(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"path": "a.pdf", "page": page, "width": 5, "height": 6} for page in (0, 1, 0, 1)]
    index.write(tmp_path / "index.csv", rows)
    sizes, ends = index.read(tmp_path / "index.csv")
    assert ends.tolist() == [0, 2, 4]
    assert sizes.tolist() == [[5, 6]] * 4
