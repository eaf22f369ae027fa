"""Batches and images to tokens: cut, out of memory, errors, and threads at the same time."""

from __future__ import annotations

import copy
import functools
import pickle
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils import checkpoint as activations

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import relative_error
from tests.images import image, pixels
from vlmres.encoder import EncoderOutput, VisionEncoder, VisionModel
from vlmres.encoder.nn.model import Tower
from vlmres.encoder.runtime import double_buffer, executor
from vlmres.encoder.runtime.chunks import split_ranges
from vlmres.encoder.runtime.stream import estimate_patches, group_budget

SIZES = [(100, 60), (64, 200), (90, 90), (33, 160), (128, 128), (70, 40)]


def _batch(recipe: vlmres.Recipe, dtype: Any = "uint8") -> vlmres.Batch:
    images = [image(*size, seed=index) for index, size in enumerate(SIZES)]
    return vlmres.Processor(recipe, layout="packed", dtype=dtype)(images)


def _same(found: EncoderOutput, wanted: EncoderOutput, bound: float = 1e-6) -> None:
    assert torch.equal(found.cu_seqlens, wanted.cu_seqlens)
    assert found.cu_seqlens.dtype == torch.int32
    assert relative_error(found.tokens, wanted.tokens) <= bound
    assert len(found.deepstack) == len(wanted.deepstack) == 2
    for level, expected in zip(found.deepstack, wanted.deepstack, strict=True):
        assert relative_error(level, expected) <= bound


def test_batches_are_cut_between_images(encoder: VisionEncoder, recipe: vlmres.Recipe) -> None:
    batch = _batch(recipe)
    wanted = encoder(batch)
    assert torch.diff(wanted.cu_seqlens).tolist() == batch.num_tokens
    assert [len(tokens) for tokens in wanted.split()] == batch.num_tokens
    assert len(wanted) == len(SIZES)
    for most in (1, 70, 100):
        encoder.max_patches = most
        _same(encoder(batch), wanted)


def test_ranges_within_a_budget() -> None:
    assert split_ranges([5, 5, 5], 10) == [(0, 2), (2, 3)]
    assert split_ranges([20, 1, 1], 10) == [(0, 1), (1, 3)]
    assert split_ranges([1], 10) == [(0, 1)]
    assert split_ranges([0, 0, 4], 1) == [(0, 2), (2, 3)]


def test_out_of_memory_halves(encoder: VisionEncoder, recipe: vlmres.Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = _batch(recipe)
    wanted = encoder(batch)
    forward, runs = VisionModel.forward, []

    def scarce(self: VisionModel, patches: torch.Tensor, layout: Any) -> Any:
        runs.append(len(patches))
        if len(patches) > 70:
            raise torch.OutOfMemoryError("scarce")
        return forward(self, patches, layout)

    monkeypatch.setattr(VisionModel, "forward", scarce)
    _same(encoder(batch), wanted)
    assert max(runs) > 70
    monkeypatch.setattr(VisionModel, "forward", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("none")))
    with pytest.raises(torch.OutOfMemoryError):
        encoder(batch)


def test_encode_equals_one_batch(encoder: VisionEncoder, recipe: vlmres.Recipe, tmp_path: Path) -> None:
    """Files, bytes, arrays and PIL images; one group or many."""
    wanted = encoder(_batch(recipe))
    items: list[Any] = [image(*size, seed=index) for index, size in enumerate(SIZES)]
    for index in (0, 1):
        items[index].save(tmp_path / f"{index}.png")
        items[index] = tmp_path / f"{index}.png"
    items[1] = items[1].read_bytes()
    items[2] = pixels(*SIZES[2], seed=2)
    items[3] = torch.from_numpy(pixels(*SIZES[3], seed=3)).permute(2, 0, 1)
    processor = vlmres.Processor(recipe)
    counts = [plan.num_patches for plan in _batch(recipe).plans if plan is not None]
    assert [estimate_patches(item, "images", processor) for item in items] == counts
    assert estimate_patches(object(), "images", processor) == 0
    _same(encoder.encode(items), wanted)
    encoder.max_patches = 60
    _same(encoder.encode(items, num_threads=1), wanted)
    assert len(encoder.encode(items[0])) == 1


