"""Letters in the picture of a line: which pixels are ink, how high an "x" is, where words end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vlmres.lab.readers import Box, Pixels

HAN_X_HEIGHT = 0.55
"""What is taken for the x-height of Han, of a character's height: as DejaVu's "x" has of its em."""

MOST_RATIO = 8.0
"""Width : height of the pieces that lines are cut into: the time of a reader is proportional to it."""

# Of 255 levels: what differs less is the paper's grain.
_LEAST_CONTRAST = 12


def ink(line: Pixels) -> NDArray[np.bool_]:
    """Which pixels differ from the paper: by Otsu's threshold on the distance from the commonest gray."""
    gray = line.astype(np.float32).mean(axis=2)
    counts, edges = np.histogram(gray, bins=32, range=(0, 256))
    paper = (edges[counts.argmax()] + edges[counts.argmax() + 1]) / 2
    distance = np.minimum(np.abs(gray - paper), 255).astype(np.uint8)
    mask: NDArray[np.bool_] = distance > max(_LEAST_CONTRAST, _otsu(distance))
    return mask


def x_height(line: Pixels, *, han: bool = False) -> float:
    """Height of an "x" in pixels: of Latin the rows that have most of the ink, of Han a part of all that have any."""
    rows = ink(line).sum(axis=1).astype(np.float64)
    if not rows.any():
        return 0.0
    if han:
        inked = np.flatnonzero(rows > 0.15 * np.percentile(rows, 90))
        return HAN_X_HEIGHT * float(inked[-1] - inked[0] + 1)
    # Ascenders and descenders are in fewer letters than what is between baseline and x-line.
    return float((rows >= 0.45 * np.percentile(rows, 90)).sum())


def cut(line: Pixels, box: Box) -> list[Box]:
    """Boxes of a line's pieces, cut between words, each no longer than `MOST_RATIO` where there are gaps.

    Args:
        line: Pixels of the box.
        box: Where they are in the page, of whole pixels.
    """
    height, width = line.shape[:2]
    columns = np.asarray(ink(line).any(axis=0))
    most = int(MOST_RATIO * height)
    pieces: list[Box] = []
    start = 0
    for end in _ends(columns, max(2, round(0.2 * height)), most):
        inked = np.flatnonzero(columns[start:end])
        if len(inked) and inked[-1] - inked[0] >= height:
            left, right = start + int(inked[0]), start + int(inked[-1]) + 1
            pieces.append((box[0] + left, box[1], box[0] + min(right, width), box[3]))
        start = end
    return pieces


def _ends(columns: NDArray[np.bool_], gap: int, most: int) -> list[int]:
    """Where pieces end: in the last gap before a piece is too long, else in the next one."""
    inked = np.flatnonzero(columns)
    if not len(inked):
        return []
    jumps = np.flatnonzero(np.diff(inked) > gap)
    middles = [(int(inked[at]) + int(inked[at + 1])) // 2 + 1 for at in jumps]
    ends: list[int] = []
    start = last = int(inked[0])
    for middle in [*middles, len(columns)]:
        if middle - start > most and last > start:
            ends.append(last)
            start = last
        last = middle
    return [*ends, len(columns)]


def _otsu(values: NDArray[np.uint8]) -> int:
    """The threshold that divides values into two with the least variance in each."""
    counts = np.bincount(values.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * np.arange(256))
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (sums[-1] * below / below[-1] - sums) ** 2 / (below * above)
    return int(np.nan_to_num(between, nan=-1.0, posinf=-1.0).argmax())
