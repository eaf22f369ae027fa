"""torch.compile, with backends that need no compiler."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import Packed, canvases, pack, relative_error
from tests.encoder.test_attention import FULL
from tests.encoder.test_parity import encode
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, VisionModel, build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.nn import attention, blocks
from vlmres.encoder.nn.biased_attention import adds_bias

NAMES = [
    "clip",
    "siglip2",
    "internvl-6b",
    "qwen2-vl",
    "qwen2.5-vl",
    "qwen3-vl",
    "kimi",
    "deepseek-ocr",
    "deepseek-ocr-2",
]

# Kinds of blocks: of full and windowed attention, or of two towers.
KINDS = {"qwen2.5-vl": 1, "deepseek-ocr": 3, "deepseek-ocr-2": 3}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Compiled code belongs to functions, and so to all models of a process."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Counted:
    """A backend that runs what it is given op by op."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, _: Sequence[Any]) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


def _batches(name: str, model: VisionModel) -> list[Packed]:
    """Of one to five images, of different sizes."""
    images = canvases(CASES[name].sizes)
    parts = (images, images[:2], images[2:4], images[1:2], images[::-1], [*images[:3], *images[:2]])
    return [pack(part, model.config.patch.size, model.config.merge) for part in parts]


@pytest.mark.parametrize("name", NAMES)
def test_blocks(name: str, checkpoint: Checkpoint) -> None:
    """The same tokens from a few graphs, without breaks, for batches of any sizes."""
    model = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32).model
    batches = _batches(name, model)
    wanted = [encode(model, batch) for batch in batches]
    backend = Counted()
    model.compile_blocks(backend=backend, fullgraph=True)
    for batch, references in zip(batches, wanted, strict=True):
        for found, expected in zip(encode(model, batch), references, strict=True):
            assert relative_error(found, expected) <= 1e-6
    assert 0 < backend.graphs <= 2 * KINDS.get(name, 1)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch looks at inputs'
@pytest.mark.parametrize("name", ["qwen2.5-vl", "deepseek-ocr"])
def test_training(name: str, checkpoint: Checkpoint) -> None:
    model = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32).model.requires_grad_(True)
    packed = _batches(name, model)[0]
    layout = build_layout(model.config, packed.grids, packed.positions)

    def gradients() -> dict[str, torch.Tensor]:
        model.zero_grad()
        model(packed.patches, layout).tokens.square().mean().backward()
        return {key: parameter.grad for key, parameter in model.named_parameters() if parameter.grad is not None}

    wanted = gradients()
    model.compile_blocks(backend="aot_eager", fullgraph=True)
    found = gradients()
    assert found.keys() == wanted.keys()
    for key, gradient in found.items():
        assert relative_error(gradient, wanted[key]) <= 1e-5


@pytest.mark.parametrize("name", ["deepseek-ocr", "deepseek-ocr-2"])
def test_relative_positions_inside_the_kernel(
    name: str, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As compiled blocks have them on CUDA: the same tokens, without dimensions for positions, from few graphs."""
    model = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32).model
    batches = _batches(name, model)
    with torch.no_grad():
        wanted = [encode(model, batch) for batch in batches]
        monkeypatch.setattr(blocks, "adds_bias", lambda *_: True)
        dims = set()

        def attend(q: torch.Tensor, *rest: Any) -> torch.Tensor:
            dims.add(q.shape[2])
            return attention.attend(q, *rest)

        monkeypatch.setattr(blocks, "attend", attend)
        backend = Counted()
        model.compile_blocks(backend=backend, fullgraph=True)
        for batch, references in zip(batches, wanted, strict=True):
            for found, expected in zip(encode(model, batch), references, strict=True):
                assert relative_error(found, expected) <= 1e-6
    # Before and after attention of three kinds of blocks; attention in one segment of a length, and in several.
    assert 6 < backend.graphs <= 6 + 2 * 2
    # Other attention is that of the second tower alone.
    assert dims == {model.config.towers[1].attention.head_dim}


def test_where_positions_are_added_to_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLMRES_ATTENTION", raising=False)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    assert adds_bias(cuda, torch.bfloat16)
    assert adds_bias(cuda, torch.float16)
    assert not adds_bias(cuda, torch.float32)
    assert not adds_bias(cpu, torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert not adds_bias(cuda, torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
    monkeypatch.setenv("VLMRES_ATTENTION", "varlen")
    assert not adds_bias(cuda, torch.bfloat16)


def test_copies_are_of_their_own(checkpoint: Checkpoint) -> None:
    """What is compiled belongs to a model's own weights, and is left behind."""
    model = VisionEncoder.from_pretrained(checkpoint("clip")[1], "cpu", torch.float32).model
    packed = _batches("clip", model)[0]
    model.compile_blocks(backend=Counted())
    encode(model, packed)
    copies = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for parameter in model.parameters():
        parameter.mul_(1.5)
    wanted = VisionModel(model.config).requires_grad_(False)
    wanted.load_state_dict(model.state_dict())
    assert torch.equal(torch.cat(encode(model, packed)), torch.cat(encode(wanted, packed)))
    wanted.load_state_dict(copies[0].state_dict())
    for own in copies:
        assert torch.equal(torch.cat(encode(own, packed)), torch.cat(encode(wanted, packed)))


@pytest.mark.parametrize("name", ["clip", "qwen2.5-vl", "qwen3-vl", "deepseek-ocr-2"])
def test_whole_models(name: str, checkpoint: Checkpoint) -> None:
    """One graph without breaks for each layout, whose numbers are parts of it; the tokens are the same."""
    model = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32).model
    batches = _batches(name, model)[1 : 3 if name == "clip" else 2]
    wanted = [encode(model, batch) for batch in batches]
    backend = Counted()
    compiled: Any = torch.compile(model, backend=backend, fullgraph=True)
    for batch, references in zip(batches, wanted, strict=True):
        for found, expected in zip(encode(compiled, batch), references, strict=True):
            assert relative_error(found, expected) <= 1e-6
    assert 0 < backend.graphs <= len(batches)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "deepseek_ocr2"])
def test_whole_models_with_torchs_own_kernel(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors without values, as on CUDA: options of the kernel are looked up without a break."""
    if attention._varlen_obstacle() is not None:
        pytest.skip(f"no kernel that can be used: {attention._varlen_obstacle()}")
    monkeypatch.setattr(attention, "choose_backend", torch.compiler.assume_constant_result(lambda *_: "varlen"))
    config = architecture({"model_type": kind, **FULL[kind]}).config
    meta = torch.device("meta")
    with meta:
        model = VisionModel(config).to(torch.bfloat16).requires_grad_(False)
    layout = build_layout(config, np.array([(40, 40), (64, 64)]), group=False).to(meta)
    patches = torch.empty(layout.num_patches, config.patch.dim, dtype=torch.uint8, device=meta)
    backend = Counted()
    compiled: Any = torch.compile(model.to(meta), backend=backend, fullgraph=True)
    with torch.inference_mode():
        assert tuple(compiled(patches, layout).tokens.shape) == (int(layout.cu_seqlens[-1]), config.hidden)
    assert backend.graphs == 1
