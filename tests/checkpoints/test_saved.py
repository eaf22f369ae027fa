"""Folders as transformers 5 saves them: an image processor and a configuration of a model, no weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
import transformers
from transformers.models.auto import image_processing_auto, video_processing_auto

import vlmres
from tests.compare import assert_equal_batches
from tests.images import image

if TYPE_CHECKING:
    from pathlib import Path

    from vlmres.outputs import DType

# Classes by the type of model.
IMAGES_OF = vars(image_processing_auto)["IMAGE_PROCESSOR_MAPPING_NAMES"]
VIDEOS_OF = vars(video_processing_auto)["VIDEO_PROCESSOR_MAPPING_NAMES"]

# The recipe of each type of model that transformers has and vlmres knows. Those that its image processor's class serves
# beside them are in `IMAGES_ONLY`.
RECIPES = {
    "aria": "aria",
    "aya_vision": "aya-vision",
    "blip": "siglip",
    "chameleon": "clip",
    "chinese_clip": "clip",
    "clip": "clip",
    "cohere2_vision": "cohere2-vision",
    "colpali": "paligemma",
    "deepseek_ocr2": "deepseek-ocr-2",
    "deepseek_vl": "deepseek-vl",
    "deepseek_vl_hybrid": "deepseek-vl-hybrid",
    "dinov2": "clip",
    "embedding_gemma2": "gemma4",
    "ernie4_5_vl_moe": "ernie-4.5-vl",
    "florence2": "florence-2",
    "gemma3": "gemma3",
    "gemma4": "gemma4",
    "glm46v": "glm-4.6v",
    "glm4v": "glm-4v",
    "glm5_next": "glm-5-next",
    "glmga": "glm-4.6v",
    "got_ocr2": "got-ocr2",
    "granite_docling": "granite-docling",
    "groupvit": "clip",
    "altclip": "clip",
    "hunyuan_vl": "hunyuan-vl",
    "idefics2": "idefics2",
    "idefics3": "idefics3",
    "ijepa": "siglip",
    "internvl": "internvl2",
    "janus": "deepseek-vl",
    "kimi_k25": "kimi-k2.5",
    "lfm2_vl": "lfm2-vl",
    "lighton_ocr": "lighton-ocr",
    "llama4": "llama4",
    "llava": "llava-1.5",
    "llava_next": "llava-next",
    "llava_next_video": "llava-next",
    "llava_onevision": "llava-onevision",
    "metaclip_2": "clip",
    "minicpmv4_6": "minicpm-v-4.6",
    "minicpmv4_7": "minicpm-v-4.6",
    "minimax_m3_vl": "minimax-m3-vl",
    "mistral3": "mistral-small-3",
    "mistral_large4": "mistral-small-3",
    "mllama": "mllama",
    "molmo2": "molmo2",
    "nemotron_h_omni": "nemotron-omni",
    "ovis2": "ovis2",
    "paddleocr_vl": "paddleocr-vl",
    "paligemma": "paligemma",
    "phi4_multimodal": "phi-4",
    "pixtral": "pixtral",
    "pp_chart2table": "siglip",
    "qianfan_ocr": "internvl2",
    "qwen2_5_vl": "qwen2.5-vl",
    "qwen2_vl": "qwen2-vl",
    "qwen3_5": "qwen3.5-vl",
    "qwen3_5_moe": "qwen3.5-vl",
    "qwen3_vl": "qwen3-vl",
    "qwen3_vl_moe": "qwen3-vl",
    "qwen4_exp": "qwen3.5-vl",
    "shieldgemma2": "gemma3",
    "siglip": "siglip",
    "siglip2": "siglip2-naflex",
    "smolvlm": "smolvlm",
    "step3p7": "step3",
    "t5gemma2": "gemma3",
    "t5gemma2_encoder": "gemma3",
    "tipsv2": "siglip",
    "unlimited_ocr": "unlimited-ocr",
    "vipllava": "llava-1.5",
    "vit": "siglip",
    "vit_mae": "siglip",
    "vit_msn": "siglip",
}
IMAGES_ONLY = {
    "cohere_compass": "qwen2-vl",
    "colqwen2": "qwen2-vl",
    "cosmos3_omni": "qwen2-vl",
    "dots3_note": "qwen2-vl",
    "exaone4_5": "qwen2-vl",
    "gemma3n": "siglip",
    "hyperclovax_vision_v2": "qwen2-vl",
    "lfm3_vl": "qwen2-vl",
    "qwen2_5_omni": "qwen2-vl",
    "qwen3_omni_moe": "qwen2-vl",
}

SQUARE = {"height": 768, "width": 768}
PATCHES_OF_16 = {"patch_size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
# What published checkpoints of a model say where the class's defaults are another's.
SETTINGS: dict[str, dict[str, Any]] = {
    "cosmos3_omni": PATCHES_OF_16,
    "florence2": {"do_center_crop": False, "size": SQUARE, "crop_size": SQUARE},
    "gemma3n": {"size": SQUARE},
    "got_ocr2": {"size": {"height": 1024, "width": 1024}},
    "granite4_vision": {"size": {"shortest_edge": 384}, "crop_size": {"height": 384, "width": 384}},
    "lfm3_vl": PATCHES_OF_16,
    "llava": {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    "vipllava": {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    "lighton_ocr": {"patch_size": 14},
    "mistral3": {"patch_size": 14},
    "mistral_large4": {"patch_size": 14},
    "llava_next": {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    "llava_next_video": {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    "ovis2": {"crop_to_patches": True},
    "qwen3_5": PATCHES_OF_16,
    "qwen3_5_moe": PATCHES_OF_16,
    "qwen3_omni_moe": PATCHES_OF_16,
    "qwen3_vl": PATCHES_OF_16,
    "qwen3_vl_moe": PATCHES_OF_16,
    "qwen4_exp": PATCHES_OF_16,
}
# What published configurations of a model say where the defaults contradict the image processor's.
MODELS: dict[str, dict[str, Any]] = {
    "aria": {"vision_config": {"model_type": "idefics3_vision", "patch_size": 14}},
    "cohere_compass": {"vision_config": {"patch_size": 14}},
    "minicpmv4_6": {"vision_config": {"patch_size": 14}},
    "minicpmv4_7": {"vision_config": {"patch_size": 14}},
}
# Their processor is that of the models beside them in transformers' own table.
CLASSES = {"pixtral": "PixtralImageProcessor", "qwen3_vl_moe": "Qwen2VLImageProcessor"}


def image_class(kind: str) -> str | None:
    """The image processor of a type of model in transformers."""
    names = IMAGES_OF.get(kind, {})
    return CLASSES.get(kind) or names.get("torchvision") or names.get("pil")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Configurations without text say so."""
    logger = logging.getLogger("transformers")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


