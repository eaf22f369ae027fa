"""Bytes straight to vectors: normalisation folded into the weights, and the reference's own operation."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from tests.encoder.packing import canvases, normalised, pack, planes, qwen_patches, relative_error
from vlmres.encoder.config import Patch
from vlmres.encoder.nn.patch_embed import PatchEmbed, fold_weights

WIDTH = 96
CLIP: dict[str, Any] = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
KINDS = {
    "clip": Patch(14, bias=False, **CLIP),
    "siglip": Patch(16, bias=True),
    "siglip2": Patch(16, bias=True, kind="linear"),
    "qwen2-vl": Patch(14, bias=False, kind="conv3d", frames=2, **CLIP),
    "qwen3-vl": Patch(16, bias=True, kind="conv3d", frames=2),
}


def _weights(config: Patch, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(PatchEmbed.reference_shape(config, WIDTH)).normal_(0, 0.05, generator=generator)
    bias = torch.empty(WIDTH).normal_(0, 0.05, generator=generator) if config.bias else None
    return weight, bias


def _folded(config: Patch, dtype: torch.dtype) -> PatchEmbed:
    module = PatchEmbed(config, WIDTH, fold=True).requires_grad_(False)
    weight, bias = fold_weights(*_weights(config), config)
    module.weight.data, module.bias.data = weight.to(dtype), bias.to(dtype)  # type: ignore[union-attr]
    return module


def _unfolded(config: Patch, dtype: torch.dtype) -> PatchEmbed:
    module = PatchEmbed(config, WIDTH, fold=False).requires_grad_(False)
    weight, bias = _weights(config)
    module.weight.data = weight.to(dtype)
    if bias is not None and module.bias is not None:
        module.bias.data = bias.to(dtype)
    return module


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest) -> tuple[Patch, torch.Tensor, torch.Tensor]:
    """A configuration, patches of bytes, and the same normalised as the reference does."""
    config = KINDS[request.param]
    images = canvases([(config.size * 6, config.size * 4), (config.size * 2, config.size * 10)])
    packed = pack(images, config.size, 2)
    values = normalised(packed.patches.view(-1, config.size, config.size, 3), config).flatten(1)
    return config, packed.patches, values


def _exact(config: Patch, values: torch.Tensor) -> torch.Tensor:
    """The reference's product in float64."""
    product: torch.Tensor = _unfolded(config, torch.float64)(values.double())
    return product


def test_folding_is_exact_in_real_arithmetic(case: tuple[Patch, torch.Tensor, torch.Tensor]) -> None:
    config, patches, _ = case
    pixels = patches.double().view(-1, config.size, config.size, 3)
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (config.mean, config.std))
    values = ((pixels * config.rescale - mean) / std).flatten(1)
    assert relative_error(_folded(config, torch.float64)(patches), _exact(config, values)) < 1e-13


def test_folding_in_float32(case: tuple[Patch, torch.Tensor, torch.Tensor]) -> None:
    config, patches, values = case
    assert relative_error(_folded(config, torch.float32)(patches), _exact(config, values)) < 1e-6


def test_folding_in_bfloat16_is_no_worse_than_the_reference(case: tuple[Patch, torch.Tensor, torch.Tensor]) -> None:
    config, patches, values = case
    exact = _exact(config, values)
    own = relative_error(_folded(config, torch.bfloat16)(patches), exact)
    reference = relative_error(_unfolded(config, torch.bfloat16)(values.bfloat16()), exact)
    assert own < 1.25 * reference < 1e-2


def test_centred_bytes_are_exact_in_bfloat16() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(values.to(torch.bfloat16).sub_(127.5).double(), values.double() - 127.5)


def test_unfolded_equals_the_reference_bit_for_bit(case: tuple[Patch, torch.Tensor, torch.Tensor]) -> None:
    """Of the operations that see patches: Qwen's Conv3d, SigLIP 2's Linear, Kimi's Conv2d on patches."""
    config, patches, values = case
    weight, bias = _weights(config)
    if config.kind == "conv3d":
        pixels = qwen_patches(pack_of(config), config).view(-1, 3, config.frames, config.size, config.size)
        wanted = functional.conv3d(pixels, weight, bias, stride=weight.shape[2:]).flatten(1)
    elif config.kind == "linear":
        wanted = functional.linear(values, weight, bias)
    else:
        pixels = values.view(-1, config.size, config.size, 3).permute(0, 3, 1, 2).contiguous()
        wanted = functional.conv2d(pixels, weight, bias, stride=config.size).flatten(1)
    found = _unfolded(config, torch.float32)(values)
    assert torch.equal(found, wanted[: len(found)])
    assert patches.dtype == torch.uint8


def pack_of(config: Patch) -> Any:
    """The patches of `case`."""
    return pack(canvases([(config.size * 6, config.size * 4), (config.size * 2, config.size * 10)]), config.size, 2)


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_unfolded_on_patches_is_near_the_reference_on_images(name: str) -> None:
    """A convolution over a whole image may add in another order."""
    config = KINDS[name]
    image = canvases([(config.size * 5, config.size * 3)])[0]
    weight, bias = _weights(config)
    wanted = functional.conv2d(planes(image, config), weight, bias, stride=config.size)[0].flatten(1).T
    packed = pack([image], config.size)
    values = normalised(packed.patches.view(-1, config.size, config.size, 3), config).flatten(1)
    assert relative_error(_unfolded(config, torch.float32)(values), wanted) < 1e-6


def test_types_are_checked() -> None:
    config = KINDS["clip"]
    with pytest.raises(TypeError, match=r"patches are torch.float32, but normalisation is folded"):
        _folded(config, torch.float32)(torch.zeros(2, config.dim))
    with pytest.raises(TypeError, match=r"patches are torch.uint8, but an encoder with fold=False"):
        _unfolded(config, torch.float32)(torch.zeros(2, config.dim, dtype=torch.uint8))
