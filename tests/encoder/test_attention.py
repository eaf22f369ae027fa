"""Backends: the same attention from each, and nothing that waits for the device.

torch's and flash-attn's kernels run on CUDA alone. Here a plain loop over `cu_seqlens` stands in for them, so that what
they are given is tested: bounds, padded head dims, and where causal queries are aligned.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterator
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


TORCHS = varlen.varlen_attn


@functools.wraps(TORCHS)
def _varlen(q: Any, k: Any, v: Any, *bounds: Any, **options: Any) -> Any:
    assert list(inspect.signature(TORCHS).bind(q, k, v, *bounds, **options).arguments)[:7] == [
        "query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"
    ]  # fmt: skip
    assert options.pop("enable_gqa") or q.shape[1] == k.shape[1]
    assert options.pop("num_splits") == 1
    scale, window = options.pop("scale"), options.pop("window_size")
    assert not options
    assert window in ((-1, -1), (-1, 0))
    cu_q, cu_k, max_q, max_k = bounds
    return _loop(q, k, v, cu_q, cu_k, max_q, max_k, scale, window == (-1, 0))


def _flash(
    q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int, *, softmax_scale: float, causal: bool
) -> Any:
    return _loop(q, k, v, cu_q, cu_k, max_q, max_k, softmax_scale, causal)


def use(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chooses a backend; the loop is the kernels'."""
    monkeypatch.setattr(attention, "choose_backend", lambda *_: backend)
    monkeypatch.setattr(varlen, "varlen_attn", _varlen)
    if backend in attention._PACKAGES:
        install(attention._PACKAGES[backend], monkeypatch, _flash)


def install(name: str, monkeypatch: pytest.MonkeyPatch, function: Any = None) -> None:
    """Puts a package with a kernel in the place of one that may be there; or one without."""
    module = ModuleType(name)
    if function is not None:
        module.flash_attn_varlen_func = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("backend", ["varlen", "flash", "flash3"])
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


CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A stand-in for a Hopper GPU, a torch with flash attention and no packages."""
    monkeypatch.delenv("VLMRES_ATTENTION", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    for package in ("flash_attn", "flash_attn_interface"):
        monkeypatch.setitem(sys.modules, package, None)
    attention.choose_backend.cache_clear()
    yield monkeypatch
    attention.choose_backend.cache_clear()


def _chosen(device: torch.device = CUDA, dtype: torch.dtype = torch.bfloat16) -> str:
    attention.choose_backend.cache_clear()
    return attention.choose_backend(device, dtype)


def test_the_best_backend_that_is_there(gpu: pytest.MonkeyPatch) -> None:
    assert _chosen(CPU) == _chosen(CUDA, torch.float32) == "sdpa"
    assert _chosen() == _chosen(CUDA, torch.float16) == "varlen"
    install("flash_attn", gpu, _flash)
    assert _chosen() == "varlen"
    install("flash_attn_interface", gpu)  # another package of that name
    assert _chosen() == "varlen"
    install("flash_attn_interface", gpu, _flash)
    assert _chosen() == "flash3"
    for capability, backend in (((7, 5), "sdpa"), ((8, 0), "varlen"), ((8, 9), "varlen"), ((10, 0), "varlen")):
        gpu.setattr(torch.cuda, "get_device_capability", lambda _, found=capability: found)
        assert _chosen() == backend
    gpu.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    assert _chosen() == "flash"
    gpu.setitem(sys.modules, "flash_attn", None)
    assert _chosen() == "sdpa"


def test_a_backend_by_name(gpu: pytest.MonkeyPatch) -> None:
    install("flash_attn", gpu, _flash)
    for name in ("varlen", "flash", "sdpa"):
        gpu.setenv("VLMRES_ATTENTION", name)
        assert _chosen() == name
    gpu.setenv("VLMRES_ATTENTION", "")
    assert _chosen() == "varlen"
    gpu.setenv("VLMRES_ATTENTION", "fast")
    with pytest.raises(ValueError, match="VLMRES_ATTENTION must be one of flash3, varlen, flash, sdpa, got 'fast'"):
        _chosen(CPU)
    gpu.setenv("VLMRES_ATTENTION", "varlen")
    with pytest.raises(ValueError, match=r"=varlen: it takes bfloat16 and float16 on CUDA, not torch\.float32 on cpu"):
        _chosen(CPU, torch.float32)
    gpu.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    with pytest.raises(ValueError, match="=varlen: this torch has no flash attention"):
        _chosen()
    gpu.setenv("VLMRES_ATTENTION", "flash3")
    with pytest.raises(ValueError, match="=flash3: flash_attn_interface cannot be imported: "):
        _chosen()
    gpu.setattr(torch.cuda, "get_device_capability", lambda _: (8, 9))
    with pytest.raises(ValueError, match=r"=flash3: it needs compute capability 9\.0, cuda:0 has 8\.9"):
        _chosen()


def test_options_of_other_versions() -> None:
    """What torch 2.11's kernel does not know is not passed; of 2.12 and later it is."""

    def older(*, scale: float, window_size: tuple[int, int]) -> None: ...

    assert attention._extras(older) == {}
    assert attention._extras(varlen.varlen_attn) == {"enable_gqa": True, "num_splits": 1}


def test_no_copies_for_dims_that_fit() -> None:
    x = torch.zeros(3, 2, 16)
    assert attention._widened(x, 16) is x
    assert tuple(attention._widened(x, 24).shape) == (3, 2, 24)


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


@pytest.fixture
def without_cudnn() -> Iterator[None]:
    """torch asks for the device's generation before it looks at the options that rule cuDNN's kernel out."""
    enabled = torch.backends.cuda.cudnn_sdp_enabled()
    torch.backends.cuda.enable_cudnn_sdp(False)
    yield
    torch.backends.cuda.enable_cudnn_sdp(enabled)


@pytest.mark.usefixtures("without_cudnn")
@pytest.mark.parametrize("kind", FULL)
def test_nothing_waits_for_the_device(kind: str) -> None:
    """Tensors without values, as if on CUDA, through torch's own kernel: to read one on the host would be an error.

    Sizes are the real ones.
    """
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
