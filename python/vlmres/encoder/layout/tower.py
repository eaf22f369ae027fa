"""What follows from grids for one tower."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import torch

from vlmres.encoder.layout.grids import choose_queries, runs_of_equal
from vlmres.encoder.layout.position_taps import Taps
from vlmres.encoder.layout.segments import QuerySegments, Segments
from vlmres.encoder.layout.windows import GridOrder, grid_order, padded_windows, window_lengths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vlmres.encoder.config import Tower

    Integers = NDArray[np.int64]


@dataclass
class Places:
    """Where tokens are in their segments, for relative positions."""

    places: torch.Tensor
    """int32 [tokens, 2]: row and column."""
    bases: torch.Tensor
    """int32 [tokens, 2]: where the distances to row 0 and to column 0 are among those of all sides."""
    sides: tuple[tuple[int, ...], tuple[int, ...]]
    """Each number of rows, and of columns, that there is."""

    @classmethod
    def of(cls, grids: Sequence[tuple[int, int]], places: Sequence[NDArray[np.int32]]) -> Places:
        """Of segments' (rows, cols), and their tokens' [tokens, 2]."""
        rows, cols = (tuple(sorted(set(axis))) for axis in zip(*grids, strict=True))
        # Distances of a side are from -(side - 1) to side - 1; those of rows come first.
        sides = np.array([*rows, *cols])
        middles = (np.cumsum(2 * sides - 1) - sides).astype(np.int32)
        middle = np.array(
            [[middles[rows.index(down)], middles[len(rows) + cols.index(across)]] for down, across in grids]
        )
        joined = np.concatenate(places)
        bases = joined + np.repeat(middle, [len(own) for own in places], axis=0)
        return cls(torch.from_numpy(joined), torch.from_numpy(bases), (rows, cols))


@dataclass
class TowerLayout:
    """What one tower needs to know. Tensors are on the model's device, numbers on the host."""

    grids: tuple[tuple[int, int], ...]
    """(rows, cols) of segments."""
    segments: Segments | QuerySegments
    """Of the sequence with class tokens or queries."""
    taps: Taps | None = None
    """Of the table of learned positions."""
    windows: Segments | None = None
    padded: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None
    """Of padded windows: see `blocks.Padded`."""
    positions: torch.Tensor | None = None
    """int32 [tokens, 2], for rotary positions."""
    places: Places | None = None
    """For relative positions."""
    window_places: Places | None = None
    token_index: torch.Tensor | None = None
    """int64: where the tokens are in the sequence with class tokens or queries."""
    extra_index: torch.Tensor | None = None
    """int64: where the class tokens or queries are."""
    query_index: torch.Tensor | None = None
    """int64: which learned query each is."""
    times: torch.Tensor | None = None
    """int64 [tokens]: 0, or one more than the number of its frame in a clip of several."""
    clips: tuple[tuple[int, int, int], ...] = ()
    """(count, frames, tokens of a frame) of runs of equal clips, where one has several."""

    @property
    def runs(self) -> list[tuple[int, int, int]]:
        """(count, rows, cols) of runs of equal segments."""
        return runs_of_equal(self.grids)


def tower_layout(
    tower: Tower,
    merge: int,
    grids: tuple[tuple[int, int], ...],
    orders: Sequence[GridOrder],
    clips: Sequence[int],
    *,
    group: bool,
) -> TowerLayout:
    """What a tower needs to know of segments.

    Args:
        tower: The tower.
        merge: Patches per side of a cell, of which windows are.
        grids: (rows, cols) of the segments that it receives.
        orders: Of each grid, the order of its tokens.
        clips: How many segments each clip has.
        group: Whether attention runs by SDPA.
    """
    lengths = np.array([rows * cols for rows, cols in grids])
    extras = np.zeros(len(lengths), dtype=np.int64)
    sets = np.array([choose_queries(tower, int(length)) if tower.queries else 0 for length in lengths])
    if tower.cls:
        extras += 1
    if tower.queries:
        extras = np.array(tower.queries)[sets]
    attended = np.add.reduceat(lengths + extras, np.cumsum([0, *clips[:-1]]))
    layout = TowerLayout(grids=grids, segments=Segments.of(attended, group=group))
    if tower.table is not None:
        layout.taps = Taps.of(tower.table, grids, orders)
    if max(clips) > 1:
        _put_together(layout, lengths, clips)
    if extras.any():
        _insert(layout, tower, lengths, extras, sets, group=group)
    if tower.rotary is not None and tower.rotary.kind == "sequence":
        steps = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths + extras])
        layout.positions = torch.from_numpy(np.stack([steps, steps], axis=1))
    elif tower.rotary is not None:
        layout.positions = torch.from_numpy(np.concatenate([order.positions for order in orders]))
    windows = tower.windows
    if windows is not None and windows.kind == "cut":
        layout.windows = Segments.of(window_lengths(grids, merge, windows.size), group=group)
    if windows is not None and windows.kind == "pad":
        gather, scatter = padded_windows(grids, windows.size)
        count = len(gather) // windows.size**2
        layout.windows = Segments.of(np.full(count, windows.size**2), group=group)
        is_padding = gather == len(scatter)
        gather[is_padding] = 0
        layout.padded = torch.from_numpy(gather), torch.from_numpy(is_padding[:, None]), torch.from_numpy(scatter)
        if tower.relative:
            one = grid_order(windows.size, windows.size, 1, None).positions
            layout.window_places = Places.of([(windows.size, windows.size)] * count, [one] * count)
    if tower.relative:
        layout.places = Places.of(grids, [order.positions for order in orders])
    return layout


def _put_together(layout: TowerLayout, lengths: Integers, clips: Sequence[int]) -> None:
    """The times of clips' frames, and the means over them."""
    times = np.concatenate([np.arange(frames) + (frames > 1) for frames in clips])
    layout.times = torch.from_numpy(np.repeat(times, lengths))
    of_frame = lengths[np.cumsum([0, *clips[:-1]])].tolist()
    runs = groupby(zip(clips, of_frame, strict=True))
    layout.clips = tuple((sum(1 for _ in run), frames, tokens) for (frames, tokens), run in runs)


def _insert(
    layout: TowerLayout, tower: Tower, lengths: Integers, extras: Integers, sets: Integers, *, group: bool
) -> None:
    """A class token before each segment's tokens, or queries after them."""
    ends = np.cumsum(lengths + extras)
    starts = ends - lengths - extras
    first = starts + (extras if tower.cls else 0)
    layout.token_index = torch.from_numpy(_ranges(first, lengths))
    layout.extra_index = torch.from_numpy(_ranges(starts if tower.cls else ends - extras, extras))
    if tower.queries:
        offsets = np.cumsum([0, *tower.queries])[sets]
        layout.query_index = torch.from_numpy(_ranges(offsets, extras))
        assert isinstance(layout.segments, Segments)
        layout.segments = QuerySegments(
            whole=layout.segments,
            tokens=Segments.of(lengths, group=group),
            queries=Segments.of(extras, group=group),
            token_index=layout.token_index,
            query_index=layout.extra_index,
            pairs=tuple(zip(lengths.tolist(), extras.tolist(), strict=True)),
        )


def _ranges(starts: Integers, lengths: Integers) -> Integers:
    """starts[i], starts[i] + 1, … for each i, `lengths[i]` of them."""
    before = np.cumsum(lengths) - lengths
    ranges: Integers = np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)
    return ranges
