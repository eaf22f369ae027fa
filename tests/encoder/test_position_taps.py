"""Learned tables of positions, resampled to grids by taps that are found on the host."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import canvases, pack, relative_error
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, VisionModel
from vlmres.encoder.config import Table
from vlmres.encoder.layout.position_taps import Taps
from vlmres.encoder.layout.windows import grid_order
from vlmres.encoder.nn.positions import PositionTable

GRIDS = [(5, 1), (1, 5), (1, 1), (4, 4), (9, 2), (16, 30), (2, 40), (4, 4)]
HOW = [
    Table(4, 4, "bilinear", antialias=True),
    Table(4, 7, "bicubic", antialias=True),
    Table(6, 6, "bilinear", align_corners=True),
    Table(7, 5),
    Table(1, 1),
    Table(1, 3, antialias=True),
]


def _resized(config: Table, weight: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """By torch, as a whole; on its side where one column is wanted, which torch 2.15 gets wrong."""
    source, turned = weight.view(config.rows, config.cols, -1).permute(2, 0, 1), grid[1] == 1
    source = source.transpose(1, 2) if turned else source
    resized = functional.interpolate(
        source.unsqueeze(0).contiguous(),
        grid[::-1] if turned else grid,
        mode=config.mode,
        align_corners=config.align_corners,
        antialias=config.antialias,
    )[0]
    return (resized.transpose(1, 2) if turned else resized).flatten(1).T


@pytest.mark.parametrize("merge", [1, 2])
@pytest.mark.parametrize("config", HOW, ids=str)
def test_equals_a_resize_of_the_whole(config: Table, merge: int) -> None:
    grids = [grid for grid in GRIDS if grid[0] % merge == grid[1] % merge == 0]
    orders = [grid_order(*grid, merge, None) for grid in grids]
    table = PositionTable(config, 24, prefix=1).requires_grad_(False)
    found = table(Taps.of(config, grids, orders))
    wanted = torch.cat(
        [
            _resized(config, table.weight[1:], grid)[order.positions[:, 0] * grid[1] + order.positions[:, 1]]
            for grid, order in zip(grids, orders, strict=True)
        ]
    )
    assert relative_error(found, wanted) <= 2e-7
    # A grid like the table has its very rows.
    own = (config.rows, config.cols)
    taps = Taps.of(config, [own], [grid_order(*own, 1, None)])
    assert torch.equal(table(taps), table.weight[1:])


def test_one_column() -> None:
    """The weights of a row do not depend on how many columns are wanted."""
    config = Table(4, 4, "bilinear", antialias=True)
    table = PositionTable(config, 1, prefix=0).requires_grad_(False)
    table.weight.copy_(torch.arange(4.0).repeat_interleave(4)[:, None])
    for cols in (1, 2):
        found = table(Taps.of(config, [(5, cols)], [grid_order(5, cols, 1, None)]))
        torch.testing.assert_close(found.view(5, cols)[:, 0], torch.tensor([0.0, 0.7, 1.5, 2.3, 3.0]))


def test_large_grids_are_not_kept() -> None:
    """What is kept of grids is bounded in bytes, not in grids alone."""
    assert grid_order(8, 8, 2, None) is grid_order(8, 8, 2, None)
    assert grid_order(512, 512, 2, None) is not grid_order(512, 512, 2, None)
    np.testing.assert_array_equal(grid_order(512, 512, 2, None).place, grid_order(512, 512, 2, None).place)


@pytest.mark.parametrize("name", ["clip", "siglip2", "qwen3-vl", "kimi", "deepseek-ocr"])
def test_tables_may_change_in_any_way(name: str, checkpoint: Checkpoint) -> None:
    """In place, behind autograd's back, or as memory of their own: tokens are those of the table as it is."""
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    model, fresh = encoder.model, VisionModel(encoder.config).requires_grad_(False)
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size, encoder.config.merge)
    encode(model, packed)
    weight = model.get_parameter("towers.0.table.weight")
    generator = torch.Generator().manual_seed(0)

    def swapped() -> None:
        weight.data = torch.randn(weight.shape, generator=generator)

    def copied() -> None:
        weight.data.copy_(torch.randn(weight.shape, generator=generator))

    for change in (lambda: weight.data.mul_(2), copied, *[swapped] * 4):
        change()
        fresh.load_state_dict(model.state_dict())
        for found, wanted in zip(encode(model, packed), encode(fresh, packed), strict=True):
            assert torch.equal(found, wanted)


def test_tables_are_trained() -> None:
    config, grids = Table(4, 4), [(3, 5), (4, 4)]
    table = PositionTable(config, 8, prefix=1)
    table(Taps.of(config, grids, [grid_order(*grid, 1, None) for grid in grids])).square().sum().backward()
    found, weight = table.weight.grad, table.weight.detach().clone().requires_grad_()
    torch.cat([_resized(config, weight[1:], grid) for grid in grids]).square().sum().backward()
    assert found is not None
    assert weight.grad is not None
    torch.testing.assert_close(found, weight.grad)
