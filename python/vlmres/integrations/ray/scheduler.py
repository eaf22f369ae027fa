"""The scheduler: which rows go to which task, and retries when a worker or node dies."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, NodeDiedError, OutOfMemoryError, WorkerCrashedError

import vlmres
from vlmres.integrations.ray import files
from vlmres.integrations.ray.work import Settings, failed_rows, make_rows, plan_block
from vlmres.processor import DType

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Errors of workers that died without an exception of their own.
_DEATHS = (WorkerCrashedError, ActorDiedError, ActorUnavailableError, NodeDiedError, OutOfMemoryError)
# Attempts for a task before its rows are tried in halves.
_TRIES = 3


def preprocess(
    dataset: ray.data.Dataset,
    recipe: vlmres.Recipe | str,
    *,
    column: str = "bytes",
    key: str | None = None,
    out: str | None = None,
    format: files.Format = "parquet",
    dtype: DType = "uint8",
    encoder: str | None = None,
    block_bytes: int = 128 << 20,
    concurrency: int | None = None,
    timeout: float | None = 3600,
    **overrides: Any,
) -> Any:
    """Computes packed patches, or an encoder's tokens, for the images of a data set on a Ray cluster.

    The images of each block are planned first, from their headers. Then its rows are divided into tasks of equal cost,
    so that no task gets all the large images. A task whose worker or node dies is repeated. Rows that crash their
    worker each time are found by bisection, and become rows with an error.

    Args:
        dataset: A Ray data set, such as `ray.data.read_binary_files(folder, include_paths=True)`.
        recipe: A recipe or the name of one.
        column: The column of images: bytes of files, or paths that every node can read.
        key: The column that identifies images; by default the SHA-256 of `column`.
        out: A folder that every node can write to. Each task writes a part to it, whole or not at all. The same call
            continues where another one stopped: images whose ids are in finished parts are not processed again.
        format: Format of `out`: "parquet" or "safetensors".
        dtype: Type of pixel values, as in `Processor`. Arrow has no bfloat16: those columns hold the bits as uint16.
        encoder: A checkpoint's folder, on every node; results are then tokens. Each actor has a GPU if the cluster has
            GPUs, else one processor.
        block_bytes: Bytes of decoded pixels and of values that a task handles.
        concurrency: Most tasks at the same time, by default two per processor; with `encoder` the number of actors, by
            default one per GPU, or one per processor.
        timeout: Seconds without a finished task after which the call fails, for example because the cluster lacks a
            resource that tasks need. None waits forever.
        **overrides: Parameters of the recipe.

    Returns:
        Without `out` a Ray data set, in the order of the blocks of `dataset`; with `out` the manifest, which is also
        written to `out`. Columns are those of `dataset` except the images; `image_id`, `width`, `height`, `tokens` and
        `error`; and `patches` ([patches, values]) and `grids` ([tiles, 2]), as in `Batch`, or `features` ([tokens,
        hidden], float32). These are lists of fixed-size rows in Arrow, which `vlmres.integrations.ray.arrow.matrix`
        reads without a copy. A bad image has nulls there, and its error in `error`.

    Raises:
        ValueError: `out` holds results of other settings, there is no such column, or it has a name that is added.
        TypeError: The column does not hold images.
        TimeoutError: No task finished within `timeout`. Finished parts in `out` stay.
        RecipeError: There is no such recipe, or it does not allow the overrides.
    """
    if format not in get_args(files.Format):
        raise ValueError(f"format must be one of {', '.join(get_args(files.Format))}, got {format!r}")
    if dtype not in get_args(DType):
        raise ValueError(f"dtype must be one of {', '.join(get_args(DType))}, got {dtype!r}")
    for name, value in (("block_bytes", block_bytes), ("concurrency", concurrency)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if timeout is not None and timeout <= 0:
        raise ValueError(f"timeout must be positive, got {timeout}")
    loaded = vlmres.Recipe.load(recipe) if isinstance(recipe, str) else recipe
    settings = Settings(loaded.replace(**overrides), dtype, column, key, encoder, out, format, num_threads=1)
    _check_columns(dataset, settings)
    if out is None:
        run = _Run(settings, block_bytes, concurrency, timeout, Counter(), set())
        run.through(dataset)
        found = [run.tables[place] for place in sorted(run.tables)]
        return ray.data.from_arrow_refs(found) if found else ray.data.from_items([])
    described = _describe(settings)
    files.open_folder(out, described)
    parts, done = files.finished(out, format)
    run = _Run(settings, block_bytes, concurrency, timeout, done, {str(part["file"]) for part in parts})
    run.through(dataset)
    return files.write_manifest(out, [*parts, *run.parts], described)


@dataclass
class _Rows:
    """Rows of a block for one task."""

    place: tuple[int, int]
    """Number of the block, and the first of the rows."""
    block: Any
    rows: list[int]
    ids: list[str]
    name: str
    """Of the part that they become."""
    tries: int = 0
    table: Any = None
    """Reference to what the task makes."""


@dataclass
class _Run:
    """The running tasks, and what is done."""

    settings: Settings
    block_bytes: int
    concurrency: int | None
    timeout: float | None
    done: Counter[str]
    """How often each image's id is in finished parts, minus the occurrences found so far."""
    files: set[str]
    """Names that are taken."""
    tables: dict[tuple[int, int], Any] = field(default_factory=dict)
    """References to the tables that tasks made, by place."""
    parts: list[dict[str, Any]] = field(default_factory=list)
    """The manifest's row of each part."""
    _plans: dict[Any, tuple[int, Any]] = field(default_factory=dict)
    _tasks: dict[Any, _Rows] = field(default_factory=dict)

    def __post_init__(self) -> None:
        resources = ray.cluster_resources()
        processors = max(1, int(resources.get("CPU", 1)))
        self._limit = self.concurrency or 2 * processors
        self._settings = ray.put(self.settings)
        self._plan = ray.remote(_plan)
        self._make = ray.remote(_make).options(max_retries=_TRIES, num_returns=2)
        self._actors = None
        if self.settings.encoder is not None:
            gpus = int(resources.get("GPU", 0))
            self._actors = _Actors(self.concurrency or gpus or processors, num_gpus=1 if gpus else 0)
            self._limit = 2 * self._actors.count

    def through(self, dataset: ray.data.Dataset) -> None:
        """Processes all blocks, as they come."""
        blocks = (block for bundle in dataset.iter_internal_ref_bundles() for block in bundle.block_refs)
        for number, block in enumerate(blocks):
            self._plans[self._plan.remote(block, self._settings)] = (number, block)
            while len(self._plans) + len(self._tasks) >= self._limit:
                self._settle()
        while self._plans or self._tasks:
            self._settle()

    def _settle(self) -> None:
        """Waits for a task and handles its result."""
        waiting = [*self._tasks, *self._plans]
        found, _ = ray.wait(waiting, num_returns=1, timeout=self.timeout, fetch_local=False)
        if not found:
            free = {name: ray.available_resources().get(name, 0) for name in ("CPU", "GPU")}
            raise TimeoutError(
                f"none of {len(waiting)} tasks came to its end in {self.timeout:g} s; the cluster has {free['CPU']:g} "
                f"processors and {free['GPU']:g} GPUs free"
            )
        (ready,) = found
        if ready in self._plans:
            number, block = self._plans.pop(ready)
            ids, costs = ray.get(ready)
            for rows in self._cut(number, block, ids, costs):
                self._submit(rows)
            return
        rows = self._tasks.pop(ready)
        try:
            self.parts.append(ray.get(ready))
        except _DEATHS as error:
            if self._actors is not None:
                self._actors.replace(ready)
            self._again(rows, error)
        else:
            self.tables[rows.place] = rows.table
            if self._actors is not None:
                self._actors.end(ready)

    def _cut(self, number: int, block: Any, ids: list[str], costs: NDArray[np.int64]) -> Iterator[_Rows]:
        """Rows that are not done yet, in groups of nearly equal cost."""
        left = []
        for row, name in enumerate(ids):
            if self.done[name] > 0:
                self.done[name] -= 1
            else:
                left.append(row)
        for run in even_runs(costs[left], self.block_bytes):
            rows = [left[at] for at in run]
            of_rows = [ids[row] for row in rows]
            yield _Rows((number, rows[0]), block, rows, of_rows, self._name(of_rows))

    def _name(self, ids: list[str]) -> str:
        """A part's name, a hash of its images; with a number if the same images occur more than once."""
        digest = hashlib.sha256("\n".join(ids).encode()).hexdigest()[:24]
        number = 0
        while f"part-{digest}-{number}.{self.settings.format}" in self.files:
            number += 1
        self.files.add(f"part-{digest}-{number}.{self.settings.format}")
        return f"{digest}-{number}"

    def _submit(self, rows: _Rows) -> None:
        make = self._make.remote if self._actors is None else self._actors.make
        rows.table, part = make(rows.block, rows.rows, rows.ids, self._settings, rows.name)
        self._tasks[part] = rows

    def _again(self, rows: _Rows, error: Exception) -> None:
        """Repeats rows whose worker died: all rows, then halves, and at last a single row without reading it."""
        # Ray itself has tried a task several times.
        if self._actors is not None and rows.tries + 1 < _TRIES:
            self._submit(replace(rows, tries=rows.tries + 1))
        elif len(rows.rows) > 1:
            middle = len(rows.rows) // 2
            for part in (slice(None, middle), slice(middle, None)):
                ids = rows.ids[part]
                taken = rows.rows[part]
                self._submit(_Rows((rows.place[0], taken[0]), rows.block, taken, ids, self._name(ids)))
        else:
            why = f"it ended the process that decoded it ({type(error).__name__})"
            fail = ray.remote(_fail).options(max_retries=_TRIES, num_returns=2).remote
            rows.table, part = fail(rows.block, rows.rows, rows.ids, self._settings, rows.name, why)
            self._tasks[part] = rows