def test_bad_images_are_named_by_their_place_in_the_call(encoder: VisionEncoder) -> None:
    encoder.max_patches = 40
    items: list[Any] = [image(64, 64), image(64, 64), b"no image", image(90, 64)]
    with pytest.raises(vlmres.DecodeError, match=r"^image 2: "):
        encoder.encode(items)
    groups = list(encoder.stream(items))
    assert [index for group in groups for index in group.indices] == [0, 1, 3]
    assert [index for group in groups for index in group.errors] == [2]
    assert sum(group.count for group in groups) == 4
    outputs = [group.output for group in groups if group.output is not None]
    assert len(EncoderOutput.join(outputs)) == 3
    with pytest.raises(ValueError, match="there are no outputs to join"):
        EncoderOutput.join([])
    with pytest.raises(vlmres.DecodeError, match=r"^image 0: "):
        encoder.encode(b"no image")
    with pytest.raises(ValueError, match="images is empty"):
        encoder.encode([])


def test_preprocessing_runs_beside_the_encoder(encoder: VisionEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second group is being prepared before the first is encoded."""
    encoder.max_patches = 1
    second = threading.Event()
    call = vlmres.Processor.__call__
    calls: list[int] = []

    def prepare(self: vlmres.Processor, *args: Any, **kwargs: Any) -> vlmres.Batch:
        calls.append(1)
        if len(calls) == 2:
            second.set()
        return call(self, *args, **kwargs)

    forward = VisionModel.forward

    def wait(self: VisionModel, *args: Any) -> Any:
        assert second.wait(30)
        return forward(self, *args)

    monkeypatch.setattr(vlmres.Processor, "__call__", prepare)
    monkeypatch.setattr(VisionModel, "forward", wait)
    assert len(encoder.encode([image(64, 64), image(64, 64)])) == 2


def test_batches_of_another_recipe_are_refused(encoder: VisionEncoder, recipe: vlmres.Recipe) -> None:
    other = recipe.replace(image_mean=[0.4, 0.5, 0.5])
    with pytest.raises(ValueError, match=r"recipe qwen3-vl has image_mean \(0.4, 0.5, 0.5\), the encoder \(0.5"):
        encoder(_batch(other))
    with pytest.raises(ValueError, match=r"has rescale_factor 0\.5, the encoder 0\.0039"):
        encoder(_batch(recipe.replace(rescale_factor=0.5)))
    with pytest.raises(ValueError, match=r"has image_mean \(0\.0, 0\.0, 0\.0\), the encoder"):
        encoder(_batch(recipe.replace(do_normalize=False)))
    with pytest.raises(ValueError, match="patch_size 14, the encoder 16"):
        encoder(_batch(vlmres.Recipe.load("qwen2-vl", min_pixels=1024, max_pixels=16384)))
    hf = vlmres.Processor(recipe, dtype="uint8")(image(64, 64))
    with pytest.raises(
        ValueError, match=r'layout="packed", dtype="uint8"\), this one has pixel_values, image_grid_thw'
    ):
        encoder(hf)
    others: list[tuple[str, Any]] = [("dict", _batch(recipe).torch()), ("list", [image(64, 64)]), ("str", "a.png")]
    for name, other in others:
        with pytest.raises(TypeError, match=rf'"uint8"\), got {name}; images and videos go to encode'):
            encoder(other)
    with pytest.raises(TypeError, match="normalisation is folded"):
        encoder(_batch(recipe, "float32"))


def test_unfolded(checkpoint: Checkpoint, recipe: vlmres.Recipe, encoder: VisionEncoder) -> None:
    """Values normalised by the processor, and the reference's own first operation."""
    plain = VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], "cpu", torch.float32, recipe=recipe, fold=False)
    assert (plain.input_dtype, encoder.input_dtype) == ("float32", "uint8")
    _same(plain(_batch(recipe, "float32")), encoder(_batch(recipe)), 1e-5)
    _same(plain.encode([image(*size, seed=index) for index, size in enumerate(SIZES)]), encoder(_batch(recipe)), 1e-5)
    for dtype, bound in (("bfloat16", 2e-2), ("float16", 2e-3)):
        _same(plain(_batch(recipe, dtype)), encoder(_batch(recipe)), bound)
        with pytest.raises(TypeError, match=rf"patches are torch\.{dtype}, but normalisation is folded"):
            encoder(_batch(recipe, dtype))


