"""Images or videos in, logits out: our processor and encoder before a tiny model's own language model, against it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
import transformers
from safetensors.torch import save_file

import vlmres
from tests.encoder.conftest import Checkpoint
from tests.encoder.families import family
from tests.encoder.tiny import CASES, SAM, TEXT, VIT, randomize
from tests.images import image
from tests.videos import video
from vlmres.encoder import EncoderOutput, VisionEncoder

IMAGE, VIDEO = 90, 91
SIZES = [(100, 60), (31, 90), (64, 64), (200, 33)]


@dataclass
class Whole:
    """A model, its recipe, and how the reference's batch is passed to it."""

    build: Callable[[], Any]
    recipe: str
    overrides: dict[str, Any]
    inputs: Callable[[vlmres.Batch], dict[str, Any]]
    visual: bool = False
    """Whether the text's own tokens stand beside the model's: starts, ends, breaks of rows."""


def _tensors(batch: vlmres.Batch) -> dict[str, Any]:
    tensors = batch.torch()
    return {key: tensors[key] for key in tensors if key != "num_patches"}


def _deepseek(batch: vlmres.Batch) -> dict[str, Any]:
    tensors = batch.torch()
    grids = tensors["images_spatial_crop"].tolist()
    tiles = [cols * rows if cols * rows > 1 else 0 for cols, rows in grids]
    local = tensors["images_crop"] if sum(tiles) else None
    return {
        "pixel_values": tensors["pixel_values"],
        "pixel_values_local": local,
        "num_local_patches": tiles,
        "patches_grid": grids,
    }


def _llava_next() -> Any:
    config = transformers.LlavaNextConfig(
        vision_config=transformers.CLIPVisionConfig(**VIT),
        text_config=transformers.LlamaConfig(**TEXT),
        image_token_index=IMAGE,
        image_grid_pinpoints=PINPOINTS,
    )
    return transformers.LlavaNextForConditionalGeneration(config)


def _named(name: str) -> Callable[[], Any]:
    """A case's model, with this file's id of an image's tokens."""

    def build() -> Any:
        model = CASES[name].build()
        model.config.image_token_id = IMAGE
        return model

    return build


def _ocr(module: Any, name: str, vision: dict[str, Any]) -> Any:
    text = {**TEXT, "mlp_layer_types": ["dense", "dense"], "n_routed_experts": 2, "num_experts_per_tok": 1}
    config = getattr(module, f"{name}Config")(vision_config=vision, text_config=text, image_token_id=IMAGE)
    return getattr(module, f"{name}ForConditionalGeneration")(config)


def _unlimited_ocr() -> Any:
    vision = {"sam_config": {**SAM, "downsample_channels": [40, 48]}, "encoder_config": {**VIT, "image_size": 28}}
    return _ocr(family("unlimited_ocr"), "UnlimitedOcr", vision)


def _deepseek_ocr2() -> Any:
    encoder = {**TEXT, "hidden_size": 48, "num_attention_heads": 3, "num_key_value_heads": 3}
    vision = {"sam_config": {**SAM, "downsample_channels": [40, 48]}, "encoder_config": encoder}
    return _ocr(family("deepseek_ocr2"), "DeepseekOcr2", vision)


PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
SMALL = {"min_pixels": 1024, "max_pixels": 16384}
DEEPSEEK = {"base_size": 128, "tile_size": 80, "tile_over": 80}

