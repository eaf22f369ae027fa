"""What only a GPU can show; skipped where there is none.

With `VLMRES_REHEARSE_CUDA=1` the tests run on the CPU, with stand-ins for kernels and captures: that shows that they
run, and nothing of a GPU.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
import torch

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import canvases, pack, relative_error
from tests.encoder.test_attention import use
from tests.encoder.test_cuda_graphs import Device
from tests.encoder.tiny import CASES
from tests.images import image
from tests.videos import video
from vlmres.encoder import VisionEncoder, build_layout
from vlmres.encoder.nn import attention, blocks
from vlmres.encoder.nn.model import Tokens
from vlmres.encoder.runtime import cuda_graphs

REHEARSED = os.environ.get("VLMRES_REHEARSE_CUDA") == "1"
DEVICE = "cpu" if REHEARSED else "cuda"

pytestmark = pytest.mark.skipif(not REHEARSED and not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def float32_without_tf32() -> Iterator[None]:
    """cuDNN's convolutions round float32 to TF32 unless told otherwise; products do not."""
    kept = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = kept


@contextlib.contextmanager
def waiting_is_an_error() -> Iterator[None]:
    """Of the host for the device, where there is one."""
    if REHEARSED:
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


SIZES = [(100, 60), (64, 200), (90, 90), (33, 160), (128, 128), (70, 40)]
NAMES = [name for name in CASES if not name.endswith("-raw")]


def run(encoder: VisionEncoder, name: str, backend: str | None = None) -> Tokens:
    """Tokens of a case's batch, after a first run that fills caches."""
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size, encoder.config.merge)
    group = (backend or attention.choose_backend(encoder.device, encoder.dtype)) == "sdpa"
    layout = build_layout(encoder.config, packed.grids, packed.positions, group=group).to(encoder.device)
    patches = packed.patches.to(encoder.device)
    with torch.inference_mode():
        encoder.forward(patches, layout)
        with waiting_is_an_error():
            return encoder.forward(patches, layout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_cpu_and_waits_for_nothing(name: str, dtype: torch.dtype, checkpoint: Checkpoint) -> None:
    folder = checkpoint(name)[1]
    wanted = run_on_cpu(VisionEncoder.from_pretrained(folder, "cpu", torch.float32), name)
    found = run(VisionEncoder.from_pretrained(folder, DEVICE, dtype), name)
    bound = 1e-4 if dtype is torch.float32 else 3e-2
    assert relative_error(found.tokens.cpu(), wanted.tokens) <= bound


def run_on_cpu(encoder: VisionEncoder, name: str) -> Tokens:
    """Tokens of a case's batch."""
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size, encoder.config.merge)
    with torch.inference_mode():
        found: Tokens = encoder.model(packed.patches, build_layout(encoder.config, packed.grids, packed.positions))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_kernels_agree(name: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's kernel for sequences of different lengths against SDPA, segment after segment."""
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], DEVICE, torch.bfloat16)
    if REHEARSED:
        use("varlen", monkeypatch)
    if attention.choose_backend(encoder.device, torch.bfloat16) == "sdpa":
        pytest.skip("no such kernel for this device")
    found = run(encoder, name)
    monkeypatch.setattr(attention, "choose_backend", lambda *_: "sdpa")
    assert relative_error(found.tokens, run(encoder, name, "sdpa").tokens) <= 2e-2


@pytest.mark.parametrize("name", ["clip", "qwen2.5-vl", "deepseek-ocr", "deepseek-ocr-2"])
def test_compiled_blocks(name: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind: with rotary positions in windows, and with relative positions inside the kernel."""
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], DEVICE, torch.bfloat16)
    wanted = run(encoder, name)
    if REHEARSED:
        monkeypatch.setattr(blocks, "adds_bias", lambda *_: True)
    encoder.model.compile_blocks(**({"backend": "eager"} if REHEARSED else {}))
    assert relative_error(run(encoder, name).tokens, wanted.tokens) <= 2e-2


def test_encode_equals_one_batch(checkpoint: Checkpoint, recipe: vlmres.Recipe) -> None:
    """Many small groups, whose memory is used again and again."""
    encoder = VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], DEVICE, torch.float32, recipe=recipe)
    images = [image(*SIZES[index % len(SIZES)], seed=index) for index in range(60)]
    wanted = encoder(vlmres.Processor(recipe, layout="packed", dtype="uint8")(images))
    encoder.max_patches = 64
    found = encoder.encode(images)
    assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
    assert relative_error(found.tokens, wanted.tokens) <= 1e-5


@pytest.mark.parametrize("name", ["qwen3-vl", "kimi"])
def test_videos(name: str, checkpoint: Checkpoint) -> None:
    """Kernels over distinct frames, and clips whose frames attend to each other."""
    recipe = vlmres.Recipe.load({"kimi": "kimi-k2.5"}.get(name, name))
    videos = [video(5, 64, 96), video(9, 90, 64, seed=1)]
    found, wanted = (
        VisionEncoder.from_pretrained(checkpoint(name)[1], device, torch.float32, recipe=recipe).encode(videos=videos)
        for device in (DEVICE, "cpu")
    )
    assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
    assert relative_error(found.tokens.cpu(), wanted.tokens) <= 1e-4


def test_graphs(checkpoint: Checkpoint, recipe: vlmres.Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Captured while images are prepared beside, and replayed for other batches."""
    if REHEARSED:
        use("varlen", monkeypatch)
        monkeypatch.setattr(cuda_graphs, "choose_backend", lambda *_: "varlen")
        Device(monkeypatch)
    folder = checkpoint("qwen3-vl")[1]
    images = [image(*SIZES[index % len(SIZES)], seed=index) for index in range(30)]
    plain, captured = (
        VisionEncoder.from_pretrained(folder, DEVICE, torch.bfloat16, recipe=recipe, max_patches=200, graphs=lengths)
        for lengths in ([], [128, 256])
    )
    found, wanted = captured.encode(images), plain.encode(images)
    assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
    assert relative_error(found.tokens, wanted.tokens) <= 1e-2
    for level, expected in zip(found.deepstack, wanted.deepstack, strict=True):
        assert relative_error(level, expected) <= 1e-2
