"""Published checkpoints at their real sizes, without values: every parameter of transformers' class has a place."""

from __future__ import annotations

import logging
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vlmres
from tests.encoder.counting import flop_counter
from tests.encoder.published import PUBLISHED, Published
from vlmres.encoder import VisionModel, build_layout
from vlmres.encoder.architectures import architecture
from vlmres.encoder.checkpoint.mapping import TensorReader
from vlmres.encoder.layout.token_order import ImageTokens

MODELS: dict[str, dict[str, torch.Size]] = {}
# transformers' names before its version 4.52, and before its version 5 for CLIP inside LLaVA.
WHOLE = ((r"^model\.(vision_tower|multi_modal_projector|image_newline|visual)", r"\1"),)
CLIP = (
    *WHOLE,
    (r"^vision_tower\.(embeddings|encoder|post_layernorm|pre_layrnorm)\.", r"vision_tower.vision_model.\1."),
)
TOWER = ((r"^", "vision_model."),)
MOONVIT = ((r"^model\.vision_tower\.", ""),)


def layouts(name: str) -> list[tuple[tuple[str, str], ...]]:
    """How names of tensors differ from the class's, in each layout that there is of a checkpoint."""
    kind = PUBLISHED[name].config["model_type"]
    if kind.startswith("intern_vit") or kind == "internvl_chat":
        return []  # The authors' fused projections: see test_weights.
    if PUBLISHED[name].own == ("",):
        return [TOWER]
    if kind == "moonvit":
        return [MOONVIT]
    if kind.startswith("llava"):
        return [(), WHOLE, CLIP]
    return [(), WHOLE] if kind.startswith(("internvl", "qwen", "mistral3")) else [()]


def parameters(name: str) -> dict[str, torch.Size]:
    """The encoder's parameters in transformers' class."""
    if name not in MODELS:
        found: Published = PUBLISHED[name]
        with torch.device("meta"):
            model = found.build()
        MODELS[name] = {
            key: parameter.shape
            for key, parameter in model.named_parameters()
            if key.startswith(found.own) and not any(part in key for part in found.without)
        }
    return MODELS[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_as_many_parameters(name: str) -> None:
    with torch.device("meta"):
        model = VisionModel(architecture(PUBLISHED[name].config).config, fold=False)
    wanted = sum(shape.numel() for shape in parameters(name).values())
    assert sum(parameter.numel() for parameter in model.parameters()) == wanted


@pytest.mark.parametrize(("name", "rules"), [(name, rules) for name in PUBLISHED for rules in layouts(name)])
def test_names(name: str, rules: tuple[tuple[str, str], ...], caplog: pytest.LogCaptureFixture) -> None:
    """Tensors under the names and in the shapes of a checkpoint, but of no values."""
    stored: dict[str, torch.Size] = {}
    for key, shape in parameters(name).items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        stored[key] = shape
    if PUBLISHED[name].own != ("",) and rules != MOONVIT:
        stored |= dict.fromkeys(["lm_head.weight", "model.language_model.norm.weight"], torch.Size([8]))
    found = architecture(PUBLISHED[name].config)
    with torch.device("meta"):
        model = VisionModel(found.config, fold=False)
    files = SimpleNamespace(index=stored, get=lambda key: torch.empty(stored[key], dtype=torch.bfloat16, device="meta"))
    wanted = {key: parameter.shape for key, parameter in model.named_parameters()}
    with caplog.at_level(logging.WARNING, "vlmres.encoder"):
        tensors = TensorReader(files, found, None, None).read(wanted, fold=False)  # type: ignore[arg-type]
    assert {key: tensor.shape for key, tensor in tensors.items()} == wanted
    assert not caplog.records


RECIPES: dict[str, tuple[str, dict[str, int]]] = {
    "openai/clip-vit-large-patch14-336": ("llava-1.5", {}),
    "google/siglip-so400m-patch14-384": ("siglip", {"image_width": 384, "image_height": 384, "patch_size": 14}),
    "google/siglip2-base-patch16-naflex": ("siglip2-naflex", {}),
    "llava-hf/llava-1.5-7b-hf": ("llava-1.5", {}),
    "llava-hf/llava-v1.6-mistral-7b-hf": ("llava-next", {}),
    "OpenGVLab/InternVL3-1B-hf": ("internvl3", {}),
    "OpenGVLab/InternVL2-26B": ("internvl2", {}),
    "Qwen/Qwen2-VL-2B-Instruct": ("qwen2-vl", {}),
    "Qwen/Qwen2.5-VL-7B-Instruct": ("qwen2.5-vl", {}),
    "Qwen/Qwen3-VL-4B-Instruct": ("qwen3-vl", {}),
    "mistral-community/pixtral-12b": ("pixtral", {}),
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": ("mistral-small-3", {}),
    "moonshotai/Kimi-VL-A3B-Instruct": ("kimi-vl", {}),
    "moonshotai/Kimi-K2.5": ("kimi-k2.5", {}),
    "deepseek-ai/DeepSeek-OCR": ("deepseek-ocr-gundam", {}),
    "deepseek-ai/DeepSeek-OCR-2": ("deepseek-ocr-2", {}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_cost_of_a_page(name: str) -> None:
    """A model without values does the products that the page's size alone says."""
    recipe, overrides = RECIPES[name]
    plan = vlmres.plan((1240, 1754), vlmres.Recipe.load(recipe, **overrides))
    config = architecture(PUBLISHED[name].config).config
    grids = [view.patches for view in plan.views for _ in range(view.tiles.rows * view.tiles.cols)]
    layout = build_layout(config, np.array(grids), images=ImageTokens.of(plan))
    with torch.device("meta"):
        model = VisionModel(config).requires_grad_(False)
        patches = torch.empty(plan.num_patches, config.patch.dim, dtype=torch.uint8)
    with torch.inference_mode(), flop_counter() as counter:
        tokens = model.to("meta")(patches, layout.to("meta")).tokens
    cost = plan.cost(config)
    if recipe != "llava-next":
        assert cost.tokens == plan.num_visual_tokens
    assert len(tokens) in (plan.num_tokens, plan.num_visual_tokens)
    counted = counter.get_total_flops()
    if any(tower.relative for tower in config.towers):
        # The dimensions that carry relative positions through the kernel are no part of the cost.
        assert cost.flops < counted < 1.5 * cost.flops
    else:
        assert cost.flops == counted