def test_without_a_recipe(checkpoint: Checkpoint, recipe: vlmres.Recipe) -> None:
    encoder = VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], "cpu", torch.float32)
    assert encoder.recipe is None
    with pytest.raises(ValueError, match="give VisionEncoder a recipe"):
        encoder.stream(image(64, 64))
    assert len(encoder(_batch(recipe))) == len(SIZES)
    assert len(VisionEncoder(encoder.model, "qwen3-vl").encode(image(64, 64))) == 1
    with pytest.raises(ValueError, match="max_patches must be at least 1, got 0"):
        VisionEncoder(encoder.model, max_patches=0)


def _sum(out: EncoderOutput) -> torch.Tensor:
    return out.tokens.square().sum() + sum(level.square().sum() for level in out.deepstack)


def _gradients(encoder: VisionEncoder, batch: vlmres.Batch) -> list[torch.Tensor]:
    encoder.model.zero_grad()
    _sum(encoder(batch, grad=True)).backward()
    found = [parameter.grad for parameter in encoder.model.parameters()]
    assert all(gradient is not None for gradient in found)
    return [gradient.clone() for gradient in found if gradient is not None]


@pytest.mark.parametrize("fold", [True, False])
def test_gradients_reach_the_weights(
    fold: bool, checkpoint: Checkpoint, recipe: vlmres.Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of one run through the model, whose gradient in one direction is the difference of two runs."""
    encoder = VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], "cpu", torch.float64, recipe=recipe, fold=fold)
    batch = _batch(recipe, encoder.input_dtype)
    plain = encoder(batch, grad=True)
    assert not plain.tokens.requires_grad
    encoder.model.train().requires_grad_(True)
    assert not encoder(batch).tokens.requires_grad
    assert not encoder.encode(image(64, 64)).tokens.requires_grad
    with torch.no_grad():
        assert not encoder(batch, grad=True).tokens.requires_grad
    assert torch.equal(encoder(batch, grad=True).tokens.detach(), plain.tokens)
    gradients = _gradients(encoder, batch)
    assert all(bool(gradient.any()) for gradient in gradients)
    assert caplog.text.count("normalisation folded into its weights") == int(fold)
    encoder.max_patches = 70
    for gradient, wanted in zip(_gradients(encoder, batch), gradients, strict=True):
        assert relative_error(gradient, wanted) <= 1e-6
    generator = torch.Generator().manual_seed(0)
    steps = [torch.randn(gradient.shape, generator=generator, dtype=torch.float64) for gradient in gradients]
    slope = sum(float((gradient * step).sum()) for gradient, step in zip(gradients, steps, strict=True))
    sums = []
    for sign in (1, -2):
        with torch.no_grad():
            for parameter, step in zip(encoder.model.parameters(), steps, strict=True):
                parameter.add_(step, alpha=sign * 1e-7)
        sums.append(float(_sum(encoder(batch))))
    assert (sums[0] - sums[1]) / 2e-7 == pytest.approx(slope, rel=1e-3)


def test_memory_of_training_is_not_halved(
    encoder: VisionEncoder, recipe: vlmres.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept for the gradients of two halves takes no less."""
    runs: list[int] = []

    def full(_: VisionModel, patches: torch.Tensor, __: Any) -> Any:
        runs.append(len(patches))
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(VisionModel, "forward", full)
    batch = _batch(recipe)
    with pytest.raises(torch.OutOfMemoryError):
        encoder(batch, grad=True)
    assert runs == [len(batch.patches)]


def test_blocks_can_be_computed_again(checkpoint: Checkpoint, recipe: vlmres.Recipe) -> None:
    """Gradient checkpointing, as the documentation does it."""
    encoder = VisionEncoder.from_pretrained(checkpoint("qwen3-vl")[1], "cpu", torch.float32, recipe=recipe, fold=False)
    batch = _batch(recipe, "float32")
    encoder.model.requires_grad_(True)
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        wanted = _gradients(encoder, batch)
    before = sum(kept)
    for tower in encoder.model.towers:
        assert isinstance(tower, Tower)
        for block in tower.blocks:
            block.forward = functools.partial(activations.checkpoint, block.forward, use_reentrant=False)
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = encoder(batch, grad=True)
    assert sum(kept) < 0.6 * before
    encoder.model.zero_grad()
    _sum(out).backward()
    for parameter, gradient in zip(encoder.model.parameters(), wanted, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, gradient)


def test_what_follows_can_be_trained(encoder: VisionEncoder, recipe: vlmres.Recipe) -> None:
    """A language model's gradients need the tokens of an encoder that stays as it is."""
    out = encoder(_batch(recipe))
    weight = torch.ones(out.tokens.shape[1], 1, requires_grad=True)
    (out.tokens @ weight).sum().backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad[:, 0], out.tokens.sum(0))