MODELS = {
    "qwen2-vl": Whole(CASES["qwen2-vl"].build, "qwen2-vl", SMALL, _tensors),
    "qwen2.5-vl": Whole(CASES["qwen2.5-vl"].build, "qwen2.5-vl", SMALL, _tensors),
    "qwen3-vl": Whole(CASES["qwen3-vl"].build, "qwen3-vl", SMALL, _tensors),
    "qwen3.5": Whole(CASES["qwen3.5"].build, "qwen3.5-vl", SMALL, _tensors),
    "internvl": Whole(CASES["internvl"].build, "internvl2", {"image_size": 56, "max_tiles": 6}, _tensors, visual=True),
    "internvl-6b": Whole(
        CASES["internvl-6b"].build, "internvl2", {"image_size": 56, "max_tiles": 6}, _tensors, visual=True
    ),
    "llava": Whole(_named("llava"), "llava-1.5", {"shortest_edge": 56, "crop_width": 56, "crop_height": 56}, _tensors),
    "llava-siglip": Whole(
        _named("llava-siglip"), "siglip", {"image_width": 56, "image_height": 56, "patch_size": 14}, _tensors
    ),
    "pixtral": Whole(
        _named("llava-pixtral"), "pixtral", {"longest_edge": 112, "patch_size": 14}, _tensors, visual=True
    ),
    "mistral3": Whole(_named("mistral3"), "mistral-small-3", {"longest_edge": 112}, _tensors, visual=True),
    "kimi": Whole(CASES["kimi"].build, "kimi-k2.5", {}, _tensors),
    "llava-next": Whole(_llava_next, "llava-next", {"image_size": 56, "image_grid_pinpoints": PINPOINTS}, _tensors),
    "deepseek-ocr": Whole(_unlimited_ocr, "deepseek-ocr-gundam", DEEPSEEK, _deepseek),
    "deepseek-ocr-whole": Whole(_unlimited_ocr, "deepseek-ocr-base", {"base_size": 128}, _deepseek),
    "deepseek-ocr-2": Whole(_deepseek_ocr2, "deepseek-ocr-2", {"image_size": 1024, "tile_size": 768}, _tensors),
}


