"""Real model code on both processors' output: the same tokens in, the same logits out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
import transformers

from tests.images import image
from tests.integrations.tiny import SMALL, processor
from vlmres.integrations.transformers import accelerate
from vlmres.verify import references as hf

TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 4096,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
    "projection_dim": 32,
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


class Family(NamedTuple):
    """A model small enough to run in a moment, and what it is asked."""

    model: str
    config: Callable[[Any], dict[str, Any]]
    """The configuration's arguments, from a function that gives a token's id."""
    prompt: str
    reference: str | None = None
    """The recipe whose image processor it is, where that is another."""


def llava(ids: Callable[[str], int]) -> dict[str, Any]:
    return {
        "vision_config": CLIP,
        "text_config": {"model_type": "llama", **TEXT},
        "image_token_id": ids("<image>"),
        "image_token_index": ids("<image>"),
        "vision_feature_layer": -1,
    }


def qwen(ids: Callable[[str], int], vision: dict[str, Any]) -> dict[str, Any]:
    return {
        "text_config": {**TEXT, "rope_parameters": ROPE, "rope_scaling": ROPE, "head_dim": 16},
        "vision_config": {"depth": 2, "num_heads": 2, "patch_size": 14, "spatial_merge_size": 2, **vision},
        "image_token_id": ids("<|image_pad|>"),
        "video_token_id": ids("<|video_pad|>"),
        "vision_start_token_id": ids("<|vision_start|>"),
        "vision_end_token_id": ids("<|vision_end|>"),
    }


FAMILIES: dict[str, Family] = {
    "llava-1.5": Family("Llava", llava, "<image> what is it"),
    "llava-next": Family(
        "LlavaNext",
        lambda ids: {**llava(ids), "image_grid_pinpoints": SMALL["llava-next"]["image_grid_pinpoints"]},
        "<image> what is it",
    ),
    "qwen2-vl": Family(
        "Qwen2VL",
        lambda ids: qwen(ids, {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 1}),
        "<|vision_start|><|image_pad|><|vision_end|> what is it",
    ),
    "qwen2.5-vl": Family(
        "Qwen2_5_VL",
        lambda ids: qwen(
            ids,
            {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 32, "fullatt_block_indexes": [1]},
        ),
        "<|vision_start|><|image_pad|><|vision_end|> what is it",
        reference="qwen2-vl",
    ),
    "qwen3-vl": Family(
        "Qwen3VL",
        lambda ids: qwen(
            ids,
            {
                "hidden_size": 32,
                "out_hidden_size": 32,
                "intermediate_size": 32,
                "patch_size": 16,
                "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0],
            },
        ),
        "<|vision_start|><|image_pad|><|vision_end|> what is it",
    ),
    "internvl3": Family(
        "InternVL",
        lambda ids: {
            "text_config": {"model_type": "qwen2", **TEXT},
            "vision_config": {
                "hidden_size": 32,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": [56, 56],
                "patch_size": [14, 14],
            },
            "image_token_id": ids("<IMG_CONTEXT>"),
            "downsample_ratio": 0.5,
        },
        "<IMG_CONTEXT> what is it",
        reference="internvl2",
    ),
}


def build(name: str) -> tuple[Any, Any]:
    """A model with random weights, and its processor."""
    family = FAMILIES[name]
    reference = family.reference or name
    arguments = {"image_seq_length": 4} if name == "internvl3" else {}
    original = processor(name, hf.processor(reference, "torch", **SMALL[reference]), **arguments)
    config: Any = getattr(transformers, f"{family.model}Config")
    model: Any = getattr(transformers, f"{family.model}ForConditionalGeneration")
    torch.manual_seed(0)
    made = model(config(**family.config(original.tokenizer.convert_tokens_to_ids))).eval()
    return made, original


@pytest.mark.parametrize("name", FAMILIES)
def test_logits(name: str, runs: list[int]) -> None:
    model, original = build(name)
    images = [image(150, 90, "smooth"), image(61, 200), image(56, 56, "checker")]
    call = {"images": images, "text": [FAMILIES[name].prompt] * 3, "padding": True, "return_tensors": "pt"}
    expected, got = original(**call), accelerate(original)(**call)
    assert runs == [3]
    assert list(got) == list(expected)
    assert torch.equal(got["input_ids"], expected["input_ids"])
    with torch.inference_mode():
        wanted, logits = model(**expected).logits, model(**got).logits
        blind = model(**{**got, "pixel_values": torch.zeros_like(got["pixel_values"])}).logits
    assert torch.isfinite(logits).all()
    assert torch.equal(logits, wanted)
    assert not torch.equal(logits, blind)  # the pixels matter


def test_features_of_siglip2(runs: list[int]) -> None:
    settings = {"max_num_patches": 36, "patch_size": 16}
    original = hf.processor("siglip2-naflex", "torch", **settings)
    torch.manual_seed(0)
    config = transformers.Siglip2VisionConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, num_patches=16, patch_size=16
    )
    model: Any = transformers.Siglip2VisionModel(config).eval()
    images = [image(150, 90, "smooth"), image(61, 200)]
    outputs = []
    for one in (original, accelerate(original)):
        batch = one(images, return_tensors="pt")
        with torch.inference_mode():
            outputs.append(model(**batch).last_hidden_state)
    assert runs == [2]
    assert torch.isfinite(outputs[0]).all()
    assert torch.equal(outputs[0], outputs[1])