def test_memory_of_a_batch_is_not_changed(encoder: VisionEncoder, recipe: vlmres.Recipe) -> None:
    batch = _batch(recipe)
    before = batch.patches.copy()
    encoder(batch)
    np.testing.assert_array_equal(batch.patches, before)


def test_siglip2_from_images(checkpoint: Checkpoint) -> None:
    """A tower alone: the reference's padded batch, and our packed one, from the same images."""
    recipe = vlmres.Recipe.load("siglip2-naflex", max_num_patches=64)
    reference, folder = checkpoint("siglip2")
    images = [image(*size, seed=index) for index, size in enumerate(SIZES)]
    encoder = VisionEncoder.from_pretrained(folder, "cpu", torch.float32, recipe=recipe)
    inputs = vlmres.Processor(recipe)(images).torch()
    with torch.inference_mode():
        states = reference(**inputs).last_hidden_state
    for tokens, state in zip(encoder.encode(images).split(), states, strict=True):
        assert relative_error(tokens, state[: len(tokens)]) <= 1e-5


class _Wrapped(torch.nn.Module):
    """What PEFT and torch.compile make of a model."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.calls = inner, 0

    def forward(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.inner(*arguments)


def test_the_model_can_be_wrapped_and_replaced(encoder: VisionEncoder, recipe: vlmres.Recipe) -> None:
    batch = _batch(recipe)
    wanted = encoder(batch)
    plain = encoder.model
    wrapped = _Wrapped(plain)
    encoder.model = wrapped
    _same(encoder(batch), wanted, 0)
    assert wrapped.calls == 1
    assert (encoder.config, encoder.dtype, encoder.input_dtype) == (plain.config, torch.float32, "uint8")
    assert len(encoder.encode(image(64, 64))) == 1
    assert wrapped.calls == 2
    for clone in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        _same(clone(batch), wanted, 0)
        assert isinstance(clone.model, _Wrapped)
        assert (clone.model.calls, wrapped.calls) == (3, 2)
    seen: list[Any] = []

    def backend(graph: Any, _: Any) -> Any:
        seen.append(graph)
        return graph.forward

    compiled: Any = torch.compile(plain, backend=backend)
    encoder.model = compiled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Dynamo's, of what it passes over
        _same(encoder(batch), wanted)
    assert seen
    with pytest.raises(TypeError, match="must be a VisionModel, or a module around one, got Linear"):
        encoder.model = torch.nn.Linear(2, 2)
    other = copy.deepcopy(plain)
    with torch.no_grad():
        other.patch_embed.weight.zero_()
    encoder.model = other
    assert relative_error(encoder(batch).tokens, wanted.tokens) > 0.1


def test_graphs_follow_the_model(
    encoder: VisionEncoder, recipe: vlmres.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for the runner of graphs, which needs CUDA."""
    made: list[Any] = []

    def stand_in(model: VisionModel, lengths: Any) -> Any:
        made.append((model, lengths))
        return model

    monkeypatch.setattr(executor, "GraphRunner", stand_in)
    graphs = VisionEncoder(encoder.model, recipe, graphs=[64])
    _same(graphs(_batch(recipe)), encoder(_batch(recipe)), 0)
    graphs.model = other = copy.deepcopy(encoder.model)
    assert made == [(encoder.model, (64,)), (other, (64,))]
    with pytest.raises(ValueError, match="graphs run the blocks of a VisionModel, and would pass over a _Wrapped"):
        graphs.model = _Wrapped(other)
    assert graphs.model is other


