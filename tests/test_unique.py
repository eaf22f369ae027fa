"""Cells of a packed batch that equal an earlier one."""

import numpy as np
import pytest

import vlmres
from tests.images import EXAMPLES, pixels

RECIPES = ["qwen2-vl", "internvl2", "deepseek-ocr-gundam", "llava-1.5", "siglip2-naflex"]


def cells_of(batch: vlmres.Batch) -> list[tuple[int, int, bytes]]:
    """(image, segment, bytes) of every cell, by loops."""
    stride = next(plan.recipe.token_stride for plan in batch.plans if plan is not None)
    found = []
    for segment, (start, stop) in enumerate(zip(batch.cu_seqlens[:-1], batch.cu_seqlens[1:], strict=True)):
        places = {tuple(position): index for index, position in enumerate(batch.positions[start:stop].tolist())}
        rows, cols = batch.grids[segment].tolist()
        for row in range(0, rows, stride):
            for col in range(0, cols, stride):
                inside = [(row + y, col + x) for y in range(stride) for x in range(stride)]
                rows_of = [batch.patches[start + places[at]].tobytes() for at in inside if at in places]
                found.append((int(batch.image_index[segment]), segment, b"".join(rows_of)))
    return found


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("within", ["image", "segment", "batch"])
def test_kept_cells_restore_all(recipe: str, within: str) -> None:
    page = np.full((230, 300, 3), 255, np.uint8)
    page[40:60, 30:200] = pixels(170, 20)
    batch = vlmres.Processor(recipe, "packed", "uint8")([page, pixels(90, 70), page])
    found = batch.unique(within)  # type: ignore[arg-type]
    cells = cells_of(batch)
    assert len(found.inverse) == len(cells)
    group = {"image": lambda cell: cell[0], "segment": lambda cell: cell[1], "batch": lambda _: 0}[within]
    seen: dict[tuple[int, bytes], int] = {}
    expected = [seen.setdefault((group(cell), cell[2]), index) for index, cell in enumerate(cells)]
    np.testing.assert_array_equal(found.cells[found.inverse], expected)
    np.testing.assert_array_equal(found.cells, sorted(set(expected)))
    np.testing.assert_array_equal(found.restore(found.cells), expected)
    assert found.share == len(found.cells) / len(cells)
    kept = b"".join(cells[index][2] for index in found.cells)
    assert sorted(batch.patches[found.patches].tobytes()) == sorted(kept)
    if within == "batch":
        assert max(found.cells) < len(cells) - sum(cell[0] == 2 for cell in cells)


def test_share_of_paper_and_photograph() -> None:
    processor = vlmres.Processor("qwen2-vl", "packed", "uint8")
    paper = np.full((280, 280, 3), 255, np.uint8)
    assert len(processor(paper).unique().cells) == 1
    assert processor(EXAMPLES / "photo.jpg").unique().share > 0.95
    assert processor(EXAMPLES / "page.png").unique().share < 0.6


def test_floats_have_the_same_cells_as_bytes() -> None:
    images = [EXAMPLES / "line.png", EXAMPLES / "page.png"]
    found = [vlmres.Processor("siglip2-naflex", "packed", kind)(images).unique() for kind in ("uint8", "float32")]
    np.testing.assert_array_equal(found[0].inverse, found[1].inverse)


def test_unique_needs_packed_arrays() -> None:
    with pytest.raises(ValueError, match='layout="packed"'):
        vlmres.Processor("qwen2-vl")(pixels(60, 60)).unique()
    batch = vlmres.Processor("qwen2-vl", "packed")(pixels(60, 60))
    with pytest.raises(ValueError, match='within must be "image", "segment" or "batch"'):
        batch.unique("page")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="values of 3 cells"):
        batch.unique().restore(np.zeros(3))


def test_tensors_are_restored() -> None:
    torch = pytest.importorskip("torch")
    batch = vlmres.Processor("qwen2-vl", "packed", "uint8")(np.zeros((112, 112, 3), np.uint8))
    found = batch.unique()
    assert found.restore(torch.ones(1, 5)).shape == (16, 5)
    with pytest.raises(ValueError, match="tensors"):
        batch.to("cpu").unique()