class _Actors:
    """Actors that hold an encoder, and the work that each has queued."""

    def __init__(self, count: int, num_gpus: int) -> None:
        self.count = count
        # They live as long as the run: with processors of their own, none might be left for tasks that read and plan.
        self._class = ray.remote(
            num_gpus=num_gpus, num_cpus=0, max_restarts=0, scheduling_strategy="DEFAULT" if num_gpus else "SPREAD"
        )(_Maker)
        self._actors = [self._class.remote() for _ in range(count)]
        self._of_task: dict[Any, Any] = {}

    def make(self, *arguments: Any) -> Any:
        """A task for the actor with the least to do."""
        waiting = Counter(id(actor) for actor in self._of_task.values())
        actor = min(self._actors, key=lambda actor: waiting[id(actor)])
        table, part = actor.make.options(num_returns=2).remote(*arguments)
        self._of_task[part] = actor
        return table, part

    def end(self, task: Any) -> None:
        """Records that a task has ended."""
        del self._of_task[task]

    def replace(self, task: Any) -> None:
        """Replaces the actor of a task that died by another one, on any node."""
        actor = self._of_task.pop(task)
        if actor in self._actors:
            self._actors[self._actors.index(actor)] = self._class.remote()


class _Maker:
    """An actor."""

    def make(self, *arguments: Any) -> Any:
        """Works as the task does."""
        return _make(*arguments)


