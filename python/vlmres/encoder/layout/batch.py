"""Everything about a batch that follows from its grids: computed on the host, once, before the encoder runs."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vlmres.encoder.layout.grids import check_grids, clip_grids, output_grids
from vlmres.encoder.layout.token_order import EXTRA_TOKENS, ImageTokens, ViewTokens, arrange
from vlmres.encoder.layout.tower import TowerLayout, tower_layout
from vlmres.encoder.layout.windows import GridOrder, grid_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres.encoder.config import EncoderConfig

    Integers = NDArray[np.int64]


@dataclass
class Layout:
    """What an encoder needs to know of a batch, patches aside."""

    towers: tuple[TowerLayout, ...]
    order: torch.Tensor | None
    """int64 [N]: the patch for each place of the encoder's sequence; None where they are in order."""
    output: torch.Tensor | None
    """int64: where each output token comes from, newline and separator behind the others; None where in order."""
    cu_seqlens: torch.Tensor
    """int32 [images + 1], of the output tokens; stays on the host."""
    num_patches: int

    def to(self, device: torch.device | str, *, pin: bool = False) -> Layout:
        """The same with its tensors on a device, copied without waiting where they are pinned."""
        moved: Layout = _move(self, device, pin)
        return dataclasses.replace(moved, cu_seqlens=self.cu_seqlens)


def _move(value: Any, device: torch.device | str, pin: bool) -> Any:
    if isinstance(value, torch.Tensor):
        return (value.pin_memory() if pin else value).to(device, non_blocking=pin)
    if isinstance(value, tuple):
        return tuple(_move(item, device, pin) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: _move(getattr(value, item.name), device, pin) for item in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    return value


def build_layout(
    config: EncoderConfig,
    grids: NDArray[Any],
    positions: NDArray[Any] | None = None,
    images: Sequence[ImageTokens] | None = None,
    *,
    group: bool = True,
) -> Layout:
    """The layout of a packed batch.

    Args:
        config: The encoder's.
        grids: [segments, 2], rows and columns of patches.
        positions: [N, 2], row and column of each patch in its segment, which may be in any order; by default that of
            the encoder: cells of `config.merge`² patches in raster order.
        images: The images, or parts of videos, that the segments are of; by default each segment is an image.
        group: Whether attention runs by SDPA, which takes equal segments together.

    Raises:
        ValueError: Grids and positions do not fit each other, the images, or the encoder.
    """
    grids = np.asarray(grids, dtype=np.int64)
    if grids.ndim != 2 or grids.shape[1] != 2 or len(grids) == 0:
        raise ValueError(f"grids must have shape [segments, 2] with at least one segment, got {list(grids.shape)}")
    tokens: tuple[tuple[int, int], ...] = tuple(map(tuple, grids.tolist()))
    check_grids(config, tokens)
    total = int((grids[:, 0] * grids[:, 1]).sum())
    if images is None:
        images = [ImageTokens((cols, rows), (ViewTokens("global"),)) for rows, cols in tokens]
    if sum(image.segments for image in images) != len(grids):
        wanted = sum(image.segments for image in images)
        raise ValueError(f"the images have {wanted} segments, the batch {len(grids)}")
    clips = [frames for image in images for frames in image.clips]
    window = _cut_window(config)
    orders = [grid_order(rows, cols, config.merge, window) for rows, cols in tokens]
    order = None if positions is None else _order(tokens, orders, np.asarray(positions), total)
    towers = []
    for index, tower in enumerate(config.towers):
        if index:
            orders = [grid_order(rows, cols, 1, None) for rows, cols in tokens]
        towers.append(tower_layout(tower, 1 if index else config.merge, tokens, orders, clips, group=group))
        tokens = output_grids(tower, clip_grids(tower, tokens, clips))
        clips = [1] * len(tokens)
    merged = tuple((rows // config.merge, cols // config.merge) for rows, cols in tokens)
    output, bounds = arrange(config.arrangement, images, merged)
    if window is not None:
        # Tokens leave window after window; newline and separator stay behind all.
        cells = _shifted([item.token for item in orders])
        output = np.concatenate([cells, np.arange(len(cells), len(cells) + EXTRA_TOKENS)])[output]
    return Layout(
        towers=tuple(towers),
        order=None if order is None else torch.from_numpy(order),
        output=None if _is_identity(output) else torch.from_numpy(output),
        cu_seqlens=torch.from_numpy(bounds.astype(np.int32)),
        num_patches=total,
    )


def _cut_window(config: EncoderConfig) -> int | None:
    """The side of windows that patches are put in order by."""
    windows = config.towers[0].windows
    return windows.size if windows is not None and windows.kind == "cut" else None


def _shifted(parts: Sequence[Integers]) -> Integers:
    """Indices into parts as indices into all of them, one after another."""
    starts = np.cumsum([0, *map(len, parts)])
    return np.concatenate([part + start for part, start in zip(parts, starts, strict=False)])


def _order(
    grids: Sequence[tuple[int, int]], orders: Sequence[GridOrder], positions: NDArray[Any], total: int
) -> Integers | None:
    """The patch for each place of the encoder's sequence."""
    if positions.shape != (total, 2):
        raise ValueError(f"grids have {total} patches, positions shape {list(positions.shape)}")
    found: Integers = np.full(total, -1, dtype=np.int64)
    start, moved = 0, False
    for (rows, cols), order in zip(grids, orders, strict=True):
        end = start + rows * cols
        own = positions[start:end]
        if np.array_equal(own, order.positions):
            found[start:end] = np.arange(start, end)
        elif ((own >= 0) & (own < (rows, cols))).all():
            moved = True
            found[start + order.place[own[:, 0] * cols + own[:, 1]]] = np.arange(start, end)
        start = end
    if (found < 0).any():
        raise ValueError("positions do not name every patch of every segment's grid once")
    return found if moved else None


def _is_identity(index: Integers) -> bool:
    return bool((index == np.arange(len(index))).all())
