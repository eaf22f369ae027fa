"""CUDA graphs of the blocks, for sequence lengths that are fixed beforehand.

With small batches a GPU waits for kernel launches. A graph replays all launches at once, but only for fixed addresses
and shapes. So sequences are padded to the next captured length, with segments to which nothing else attends.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch

from vlmres.encoder.layout.segments import Segments
from vlmres.encoder.nn.attention import choose_backend
from vlmres.encoder.nn.blocks import Scope
from vlmres.encoder.nn.model import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vlmres.encoder.layout.batch import Layout
    from vlmres.encoder.nn.model import Tower, VisionModel

log = logging.getLogger("vlmres.encoder")

MAX_GRAPHS = 32
"""Most graphs of a model; batches of further shapes run without one."""

_WARM_UPS = 3

Outputs: TypeAlias = tuple[torch.Tensor, tuple[torch.Tensor, ...]]
"""Hidden states, and the tapped ones."""


class Shape(NamedTuple):
    """What a kernel launches its work by: blocks for `slots` segments of `longest` tokens."""

    longest: int
    slots: int

    @classmethod
    def of(cls, segments: Segments, used: int, length: int) -> Shape:
        """Room for a batch's segments, and for padding in pieces that are no longer.

        Both are powers of two. So shapes are few, and blocks at most four times those that segments and padding need.
        """
        longest = min(_power(segments.max_seqlen), length)
        pieces = -(-(length - used) // longest)
        return cls(longest, _power(len(segments.cu_seqlens) - 1 + pieces))


class Key(NamedTuple):
    """What batches of one graph have in common."""

    length: int
    full: Shape
    windowed: Shape | None


@dataclass
class Inputs:
    """The memory that all graphs of a length read."""

    x: torch.Tensor
    """[length, width]."""
    angles: tuple[torch.Tensor, torch.Tensor] | None


@dataclass
class Buffers:
    """The memory that a graph reads and writes."""

    inputs: Inputs
    full: Scope
    windowed: Scope
    captured: tuple[torch.cuda.CUDAGraph, Outputs] | None = None
    """The graph, and the memory that it writes its results to."""


class GraphRunner:
    """A model whose blocks are replayed as CUDA graphs if a batch fits one.

    It is thread-safe; calls take turns. Graphs are dropped when parameters move or change their dtype.

    Args:
        model: A model with one tower, without learned queries or relative positions, in bfloat16 or float16 on CUDA.
        lengths: Sequence lengths to capture. There is a graph for each shape of a length's segments, captured at its
            first use.
        capture: Whether to capture graphs; otherwise the same padded buffers run operation by operation.

    Raises:
        ValueError: The model cannot be captured.
    """

    def __init__(self, model: VisionModel, lengths: Sequence[int], *, capture: bool = True) -> None:
        (tower, *others) = model.towers
        config = model.config.towers[0]
        if others or config.queries or config.relative or config.neck:
            raise ValueError(f"{model.config.name} has several towers, queries or relative positions: no graphs")
        if choose_backend(model.device, model.dtype) == "sdpa":
            raise ValueError(f"graphs need bfloat16 or float16 on CUDA, got {model.dtype} on {model.device}")
        if not lengths or min(lengths) < 1:
            raise ValueError(f"lengths must be at least 1, got {list(lengths)}")
        self.model = model
        self.tower: Tower = tower  # type: ignore[assignment]
        self.lengths = sorted(lengths)
        self.capture = capture
        self._lock = threading.Lock()
        self._done: torch.cuda.Event | None = None
        self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy captures graphs of its own.
        return functools.partial(GraphRunner, capture=self.capture), (self.model, self.lengths)

    @torch.no_grad()
    def __call__(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """As `VisionModel.forward`, without gradients."""
        plan = layout.towers[0]
        x = self.tower.embed(self.model.embed(patches, layout), plan)
        full, windowed = self.tower.scopes(plan, x.dtype)
        key = self._key(x, full, windowed)
        outputs = None if key is None else self._replay(key, x, full, windowed)
        x, taps = self.tower.run_blocks(x, full, windowed) if outputs is None else outputs
        return self.model.finish(self.tower.finish(x, plan), taps, layout)

    def _key(self, x: torch.Tensor, full: Scope, windowed: Scope) -> Key | None:
        """The graph that a batch fits, or None."""
        length = next((length for length in self.lengths if length >= len(x)), None)
        # The model may have been moved, and autocast chooses dtypes anew at each operation.
        if length is None or torch.is_autocast_enabled(x.device.type) or choose_backend(x.device, x.dtype) == "sdpa":
            return None
        own = None if windowed is full else Shape.of(_segments(windowed), len(x), length)
        return Key(length, Shape.of(_segments(full), len(x), length), own)

    def _replay(self, key: Key, x: torch.Tensor, full: Scope, windowed: Scope) -> Outputs | None:
        with self._turn(x.device):
            self._forget_if_moved()
            buffers = self._find(key, x, full)
            if buffers is None:
                return None
            buffers.inputs.x[: len(x)] = x
            if buffers.inputs.angles is not None and full.angles is not None:
                for kept, angles in zip(buffers.inputs.angles, full.angles, strict=True):
                    kept[: len(x)] = angles
            _fill(_segments(buffers.full), _segments(full), len(x), key.length)
            if buffers.windowed is not buffers.full:
                _fill(_segments(buffers.windowed), _segments(windowed), len(x), key.length)
            out, taps = self._run(key, buffers)
            # Copies, because the next replay writes to the same memory.
            return out[: len(x)].clone(), tuple(tap[: len(x)].clone() for tap in taps)

    @contextlib.contextmanager
    def _turn(self, device: torch.device) -> Iterator[None]:
        """The buffers are one thread's, and one stream's, at a time."""
        with self._lock:
            if not self.capture:
                yield
                return
            stream = torch.cuda.current_stream(device)
            if self._done is not None:
                stream.wait_event(self._done)
            try:
                yield
            finally:
                self._done = stream.record_event()

    def _forget(self) -> None:
        """Drops all graphs and buffers."""
        if self._done is not None:
            self._done.synchronize()
        self._inputs: dict[int, Inputs] = {}
        self._buffers: dict[Key, Buffers | None] = {}
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None
        # Where to look for them: a walk over all modules would take longer than a replay.
        owners = [part for module in self.tower.modules() for part in (module._parameters, module._modules)]
        self._places = [(owner, name) for owner in owners for name in owner]
        self._known = self._found()

    def _found(self) -> list[Any]:
        """Addresses and types of parameters, and the modules that there are."""
        found = [owner.get(name) for owner, name in self._places]
        return [(item.data_ptr(), item.dtype) if isinstance(item, torch.Tensor) else item for item in found]

    def _forget_if_moved(self) -> None:
        if self._found() != self._known:
            self._forget()

    def _find(self, key: Key, x: torch.Tensor, full: Scope) -> Buffers | None:
        """The buffers of a graph; None where there is to be none."""
        if key not in self._buffers:
            if len(self._buffers) >= MAX_GRAPHS:
                return None
            # What inference mode makes could not be written to outside of it.
            with torch.inference_mode(False):
                self._buffers[key] = self._allocate(key, x, full)
            if len(self._buffers) == MAX_GRAPHS:
                log.info("%d graphs: batches of other shapes run without one", MAX_GRAPHS)
        return self._buffers[key]

    def _allocate(self, key: Key, x: torch.Tensor, full: Scope) -> Buffers:
        if key.length not in self._inputs:
            angles = None
            if full.angles is not None:
                cos, sin = (part.new_zeros(key.length, *part.shape[1:]) for part in full.angles)
                angles = cos, sin
            self._inputs[key.length] = Inputs(x.new_zeros(key.length, x.shape[1]), angles)
        inputs = self._inputs[key.length]
        scope = _scope(key.full, inputs)
        return Buffers(inputs, scope, scope if key.windowed is None else _scope(key.windowed, inputs))

    def _run(self, key: Key, buffers: Buffers) -> Outputs:
        if not self.capture:
            return self._blocks(buffers)
        if buffers.captured is None:
            try:
                buffers.captured = self._capture(buffers)
            except Exception as error:
                if not _is_out_of_memory(error):
                    raise
                # The next batch of this shape runs without a graph, and the next graph starts with a pool of its own.
                self._buffers[key] = self._stream = None
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                raise torch.OutOfMemoryError("out of memory while a CUDA graph was captured") from error
        graph, outputs = buffers.captured
        graph.replay()
        return outputs

    def _capture(self, buffers: Buffers) -> tuple[torch.cuda.CUDAGraph, Outputs]:
        with torch.cuda.device(buffers.inputs.x.device):
            if self._stream is None:
                # One pool of memory for all graphs, which never run at once and whose results are copied.
                self._stream, self._pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
            current, side = torch.cuda.current_stream(), self._stream
            side.wait_stream(current)
            with torch.cuda.stream(side):
                for _ in range(_WARM_UPS):
                    self._blocks(buffers)
            current.wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Another thread may allocate page-locked memory meanwhile, for the next batch, which is no part of it.
            with torch.cuda.graph(graph, pool=self._pool, stream=side, capture_error_mode="thread_local"):
                outputs = self._blocks(buffers)
        return graph, outputs

    def _blocks(self, buffers: Buffers) -> Outputs:
        return self.tower.run_blocks(buffers.inputs.x, buffers.full, buffers.windowed)


def _power(number: int) -> int:
    """The power of two that is at least that."""
    return 1 << (number - 1).bit_length()


def _segments(scope: Scope) -> Segments:
    assert isinstance(scope.segments, Segments)
    return scope.segments


def _scope(shape: Shape, inputs: Inputs) -> Scope:
    bounds = torch.zeros(shape.slots + 1, dtype=torch.int32, device=inputs.x.device)
    # The kernel takes lengths from the bounds; `runs` is for SDPA, which is not captured.
    return Scope(Segments(bounds, shape.longest, ()), inputs.angles)


def _fill(static: Segments, segments: Segments, used: int, length: int) -> None:
    """Writes a batch's bounds; behind its end are segments of padding, then empty ones."""
    bounds, own = static.cu_seqlens, segments.cu_seqlens
    bounds[: len(own)] = own
    pieces = torch.arange(1, len(bounds) - len(own) + 1, dtype=torch.int32, device=bounds.device)
    bounds[len(own) :] = (used + pieces * static.max_seqlen).clamp_(max=length)


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether that is what an error comes from: one at the end of a capture hides the one in it."""
    while error is not None and not isinstance(error, torch.OutOfMemoryError):
        error = error.__cause__ or error.__context__
    return error is not None
