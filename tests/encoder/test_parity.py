"""Every architecture against its class in transformers, on one packed batch of different sizes."""

import copy

import pytest
import torch

from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import Packed, canvases, pack, relative_error
from tests.encoder.tiny import CASES
from vlmres.encoder import VisionEncoder, VisionModel, build_layout


def encode(model: VisionModel, packed: Packed) -> list[torch.Tensor]:
    """Tokens of each segment, deepstack features beside them."""
    layout = build_layout(model.config, packed.grids, packed.positions)
    with torch.inference_mode():
        found = model(packed.patches, layout)
    tokens = torch.cat([found.tokens, *found.deepstack], dim=-1)
    return list(tokens.split(torch.diff(layout.cu_seqlens).tolist()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_equals_transformers(name: str, dtype: torch.dtype, checkpoint: Checkpoint) -> None:
    reference, folder = checkpoint(name)
    encoder = VisionEncoder.from_pretrained(folder, "cpu", dtype)
    images = canvases(CASES[name].sizes)
    packed = pack(images, encoder.config.patch.size, encoder.config.merge)
    with torch.inference_mode():
        model = reference if dtype is torch.float32 else copy.deepcopy(reference).to(dtype)
        wanted = CASES[name].reference(model, images, encoder.config)
    found = encode(encoder.model, packed)
    assert len(found) == len(images) >= 5
    bound = 1e-5 if dtype is torch.float32 else 2e-2
    for tokens, expected in zip(found, wanted, strict=True):
        assert tokens.dtype == dtype
        assert relative_error(tokens, expected.reshape(tokens.shape)) <= bound
