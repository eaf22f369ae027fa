"""The cost model against torch's counter, the model's own parameters, and memory as it is used."""

from __future__ import annotations

import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.encoder.packing import canvases, pack
from tests.encoder.tiny import CASES
from vlmres.encoder import Cost, VisionEncoder, VisionModel, build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.config import EncoderConfig
from vlmres.encoder.costs import grid_cost


@pytest.mark.parametrize("name", CASES)
def test_flops_and_weights_are_exact(name: str, checkpoint: Checkpoint) -> None:
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    config = encoder.config
    packed = pack(canvases(CASES[name].sizes), config.patch.size, config.merge)
    layout = build_layout(config, packed.grids, packed.positions)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        tokens = encoder.model(packed.patches, layout).tokens
    if any(tower.relative for tower in config.towers):
        # Ours carries relative positions through the kernel in more dimensions; they are no part of the cost.
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            CASES[name].reference(checkpoint(name)[0], canvases(CASES[name].sizes), config)
    found = grid_cost([tuple(grid) for grid in packed.grids.tolist()], config, 4)
    assert found.flops == counter.get_total_flops() - _masked(config, found.tokens, tokens)
    assert found.tokens == len(tokens)
    assert found.input_bytes == packed.patches.nbytes
    embeddings = ("newline", "separator")
    weights = sum(item.nbytes for key, item in encoder.model.named_parameters() if key not in embeddings)
    assert found.weight_bytes == weights


def _masked(config: EncoderConfig, queries: int, tokens: torch.Tensor) -> int:
    """What transformers computes of tokens that attend to queries, and masks."""
    tower = config.towers[-1]
    if not tower.queries:
        return 0
    assert len(tokens) == queries
    grids = [(-(-height // 64), -(-width // 64)) for width, height in CASES["deepseek-ocr-2"].sizes]
    pairs = sum(rows * cols * tower.queries[0] for rows, cols in grids)
    return 4 * tower.attention.heads * tower.attention.head_dim * pairs * tower.depth


class _Peak(TorchDispatchMode):
    """The most bytes of new tensors alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.alive:
                    self.alive[key] = storage.nbytes()
                    weakref.finalize(storage, self.alive.pop, key, None)
        self.peak = max(self.peak, sum(self.alive.values()))
        return out


@pytest.mark.parametrize("kind", ["qwen2_vl", "qwen2_5_vl", "internvl", "clip_vision_model"])
def test_activations_are_near_the_peak(kind: str) -> None:
    vision = {"qwen2_vl": {"depth": 2}, "qwen2_5_vl": {"depth": 2, "hidden_size": 1280}, "internvl": {}}
    config: dict[str, Any] = {"model_type": kind, "num_hidden_layers": 2, "vision_config": vision.get(kind, {})}
    if kind == "internvl":
        config["vision_config"] = {"num_hidden_layers": 2}
    found = architecture(config).config
    model = VisionModel(found).to(torch.bfloat16).eval().requires_grad_(False)
    grid = (32, 32)
    layout = build_layout(found, torch.tensor([grid]).numpy())
    patches = torch.zeros(grid[0] * grid[1], found.patch.dim, dtype=torch.uint8)
    with torch.inference_mode(), _Peak() as measured:
        model(patches, layout)
    assert 0.7 <= grid_cost([grid], found, 2).activation_bytes / measured.peak <= 1.4


def test_plans() -> None:
    config = architecture({"model_type": "qwen2_vl"}).config
    plan = vlmres.plan((280, 560), "qwen2-vl")
    found = plan.cost(config)
    assert isinstance(found, Cost)
    assert found.tokens == plan.num_visual_tokens == 200
    assert found.input_bytes == plan.num_patches * 14 * 14 * 3
    twice = plan.cost(config, value_bytes=4)
    assert (twice.flops, twice.weight_bytes) == (found.flops, 2 * found.weight_bytes)
    assert found.bytes == found.input_bytes + found.weight_bytes + found.activation_bytes
    # By hand: 800 patches, 32 blocks of 1280 with 16 heads of 80, MLP of 5120, merger 5120 to 3584.
    block = 2 * 800 * 1280 * (3 * 1280 + 1280 + 2 * 5120) + 4 * 16 * 800 * 800 * 80
    assert found.flops == 2 * 800 * 588 * 1280 + 32 * block + 2 * 200 * 5120 * (5120 + 3584)
    # What the size alone says is what the model does.
    model = VisionModel(config).requires_grad_(False).to_empty(device="meta")
    layout = build_layout(config, np.array([plan.grid]))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.empty(plan.num_patches, config.patch.dim, dtype=torch.uint8, device="meta"), layout.to("meta"))
    assert found.flops == counter.get_total_flops()


def test_plans_of_other_encoders() -> None:
    config = architecture({"model_type": "qwen2_vl"}).config
    with pytest.raises(ValueError, match="segment 1 has 3x4 patches; Qwen2-VL needs multiples of 2, at least one"):
        grid_cost([(2, 2), (3, 4)], config, 2)
    plan = vlmres.plan((280, 560), "qwen3-vl")
    with pytest.raises(ValueError, match="qwen3-vl has patches of 16 pixels, Qwen2-VL of 14"):
        plan.cost(config)
    with pytest.raises(TypeError, match="config must be an EncoderConfig, as load_config gives it, got dict"):
        plan.cost({"model_type": "qwen2_vl"})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="value_bytes must be at least 1, got 0"):
        vlmres.plan((280, 560), "qwen2-vl").cost(config, value_bytes=0)


def test_tiles() -> None:
    config = architecture({"model_type": "internvl", "vision_config": {}}).config
    plan = vlmres.plan((640, 480), "internvl2")
    found = plan.cost(config)
    assert found.tokens == plan.num_visual_tokens == 3328
    assert found.flops == plan.num_tiles * vlmres.plan((448, 448), "internvl2").cost(config).flops


def test_without_torch() -> None:
    """Costs need no torch; what does says so."""
    code = """
import sys
sys.modules["torch"] = None
import vlmres
assert "vlmres.encoder" not in sys.modules
from vlmres.encoder import load_config
print(vlmres.plan((1240, 1754), "deepseek-ocr-gundam").cost(load_config({"model_type": "unlimited_ocr"})).tokens)
try:
    from vlmres.encoder import VisionEncoder
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    plan = vlmres.plan((1240, 1754), "deepseek-ocr-gundam")
    assert done.stdout.splitlines() == [
        str(plan.num_visual_tokens),
        "VisionEncoder needs torch: pip install 'vlmres[encoder]'",
    ]
