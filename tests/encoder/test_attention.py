"""Backends: the same attention from each, and nothing that waits for the device.

torch's and flash-attn's kernels run on CUDA alone. Here a plain loop over `cu_seqlens` stands in for them, so that what
they are given is tested: bounds, padded head dims, and where causal queries are aligned.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch._subclasses.fake_tensor import FakeTensorMode

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import canvases, pack, relative_error
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, VisionModel, build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.layout.segments import Segments
from vlmres.encoder.nn import attention
from vlmres.encoder.nn.attention import attend
from vlmres.encoder.nn.positions import RotaryEmbedding


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


def _varlen_of(*options: str) -> Any:
    """A stand-in for torch's kernel in a version that has these options."""
    names = ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]
    kind = inspect.Parameter
    own = [kind(name, kind.POSITIONAL_OR_KEYWORD) for name in names]
    signature = inspect.Signature([*own, *(kind(name, kind.KEYWORD_ONLY, default=None) for name in options)])

    def varlen_attn(*given: Any, **chosen: Any) -> Any:
        signature.bind(*given, **chosen)
        q, k, v, cu_q, cu_k, max_q, max_k = given
        assert ("enable_gqa" in options and chosen.pop("enable_gqa")) or q.shape[1] == k.shape[1] == v.shape[1]
        assert "num_splits" not in options or chosen.pop("num_splits") == 1
        scale, window = chosen.pop("scale"), chosen.pop("window_size")
        assert not chosen
        assert window in ((-1, -1), (-1, 0))
        return _loop(q, k, v, cu_q, cu_k, max_q, max_k, scale, window == (-1, 0))

    varlen_attn.__signature__ = signature  # type: ignore[attr-defined]
    return varlen_attn


# torch's kernel: of 2.10, which cannot be used, of 2.11, and of later versions.
VARLEN = {
    "2.10": _varlen_of("is_causal", "return_aux"),
    "2.11": _varlen_of("return_aux", "scale", "window_size"),
    "newer": _varlen_of("return_aux", "scale", "window_size", "enable_gqa", "seqused_k", "block_table", "num_splits"),
}


def _flash(
    q: Any, k: Any, v: Any, cu_q: Any, cu_k: Any, max_q: int, max_k: int, *, softmax_scale: float, causal: bool
) -> Any:
    return _loop(q, k, v, cu_q, cu_k, max_q, max_k, softmax_scale, causal)


def install_varlen(version: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a stand-in in the place of torch's kernel; or none, as in torch 2.9 and before."""
    name = "torch.nn.attention.varlen"
    module = ModuleType(name)
    if version is not None:
        module.varlen_attn = VARLEN[version]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, None if version is None else module)


def use(backend: str, monkeypatch: pytest.MonkeyPatch, version: str = "newer") -> None:
    """Chooses a backend; the loop is the kernels'."""
    monkeypatch.setattr(attention, "choose_backend", lambda *_: backend)
    install_varlen(version, monkeypatch)
    if backend in attention._PACKAGES:
        install(attention._PACKAGES[backend], monkeypatch, _flash)


def install(name: str, monkeypatch: pytest.MonkeyPatch, function: Any = None) -> None:
    """Puts a package with a kernel in the place of one that may be there; or one without."""
    module = ModuleType(name)
    if function is not None:
        module.flash_attn_varlen_func = function  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize(
    ("backend", "version"), [("varlen", "newer"), ("varlen", "2.11"), ("flash", "newer"), ("flash3", "newer")]
)
@pytest.mark.parametrize("name", ["clip", "qwen2.5-vl", "qwen3-vl", "deepseek-ocr", "deepseek-ocr-2"])
def test_kernels_are_given_the_same_attention(
    name: str, backend: str, version: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size, encoder.config.merge)
    wanted = encode(encoder.model, packed)
    use(backend, monkeypatch, version)
    for tokens, expected in zip(encode(encoder.model, packed), wanted, strict=True):
        assert relative_error(tokens, expected) <= 1e-6


