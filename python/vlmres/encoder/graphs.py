"""CUDA graphs of the blocks, for sequence lengths that are fixed beforehand.

Small batches leave a GPU waiting for launches. A graph replays all of them at once, but only for fixed addresses and
shapes, so sequences are filled up to the next captured length by a segment of padding, which nothing else attends to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from vlmres.encoder.attention import Segments, choose_backend
from vlmres.encoder.blocks import Scope
from vlmres.encoder.model import Tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmres.encoder.layout import Layout
    from vlmres.encoder.model import Tower, VisionModel

MAX_SEGMENTS = 64
"""Segments of a captured sequence; batches of more run without a graph."""

_WARM_UPS = 3

Outputs: TypeAlias = tuple[torch.Tensor, tuple[torch.Tensor, ...]]
"""Hidden states, and the tapped ones."""


@dataclass
class Buffers:
    """The memory that a graph reads and writes."""

    x: torch.Tensor
    """[length, width]."""
    full: Scope
    windowed: Scope
    captured: tuple[torch.cuda.CUDAGraph, Outputs] | None = None
    """The graph, and the memory that it writes its results to."""


class GraphRunner:
    """A model whose blocks are replayed as CUDA graphs where a batch fits one.

    Args:
        model: Of one tower without learned queries or relative positions, in bfloat16 or float16 on CUDA.
        lengths: Sequence lengths to capture, each at its first use.
        capture: Whether graphs are made; without, the same padded buffers run op by op.

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
        self._buffers: dict[int, Buffers] = {}

    def __call__(self, patches: torch.Tensor, layout: Layout) -> Tokens:
        """As `VisionModel.forward`, without gradients."""
        plan = layout.towers[0]
        x = self.tower.embed(self.model.embed(patches, layout), plan)
        full, windowed = self.tower.scopes(plan, x.dtype)
        length = next((length for length in self.lengths if length >= len(x)), None)
        if length is None or not _fits(full, MAX_SEGMENTS) or not _fits(windowed, self._windows(length)):
            x, taps = self.tower.run_blocks(x, full, windowed)
        else:
            x, taps = self._replay(length, x, full, windowed)
        return self.model.finish(self.tower.finish(x, plan), taps, layout)

    def _windows(self, length: int) -> int:
        """Windows of a captured sequence: most are whole, those at edges are smaller."""
        return MAX_SEGMENTS if self.tower.config.windows is None else max(MAX_SEGMENTS, length // 16)

    def _replay(self, length: int, x: torch.Tensor, full: Scope, windowed: Scope) -> Outputs:
        buffers = self._buffers.get(length)
        if buffers is None:
            buffers = self._buffers[length] = self._allocate(length, x, full, windowed)
        buffers.x[: len(x)] = x
        _fill(buffers.full, full, len(x), length)
        if buffers.windowed is not buffers.full:
            _fill(buffers.windowed, windowed, len(x), length)
        if not self.capture:
            out, taps = self.tower.run_blocks(buffers.x, buffers.full, buffers.windowed)
        else:
            out, taps = self._captured(buffers)
        # Copies, because the next replay writes to the same memory.
        return out[: len(x)].clone(), tuple(tap[: len(x)].clone() for tap in taps)

    def _captured(self, buffers: Buffers) -> Outputs:
        if buffers.captured is None:
            with torch.cuda.device(buffers.x.device):
                buffers.captured = self._capture(buffers)
        graph, outputs = buffers.captured
        graph.replay()
        return outputs

    def _capture(self, buffers: Buffers) -> tuple[torch.cuda.CUDAGraph, Outputs]:
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                self.tower.run_blocks(buffers.x, buffers.full, buffers.windowed)
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Meanwhile another thread may allocate page-locked memory for the next batch, which is no part of the graph.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            outputs = self.tower.run_blocks(buffers.x, buffers.full, buffers.windowed)
        return graph, outputs

    def _allocate(self, length: int, x: torch.Tensor, full: Scope, windowed: Scope) -> Buffers:
        angles = None
        if full.angles is not None:
            cos, sin = full.angles
            angles = cos.new_zeros(length, *cos.shape[1:]), sin.new_zeros(length, *sin.shape[1:])
        static = _static(length, length, MAX_SEGMENTS, x.device, angles)
        own = static
        if windowed is not full:
            assert isinstance(windowed.segments, Segments)
            windows = self.tower.config.windows
            assert windows is not None
            longest = (windows.size * self.model.config.merge) ** 2
            own = _static(length, longest, self._windows(length), x.device, angles)
        return Buffers(x.new_zeros(length, x.shape[1]), static, own)


def _static(
    length: int, longest: int, count: int, device: torch.device, angles: tuple[torch.Tensor, torch.Tensor] | None
) -> Scope:
    # Room for the batch's segments and for padding in pieces that are no longer than they.
    bounds = torch.full((count + 1 + -(-length // longest),), length, dtype=torch.int32, device=device)
    # The kernel takes lengths from the bounds; `runs` is for SDPA, which is not captured.
    return Scope(Segments(bounds, longest, ()), angles)


def _fits(scope: Scope, count: int) -> bool:
    return isinstance(scope.segments, Segments) and len(scope.segments.cu_seqlens) - 1 <= count


def _fill(static: Scope, scope: Scope, used: int, length: int) -> None:
    """Writes a batch's bounds and angles; behind its end are segments of padding, then empty ones."""
    assert isinstance(static.segments, Segments)
    assert isinstance(scope.segments, Segments)
    bounds, own = static.segments.cu_seqlens, scope.segments.cu_seqlens
    bounds[: len(own)] = own
    pieces = torch.arange(1, len(bounds) - len(own) + 1, dtype=torch.int32, device=bounds.device)
    bounds[len(own) :] = (used + pieces * static.segments.max_seqlen).clamp_(max=length)
    if static.angles is not None and scope.angles is not None:
        for kept, angles in zip(static.angles, scope.angles, strict=True):
            kept[: len(angles)] = angles
