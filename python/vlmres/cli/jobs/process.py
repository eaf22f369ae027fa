"""A run of `vlmres process`: shards of a processor's tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vlmres._core import Plan, shapes
from vlmres.cli import output
from vlmres.cli.jobs.base import Advance, Job, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    import vlmres


class ProcessJob(Job):
    """Images, and their tensors in a folder."""

    command = "process"

    def make(
        self, wanted: Iterator[list[Source]], advance: Advance
    ) -> Iterator[tuple[Mapping[str, NDArray[Any]], list[dict[str, Any]]]]:
        """The tensors of a call; for each image its index, size, counts and rows in every tensor, or its error."""
        for files in wanted:
            batch = self.processor(files, errors="return")
            advance(len(files), kept=False)
            yield batch, _describe(batch, self.processor)


def _describe(batch: vlmres.Batch, processor: vlmres.Processor) -> list[dict[str, Any]]:
    """For each image its index in the shard, its size, counts and rows in every tensor, or its error."""
    images: list[dict[str, Any]] = []
    ends = dict.fromkeys(batch, 0)
    for index, plan in enumerate(batch.plans):
        image: dict[str, Any] = {"index": index}
        if plan is None:
            images.append({**image, "error": output.reason(batch.errors[index])})
            continue
        rows: dict[str, list[int]] = {}
        for key, count in _row_counts(plan, processor, list(batch)).items():
            start, ends[key] = ends[key], ends[key] + count
            # n segments have n + 1 bounds.
            rows[key] = [start, ends[key] + (key == "cu_seqlens")]
        counts = {"size": list(plan.size), "tiles": plan.num_tiles, "tokens": plan.num_tokens}
        images.append({**image, **counts, "rows": rows})
    return images


def _row_counts(plan: Plan, processor: vlmres.Processor, keys: list[str]) -> dict[str, int]:
    """How many rows of each tensor's first axis an image takes."""
    if processor.layout == "packed":
        segments = plan.num_tiles
        counts = {"patches": plan.num_patches, "positions": plan.num_patches}
        return {key: counts.get(key, segments) for key in keys}
    # The rows that a second such image adds: some tensors have an extra row of zeros if no image has tiles.
    one, two = (shapes(processor.recipe, [plan] * count, "hf") for count in (1, 2))
    return {key: _rows(two, key) - _rows(one, key) for key in keys}


def _rows(found: Mapping[str, tuple[list[int], str | None]], key: str) -> int:
    return found[key][0][0] if key in found else 0
