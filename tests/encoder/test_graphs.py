"""The padded buffers that CUDA graphs replay, run op by op with a stand-in for the kernel; capture needs a GPU."""

import pytest
import torch

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import Packed, canvases, pack, relative_error
from tests.encoder.test_attention import use
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, build_layout, graphs
from vlmres.encoder.graphs import GraphRunner


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


def test_what_cannot_be_captured(checkpoint: Checkpoint) -> None:
    model = VisionEncoder.from_pretrained(checkpoint("qwen2-vl")[1], "cpu", torch.float32).model
    with pytest.raises(ValueError, match=r"need bfloat16 or float16 on CUDA, got torch\.float32 on cpu"):
        GraphRunner(model, [64])
    model = VisionEncoder.from_pretrained(checkpoint("deepseek-ocr")[1], "cpu", torch.float32).model
    with pytest.raises(ValueError, match="DeepSeek-OCR has several towers"):
        GraphRunner(model, [64])
