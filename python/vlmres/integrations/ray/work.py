"""What a worker does with the rows of a block: plans, then tensors."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import vlmres
from vlmres.integrations.ray import arrow, files
from vlmres.processor import DType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Columns that are added.
ADDED = ("image_id", "width", "height", "tokens", "error")
TENSORS = ("patches", "grids")
FEATURES = ("features",)


@dataclass(frozen=True)
class Settings:
    """What a worker computes, and where it writes."""

    recipe: vlmres.Recipe
    dtype: DType
    column: str
    key: str | None
    encoder: str | None
    """A checkpoint's folder."""
    out: str | None
    format: files.Format
    num_threads: int

    @property
    def added(self) -> tuple[str, ...]:
        """Names of the columns that are added."""
        return (*ADDED, *(TENSORS if self.encoder is None else FEATURES))


def plan_block(block: pa.Table, settings: Settings) -> tuple[list[str], NDArray[np.int64]]:
    """The id of each row, and what it costs: bytes of its pixels and of its values. Reads headers alone."""
    images = arrow.encoded(_column(block, settings.column))
    keys = None if settings.key is None else _column(block, settings.key).to_pylist()
    costs = np.ones(len(images), np.int64)
    for number, image in enumerate(images):
        try:
            planned = vlmres.plan(image, settings.recipe)
        except (vlmres.VlmresError, OSError):
            continue  # it is reported when it is processed
        width, height = planned.size
        values = planned.num_patches * settings.recipe.patch_size**2
        costs[number] = 3 * (width * height + values * np.dtype(_storage(settings.dtype)).itemsize)
    return [str(key) for key in keys] if keys is not None else [_digest(image) for image in images], costs


def make_rows(
    block: pa.Table, rows: list[int], ids: list[str], settings: Settings, name: str
) -> tuple[pa.Table | None, dict[str, Any]]:
    """Processes rows of a block.

    Returns:
        The table, or None where it went to the part `name`; and what the manifest says of it.
    """
    taken = block.slice(rows[0], len(rows)) if rows[-1] - rows[0] + 1 == len(rows) else block.take(rows)
    images = arrow.encoded(_column(taken, settings.column))
    made = _tensors(images, settings) if settings.encoder is None else _features(images, settings)
    return _finish(taken, ids, made, settings, name)


def _finish(
    taken: pa.Table, ids: list[str], made: dict[str, Any], settings: Settings, name: str
) -> tuple[pa.Table | None, dict[str, Any]]:
    kept = {key: taken[key] for key in taken.column_names if key != settings.column}
    table = pa.table({"image_id": pa.array(ids, pa.string()), **kept, **made})
    if settings.out is None:
        return table, files.describe(name, table)
    return None, files.write_part(settings.out, name, table, settings.format, settings.dtype)


def failed_rows(
    block: pa.Table, rows: list[int], ids: list[str], settings: Settings, name: str, why: str
) -> tuple[pa.Table | None, dict[str, Any]]:
    """As `make_rows`, of rows that end the process which reads them: they are not read."""
    plans: list[vlmres.Plan | None] = [None] * len(rows)
    nothing, missing = np.zeros(len(rows), np.int64), np.ones(len(rows), bool)
    made = _described(plans, {number: RuntimeError(why) for number in range(len(rows))})
    for key, array in _empty(settings).items():
        made[key] = arrow.rows_of(array, nothing, missing)
    return _finish(block.take(rows), ids, made, settings, name)


def _empty(settings: Settings) -> dict[str, NDArray[Any]]:
    """The tensors of no images at all."""
    if settings.encoder is not None:
        from vlmres.encoder import load_config

        return {"features": np.empty((0, load_config(settings.encoder).hidden), np.float32)}
    width = 3 * settings.recipe.patch_size**2
    return {"patches": np.empty((0, width), _storage(settings.dtype)), "grids": np.empty((0, 2), np.int32)}


def _tensors(images: Sequence[bytes | str], settings: Settings) -> dict[str, Any]:
    batch = _processor(settings.recipe, settings.dtype, settings.num_threads)(list(images), errors="return")
    missing = np.array([plan is None for plan in batch.plans])
    patches = np.array([0 if plan is None else plan.num_patches for plan in batch.plans], np.int64)
    tiles = np.array([0 if plan is None else plan.num_tiles for plan in batch.plans], np.int64)
    # Where all images are bad there are no tensors.
    made = batch if len(batch) else _empty(settings)
    return {
        **_described(batch.plans, batch.errors),
        "patches": arrow.rows_of(made["patches"], patches, missing),
        "grids": arrow.rows_of(made["grids"], tiles, missing),
    }


def _features(images: Sequence[bytes | str], settings: Settings) -> dict[str, Any]:
    import torch

    encoder = _encoder(settings.encoder or "", settings.recipe)
    batch = _processor(settings.recipe, encoder.input_dtype, settings.num_threads)(list(images), errors="return")
    counts = np.zeros(len(images), np.int64)
    features = _empty(settings)["features"]
    if len(batch):
        output = encoder(batch)
        counts[batch.indices] = torch.diff(output.cu_seqlens).numpy()
        # A bfloat16 is a float32, exactly; numpy has no bfloat16.
        features = output.tokens.float().cpu().numpy()
    missing = np.array([plan is None for plan in batch.plans])
    return {**_described(batch.plans, batch.errors), "features": arrow.rows_of(features, counts, missing)}


def _described(plans: Sequence[vlmres.Plan | None], errors: dict[int, Exception]) -> dict[str, Any]:
    def column(values: list[int | None]) -> pa.Array:
        return pa.array(values, pa.int64())

    return {
        "width": column([None if plan is None else plan.size[0] for plan in plans]),
        "height": column([None if plan is None else plan.size[1] for plan in plans]),
        "tokens": column([None if plan is None else plan.num_tokens for plan in plans]),
        "error": pa.array(
            [str(errors[number]) if number in errors else None for number in range(len(plans))], pa.string()
        ),
    }


def _column(block: pa.Table, name: str) -> pa.ChunkedArray:
    if name not in block.column_names:
        raise ValueError(f"the data set has no column {name!r}; it has {', '.join(block.column_names)}")
    return block[name]


def _digest(image: bytes | str) -> str:
    return hashlib.sha256(image.encode() if isinstance(image, str) else image).hexdigest()


def _storage(dtype: DType) -> str:
    return "uint16" if dtype == "bfloat16" else dtype


@functools.lru_cache(maxsize=4)
def _processor(recipe: vlmres.Recipe, dtype: DType, num_threads: int) -> vlmres.Processor:
    """A worker's processor, which keeps its memory between tasks."""
    return vlmres.Processor(recipe, "packed", dtype, num_threads=num_threads)


@functools.lru_cache(maxsize=1)
def _encoder(checkpoint: str, recipe: vlmres.Recipe) -> Any:
    from vlmres.encoder import VisionEncoder

    return VisionEncoder.from_pretrained(checkpoint, recipe=recipe)
