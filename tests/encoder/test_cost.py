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

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.encoder.counting import flop_counter, products
from tests.encoder.packing import canvases, pack
from tests.encoder.tiny import CASES
from vlmres.encoder import Cost, VisionEncoder, VisionModel, build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.config import EncoderConfig
from vlmres.encoder.cost import grid_cost
from vlmres.encoder.layout.token_order import ImageTokens, ViewTokens


@pytest.mark.parametrize("name", CASES)
def test_flops_and_weights_are_exact(name: str, checkpoint: Checkpoint) -> None:
    encoder = VisionEncoder.from_pretrained(checkpoint(name)[1], "cpu", torch.float32)
    config = encoder.config
    packed = pack(canvases(CASES[name].sizes), config.patch.size, config.merge)
    layout = build_layout(config, packed.grids, packed.positions)
    with torch.inference_mode(), flop_counter() as counter:
        tokens = encoder.model(packed.patches, layout).tokens
    if any(tower.relative for tower in config.towers):
        # Ours carries relative positions through the kernel in more dimensions; they are no part of the cost.
        with torch.inference_mode(), flop_counter() as counter:
            CASES[name].reference(checkpoint(name)[0], canvases(CASES[name].sizes), config)
    found = grid_cost([tuple(grid) for grid in packed.grids.tolist()], config, 4)
    assert found.flops == products(counter) - _masked(config, found.tokens, tokens)
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
    """The most bytes of new tensors alive at once; `weights` are views of what was there."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights = weights
        self.alive: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in self.alive and key not in self.weights:
                    self.alive[key] = storage.nbytes()
                    weakref.finalize(storage, self.alive.pop, key, None)
        self.peak = max(self.peak, sum(self.alive.values()))
        return out


# Real widths, two blocks.
TWO: dict[str, Any] = {"num_hidden_layers": 2, "depth": 2}
SAM: dict[str, Any] = {**TWO, "global_attn_indexes": [1]}
QWEN2_0_5B: dict[str, Any] = {
    "hidden_size": 896,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "intermediate_size": 4864,
}
ENCODERS: dict[str, dict[str, Any]] = {
    "clip_vision_model": TWO,
    "siglip2_vision_model": TWO,
    "pixtral": TWO,
    "internvl": {"vision_config": TWO},
    "qwen2_vl": {"vision_config": TWO},
    "qwen2_5_vl": {"vision_config": {**TWO, "hidden_size": 1280}},
    "qwen3_vl": {"vision_config": {**TWO, "deepstack_visual_indexes": [0]}},
    "kimi_k25": {"vision_config": TWO},
    "unlimited_ocr": {"vision_config": {"sam_config": SAM, "encoder_config": TWO}},
    "deepseek_ocr2": {"vision_config": {"sam_config": SAM, "encoder_config": {**TWO, **QWEN2_0_5B}}},
}
# One small image, where a table's copies are most of it; a page; equal tiles; mixed sizes. Kimi: clips of videos.
GRIDS: dict[str, tuple[list[tuple[int, int]], list[int]]] = {
    "small": ([(8, 8)], [1]),
    "24x24": ([(24, 24)], [1]),
    "page": ([(64, 64)], [1]),
    "tiles": ([(24, 24)] * 6, [1] * 6),
    "mixed": ([(8, 120), (30, 22), (64, 64)], [1] * 3),
    "clips": ([(24, 24)] * 7 + [(64, 64)], [4, 3, 1]),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32], ids=["bfloat16", "float32"])
@pytest.mark.parametrize(
    ("kind", "batch"), [(kind, name) for kind in ENCODERS for name in GRIDS if name != "clips" or kind == "kimi_k25"]
)
def test_activations_are_near_the_peak(kind: str, batch: str, dtype: torch.dtype) -> None:
    """Of tensors without values, whose sizes are those of the real ones."""
    assert 0.7 <= _estimate(kind, batch, dtype, "meta") <= 1.4


@pytest.mark.parametrize("kind", ["qwen2_vl", "kimi_k25", "unlimited_ocr"])
def test_activations_on_the_cpu(kind: str) -> None:
    assert 0.7 <= _estimate(kind, "24x24", torch.bfloat16, "cpu") <= 1.4


def _estimate(kind: str, batch: str, dtype: torch.dtype, device: str) -> float:
    """The estimate over the peak."""
    grids, clips = GRIDS[batch]
    found = architecture({"model_type": kind, **ENCODERS[kind]}).config
    with torch.device(device):
        model = VisionModel(found).to(dtype).requires_grad_(False).to(device)
    starts = np.cumsum([0, *clips[:-1]])
    images = [
        ImageTokens((cols, rows), (ViewTokens("global"),), frames)
        for (rows, cols), frames in zip([grids[start] for start in starts], clips, strict=True)
    ]
    layout = build_layout(found, np.array(grids), images=images).to(device)
    patches = torch.zeros(layout.num_patches, found.patch.dim, dtype=torch.uint8, device=device)
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    with torch.inference_mode(), _Peak(weights) as measured:
        model(patches, layout)
    estimate = grid_cost(grids, found, dtype.itemsize, clips=clips).activation_bytes
    return float(estimate / measured.peak)


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
    with torch.device("meta"):
        model = VisionModel(config).requires_grad_(False).to("meta")
    layout = build_layout(config, np.array([plan.grid]))
    with torch.inference_mode(), flop_counter() as counter:
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
