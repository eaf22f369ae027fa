"""What is computed from grids alone: orders, windows, arrangements, and what cannot be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.vision_utils import get_vision_window_index

import vlmres
from vlmres.encoder import build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.config import Arrangement, EncoderConfig
from vlmres.encoder.layout.token_order import ImageTokens, ViewTokens, arrange
from vlmres.encoder.layout.tower import Places
from vlmres.encoder.layout.windows import grid_order, padded_windows, window_lengths


def _config(kind: str, **vision: Any) -> EncoderConfig:
    return architecture({"model_type": kind, "vision_config": vision}).config


def test_windows_equal_transformers() -> None:
    config = _config("qwen2_5_vl", hidden_size=1280)
    rng = np.random.default_rng(0)
    grids = np.concatenate([[(8, 8), (2, 2), (2, 40), (16, 8), (10, 18)], rng.integers(1, 30, (20, 2)) * 2])
    index, bounds = get_vision_window_index(torch.tensor([[1, *grid] for grid in grids.tolist()]), 2, 112, 14)
    layout = build_layout(config, grids)
    windows = layout.towers[0].windows
    assert windows is not None
    assert torch.equal(windows.cu_seqlens, bounds.int())
    assert int(window_lengths(map(tuple, grids.tolist()), 2, 4).max()) == windows.max_seqlen == 64
    # Cells in the order of tokens, from their place in the sequence.
    assert layout.output is not None
    assert torch.equal(layout.output, torch.argsort(index))


def test_padded_windows() -> None:
    gather, scatter = padded_windows([(2, 3), (4, 4)], 2)
    assert gather.tolist() == [0, 1, 3, 4, 2, 22, 5, 22, *[6, 7, 10, 11, 8, 9, 12, 13, 14, 15, 18, 19, 16, 17, 20, 21]]
    np.testing.assert_array_equal(gather[scatter], np.arange(22))


def test_patches_in_order_are_not_moved() -> None:
    batch = vlmres.Processor("qwen2-vl", layout="packed", dtype="uint8")(np.zeros((60, 90, 3), np.uint8))
    assert build_layout(_config("qwen2_vl"), batch.grids, batch.positions).order is None
    tiles = vlmres.Processor("internvl2", layout="packed", dtype="uint8")(np.zeros((60, 90, 3), np.uint8))
    order = build_layout(_config("internvl"), tiles.grids, tiles.positions).order
    assert order is not None
    # Cells of 2x2 patches, from rows of 32.
    assert order[:8].tolist() == [0, 1, 32, 33, 2, 3, 34, 35]


def test_bad_grids_and_positions() -> None:
    config = _config("qwen2_vl")
    with pytest.raises(ValueError, match=r"segment 1 has 3x4 patches; Qwen2-VL needs multiples of 2"):
        build_layout(config, np.array([(2, 2), (3, 4)]))
    with pytest.raises(ValueError, match=r"shape \[segments, 2\] with at least one segment, got \[0, 2\]"):
        build_layout(config, np.zeros((0, 2)))
    with pytest.raises(ValueError, match="segment 0 has 0x2 patches"):
        build_layout(config, np.array([(0, 2)]))
    with pytest.raises(ValueError, match=r"grids have 4 patches, positions shape \[3, 2\]"):
        build_layout(config, np.array([(2, 2)]), np.zeros((3, 2)))
    for wrong in (
        [(0, 0), (0, 1), (1, 0), (1, 0)],
        [(0, 0), (0, 1), (1, 0), (1, 2)],
        [(0, 0), (0, 1), (1, 0), (1, -1)],
    ):
        with pytest.raises(ValueError, match="positions do not name every patch"):
            build_layout(config, np.array([(2, 2)]), np.array(wrong))
    images = [ImageTokens((28, 28), (ViewTokens("tile", 2, 2),))]
    with pytest.raises(ValueError, match="the images have 4 segments, the batch 1"):
        build_layout(config, np.array([(2, 2)]), images=images)


def test_queries_are_chosen_by_length() -> None:
    config = architecture({"model_type": "deepseek_ocr2_vision"}).config
    layout = build_layout(config, np.array([(48, 48), (64, 64), (40, 40)]))
    assert torch.diff(layout.cu_seqlens).tolist() == [144, 256, 144]
    with pytest.raises(ValueError, match=r"a segment of 400 tokens is larger than all sets of queries: \(144, 256\)"):
        build_layout(config, np.array([(80, 80)]))


def test_arrangement() -> None:
    """Two tiles side by side, then the whole: rows of both tiles, newlines, a separator."""
    config = Arrangement(stitch=("tile",), newline=("tile", "global"), separator=True)
    image = ImageTokens((20, 10), (ViewTokens("tile", 1, 2), ViewTokens("global")))
    index, bounds = arrange(config, [image, ImageTokens((1, 1), (ViewTokens("global"),))], [(2, 2)] * 2 + [(1, 2)] * 2)
    n, s = 12, 13
    assert index.tolist() == [0, 1, 4, 5, n, 2, 3, 6, 7, n, 8, 9, n, s, 10, 11, n, s]
    assert bounds.tolist() == [0, 14, 18]


# Of (205, 328) and (656, 205) the rows or columns to cut are 14.999999999999998 and the like, if not rounded first.
@pytest.mark.parametrize(
    "size", [(640, 480), (30, 1000), (1000, 31), (335, 336), (2000, 50), (17, 17), (205, 328), (656, 205)]
)
def test_llava_next_counts_as_its_plan(size: tuple[int, int]) -> None:
    plan = vlmres.plan(size, "llava-next")
    config = Arrangement(stitch=("tile",), newline=("tile",), unpad=("tile",), lone_newline=True)
    index, _ = arrange(config, ImageTokens.of(plan), [(24, 24)] * plan.num_tiles)
    assert len(index) == plan.num_tokens


def test_configurations_that_cannot_be() -> None:
    config = _config("qwen2_5_vl", hidden_size=1280)
    tower = config.towers[0]
    with pytest.raises(ValueError, match="no hidden state after block 33"):
        replace(tower, features=(33,))
    with pytest.raises(ValueError, match="has no towers"):
        replace(config, towers=())
    with pytest.raises(ValueError, match="windows that reorder patches"):
        replace(config, towers=(replace(tower, cls=True),))
    with pytest.raises(ValueError, match="deepstack projectors exactly where"):
        replace(config, towers=(replace(tower, taps=(1,)),))


def test_distances_of_relative_positions() -> None:
    """Where those of a query and a key of one segment are, among all rows' and then all columns'."""
    grids = [(2, 3), (4, 4), (2, 4)]
    found = Places.of(grids, [grid_order(rows, cols, 1, None).positions for rows, cols in grids])
    assert found.sides == ((2, 4), (3, 4))
    rows = [("row", side, distance) for side in (2, 4) for distance in range(1 - side, side)]
    cols = [("col", side, distance) for side in (3, 4) for distance in range(1 - side, side)]
    names, start = rows + cols, 0
    for height, width in grids:
        own = slice(start, start + height * width)
        for base, (row, col) in zip(found.bases[own].tolist(), found.places[own].tolist(), strict=True):
            for key_row, key_col in found.places[own].tolist():
                assert names[base[0] - key_row] == ("row", height, row - key_row)
                assert names[base[1] - key_col] == ("col", width, col - key_col)
        start = own.stop
