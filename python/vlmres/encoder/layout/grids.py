"""What towers do to the grids of segments: integers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vlmres.encoder.config import EncoderConfig, Tower

Grid = tuple[int, int]
"""Rows and columns."""


def check_grids(config: EncoderConfig, grids: Sequence[Grid]) -> None:
    """Refuses grids of patches that the encoder cannot take.

    Raises:
        ValueError: One has no patches, or not whole cells of merge² patches.
    """
    for index, (rows, cols) in enumerate(grids):
        if rows < 1 or cols < 1 or rows % config.merge or cols % config.merge:
            wanted = f"{config.name} needs multiples of {config.merge}, at least one"
            raise ValueError(f"segment {index} has {rows}x{cols} patches; {wanted}")


def runs_of_equal(grids: Iterable[Grid]) -> list[tuple[int, int, int]]:
    """(count, rows, cols) of runs of equal grids."""
    found: list[tuple[int, int, int]] = []
    for rows, cols in grids:  # by hand: torch.compile does not follow `groupby`
        count = found.pop()[0] if found and found[-1][1:] == (rows, cols) else 0
        found.append((count + 1, rows, cols))
    return found


def choose_queries(tower: Tower, tokens: int) -> int:
    """Which set of queries a segment gets.

    Raises:
        ValueError: It has more tokens than the largest set has queries.
    """
    for index, count in enumerate(tower.queries):
        if tokens <= count:
            return index
    raise ValueError(f"a segment of {tokens} tokens is larger than all sets of queries: {tower.queries}")


def extra_tokens(tower: Tower, tokens: int) -> int:
    """What a segment of so many tokens gets more: a class token, or queries."""
    return tower.queries[choose_queries(tower, tokens)] if tower.queries else int(tower.cls)


def halved(grid: Grid) -> Grid:
    """The grid after a convolution of stride 2."""
    return (grid[0] + 1) // 2, (grid[1] + 1) // 2


def clip_grids(tower: Tower, grids: Sequence[Grid], clips: Sequence[int]) -> list[Grid]:
    """The grid of each clip, of which `clips` says how many segments it has.

    Raises:
        ValueError: The tower puts no segments together, or not so many, or not of different grids.
    """
    found, start = [], 0
    for index, frames in enumerate(clips):
        own = grids[start : start + frames]
        if frames > (tower.clip_frames or 1):
            raise ValueError(
                f"clip {index} has {frames} segments along time, the encoder takes {tower.clip_frames or 1}"
            )
        if len(set(own)) != 1:
            raise ValueError(f"clip {index} has segments of different grids: {', '.join(map(str, sorted(set(own))))}")
        found.append(own[0])
        start += frames
    return found


def output_grids(tower: Tower, grids: Sequence[Grid]) -> tuple[Grid, ...]:
    """Grids of the tokens that a tower gives, from those of its clips."""
    if tower.queries:
        return tuple((1, tower.queries[choose_queries(tower, rows * cols)]) for rows, cols in grids)
    outputs = tuple(grids)
    for _ in tower.neck.strided if tower.neck is not None else ():
        outputs = tuple(map(halved, outputs))
    return outputs