def even_runs(costs: NDArray[np.int64], most: int) -> Iterator[range]:
    """Runs of rows of nearly equal cost, as few as are at most `most` on average."""
    if not len(costs):
        return
    ends = np.cumsum(costs)
    count = min(len(costs), max(1, -(-int(ends[-1]) // most)))
    bounds = np.searchsorted(ends, ends[-1] * np.arange(1, count) / count, side="left") + 1
    for start, end in zip([0, *bounds.tolist()], [*bounds.tolist(), len(costs)], strict=True):
        if start < end:
            yield range(start, end)


def _plan(block: Any, settings: Settings) -> Any:
    return plan_block(_table(block), settings)


def _make(block: Any, rows: list[int], ids: list[str], settings: Settings, name: str) -> Any:
    return make_rows(_table(block), rows, ids, settings, name)


def _fail(block: Any, rows: list[int], ids: list[str], settings: Settings, name: str, why: str) -> Any:
    return failed_rows(_table(block), rows, ids, settings, name, why)


def _table(block: Any) -> Any:
    from ray.data.block import BlockAccessor

    return BlockAccessor.for_block(block).to_arrow()


def _check_columns(dataset: ray.data.Dataset, settings: Settings) -> None:
    schema = dataset.schema()
    names = [] if schema is None else list(schema.names)
    for name in (settings.column, *([settings.key] if settings.key else [])):
        if names and name not in names:
            raise ValueError(f"the data set has no column {name!r}; it has {', '.join(names)}")
    for name in settings.added:
        if name in names and name != settings.column:
            raise ValueError(f"the data set has a column {name!r}, which preprocess adds: rename it")


def _describe(settings: Settings) -> dict[str, Any]:
    """The settings that affect results, for `settings.json`."""
    return {
        "vlmres": vlmres.__version__,
        "recipe": settings.recipe.to_toml(),
        "dtype": settings.dtype,
        "encoder": settings.encoder,
        "format": settings.format,
        "key": settings.key,
    }
