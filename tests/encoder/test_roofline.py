"""What a GPU should need, on paper: launches and bytes of a few known operations, and of blocks as documented."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from benches.encoder import passes, roofline
from benches.encoder.count import Counted, Counter, MetaCounter, Op
from benches.encoder.models import MODELS
from benches.encoder.passes import Pass, blocks_of, our_pass, peer_pass
from benches.encoder.roofline import BLOCKS, FLASH2, GAP, HOST, Device

from tests.encoder.families import family
from vlmres.encoder.nn import attention

META = torch.device("meta")


def _counted(*, compiled: bool) -> Counted:
    x, weight = torch.empty(4, 8, device=META), torch.empty(16, 8, device=META)
    counter = Counter()
    with torch.no_grad(), counter:
        if compiled:
            with counter.compiled():
                y = _run(x, weight)
        else:
            y = _run(x, weight)
        y + 1
    return counter.counted


def _run(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    y = (x * 2).view(2, 16).view(4, 8) + x
    return torch.relu(y @ weight.T).T


def test_launches_and_bytes() -> None:
    """Of [4, 8] and [16, 8] in float32: views are none."""
    counted = _counted(compiled=False)
    assert [op.name for op in counted.ops] == ["mul", "add", "mm", "relu", "add"]
    assert [op.kind for op in counted.ops] == ["other", "other", "product", "other", "other"]
    assert [op.bytes for op in counted.ops] == [128 + 128, 2 * 128 + 128, 128 + 512 + 256, 2 * 256, 2 * 256]
    assert counted.flops == counted.of("product")[0].flops == 2 * 4 * 8 * 16
    assert [op.bytes for op in counted.fused().ops] == [op.bytes for op in counted.ops]


def test_what_fusing_leaves() -> None:
    """Two of one graph are one, which reads x once; the product and what is behind the graph stay."""
    fused = _counted(compiled=True).fused()
    assert [op.bytes for op in fused.ops] == [128 + 128, 128 + 512 + 256, 2 * 256, 2 * 256]
    assert fused.flops == 2 * 4 * 8 * 16


def test_rows_of_a_table() -> None:
    table, index = torch.empty(1000, 8, device=META), torch.empty(3, dtype=torch.int64, device=META)
    counter = Counter()
    with torch.no_grad(), counter:
        table[index]
    (op,) = counter.counted.ops
    assert sorted(op.reads.values()) == [3 * 8, 3 * 8 * 4]
    assert list(op.writes.values()) == [3 * 8 * 4]


def test_integers_keep_their_values() -> None:
    """What transformers computes from grids; all else has no values."""
    counter = MetaCounter()
    with torch.no_grad(), counter:
        bounds = torch.tensor([4, 5]).cumsum(0).to(META)
        x = torch.empty(9, 2, device=META)[torch.arange(9)]
        assert [len(part) for part in x.split(bounds.diff(prepend=torch.zeros(1, dtype=torch.int64)).tolist())] == [
            4,
            5,
        ]
        assert (x * torch.ones(2)).is_meta
    assert [op.name for op in counter.counted.ops][-1] == "mul"


def test_seconds() -> None:
    """The larger of FLOPs and bytes, no less than the gap between launches, and no faster than the host."""
    device = Device("slow", products=1e9, memory=1e6)
    product = Op("mm", "product", 10**9, {1: 1}, {}, 0)
    copy = Op("add", "other", 0, {1: 10**6}, {2: 10**6}, 0)
    kernel = Op("_varlen_attn", "attention", 10**9, {1: 1}, {}, 0)
    assert roofline.seconds(Counted([product, copy]), device, "eager") == pytest.approx(1 + 2)
    assert roofline.seconds(Counted([kernel]), device, "eager") == pytest.approx(1 / FLASH2)
    flex = Op("flex_attention", "attention", 10**9, {1: 1}, {}, 0)
    assert roofline.seconds(Counted([flex]), device, "eager") == pytest.approx(1 / FLASH2 / roofline.FLEX)
    nothing = Counted([Op("add", "other", 0, {1: 1}, {}, 0)] * 100)
    fast = Device("fast", 1e15, 1e15)
    assert roofline.seconds(nothing, fast, "compiled") == pytest.approx(100 * HOST)
    assert roofline.seconds(nothing, fast, "graphs") == pytest.approx(100 * GAP)


def test_rows() -> None:
    ops = Counted([Op("mm", "product", 788 * 10**9, {1: 10**6}, {}, 0)] * 8)
    ours = Pass(1000, 8 * 788 * 10**9, 2**30, ops, ops, has_graphs=False, attention="varlen")
    theirs = Pass(1000, 8 * 788 * 10**9, 2**30, Counted(ops.ops * 2), ops, has_graphs=False, attention="sdpa")
    cells = roofline._row("a", "vlmres", ours, theirs).strip("| ").split(" | ")
    assert cells[:6] == ["a", "vlmres", "8", "8", "0.0 GB", "0.0 GB"]
    assert cells[6:9] == ["125 k/s, 100%, 2.00x", "125 k/s, 100%, 1.00x", "n/a"]
    assert roofline._row("", "transformers", theirs, None).count("|") == len(cells) + 1


# (eager, compiled) launches of blocks, as docs/encoder.md has them.
LAUNCHES: dict[str, list[tuple[int, int]]] = {
    "qwen2.5-vl": [(18, 9)] * 3,
    "internvl": [(12, 8)] * 2,
    "deepseek-ocr": [(21, 13), (20, 14), (12, 8), (12, 8)],
}


with_torchs_kernel = pytest.mark.skipif(
    attention._varlen_obstacle() is not None, reason=f"no kernel to count: {attention._varlen_obstacle()}"
)


@with_torchs_kernel
@pytest.mark.parametrize("name", LAUNCHES)
def test_blocks(name: str) -> None:
    """Real widths: no block launches more than it did, or moves more than transformers'."""
    found = blocks_of(name, BLOCKS[name])
    ours = [block for block in found if block.who == "vlmres"]
    theirs = [block for block in found if block.who == "transformers"]
    assert [(len(block.eager.ops), len(block.compiled.ops)) for block in ours] == LAUNCHES[name]
    family(MODELS[name].family)
    assert len(ours) == len(theirs)
    for own, other in zip(ours, theirs, strict=True):
        assert len(own.compiled.ops) <= len(other.compiled.ops)
        assert _moved(own.compiled) / own.patches <= _moved(other.compiled) / other.patches


def _moved(counted: Counted) -> int:
    return sum(op.bytes for op in counted.of("other"))


@with_torchs_kernel
def test_passes_are_of_the_same_work() -> None:
    """InternVL's heads fill the kernel's steps: FLOPs of both are exactly those of the plans."""
    config: Any = MODELS["internvl"].config("real")
    assert config.towers[0].attention.head_dim % passes.STEP == 0
    ours, theirs = our_pass("internvl", "small", 1), peer_pass("internvl", "small", 1)
    assert theirs is not None
    assert ours.tokens == theirs.tokens == 256
    assert ours.eager.flops == ours.compiled.flops == theirs.eager.flops == ours.model_flops == theirs.model_flops
    assert len(ours.compiled.ops) < len(ours.eager.ops)
    assert set(MODELS) >= set(LAUNCHES) == set(BLOCKS)