def test_calls_are_cut_so_that_preparing_overlaps() -> None:
    assert group_budget([100] * 10, 65536) == 4096
    assert group_budget([1000] * 100, 65536) == 25000
    assert group_budget([1000] * 1000, 65536) == 65536
    assert group_budget([1000] * 100, 300) == 300
    counts = [1000] * 100
    assert len(split_ranges(counts, group_budget(counts, 65536))) == 4


def test_double_buffers_are_kept(encoder: VisionEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between calls of the same settings; not by copies, and not by calls at the same time."""
    made: list[vlmres.Processor] = []
    create = double_buffer.Slot.configure

    def configure(slot: double_buffer.Slot, *arguments: Any) -> None:
        create(slot, *arguments)
        made.append(slot.processor)

    monkeypatch.setattr(double_buffer.Slot, "configure", configure)
    wanted = encoder.encode(image(64, 64)).tokens
    for _ in range(2):
        assert torch.equal(encoder.encode(image(64, 64)).tokens, wanted)
    assert len(made) == 2
    encoder.encode(image(64, 64), num_threads=1)
    assert len(made) == 4
    clone = pickle.loads(pickle.dumps(encoder))
    assert torch.equal(clone.encode(image(64, 64), num_threads=1).tokens, wanted)
    assert len(made) == 6

    encoder.max_patches = 1
    images = [image(64 + 32 * (index % 3), 64, seed=index) for index in range(6)]
    expected = encoder.encode(images)
    found: dict[int, EncoderOutput] = {}
    threads = [
        threading.Thread(target=lambda index=index: found.update({index: encoder.encode(images)})) for index in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1, 2, 3]
    for output in found.values():
        _same(output, expected, 0)


def test_settings_and_progress(encoder: VisionEncoder, tmp_path: Path) -> None:
    """As a processor's of the same settings."""
    encoder.max_patches = 20
    assert encoder.recipe is not None
    encoder.recipe = encoder.recipe.replace(max_pixels=4096)
    image(400, 300).resize((800, 600)).save(tmp_path / "a.jpg")
    images: list[Any] = [tmp_path / "a.jpg", image(64, 64), image(90, 64)]
    counts: list[int] = []
    exact = encoder.encode(images, progress=counts.append)
    assert sum(counts) == 3
    assert len(counts) > 1
    others: list[dict[str, Any]] = [{"decode": "scaled"}, {"arithmetic": "pillow"}]
    for settings in others:
        batch = vlmres.Processor(encoder.recipe, "packed", "uint8", **settings)(images)
        found = encoder.encode(images, **settings)
        _same(found, encoder(batch))
        assert not torch.equal(found.tokens, exact.tokens)
    with pytest.raises(vlmres.DecodeError, match=r"^image 0: .*1000"):
        encoder.encode(images, max_image_pixels=1000)
    wrongs: list[dict[str, Any]] = [{"threads": 1}, {"dtype": "uint8"}]
    for wrong in wrongs:
        with pytest.raises(TypeError, match=next(iter(wrong))):
            encoder.stream(images, **wrong)
    with pytest.raises(ValueError, match="decode must be one of exact, scaled, got 'half'"):
        encoder.stream(images, decode="half")  # type: ignore[arg-type]
