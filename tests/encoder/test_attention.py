"""Backends: the same attention from each, and nothing that waits for the device.

torch's and flash-attn's kernels run on CUDA alone. Here a plain loop over `cu_seqlens` stands in for them, so that what
they are given is tested: bounds, padded head dims, and where causal queries are aligned.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import varlen

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import canvases, pack, relative_error
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, VisionModel, attention, build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.attention import Segments, attend
from vlmres.encoder.positions import RotaryEmbedding


def _loop(q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int, scale: float, causal: bool) -> Any:
    """Attention of each segment, after the checks of the kernels."""
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert q.shape[2] == k.shape[2] == v.shape[2]
    assert q.shape[2] % 8 == 0
    assert max_q >= int(cu_q.diff().max())
    assert max_k >= int(cu_k.diff().max())
    assert int(cu_q[-1]) == len(q)
    assert int(cu_k[-1]) == len(k)
    k, v = (part.repeat_interleave(q.shape[1] // part.shape[1], dim=1) for part in (k, v))
    out = torch.empty_like(q)
    for (a, b), (c, d) in zip(pairwise(cu_q), pairwise(cu_k), strict=True):
        scores = torch.einsum("qhd,khd->hqk", q[a:b], k[c:d]) * scale
        if causal:
            allowed = torch.ones_like(scores[0], dtype=torch.bool).tril(int((d - c) - (b - a)))
            scores = scores.masked_fill(~allowed, float("-inf"))
        out[a:b] = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v[c:d])
    return out


def _varlen(
    q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int, *, scale: float, **options: Any
) -> Any:
    assert options.pop("enable_gqa", False) == (q.shape[1] != k.shape[1])
    causal = options.pop("window_size", (-1, -1)) == (-1, 0)
    assert not options
    return _loop(q, k, v, cu_q, cu_k, max_q, max_k, scale, causal)


def _flash(
    q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int, *, softmax_scale: float, **options: Any
) -> Any:
    causal = options.pop("window_size", (-1, -1)) == (-1, 0)
    assert not options
    return _loop(q, k, v, cu_q, cu_k, max_q, max_k, softmax_scale, causal)


def use(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chooses a backend; the loop is the kernels'."""
    monkeypatch.setattr(attention, "choose_backend", lambda *_: backend)
    monkeypatch.setattr(varlen, "varlen_attn", _varlen)
    module = ModuleType("flash_attn")
    module.flash_attn_varlen_func = _flash  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", module)


@pytest.mark.parametrize("backend", ["varlen", "flash"])
@pytest.mark.parametrize("name", ["clip", "qwen2.5-vl", "qwen3-vl", "deepseek-ocr", "deepseek-ocr-2"])
def test_kernels_are_given_the_same_attention(
    name: str, backend: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size, encoder.config.merge)
    wanted = encode(encoder.model, packed)
    use(backend, monkeypatch)
    for tokens, expected in zip(encode(encoder.model, packed), wanted, strict=True):
        assert relative_error(tokens, expected) <= 1e-6


def test_backends() -> None:
    attention.choose_backend.cache_clear()
    assert attention.choose_backend("cpu", torch.bfloat16) == "sdpa"
    assert attention.choose_backend("cuda", torch.float32) == "sdpa"
    assert attention.choose_backend("cuda", torch.bfloat16) == "varlen"


@pytest.mark.parametrize("lengths", [[5], [4, 4, 4], [3, 1, 3, 7, 1, 3], [2, 2, 9, 9], [1, 1]])
@pytest.mark.parametrize("group", [True, False])
def test_segments(lengths: list[int], group: bool) -> None:
    """Equal segments are batched; the result is that of one segment at a time."""
    segments = Segments.of(np.array(lengths), group=group)
    assert segments.cu_seqlens.tolist() == np.cumsum([0, *lengths]).tolist()
    assert segments.max_seqlen == max(lengths)
    assert sum(count * length for count, length in segments.runs) == sum(lengths)
    if group:
        assert len(segments.runs) == len(set(lengths))
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(sum(lengths), 2, 8, generator=generator) for _ in range(3))
    bounds, longest = segments.cu_seqlens, segments.max_seqlen
    wanted = _loop(q, k, v, bounds, bounds, longest, longest, 0.3, False)
    torch.testing.assert_close(attend(q, k, v, segments, 0.3), wanted)


FULL: dict[str, Any] = {
    "qwen2_vl": {"vision_config": {"depth": 2}},
    "qwen2_5_vl": {"vision_config": {"depth": 2, "hidden_size": 1280, "fullatt_block_indexes": [1]}},
    "qwen3_vl": {"vision_config": {"depth": 2, "deepstack_visual_indexes": [0]}},
    "internvl": {"vision_config": {"num_hidden_layers": 2}},
    "kimi_k25": {"vision_config": {"num_hidden_layers": 2}},
    "mistral3": {"vision_config": {"num_hidden_layers": 2}},
    "unlimited_ocr": {"vision_config": {"sam_config": {"num_hidden_layers": 3}, "encoder_config": {}}},
    "deepseek_ocr2": {
        "vision_config": {
            "sam_config": {"num_hidden_layers": 3},
            "encoder_config": {"num_hidden_layers": 2, "hidden_size": 896, "num_attention_heads": 14},
        }
    },
}


@pytest.mark.parametrize("kind", FULL)
def test_nothing_waits_for_the_device(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors without values, as if on CUDA: reading one on the host would be an error. Sizes are the real ones."""

    def shape_only(q: Any, *_: Any, scale: float, **__: Any) -> Any:
        assert q.device.type == "cuda"
        assert scale > 0
        return torch.empty_like(q)

    monkeypatch.setattr(varlen, "varlen_attn", shape_only)
    config = architecture({"model_type": kind, **FULL[kind]}).config
    grids = np.array([(40, 40), (64, 64)] if "ocr" in kind else [(32, 32), (32, 32)])
    layout = build_layout(config, grids, group=False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        torch.set_default_dtype(torch.bfloat16)
        try:
            with torch.device("cuda"):
                model = VisionModel(config).requires_grad_(True)
        finally:
            torch.set_default_dtype(torch.float32)
        for module in model.modules():
            if isinstance(module, RotaryEmbedding):
                module.frequency, module.axis = module.frequency.cuda(), module.axis.cuda()
        patches = torch.empty(layout.num_patches, config.patch.dim, dtype=torch.uint8, device="cuda")
        out = model(patches, layout.to(torch.device("cuda")))
    assert out.tokens.device.type == "cuda"
    assert tuple(out.tokens.shape) == (int(layout.cu_seqlens[-1]), config.hidden)
    assert out.tokens.dtype == torch.bfloat16
