"""What the model does with a batch: no padding, and nothing that makes a host wait for its device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import canvases, pack
from tests.encoder.test_attention import use
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, build_layout

# Operations whose results, or their sizes, a host must read.
WAITING = {
    "_local_scalar_dense",
    "_unique2",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "nonzero_numpy",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
}


class Watch(TorchDispatchMode):
    """The names of all operations, and the most values of a new tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        self.names.add(name)
        if name.startswith("index"):
            # As an index, a mask has as many places as it has ones.
            assert all(item.dtype != torch.bool for item in tree_leaves(args[1]) if isinstance(item, torch.Tensor))
        sizes = [item.untyped_storage().nbytes() for item in tree_leaves(out) if isinstance(item, torch.Tensor)]
        self.largest = max([self.largest, *sizes])
        return out


def watched(encoder: VisionEncoder, sizes: list[tuple[int, int]]) -> Watch:
    """Of a run that has seen the batch's grids before."""
    packed = pack(canvases(sizes), encoder.config.patch.size, encoder.config.merge)
    layout = build_layout(encoder.config, packed.grids, packed.positions)
    watch = Watch()
    with torch.no_grad():  # In inference mode composed operations would hide what they are made of.
        encoder.model(packed.patches, layout)
        with watch:
            encoder.model(packed.patches, layout)
    return watch


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("-raw")])
def test_no_operation_waits(name: str, checkpoint: Checkpoint) -> None:
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    watch = watched(encoder, list(CASES[name].sizes))
    assert not watch.names & WAITING
    assert "addmm" in watch.names or "mm" in watch.names


@pytest.mark.parametrize("backend", ["sdpa", "varlen"])
@pytest.mark.parametrize(
    "name", ["clip", "siglip2", "internvl", "qwen2-vl", "qwen2.5-vl", "qwen3-vl", "kimi", "pixtral"]
)
def test_nothing_is_padded(name: str, backend: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long image among 24 of one cell costs what their patches do, where padded it were ten times that."""
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    if backend == "varlen":
        use(backend, monkeypatch)
    cell = encoder.config.patch.size * encoder.config.merge
    long = [(8 * cell, 16 * cell)]
    one, many = watched(encoder, long), watched(encoder, [*long, *[(cell, cell)] * 24])
    assert many.largest <= one.largest * (128 + 24 * 2) / 128
