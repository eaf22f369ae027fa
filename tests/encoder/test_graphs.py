"""The padded buffers that CUDA graphs replay, run op by op with a stand-in for the kernel; capture needs a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import Packed, canvases, pack, relative_error
from tests.encoder.test_attention import use
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, build_layout, graphs
from vlmres.encoder.graphs import GraphRunner
from vlmres.encoder.model import Tower


def _run(runner: GraphRunner, packed: Packed) -> list[torch.Tensor]:
    layout = build_layout(runner.model.config, packed.grids, packed.positions)
    with torch.inference_mode():
        found = runner(packed.patches, layout)
    return list(torch.cat([found.tokens, *found.deepstack], dim=-1).split(torch.diff(layout.cu_seqlens).tolist()))


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "llava", "internvl"])
def test_padding_changes_nothing(name: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    model = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32).model
    images = canvases(CASES[name].sizes)
    batches = [pack(part, model.config.patch.size, model.config.merge) for part in (images, images[:2], images[1:4])]
    wanted = [encode(model, batch) for batch in batches]
    use("varlen", monkeypatch)
    monkeypatch.setattr(graphs, "choose_backend", lambda *_: "varlen")
    lengths = [100, 300, 2048]
    runner = GraphRunner(model, lengths, capture=False)
    for batch, expected in zip(batches, wanted, strict=True):
        for tokens, reference in zip(_run(runner, batch), expected, strict=True):
            assert relative_error(tokens, reference) <= 1e-6
    assert set(runner._buffers) <= set(lengths)
    assert runner._buffers
    # Too long, or in too many segments: no graph, the same tokens.
    short = GraphRunner(model, [2], capture=False)
    many = GraphRunner(model, lengths, capture=False)
    monkeypatch.setattr(graphs, "MAX_SEGMENTS", 1)
    for other in (short, many):
        for tokens, reference in zip(_run(other, batches[1]), wanted[1], strict=True):
            assert relative_error(tokens, reference) <= 1e-6
        assert not other._buffers


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


def test_replays_see_each_batch(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """One capture of a length serves all later batches; results are copied before the next is replayed."""
    model = VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], "cpu", torch.float32).model
    images = canvases(CASES["qwen3-vl"].sizes)
    batches = [pack(part, model.config.patch.size, model.config.merge) for part in (images[:2], images[1:4], images)]
    wanted = [encode(model, batch) for batch in batches]
    use("varlen", monkeypatch)
    monkeypatch.setattr(graphs, "choose_backend", lambda *_: "varlen")
    made: list[_Recorded] = []
    blocks = Tower.run_blocks

    @contextlib.contextmanager
    def capture(graph: _Recorded, *, capture_error_mode: str) -> Iterator[None]:
        # Other threads may call what a capture forbids.
        assert capture_error_mode == "thread_local"

        def record(self: Tower, *args: Any) -> Any:
            outputs = blocks(self, *args)
            graph.outputs, graph.work = tree_leaves(outputs), lambda: blocks(self, *args)
            return outputs

        made.append(graph)
        monkeypatch.setattr(Tower, "run_blocks", record)
        yield
        monkeypatch.setattr(Tower, "run_blocks", blocks)

    for name, stand_in in {
        "CUDAGraph": _Recorded,
        "graph": capture,
        "device": lambda _: contextlib.nullcontext(),
        "stream": lambda _: contextlib.nullcontext(),
        "Stream": lambda: SimpleNamespace(wait_stream=lambda _: None),
        "current_stream": lambda: SimpleNamespace(wait_stream=lambda _: None),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    runner = GraphRunner(model, [128, 512])
    found = [_run(runner, batch) for batch in (*batches, *batches)]
    for tokens, references in zip(found, (*wanted, *wanted), strict=True):
        for one, reference in zip(tokens, references, strict=True):
            assert relative_error(one, reference) <= 1e-6
    assert len(made) == 2
    assert sum(graph.replays for graph in made) == 6


def test_what_cannot_be_captured(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    model = VisionEncoder.from_pretrained(checkpoint("qwen2-vl")[1], "cpu", torch.float32).model
    with pytest.raises(ValueError, match=r"need bfloat16 or float16 on CUDA, got torch\.float32 on cpu"):
        GraphRunner(model, [64])
    monkeypatch.setattr(graphs, "choose_backend", lambda *_: "varlen")
    for lengths in ([], [64, 0]):
        with pytest.raises(ValueError, match=r"lengths must be at least 1, got \["):
            GraphRunner(model, lengths)
    model = VisionEncoder.from_pretrained(checkpoint("deepseek-ocr")[1], "cpu", torch.float32).model
    with pytest.raises(ValueError, match="DeepSeek-OCR has several towers"):
        GraphRunner(model, [64])
