"""The padded buffers that CUDA graphs replay, run op by op with a stand-in for the kernel; capture needs a GPU."""

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_leaves

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import Packed, canvases, pack, relative_error
from tests.encoder.test_attention import use
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, VisionModel, build_layout
from vlmres.encoder.layout.segments import Segments
from vlmres.encoder.nn.model import Tower
from vlmres.encoder.runtime import cuda_graphs
from vlmres.encoder.runtime.cuda_graphs import GraphRunner, Shape


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop in the place of the kernel for sequences of different lengths."""
    use("varlen", monkeypatch)
    monkeypatch.setattr(cuda_graphs, "choose_backend", lambda *_: "varlen")


def _model(name: str, checkpoint: Checkpoint) -> VisionModel:
    return VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32).model


def _batches(name: str, model: VisionModel) -> list[Packed]:
    images = canvases(CASES[name].sizes)
    parts = (images[:2], images[1:4], images)
    return [pack(part, model.config.patch.size, model.config.merge) for part in parts]


def _run(runner: GraphRunner, packed: Packed, *, inference: bool = True) -> list[torch.Tensor]:
    layout = build_layout(runner.model.config, packed.grids, packed.positions)
    with torch.inference_mode(inference):
        found = runner(packed.patches, layout)
    return list(torch.cat([found.tokens, *found.deepstack], dim=-1).split(torch.diff(layout.cu_seqlens).tolist()))


def _same(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> bool:
    return all(relative_error(one, other) <= 1e-6 for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "llava", "internvl"])
def test_padding_changes_nothing(name: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model(name, checkpoint)
    batches = _batches(name, model)
    wanted = [encode(model, batch) for batch in batches]
    lengths = [100, 300, 2048]
    runner = GraphRunner(model, lengths, capture=False)
    for batch, expected in zip(batches, wanted, strict=True):
        assert _same(_run(runner, batch), expected)
    assert runner._buffers
    assert {key.length for key in runner._buffers} <= set(lengths)
    # Too long, or one shape too many: no graph, the same tokens.
    short = GraphRunner(model, [2], capture=False)
    many = GraphRunner(model, lengths, capture=False)
    monkeypatch.setattr(cuda_graphs, "MAX_GRAPHS", 0)
    for other in (short, many):
        assert _same(_run(other, batches[1]), wanted[1])
        assert not other._buffers


@pytest.mark.parametrize("lengths", [[1], [300], [7, 1, 90], [64] * 15, [900, *[3] * 20], [1] * 1024, [129, 128]])
def test_few_blocks_are_empty(lengths: list[int]) -> None:
    """A kernel launches blocks of 128 tokens for as many tokens as the longest segment may have, for each segment."""
    length = 1024
    segments = Segments.of(np.array(lengths), group=False)
    used, count = sum(lengths), len(lengths)
    shape = Shape.of(segments, used, length)
    static = Segments(torch.full((shape.slots + 1,), -1, dtype=torch.int32), shape.longest, ())
    cuda_graphs._fill(static, segments, used, length)
    assert static.cu_seqlens[: count + 1].tolist() == segments.cu_seqlens.tolist()
    assert static.cu_seqlens[-1] == length
    assert 0 <= int(static.cu_seqlens.diff().min()) <= int(static.cu_seqlens.diff().max()) <= shape.longest
    padded = count + -(-(length - used) // shape.longest)
    assert padded <= shape.slots < 2 * padded
    assert max(lengths) <= shape.longest < 2 * max(lengths)


@pytest.mark.parametrize("first", [True, False])
def test_inference_mode_and_none(first: bool, checkpoint: Checkpoint) -> None:
    """Buffers that one mode made are written to in the other."""
    model = _model("qwen3-vl", checkpoint)
    (batch, *_), modes = _batches("qwen3-vl", model), (first, not first, first)
    wanted = encode(model, batch)
    runner = GraphRunner(model, [512], capture=False)
    for inference in modes:
        assert _same(_run(runner, batch, inference=inference), wanted)
    assert len(runner._buffers) == 1
    model.requires_grad_(True)
    for _ in range(2):
        assert _same(_run(runner, batch, inference=False), wanted)


def test_compiled_blocks(checkpoint: Checkpoint) -> None:
    model = _model("qwen3-vl", checkpoint)
    batches = _batches("qwen3-vl", model)
    wanted = [encode(model, batch) for batch in batches]
    model.compile_blocks(backend="eager", fullgraph=True)
    runner = GraphRunner(model, [128, 512], capture=False)
    assert all(_same(_run(runner, batch), other) for batch, other in zip(batches, wanted, strict=True))
    torch.compiler.reset()


def test_threads(checkpoint: Checkpoint) -> None:
    model = _model("qwen3-vl", checkpoint)
    batches = _batches("qwen3-vl", model)
    batches.append(pack(canvases(CASES["qwen3-vl"].sizes)[2:], 16, 2))
    wanted = [encode(model, batch) for batch in batches]
    runner = GraphRunner(model, [512], capture=False)

    def work(index: int) -> bool:
        return all(_same(_run(runner, batches[index], inference=False), wanted[index]) for _ in range(15))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, range(4))) == [True] * 4


class _Recorded:
    """A graph that computes again from the buffers of its capture, and writes where that wrote."""

    def __init__(self) -> None:
        self.outputs: list[torch.Tensor] = []
        self.work: Any = None
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        for kept, found in zip(self.outputs, tree_leaves(self.work()), strict=True):
            kept.copy_(found)


class Device:
    """Stands in for what captures use of `torch.cuda`, and keeps what was done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.made: list[_Recorded] = []
        self.pools: list[tuple[object, object]] = []
        self.failures: list[tuple[Exception, Exception | None]] = []
        """What captures to come raise, and what their ends raise then."""
        self.waited = 0
        self.inside = False
        stream = SimpleNamespace(wait_stream=lambda _: None, wait_event=self.wait, record_event=lambda: self)
        for name, stand_in in {
            "CUDAGraph": _Recorded,
            "graph": self.capture,
            "graph_pool_handle": object,
            "device": self.device,
            "stream": lambda _: contextlib.nullcontext(),
            "Stream": self.stream,
            "current_stream": lambda *_: stream,
        }.items():
            monkeypatch.setattr(torch.cuda, name, stand_in)

    def wait(self, event: object) -> None:
        assert event is self
        self.waited += 1

    def synchronize(self) -> None:
        pass

    @contextlib.contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        assert device == torch.device("cpu")
        self.inside = True
        yield
        self.inside = False

    def stream(self) -> object:
        assert self.inside, "streams are made on the current device"
        return SimpleNamespace(wait_stream=lambda _: None)

    @contextlib.contextmanager
    def capture(self, graph: _Recorded, *, pool: object, stream: object, capture_error_mode: str) -> Iterator[None]:
        # Other threads may call what a capture forbids.
        assert capture_error_mode == "thread_local"
        blocks = Tower.run_blocks

        def record(tower: Tower, *args: Any) -> Any:
            if self.failures:
                raise self.failures[0][0]
            outputs = blocks(tower, *args)
            graph.outputs, graph.work = tree_leaves(outputs), lambda: blocks(tower, *args)
            return outputs

        self.monkeypatch.setattr(Tower, "run_blocks", record)
        try:
            yield
        finally:
            self.monkeypatch.setattr(Tower, "run_blocks", blocks)
            if self.failures:
                _, at_end = self.failures.pop()
                if at_end is not None:
                    raise at_end
        self.made.append(graph)
        self.pools.append((pool, stream))


