"""The plans of many images or videos at once, as columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vlmres._core import PlanError, plan_columns
from vlmres.planning.sizes import CHANNELS, taken_for_shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from vlmres._core import Recipe
    from vlmres._types import RecipeName


@dataclass(frozen=True)
class PlanTable:
    """Columns of plans, one int64 row per image or video; -1 in the rows of `errors`."""

    sizes: NDArray[np.int64]
    """(n, 2) width and height of the images, or (n, 3) with a video's frames first; -1 for what int64 cannot hold."""
    num_tokens: NDArray[np.int64]
    """Tokens that the language model receives, separators included."""
    num_visual_tokens: NDArray[np.int64]
    """Tokens that carry image features."""
    num_valid_tokens: NDArray[np.int64]
    """Visual tokens whose patches are not padding."""
    num_patches: NDArray[np.int64]
    """Patches that the vision encoder receives."""
    num_tiles: NDArray[np.int64]
    """Tiles of all views; an uncut view counts as one."""
    rows: NDArray[np.int64]
    """Rows of `Plan.grid`."""
    cols: NDArray[np.int64]
    """Columns of `Plan.grid`."""
    canvas_width: NDArray[np.int64]
    """Width of the main view's canvas."""
    canvas_height: NDArray[np.int64]
    """Height of the main view's canvas."""
    errors: dict[int, PlanError] = field(default_factory=dict)
    """The errors of rows that cannot be planned, by row."""

    def __len__(self) -> int:
        return len(self.sizes)


def plan_many(
    sizes: ArrayLike | Sequence[Sequence[int]],
    recipe: Recipe | RecipeName | str,
    *,
    errors: Literal["raise", "return"] = "raise",
) -> PlanTable:
    """Plans many images, or many videos, by their sizes.

    Args:
        sizes: Integers of shape (n, 2), width and height of images, or (n, 3), frames, width and height of videos.
        recipe: A recipe or the name of one.
        errors: "raise" the first row that cannot be planned, or "return" all of them in `PlanTable.errors`.

    Raises:
        PlanError: A row cannot be planned; the message names it. Rows of three numbers of which the last is 1, 3 or 4
            are refused as shapes of arrays, as in `plan`.
        TypeError: `sizes` are not integers of such a shape.
    """
    if errors not in ("raise", "return"):
        raise ValueError(f'errors must be "raise" or "return", got {errors!r}')
    array = np.asarray(sizes)
    if array.size == 0:
        array = np.empty((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] not in (2, 3) or array.dtype.kind not in "iu":
        raise TypeError(f"sizes must be integers of shape (n, 2) or (n, 3), got {array.dtype} of shape {array.shape}")
    array, overflows = _to_int64(array)
    columns, failures = plan_columns(array, recipe)
    messages = dict(failures) | overflows
    if array.shape[1] == 3:
        shapes = np.flatnonzero(np.isin(array[:, 2], CHANNELS))
        messages |= {row: taken_for_shape(array[row].tolist()) for row in shapes.tolist()}
        for column in columns.values():
            column[shapes] = -1
    if messages and errors == "raise":
        row = min(messages)
        raise PlanError(f"row {row}: {messages[row]}")
    return PlanTable(sizes=array, **columns, errors={row: PlanError(messages[row]) for row in sorted(messages)})


def _to_int64(sizes: NDArray[Any]) -> tuple[NDArray[np.int64], dict[int, str]]:
    """The sizes as int64, with -1 where int64 cannot hold them, and messages for those rows."""
    result = sizes.astype(np.int64, copy=False)
    if np.can_cast(sizes.dtype, np.int64):
        return result, {}
    # A uint64 beyond int64's range has wrapped around to a negative number.
    wrapped = result < 0
    result[wrapped] = -1
    rows = np.flatnonzero(wrapped.any(axis=1)).tolist()
    what = "image size" if sizes.shape[1] == 2 else "video size"
    return result, {row: f"{what} {'x'.join(map(str, sizes[row]))}: a side is over 2**63 - 1" for row in rows}
