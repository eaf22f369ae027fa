"""Folders as the authors of checkpoints wrote them: the right recipe, and what files contradict or say too much is refused."""

# ruff: noqa: E501
from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import vlmres
from tests.checkpoints.published import (
    HALF,
    LLAVA,
    PUBLISHED,
    STEPS,
    Folder,
    clip,
    got_ocr,
    model,
    old_clip,
    qwen,
    remote,
    siglip,
)

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_MESSAGE = 300
INTERNVL = {"force_image_size": 448, "dynamic_image_size": True}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_folders(name: str, tmp_path: Path) -> None:
    folder = PUBLISHED[name]
    recipe = vlmres.Recipe.from_pretrained(folder.write(tmp_path))
    assert recipe.name == folder.recipe
    assert {key: recipe.params[key] for key in folder.params} == folder.params
    if folder.tokens is not None:
        assert vlmres.plan((640, 480), recipe).num_tokens == folder.tokens
    # The caller may say what the files say already.
    assert vlmres.Recipe.from_pretrained(tmp_path, family=folder.recipe).params == recipe.params


REFUSED: dict[str, tuple[Folder, tuple[str, ...]]] = {
    "Keye-VL": (
        Folder(
            "",
            {**siglip(384), **remote("image_processing_keye.SiglipImageProcessor"), "min_pixels": 3136, "max_pixels": 1003520,
             "patch_size": 14, "merge_size": 2, "processor_class": "KeyeProcessor"},
            model("Keye", "KeyeForConditionalGeneration"),
        ),
        ("preprocessor_config.json", "image_processing_keye.SiglipImageProcessor"),
    ),
    "Keye-VL-1.5": (
        Folder(
            "",
            {**siglip(384), **remote("image_processing_keye_vl_1_5.SiglipImageProcessor"), "min_pixels": 3136, "merge_size": 2},
            model("KeyeVL1_5", "KeyeVL1_5ForConditionalGeneration"),
        ),
        ("preprocessor_config.json", "image_processing_keye_vl_1_5.SiglipImageProcessor"),
    ),
    "Keye-VL without its code": (
        Folder("", {**siglip(384), "min_pixels": 3136, "merge_size": 2}),
        ("preprocessor_config.json", "me"),
    ),
    "a model that nothing knows": (
        Folder("", clip(336), model("mystery", "MysteryForConditionalGeneration")),
        ("config.json", "MysteryForConditionalGeneration", "family="),
    ),
    "tiles of a model that nothing knows": (
        Folder("", got_ocr(448, crop_to_patches=False, processor_class="MysteryProcessor")),
        ("preprocessor_config.json", "MysteryProcessor"),
    ),
    "another's model": (
        Folder("", qwen(), model("llava", "LlavaForConditionalGeneration")),
        ("preprocessor_config.json", "Qwen2VLImageProcessor", "config.json", "LlavaForConditionalGeneration"),
    ),
    "another's processor": (
        Folder("", qwen(processor_class="Qwen3VLProcessor"), model("qwen2_vl", "Qwen2VLForConditionalGeneration")),
        ("preprocessor_config.json", "Qwen3VLProcessor", "config.json", "Qwen2VLForConditionalGeneration"),
    ),
    "another patch size": (
        Folder("", qwen(14), model("qwen3_vl", "Qwen3VLForConditionalGeneration", vision_config={"patch_size": 16})),
        ("preprocessor_config.json: patch_size=14", "config.json: vision_config.patch_size=16"),
    ),
    "a patch size that the class assumes": (
        Folder("", {"image_processor_type": "Qwen2VLImageProcessor"},
               model("qwen3_vl", "Qwen3VLForConditionalGeneration", vision_config={"patch_size": 16})),
        ("patch_size=14", "config.json: vision_config.patch_size=16"),
    ),
    "a key of another class": (Folder("", siglip(384, merge_size=2)), ("preprocessor_config.json: merge_size=2", "siglip", "ignore=")),
    "pixels of another class": (Folder("", siglip(384, min_pixels=3136)), ("min_pixels=3136", "siglip")),
    "steps that nothing does": (Folder("", clip(224, do_thumbnail=True)), ("do_thumbnail=true", "llava-1.5")),
    "a tower that is not read": (
        Folder("", model=model("llava", "LlavaLlamaForCausalLM", **{**LLAVA, "mm_vision_tower": "my/tower"})),
        ("LlavaLlamaForCausalLM", "mm_vision_tower=my/tower"),
    ),
    "LLaVA-1.6 with another tower": (
        Folder(
            "",
            model=model("llava", "LlavaLlamaForCausalLM", image_aspect_ratio="anyres", **{**LLAVA, "mm_vision_tower": "my/tower"}),
        ),
        ('"llava-next"', "mm_vision_tower=my/tower"),
    ),
    "a model of one tile": (
        Folder("", old_clip(448), model("internvl_chat", "InternVLChatModel", force_image_size=448)),
        ("CLIPFeatureExtractor", "dynamic_image_size is not given"),
    ),
    "an encoder of another size": (
        Folder("", clip(336), model("llava", "LlavaForConditionalGeneration", vision_config={"image_size": 224})),
        ("preprocessor_config.json: crop_size.height=336", "config.json: vision_config.image_size=224"),
    ),
    "an encoder of another square": (
        Folder("", siglip(384), model("siglip", "SiglipModel", vision_config={"image_size": 224})),
        ("preprocessor_config.json: size.height=384", "config.json: vision_config.image_size=224"),
    ),
    "a token more": (
        Folder("", clip(336), model("llava", "LlavaForConditionalGeneration", vision_feature_select_strategy="full")),
        ("config.json: vision_feature_select_strategy=full",),
    ),
    "a token more of each tile": (
        Folder(
            "",
            clip(336, image_processor_type="LlavaNextImageProcessor"),
            model("llava_next", "LlavaNextForConditionalGeneration"),
            {"processor_class": "LlavaNextProcessor", "vision_feature_select_strategy": "full"},
        ),
        ("processor_config.json: vision_feature_select_strategy=full",),
    ),
    "two libraries of two models": (
        Folder(
            "",
            clip(224),
            model("clip", "CLIPModel", vision_config={"image_size": 224, "patch_size": 32}),
            others={"open_clip_config.json": {"model_cfg": {"vision_cfg": {"image_size": 224, "patch_size": 16}}}},
        ),
        ("config.json: vision_config.patch_size=32", "open_clip_config.json: model_cfg.vision_cfg.patch_size=16"),
    ),
    "a ratio that is not followed": (
        Folder("", model=model("llava", "LlavaLlamaForCausalLM", image_aspect_ratio="highres", **LLAVA)),
        ("config.json: image_aspect_ratio=highres",),
    ),
    "another pixel shuffle": (
        Folder("", old_clip(448), model("internvl_chat", "InternVLChatModel", **INTERNVL, downsample_ratio=0.25)),
        ("config.json: downsample_ratio=0.25",),
    ),
    "another padding": (
        Folder("", old_clip(448), model("internvl_chat", "InternVLChatModel", **INTERNVL, pad2square=True)),
        ("config.json: pad2square=true",),
    ),
    "other tokens of a page": (
        Folder("", {"image_processor_type": "LlavaOnevisionImageProcessor"},
               model("llava_onevision", "LlavaOnevisionForConditionalGeneration"),
               {"vision_aspect_ratio": "anyres_max_4", "processor_class": "LlavaOnevisionProcessor"}),
        ("processor_config.json: vision_aspect_ratio=anyres_max_4",),
    ),
    "patches that the length of a tile assumes": (
        Folder("", {"image_processor_type": "Lfm2VlImageProcessor", "encoder_patch_size": 8}),
        ("encoder_patch_size=8",),
    ),
    "a model of text": (
        Folder("", model=model("bert", "BertModel")),
        ("no recipe knows config.json: architectures=BertModel, and no file names an image processor",),
    ),
    "a model without an image processor": (
        Folder("", model=model("qwen2_vl", "Qwen2VLForConditionalGeneration")),
        ("Qwen2VLForConditionalGeneration", "image_processor_type"),
    ),
    "DeepSeek-OCR 2 of the authors": (
        Folder("", processor={**HALF, "processor_class": "DeepseekVLV2Processor"}, model=model("deepseek_vl_v2", "DeepseekOCR2ForCausalLM")),
        ("DeepseekOCR2ForCausalLM",),
    ),
    "Phi-4-multimodal of the authors": (
        Folder("", {**remote("processing_phi4mm.Phi4MMImageProcessor"), "image_processor_type": "Phi4MMImageProcessor", "dynamic_hd": 36}),
        ("processing_phi4mm.Phi4MMImageProcessor",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_folders(name: str, tmp_path: Path) -> None:
    folder, words = REFUSED[name]
    with pytest.raises(vlmres.RecipeError) as caught:
        vlmres.Recipe.from_pretrained(folder.write(tmp_path))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert len(message) < LONGEST_MESSAGE


def kinds(value: str, **keys: Any) -> dict[str, Any]:
    return {**STEPS, **HALF, "image_processor_type": value, "size": {"height": 384, "width": 384}, **keys}


STRANGERS: dict[str, Folder] = {
    "donut": Folder("", kinds("DonutImageProcessor", do_thumbnail=True), model("vision-encoder-decoder", "VisionEncoderDecoderModel")),
    "donut by another's class": Folder("", siglip(384), model("vision-encoder-decoder", "VisionEncoderDecoderModel")),
    "nougat": Folder("", kinds("NougatImageProcessor", do_crop_margin=True), model("vision-encoder-decoder", "VisionEncoderDecoderModel")),
    "fuyu": Folder("", kinds("FuyuImageProcessor"), model("fuyu", "FuyuForCausalLM")),
    "kosmos-2.5": Folder("", kinds("Kosmos2_5ImageProcessor"), model("kosmos-2.5", "Kosmos2_5ForConditionalGeneration")),
    "kosmos-2": Folder("", clip(224), model("kosmos-2", "Kosmos2ForConditionalGeneration")),
    "pix2struct": Folder("", kinds("Pix2StructImageProcessor"), model("pix2struct", "Pix2StructForConditionalGeneration")),
    "emu3": Folder("", kinds("Emu3ImageProcessor"), model("emu3", "Emu3ForConditionalGeneration")),
    "inkling": Folder("", kinds("InklingImageProcessor"), model("inkling_mm_model", "InklingForConditionalGeneration")),
    "muse": Folder("", kinds("MuseGlimmerImageProcessor"), model("muse_glimmer", "MuseGlimmerForConditionalGeneration")),
    "sam": Folder("", kinds("SamImageProcessor"), model("sam", "SamModel")),
    "detr": Folder("", kinds("DetrImageProcessor"), model("detr", "DetrForObjectDetection")),
    "swin": Folder("", kinds("ViTImageProcessor"), model("swin", "SwinForImageClassification", patch_size=4)),
    "blip-2": Folder("", kinds("BlipImageProcessor", processor_class="Blip2Processor"), model("blip-2", "Blip2ForConditionalGeneration")),
    "deit": Folder("", clip(224, size={"height": 256, "width": 256}), model("deit", "DeiTModel")),
    "moondream": Folder("", model=model("moondream1", "HfMoondream")),
    "molmo": Folder(
        "", {**remote("image_preprocessing_molmo.MolmoImageProcessor"), "max_crops": 12}, model("molmo", "MolmoForCausalLM")
    ),
    "isaac": Folder("", {**remote("modular_isaac.IsaacImageProcessor")}, model("isaac", "IsaacForConditionalGeneration")),
    "aria's code": Folder("", {**remote("vision_processor.AriaVisionProcessor")}, model("aria", "AriaForConditionalGeneration")),
    "a resnet of timm": Folder(
        "", model={"architecture": "resnet50", "pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.95, "crop_mode": "center",
                                                                "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3}}
    ),
    "nothing at all": Folder("", {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(vlmres.RecipeError) as caught:
        vlmres.Recipe.from_pretrained(STRANGERS[name].write(tmp_path))
    assert len(str(caught.value)) < LONGEST_MESSAGE


def test_the_caller_names_the_family(tmp_path: Path) -> None:
    folder = Folder("", qwen(16, **HALF), model("mystery", "MysteryForConditionalGeneration")).write(tmp_path)
    for spelling in ("qwen3-vl", "Qwen3-VL", "qwen3vl"):
        recipe = vlmres.Recipe.from_pretrained(folder, family=spelling)
        assert (recipe.name, recipe.patch_size) == ("qwen3-vl", 16)
    with pytest.raises(vlmres.RecipeError, match=r"siglip.*Qwen2VLImageProcessor"):
        vlmres.Recipe.from_pretrained(folder, family="siglip")
    with pytest.raises(vlmres.RecipeError, match="qwen9"):
        vlmres.Recipe.from_pretrained(folder, family="qwen9-vl")
    known = Folder("", qwen(), model("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration")).write(tmp_path)
    with pytest.raises(vlmres.RecipeError, match=r"config.json.*Qwen2_5_VL.*family=\"qwen2-vl\""):
        vlmres.Recipe.from_pretrained(known, family="qwen2-vl")


def test_the_caller_settles_what_a_processor_contradicts(tmp_path: Path) -> None:
    image = qwen(processor_class="Qwen2VLProcessor")
    folder = Folder("", image, model("qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration")).write(tmp_path)
    with pytest.raises(vlmres.RecipeError, match="disagree"):
        vlmres.Recipe.from_pretrained(folder)
    assert vlmres.Recipe.from_pretrained(folder, family="qwen2.5-vl").name == "qwen2.5-vl"
    assert vlmres.Recipe.from_pretrained(folder, ignore=["processor_class"]).name == "qwen2.5-vl"


def test_internvl_of_silent_settings() -> None:
    """As the authors' class has it, and not as transformers'."""
    silent = {"architectures": ["InternVLChatModel"], "dynamic_image_size": True}
    params = vlmres.Recipe.from_pretrained(silent).params
    assert (params["max_tiles"], params["use_thumbnail"], params["image_size"]) == (6, False, 224)
    params = vlmres.Recipe.from_pretrained({**silent, "vision_config": {"image_size": 448}}).params
    assert params["image_size"] == 448


def test_keys_may_be_passed_over(tmp_path: Path) -> None:
    folder = Folder("", siglip(384, merge_size=2, my_note={"of": "mine"})).write(tmp_path)
    with pytest.raises(vlmres.RecipeError, match="merge_size=2"):
        vlmres.Recipe.from_pretrained(folder, ignore=["my_note"])
    with pytest.raises(vlmres.RecipeError, match=r"my_note\.of=mine"):
        vlmres.Recipe.from_pretrained(folder, ignore=["merge_size"])
    recipe = vlmres.Recipe.from_pretrained(folder, ignore=["merge_size", "my_note"])
    assert recipe == vlmres.Recipe.load("siglip", image_width=384, image_height=384)


@pytest.mark.parametrize(
    "keys",
    [
        {"_valid_processor_keys": ["images"], "transformers_version": "4.40.0", "image_seq_length": 729},
        {"crop_size": None, "do_center_crop": None, "pad_size": None, "do_pad": None},
        {"crop_size": {"height": 384, "width": 384}, "do_center_crop": False},
        {"data_format": "channels_first", "default_to_square": True, "return_tensors": "pt", "disable_grouping": None},
        {"processor_class": "SiglipProcessor", "_processor_class": "SiglipProcessor", "do_sample_frames": False},
    ],
)
def test_keys_without_effect_pass(keys: dict[str, Any], tmp_path: Path) -> None:
    recipe = vlmres.Recipe.from_pretrained(Folder("", siglip(384, **keys)).write(tmp_path))
    assert recipe == vlmres.Recipe.load("siglip", image_width=384, image_height=384)


@pytest.mark.parametrize("name", ["Qwen2.5-VL-7B-Instruct", "Qwen3-VL-8B-Instruct", "Qwen2.5-Omni-7B"])
def test_an_image_processor_alone_prepares_images(name: str, tmp_path: Path) -> None:
    """`image_processor.save_pretrained` writes no more than the class that several families have."""
    published = PUBLISHED[name]
    assert published.image is not None
    image = {key: value for key, value in published.image.items() if key != "processor_class"}
    folder = replace(published, image=image, model=None, video=None).write(tmp_path)
    recipe = vlmres.Recipe.from_pretrained(folder)
    plan = vlmres.plan((640, 480), recipe)
    assert plan.num_tokens == published.tokens
    with pytest.raises(vlmres.RecipeError, match=r"Qwen2VLImageProcessor.*qwen2\.5-vl.*family="):
        plan.to_model([0, 0, 10, 10])
    with pytest.raises(vlmres.RecipeError, match=r"Qwen2VLImageProcessor.*qwen3-vl.*family="):
        vlmres.plan((4, 640, 480), recipe)
    for family in ("qwen2.5-vl", "qwen3-vl"):
        told = vlmres.Recipe.from_pretrained(folder, family=family)
        assert told.name == family
        assert vlmres.plan((4, 640, 480), told).num_tokens > 0
        vlmres.plan((640, 480), told).to_model([0, 0, 10, 10])


def test_models_of_a_class_whose_boxes_nothing_knows(tmp_path: Path) -> None:
    recipe = vlmres.Recipe.from_pretrained(PUBLISHED["Qwen2.5-Omni-7B"].write(tmp_path))
    plan = vlmres.plan((640, 480), recipe)
    with pytest.raises(vlmres.RecipeError, match="Qwen2_5OmniModel"):
        plan.to_image([0, 0, 10, 10])
    # What is asked for needs no family.
    assert plan.to_image([0, 0, 10, 10], convention="pixels", view=0).shape == (4,)