def test_replays_see_each_batch(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """One capture of a shape serves all later batches; results are copied before the next is replayed."""
    model = _model("qwen3-vl", checkpoint)
    # The last has the images of the first in another order.
    batches = [*_batches("qwen3-vl", model), pack(canvases(CASES["qwen3-vl"].sizes)[1::-1], 16, 2)]
    wanted = [encode(model, batch) for batch in batches]
    device = Device(monkeypatch)
    runner = GraphRunner(model, [128, 512])
    found = [_run(runner, batch) for batch in (*batches, *batches)]
    assert all(_same(one, other) for one, other in zip(found, (*wanted, *wanted), strict=True))
    assert len(device.made) == len(runner._buffers) == 3
    assert sum(graph.replays for graph in device.made) == 8
    assert all(pool is device.pools[0][0] and stream is device.pools[0][1] for pool, stream in device.pools)
    # Each turn waits for the one before it, which may have been another stream's.
    assert device.waited == 7


def test_graphs_of_other_parameters_are_dropped(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model("qwen3-vl", checkpoint)
    batch = _batches("qwen3-vl", model)[0]
    device = Device(monkeypatch)
    runner = GraphRunner(model, [128])
    block = model.get_submodule("towers.0.blocks.1")

    def halved() -> None:
        # In place: the same graph sees it.
        block.mlp.down.weight.mul_(0.5)  # type: ignore[operator, union-attr]

    def swapped() -> None:
        weight = block.get_parameter("mlp.down.weight")
        weight.data = weight.data * 2

    def replaced() -> None:
        norm = torch.nn.LayerNorm(48).requires_grad_(False)
        block.norm1 = norm

    steps = [(lambda: None, 1), (halved, 1), (swapped, 2), (replaced, 3), (model.double, 4), (model.float, 5)]
    for step, captures in steps:
        step()
        for _ in range(2):
            found = _run(runner, batch)
            assert found[0].dtype == model.dtype
            assert _same(found, encode(model, batch))
        assert len(device.made) == captures
    # Where there is no kernel for what a model has become, there is no graph.
    monkeypatch.setattr(cuda_graphs, "choose_backend", lambda *_: "sdpa")
    assert _same(_run(runner, batch), encode(model, batch))
    assert sum(graph.replays for graph in device.made) == 12


@pytest.mark.parametrize("at_end", [None, RuntimeError("operation failed due to a previous error during capture")])
def test_memory_that_ends_in_a_capture(
    at_end: Exception | None, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller learns of it, whatever the end of the capture says; then the runner goes on without that graph."""
    model = _model("qwen3-vl", checkpoint)
    batches = _batches("qwen3-vl", model)
    wanted = [encode(model, batch) for batch in batches]
    device = Device(monkeypatch)
    runner = GraphRunner(model, [128, 512])
    device.failures = [(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), at_end)]
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        _run(runner, batches[0])
    for _ in range(2):
        assert all(_same(_run(runner, batch), other) for batch, other in zip(batches, wanted, strict=True))
    assert len(device.made) == 2
    assert list(runner._buffers.values()).count(None) == 1
    device.failures = [(RuntimeError("an error of another kind"), None)]
    with pytest.raises(RuntimeError, match="of another kind"):
        _run(GraphRunner(model, [128]), batches[0])


def test_copies_have_graphs_of_their_own(checkpoint: Checkpoint) -> None:
    model = _model("qwen3-vl", checkpoint)
    batch = _batches("qwen3-vl", model)[0]
    runner = GraphRunner(model, [128], capture=False)
    wanted = _run(runner, batch)
    copied, again = copy.deepcopy(runner), pickle.loads(pickle.dumps(runner))
    model.get_parameter("patch_embed.weight").mul_(2)
    for own in (copied, again):
        assert own.model is not model
        assert not own._buffers
        assert own.lengths == [128]
        assert _same(_run(own, batch), wanted)


def test_what_cannot_be_captured(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    for lengths in ([], [64, 0]):
        with pytest.raises(ValueError, match=r"lengths must be at least 1, got \["):
            GraphRunner(_model("qwen2-vl", checkpoint), lengths)
    with pytest.raises(ValueError, match="DeepSeek-OCR has several towers"):
        GraphRunner(_model("deepseek-ocr", checkpoint), [64])
    monkeypatch.setattr(cuda_graphs, "choose_backend", lambda *_: "sdpa")
    with pytest.raises(ValueError, match=r"need bfloat16 or float16 on CUDA, got torch\.float32 on cpu"):
        GraphRunner(_model("qwen2-vl", checkpoint), [64])