@pytest.fixture(params=MODELS, scope="module")
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Whole, Any, Path]:
    """A model with random parameters, and its checkpoint."""
    found = MODELS[request.param]
    model = found.build().eval().requires_grad_(False)
    randomize(model)
    folder = tmp_path_factory.mktemp(request.param)
    model.config.save_pretrained(folder)
    save_file({name: tensor.clone() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    return found, model, folder


def test_logits(whole: tuple[Whole, Any, Path]) -> None:
    found, model, folder = whole
    recipe = vlmres.Recipe.load(found.recipe, **found.overrides)
    encoder = VisionEncoder.from_pretrained(folder, "cpu", torch.float32, recipe=recipe)
    # The reference normalises by what its processor says, and so did `from_pretrained`.
    assert encoder.config.patch.mean == tuple(recipe.params["image_mean"])
    sizes = SIZES if found.recipe != "deepseek-ocr-2" else SIZES[:2]
    images = [image(*size, seed=index) for index, size in enumerate(sizes)]
    batch = vlmres.Processor(recipe, layout="packed", dtype="uint8", arithmetic="pillow-13")(images)
    out = encoder(batch)
    counts = torch.diff(out.cu_seqlens).tolist()
    plans = [plan for plan in batch.plans if plan is not None]
    assert counts == [plan.num_visual_tokens if found.visual else plan.num_tokens for plan in plans]
    hf = vlmres.Processor(recipe, arithmetic="pillow-13")(images)
    inputs = _prompt(counts)
    with torch.inference_mode():
        kwargs = found.inputs(hf)
        wanted = model(**inputs, **kwargs).logits
        tokens = _logits(model, out, "image", inputs, kwargs)
        out.tokens.neg_()
        others = _logits(model, out, "image", inputs, kwargs)
    assert float((tokens - wanted).abs().max()) <= 1e-4
    # The tokens are what the logits depend on.
    assert float((others - wanted).abs().max()) > 1e-2


def test_tokens_as_embeddings(whole: tuple[Whole, Any, Path]) -> None:
    """Where a language model takes nothing beside them."""
    found, model, folder = whole
    if found.recipe.startswith("qwen"):
        pytest.skip("its positions need grids")
    recipe = vlmres.Recipe.load(found.recipe, **found.overrides)
    encoder = VisionEncoder.from_pretrained(folder, "cpu", torch.float32, recipe=recipe)
    images = [image(*size, seed=index) for index, size in enumerate(SIZES[:2])]
    out = encoder.encode(images, arithmetic="pillow-13")
    inputs = _prompt(torch.diff(out.cu_seqlens).tolist())
    ids = inputs["input_ids"]
    with torch.inference_mode():
        kwargs = found.inputs(vlmres.Processor(recipe, arithmetic="pillow-13")(images))
        wanted = model(**inputs, **kwargs).logits
        embeds = model.get_input_embeddings()(ids)
        embeds[ids == IMAGE] = out.tokens
        logits = model(inputs_embeds=embeds).logits
    assert float((logits - wanted).abs().max()) <= 1e-4


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl", "qwen3-vl", "qwen3.5"])
def test_logits_of_videos(name: str, checkpoint: Checkpoint) -> None:
    model, folder = checkpoint(name)
    settings = {"video_min_pixels": 1024, "video_max_pixels": 65536}
    recipe = vlmres.Recipe.load(MODELS[name].recipe, **settings)
    encoder = VisionEncoder.from_pretrained(folder, "cpu", torch.float32, recipe=recipe)
    videos = [video(4, 64, 48), video(7, 100, 40, seed=1), video(2, 33, 160, seed=2)]
    batch = vlmres.Processor(recipe, layout="packed", dtype="uint8")(videos=videos)
    out = encoder(batch)
    # Qwen3 has text before each patch along time.
    grids = [grid for plan in batch.plans if plan is not None for grid in plan.grid_thw]
    apart = [rows * cols // 4 for times, rows, cols in grids for _ in range(times)]
    inputs = _prompt(apart if name.startswith("qwen3") else batch.num_tokens, VIDEO)
    hf = vlmres.Processor(recipe)(videos=videos).torch()
    kwargs = {key: hf[key] for key in ("pixel_values_videos", "video_grid_thw")}
    with torch.inference_mode():
        wanted = model(**inputs, **kwargs).logits
        tokens = _logits(model, out, "video", inputs, kwargs)
        out.tokens.neg_()
        others = _logits(model, out, "video", inputs, kwargs)
    assert float((tokens - wanted).abs().max()) <= 1e-4
    assert float((others - wanted).abs().max()) > 1e-2


def _prompt(counts: list[int], token: int = IMAGE) -> dict[str, torch.Tensor]:
    """A sequence with a place for every image's or video's tokens."""
    ids = [1, 2]
    for count in counts:
        ids += [token] * count + [3, 4]
    input_ids = torch.tensor([ids])
    kind = 1 if token == IMAGE else 2
    return {"input_ids": input_ids, "mm_token_type_ids": (input_ids == token).int() * kind}


def _logits(
    model: Any, out: EncoderOutput, kind: str, inputs: dict[str, torch.Tensor], kwargs: dict[str, Any]
) -> torch.Tensor:
    """With our tokens: as an argument, or before transformers 5.20 from what stands for the model's own encoder."""
    found = _as_output(model, out)
    if "mm_encoder_outputs" in inspect.signature(model.forward).parameters:
        grids = {key: value for key, value in kwargs.items() if key.endswith("_grid_thw")}
        logits: torch.Tensor = model(**inputs, **grids, mm_encoder_outputs={kind: found}).logits
        return logits
    found.deepstack_features = list(out.deepstack)
    with mock.patch.object(model.model, f"get_{kind}_features", return_value=found):
        logits = model(**inputs, **kwargs).logits
    return logits  # noqa: RET504


def _as_output(model: Any, out: EncoderOutput) -> Any:
    """As the model's own `get_image_features` returns it; InternVL's is one tensor of tiles."""
    tokens: Any = out.split()
    if isinstance(model, transformers.InternVLForConditionalGeneration):
        tokens = out.tokens.unsqueeze(0)
    deepstack = [level.split(torch.diff(out.cu_seqlens).tolist()) for level in out.deepstack]
    return SimpleNamespace(pooler_output=tokens, deepstack_features=deepstack)
