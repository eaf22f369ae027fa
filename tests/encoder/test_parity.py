"""Every architecture against its class in transformers, on one packed batch of different sizes."""

import copy

import pytest
import torch

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import Packed, canvases, normalised, pack, relative_error
from tests.encoder.tiny import CASES, Draw, plain, randomize
from vlmres.encoder import VisionEncoder, VisionModel, build_layout


def encode(model: VisionModel, packed: Packed) -> list[torch.Tensor]:
    """Tokens of each segment, deepstack features beside them."""
    layout = build_layout(model.config, packed.grids, packed.positions)
    with torch.inference_mode():
        found = model(packed.patches, layout)
    tokens = torch.cat([found.tokens, *found.deepstack], dim=-1)
    return list(tokens.split(torch.diff(layout.cu_seqlens).tolist()))


@pytest.mark.parametrize("draw", [randomize, plain], ids=["scaled", "plain"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name: str, dtype: torch.dtype, draw: Draw, checkpoint: Checkpoint) -> None:
    reference, folder = checkpoint(name, draw)
    encoder = VisionEncoder.from_pretrained(folder, "cpu", dtype)
    images = canvases(CASES[name].sizes)
    packed = pack(images, encoder.config.patch.size, encoder.config.merge)
    with torch.inference_mode():
        model = reference if dtype is torch.float32 else copy.deepcopy(reference).to(dtype)
        wanted = CASES[name].reference(model, images, encoder.config)
    found = encode(encoder.model, packed)
    assert len(found) == len(images) >= 5
    bound = 1e-5 if dtype is torch.float32 else 2e-2
    assert {tokens.dtype for tokens in found} == {dtype}
    pairs = zip(found, wanted, strict=True)
    error = max(relative_error(tokens, expected.reshape(tokens.shape)) for tokens, expected in pairs)
    print(f"{name}, {dtype}: {error:.1e}")
    assert error <= bound


@pytest.mark.parametrize("name", CASES)
def test_unfolded_equals_transformers_to_rounding(name: str, checkpoint: Checkpoint) -> None:
    """Vectors of patches may be the reference's to the bit; whole encoders add in other orders."""
    reference, folder = checkpoint(name)
    encoder = VisionEncoder.from_pretrained(folder, "cpu", torch.float32, fold=False)
    images, patch = canvases(CASES[name].sizes), encoder.config.patch
    packed = pack(images, patch.size, encoder.config.merge)
    values = normalised(packed.patches.view(-1, patch.size, patch.size, 3), patch).flatten(1)
    with torch.inference_mode():
        wanted = CASES[name].reference(reference, images, encoder.config)
    found = encode(encoder.model, Packed(values, packed.grids, packed.positions))
    for tokens, expected in zip(found, wanted, strict=True):
        assert relative_error(tokens, expected.reshape(tokens.shape)) <= 1e-5


@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@pytest.mark.parametrize("name", ["clip", "internvl-6b", "qwen2.5-vl", "kimi", "deepseek-ocr", "deepseek-ocr-2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_autocast(name: str, dtype: torch.dtype, checkpoint: Checkpoint) -> None:
    """Weights in float32, products in 16 bits, as in training."""
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size, encoder.config.merge)
    wanted = torch.cat(encode(encoder.model, packed))
    with torch.autocast("cpu", dtype):
        found = torch.cat(encode(encoder.model, packed))
    assert 1e-5 < relative_error(found, wanted) <= 2e-2


@pytest.mark.parametrize(
    "name", ["siglip2", "internvl-6b", "qwen2.5-vl", "qwen3-vl", "mistral3", "kimi", "deepseek-ocr-2"]
)
def test_float16(name: str, checkpoint: Checkpoint) -> None:
    """Three bits more than bfloat16, and so nearer."""
    folder = checkpoint(name)[1]
    wanted = VisionEncoder.from_pretrained(folder, "cpu", torch.float32)
    packed = pack(canvases(CASES[name].sizes), wanted.config.patch.size, wanted.config.merge)
    found = encode(VisionEncoder.from_pretrained(folder, "cpu", torch.float16).model, packed)
    for tokens, expected in zip(found, encode(wanted.model, packed), strict=True):
        assert tokens.dtype == torch.float16
        assert relative_error(tokens, expected) <= 3e-3


@pytest.mark.parametrize("name", CASES)
def test_segments_do_not_leak(name: str, checkpoint: Checkpoint) -> None:
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    images = canvases(CASES[name].sizes)
    size, merge = encoder.config.patch.size, encoder.config.merge
    tokens = encode(encoder.model, pack(images, size, merge))
    order = [3, 0, 4, 2, 1, *range(5, len(images))]
    permuted = encode(encoder.model, pack([images[index] for index in order], size, merge))
    for index, found in zip(order, permuted, strict=True):
        assert relative_error(found, tokens[index]) <= 1e-6
    # Other pixels in one image leave the others' tokens as they are.
    changed = [255 - image if index == 1 else image for index, image in enumerate(images)]
    other = encode(encoder.model, pack(changed, size, merge))
    for index, (found, wanted) in enumerate(zip(other, tokens, strict=True)):
        assert torch.equal(found, wanted) == (index != 1)


@pytest.mark.parametrize("name", ["internvl", "qwen2.5-vl", "kimi", "deepseek-ocr"])
def test_patches_in_any_order(name: str, checkpoint: Checkpoint) -> None:
    """Where a patch is, its position says: raster order, cells, or none at all."""
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size)
    wanted = encode(encoder.model, packed)
    generator = torch.Generator().manual_seed(0)
    shuffled, start = [], 0
    for rows, cols in packed.grids.tolist():
        shuffled.append(start + torch.randperm(rows * cols, generator=generator))
        start += rows * cols
    order = torch.cat(shuffled)
    found = encode(encoder.model, Packed(packed.patches[order], packed.grids, packed.positions[order.numpy()]))
    for tokens, expected in zip(found, wanted, strict=True):
        assert torch.equal(tokens, expected)


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("-raw")])
def test_every_parameter_matters(name: str, checkpoint: Checkpoint) -> None:
    """What these tests see: any parameter's rows in another order change tokens by far more than the bounds above."""
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    packed = pack(canvases(CASES[name].sizes), encoder.config.patch.size, encoder.config.merge)
    wanted = torch.cat(encode(encoder.model, packed))
    for key, parameter in encoder.model.named_parameters():
        kept = parameter.detach().clone()
        parameter.copy_(kept.flip(0))
        assert relative_error(torch.cat(encode(encoder.model, packed)), wanted) > 2e-4, key
        parameter.copy_(kept)
    assert torch.equal(torch.cat(encode(encoder.model, packed)), wanted)