def save(kind: str, folder: Path) -> Any:
    """A folder as transformers saves it; its image processor."""
    name = image_class(kind)
    processor = getattr(transformers, str(name))(**SETTINGS.get(kind, {}))
    processor.save_pretrained(folder)
    transformers.AutoConfig.for_model(kind, **MODELS.get(kind, {})).save_pretrained(folder)
    return processor


@pytest.mark.parametrize("kind", [*RECIPES, *IMAGES_ONLY])
def test_folders_that_transformers_saves(kind: str, tmp_path: Path) -> None:
    processor = save(kind, tmp_path)
    recipe = vlmres.Recipe.from_pretrained(tmp_path)
    assert recipe.name == {**RECIPES, **IMAGES_ONLY}[kind]
    plan = vlmres.plan((300, 200), recipe)
    if kind in IMAGES_ONLY:
        with pytest.raises(vlmres.RecipeError, match="family="):
            plan.to_model([0, 0, 1, 1])
    else:
        plan.to_model([0, 0, 1, 1])
    picture = image(300, 200)
    dtype: DType = "bfloat16" if kind == "llama4" else "float32"
    ours = vlmres.Processor(recipe, arithmetic="torch", dtype=dtype)(picture).torch()
    try:
        expected = processor(picture, return_tensors="pt")
    except AttributeError:  # transformers' own defaults do not run
        assert kind == "nemotron_h_omni"
        return
    if kind in ("aya_vision", "internvl", "qianfan_ocr"):  # their processors ask for tiles
        expected = processor(picture, crop_to_patches=True, return_tensors="pt")
    if kind in ("lighton_ocr", "mistral3", "mistral_large4"):  # and of these, for whole merged patches
        expected = processor(picture, patch_size=28, return_tensors="pt")
    assert_equal_batches(ours, expected, kind)