TORCH = Version(Version(torch.__version__).base_version)
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
    install_varlen("newer", monkeypatch)
    attention._choose.cache_clear()
    yield monkeypatch
    attention._choose.cache_clear()


def _chosen(device: torch.device = CUDA, dtype: torch.dtype = torch.bfloat16) -> str:
    attention._choose.cache_clear()
    found: str = attention.choose_backend(device, dtype)
    return found


def test_the_best_backend_that_is_there(gpu: pytest.MonkeyPatch) -> None:
    assert _chosen(CPU) == _chosen(CUDA, torch.float32) == "sdpa"
    assert _chosen() == _chosen(CUDA, torch.float16) == "varlen"
    install("flash_attn", gpu, _flash)
    assert _chosen() == "varlen"
    for version, backend in (("2.11", "varlen"), ("2.10", "flash"), (None, "flash")):
        install_varlen(version, gpu)
        assert _chosen() == backend
    install_varlen("newer", gpu)
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
    for version, message in (("2.10", "varlen_attn of torch .* has no scale"), (None, "torch .* has no varlen_attn")):
        install_varlen(version, gpu)
        with pytest.raises(ValueError, match=f"=varlen: {message}"):
            _chosen()
    gpu.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    with pytest.raises(ValueError, match="=varlen: this torch has no flash attention"):
        _chosen()
    gpu.setenv("VLMRES_ATTENTION", "flash3")
    with pytest.raises(ValueError, match="=flash3: flash_attn_interface cannot be imported: "):
        _chosen()
    gpu.setattr(torch.cuda, "get_device_capability", lambda _: (8, 9))
    with pytest.raises(ValueError, match=r"=flash3: it needs compute capability 9\.0, cuda:0 has 8\.9"):
        _chosen()


def test_torchs_own_kernel_is_as_the_stand_ins_are() -> None:
    """Of 2.11 or later; where there are options for groups of heads and splits, they are used."""
    if Version("2.11") > TORCH:
        pytest.skip(f"torch {TORCH} has no kernel that can be used")
    known = attention._varlen_options()
    assert attention._varlen_obstacle() is None
    expected = {"enable_gqa": True, "num_splits": 1} if Version("2.12") <= TORCH else {}
    assert attention._extras(known) == expected
    stand_in = VARLEN["newer" if expected else "2.11"]
    assert set(attention._parameters(stand_in)) - {"seqused_k", "block_table"} <= set(known)


@pytest.mark.parametrize("kind", ["mps", "xpu", "hpu"])
def test_other_devices_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"the encoder runs on cpu and cuda, not on {kind}; use device='cpu'"):
        attention.choose_backend(torch.device(kind), torch.float32)
    with pytest.raises(ValueError, match=f"not on {kind}"):
        VisionEncoder.from_pretrained(tmp_path, kind)


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
    """Tensors without values: to read one on the host would be an error. Sizes are the real ones.

    They are as if on CUDA, and go through torch's own kernel; where there is none, as if on the CPU, through SDPA:
    torches that old cannot fill tensors of a device that is not there.
    """
    device = torch.device("cpu" if attention._varlen_obstacle() else "cuda")
    config = architecture({"model_type": kind, **FULL[kind]}).config
    grids = np.array([(40, 40), (64, 64)] if "ocr" in kind else [(32, 32), (32, 32)])
    layout = build_layout(config, grids, group=False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        torch.set_default_dtype(torch.bfloat16)
        try:
            with device:
                model = VisionModel(config).requires_grad_(True)
        finally:
            torch.set_default_dtype(torch.float32)
        for module in model.modules():
            if isinstance(module, RotaryEmbedding):
                module.frequency, module.axis = module.frequency.to(device), module.axis.to(device)
        patches = torch.empty(layout.num_patches, config.patch.dim, dtype=torch.uint8, device=device)
        out = model(patches, layout.to(device))
    assert out.tokens.device.type == device.type
    assert tuple(out.tokens.shape) == (int(layout.cu_seqlens[-1]), config.hidden)
    assert out.tokens.dtype == torch.bfloat16
