"""Real model code on both processors' output: the same tokens in, the same logits out."""

import copy
from typing import Any

import pytest
import torch
import transformers

from tests.images import image
from tests.integrations import versions
from tests.integrations.models import FAMILIES, make
from tests.integrations.tiny import SMALL, processor
from tests.videos import video
from vlmres.integrations.transformers import accelerate
from vlmres.verify import references as hf


def build(name: str) -> tuple[Any, Any]:
    """A model with random weights, and its processor."""
    family = FAMILIES[name]
    reference = family.reference or name
    if not hf.available(reference) or not hasattr(transformers, f"{family.model}ForConditionalGeneration"):
        pytest.skip(f"this transformers has no {family.model}")
    arguments = {"image_seq_length": 4} if name == "internvl3" else {}
    settings = {**SMALL.get(reference, {}), **family.settings}
    original = processor(name, hf.processor(reference, "torch", **settings), **arguments)
    return make(family, original.tokenizer.convert_tokens_to_ids), original


@pytest.mark.filterwarnings("ignore:`hidden_state` is deprecated:FutureWarning")  # Llama 3.2 before 5.20
@pytest.mark.parametrize("name", FAMILIES)
def test_logits(name: str, runs: list[int]) -> None:
    if name == "internvl3" and versions.VERSION < (5, 19):
        pytest.skip("its processor needs an older numpy")
    if name == "smolvlm" and versions.VERSION == (5, 20):
        pytest.skip("its model takes the sides of patches for the number of an image's tokens")
    model, original = build(name)
    family = FAMILIES[name]
    images: list[Any] = [image(150, 90, "smooth"), image(61, 200), image(56, 56, "checker")]
    if family.samples:
        images = [[one] for one in images]
    call = {"images": images, "text": [family.prompt] * 3, "padding": True, "return_tensors": "pt", **family.call}
    expected, got = original(**call), accelerate(original)(**call)
    assert runs == ([] if versions.declines(family.reference or name) else [3])
    assert list(got) == list(expected)
    assert torch.equal(got["input_ids"], expected["input_ids"])
    with torch.inference_mode():
        wanted, logits = model(**expected).logits, model(**got).logits
        others = model(**{**got, "pixel_values": -got["pixel_values"]}).logits
    assert torch.isfinite(logits).all()
    assert torch.equal(logits, wanted)
    assert not torch.equal(logits, others)  # the pixels matter


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl"])
def test_logits_of_videos(name: str, video_runs: list[int]) -> None:
    model, original = build(name)
    original.video_processor.size = {"shortest_edge": 4096, "longest_edge": 50176}
    clips = [video(5, 90, 61, "smooth"), video(4, 64, 128)]
    prompt = FAMILIES[name].prompt.replace("image", "video")
    metadata = [{"total_num_frames": len(clip), "fps": 4.0, "frames_indices": list(range(len(clip)))} for clip in clips]
    call = {"text": [prompt] * 2, "padding": True, "return_tensors": "pt", "do_sample_frames": False}

    def run(processor: Any) -> Any:
        return processor(videos=clips, video_metadata=copy.deepcopy(metadata), **call)

    expected, got = run(original), run(accelerate(original))
    assert video_runs == [2]
    assert list(got) == list(expected)
    assert torch.equal(got["input_ids"], expected["input_ids"])
    assert got["video_grid_thw"].tolist() == expected["video_grid_thw"].tolist()
    with torch.inference_mode():
        wanted, logits = model(**expected).logits, model(**got).logits
        values = got["pixel_values_videos"]
        blind = model(**{**got, "pixel_values_videos": torch.zeros_like(values)}).logits
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