# Keys of a model's configuration that say what its image processor's file says, or what a recipe has fixed.
PATCHES = (
    "patch_size", "spatial_merge_size", "temporal_patch_size", "merge_kernel_size",
    "downsample_factor", "downsample_ratio",
)  # fmt: skip
# Those that say something else.
OTHER_PATCHES = {
    ("deepseek_vl_hybrid", "high_res_vision_config.patch_size"),  # of features that are added to the same tokens
    ("florence2", "vision_config.patch_size"),  # of each stage
    ("minicpmv4_6", "merge_kernel_size"), ("minicpmv4_6", "patch_size"),  # of the projector, and of no use
    ("minicpmv4_7", "merge_kernel_size"), ("minicpmv4_7", "patch_size"),
    ("qwen2_5_omni", "talker_config.spatial_merge_size"),
    ("unlimited_ocr", "vision_config.encoder_config.patch_size"),
}  # fmt: skip


def patches(config: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any], str]]:
    """Such keys, with the part of a configuration that they are in."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from patches(value, f"{path}{key}.")
        elif key in PATCHES and value is not None:
            yield path + key, config, key


@pytest.mark.parametrize("kind", [*RECIPES, *IMAGES_ONLY])
def test_a_model_that_says_other_patches(kind: str, tmp_path: Path) -> None:
    """Then the recipe has its patches, or an error names the file."""
    save(kind, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    params = vlmres.Recipe.from_pretrained(tmp_path).params
    for name, part, key in patches(config):
        if (kind, name) in OTHER_PATCHES:
            continue
        before = part[key]
        part[key] = [2 * side for side in before] if isinstance(before, list) else 2 * before
        path.write_text(json.dumps(config))
        try:
            said = str(vlmres.Recipe.from_pretrained(tmp_path).params != params)
        except vlmres.RecipeError as error:
            said = str(error)
        assert said == "True" or ("config.json" in said and key in said), name
        part[key] = before


STRANGERS = sorted(
    kind
    for kind in IMAGES_OF
    if kind not in {**RECIPES, **IMAGES_ONLY} and kind not in ("colmodernvbert", "modernvbert")
)


@pytest.mark.parametrize("kind", STRANGERS)
def test_other_models_of_transformers_are_refused(kind: str, tmp_path: Path) -> None:
    name = image_class(kind)
    settings = {"image_processor_type": name, "do_resize": True, "size": {"height": 224, "width": 224}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(vlmres.RecipeError) as caught:
        vlmres.Recipe.from_pretrained(tmp_path)
    assert len(str(caught.value)) < 300
    assert str(name) in str(caught.value)


def test_every_video_class_is_followed_or_refused() -> None:
    followed = set()
    for names in map(dict, VIDEOS_OF.values()):
        name = names["torchvision"]
        try:
            recipe = vlmres.Recipe.from_pretrained({"video_processor_type": name})
        except vlmres.RecipeError:
            continue
        assert recipe.video_reference == f"transformers {name}"
        followed.add(name)
    assert len(followed) >= 8
