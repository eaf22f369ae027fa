"""Recipes: loading, overriding, and following a checkpoint's configuration."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vlmres
from tests.compare import assert_equal_batches
from tests.images import image
from vlmres.verify import references as hf

CLASS_OF_MODEL = {
    "qwen2-vl": "Qwen2VLProcessor",
    "qwen2.5-vl": "Qwen2_5_VLProcessor",
    "qwen3-vl": "Qwen3VLProcessor",
}

# What a checkpoint's other files say, where its image processor's file does not name the recipe.
OTHER_FILES: dict[str, dict[str, Any]] = {
    **{name: {"processor_class": cls} for name, cls in CLASS_OF_MODEL.items()},
    "aya-vision": {"processor_class": "AyaVisionProcessor"},
    "clip": {"processor_class": "CLIPProcessor"},
    "dots.ocr": {"architectures": ["DotsOCRForCausalLM"]},
    "florence-2": {"processor_class": "Florence2Processor"},
    "lighton-ocr": {"processor_class": "LightOnOcrProcessor", "patch_size": 14, "spatial_merge_size": 2},
    "mistral-small-3": {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "patch_size": 14,
        "spatial_merge_size": 2,
    },
    "paligemma": {"processor_class": "PaliGemmaProcessor"},
    "qwen3.5-vl": {"processor_class": "Qwen3VLProcessor", "architectures": ["Qwen3_5ForConditionalGeneration"]},
}


def test_names() -> None:
    names = vlmres.recipes()
    assert names == sorted(names)
    assert {"llava-1.5", "llava-next", "internvl2", "qwen2-vl", "qwen3-vl", "siglip2-naflex", "nativeres-llava"} <= set(
        names
    )
    assert {f"deepseek-ocr-{mode}" for mode in ("tiny", "small", "base", "large", "gundam", "gundam-m", "2")} <= set(
        names
    )


@pytest.mark.parametrize("name", vlmres.recipes())
def test_built_in_recipes(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    assert recipe.name == name
    assert recipe.overrides == {}
    assert recipe.title
    assert recipe.reference
    assert recipe.strategy in ("squash", "tiles", "native", "hybrid")
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert recipe == vlmres.Recipe.load(name)
    assert hash(recipe) == hash(vlmres.Recipe.load(name))
    assert eval(repr(recipe), {"Recipe": vlmres.Recipe}) == recipe
    # A parameter may be overridden with its own value.
    assert vlmres.Recipe.load(name, **recipe.params) == recipe


@pytest.mark.parametrize("name", vlmres.recipes())
def test_strategies_are_what_docs_say(name: str) -> None:
    recipe = vlmres.Recipe.load(name)
    plans = []
    for size in [(64, 64), (500, 300), (300, 900), (1500, 1000), (2000, 3000), (640, 640)]:
        try:
            plans.append(vlmres.plan(size, recipe))
        except vlmres.PlanError:
            continue
    views = [view for plan in plans for view in plan.views]
    tiles = {
        (view.canvas.width // view.tiles.cols, view.canvas.height // view.tiles.rows)
        for view in views
        if view.role in ("tile", "crop")
    }
    whole = {tuple(view.canvas) for view in views if view.role == "global"}
    if recipe.strategy in ("tiles", "hybrid"):
        assert any(len(plan.views) > 1 or plan.num_tiles > 1 for plan in plans)
        assert (recipe.strategy == "tiles") == (whole <= tiles)
    else:
        assert not tiles or name == "got-ocr2"
        assert (recipe.strategy == "squash") == (
            len({tuple(view.canvas) for view in views if view.role != "detail"}) == 1
        )


def test_overrides() -> None:
    recipe = vlmres.Recipe.load("qwen3-vl", max_pixels=1 << 20, image_mean=[0, 0.5, 1])
    assert recipe.overrides == {"max_pixels": 1 << 20, "image_mean": [0.0, 0.5, 1.0]}
    assert recipe.params["max_pixels"] == 1 << 20
    assert recipe.params["min_pixels"] == 65536
    assert recipe != vlmres.Recipe.load("qwen3-vl")
    assert recipe.replace() == recipe
    assert recipe.replace(max_pixels=16777216).overrides == {"image_mean": [0.0, 0.5, 1.0]}
    assert recipe.replace(max_pixels=16777216, image_mean=[0.5] * 3) == vlmres.Recipe.load("qwen3-vl")
    assert pickle.loads(pickle.dumps(recipe)) == recipe
    assert len({recipe, recipe.replace(), vlmres.Recipe.load("qwen3-vl")}) == 2
    assert vlmres.Recipe.load("qwen3-vl", max_pixels=np.int64(1 << 20)) == vlmres.Recipe.load(
        "qwen3-vl", max_pixels=1 << 20
    )
    assert "max_pixels" in repr(recipe)


def test_recipes_differ_by_name() -> None:
    assert vlmres.Recipe.load("qwen2-vl") != vlmres.Recipe.load("qwen2.5-vl")
    assert vlmres.Recipe.load("qwen2-vl") != "qwen2-vl"


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("qwen9-vl", {}, ("qwen9-vl", "qwen2-vl")),
        ("qwen2-vl", {"max_pixel": 5}, ("max_pixel", "max_pixels")),
        ("qwen2-vl", {"max_pixels": 3000}, ("3136", "3000")),
        ("qwen2-vl", {"max_pixels": 700, "min_pixels": 1}, ("700", "28x28")),
        ("qwen2-vl", {"max_pixels": "many"}, ("max_pixels", "integer", "many")),
        ("qwen2-vl", {"max_pixels": 1e6}, ("max_pixels", "integer")),
        ("qwen2-vl", {"max_pixels": True}, ("max_pixels", "integer")),
        ("qwen2-vl", {"max_pixels": -5}, ("-5",)),
        ("qwen2-vl", {"patch_size": 0}, ("patch_size", "0")),
        ("qwen2-vl", {"merge_size": 1000}, ("merge_size", "1000")),
        ("qwen2-vl", {"filter": "cubic"}, ("cubic",)),
        ("qwen2-vl", {"filter": 3}, ("filter", "string", "3")),
        ("qwen2-vl", {"arithmetic": "opencv"}, ("opencv",)),
        ("qwen2-vl", {"image_mean": [0.5, 0.5]}, ("image_mean",)),
        ("qwen2-vl", {"image_std": [0.5, 0.0, 0.5]}, ("std", "zero")),
        ("qwen2-vl", {"image_std": [0.5, float("nan"), 0.5]}, ("finite",)),
        ("qwen2-vl", {"rescale_factor": 0}, ("rescale_factor", "0")),
        ("qwen2-vl", {"do_rescale": 1}, ("do_rescale", "true or false")),
        ("qwen2-vl", {"do_rescale": False, "do_normalize": False}, ("uint8",)),
        ("qwen2-vl", {"convert": "black"}, ("black",)),
        ("internvl2", {"min_tiles": 13}, ("13", "12")),
        ("internvl2", {"min_tiles": 0}, ("0",)),
        ("internvl2", {"max_tiles": 10**6}, ("1000000",)),
        ("llava-next", {"image_grid_pinpoints": []}, ("pinpoints", "empty")),
        ("llava-next", {"image_grid_pinpoints": [[336, 500]]}, ("336", "500")),
        ("llava-next", {"image_grid_pinpoints": [[336]]}, ()),
        ("llava-next", {"image_grid_pinpoints": [[0, 336]]}, ("0, 336",)),
        ("siglip2-naflex", {"max_num_patches": 0}, ("max_num_patches",)),
        ("llava-1.5", {"crop_width": 10**9}, ("1000000000",)),
    ],
)
def test_impossible_recipes(name: str, overrides: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(vlmres.RecipeError) as caught:
        vlmres.Recipe.load(name, **overrides)
    assert all(word in str(caught.value) for word in words), caught.value
    if name in vlmres.recipes():
        assert name in str(caught.value)
        with pytest.raises(vlmres.RecipeError):
            vlmres.Recipe.load(name).replace(**overrides)


@pytest.mark.parametrize("value", [None, {"a": 1}, object(), b"x", [None], np.zeros(3)])
def test_overrides_of_strange_types(value: Any) -> None:
    with pytest.raises(TypeError, match="max_pixels"):
        vlmres.Recipe.load("qwen2-vl", max_pixels=value)


def test_integers_over_64_bits() -> None:
    with pytest.raises((OverflowError, TypeError, vlmres.RecipeError)):
        vlmres.Recipe.load("qwen2-vl", max_pixels=1 << 70)


@pytest.mark.parametrize("recipe", [None, 5, b"qwen2-vl"])
def test_what_is_no_recipe(recipe: Any) -> None:
    with pytest.raises(TypeError, match="recipe"):
        vlmres.plan((5, 5), recipe)


OF_VIDEOS = ("video_min_pixels", "video_max_pixels", "max_video_tokens", "video_max_patches", "video_size")


def of_images(recipe: vlmres.Recipe) -> vlmres.Recipe:
    """The recipe without what the file of images says of videos, where they have none of their own."""
    defaults = vlmres.Recipe.load(recipe.name).params
    return recipe.replace(**{name: defaults[name] for name in OF_VIDEOS if name in defaults})


@pytest.mark.parametrize(("name", "arithmetic"), hf.cases(sorted(hf.REFERENCES)))
def test_checkpoints_as_transformers_saves_them(name: str, arithmetic: str, tmp_path: Path) -> None:
    hf.processor(name, arithmetic).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "preprocessor_config.json").read_text())
    others = OTHER_FILES.get(name, {})
    if others:
        (tmp_path / "processor_config.json").write_text(json.dumps(others))
    recipe = of_images(vlmres.Recipe.from_pretrained(tmp_path))
    expected = {"internvl1.5": "internvl2", "internvl2.5": "internvl2", "internvl3": "internvl2"}.get(name, name)
    assert recipe == vlmres.Recipe.load(expected)
    assert of_images(vlmres.Recipe.from_pretrained(str(tmp_path))) == recipe
    nested = {"image_processor": config, **others}
    assert vlmres.Recipe.from_pretrained(nested) == recipe
    if "patch_size" not in others:
        assert of_images(vlmres.Recipe.from_pretrained({**config, **others})) == recipe


CUSTOM: list[tuple[str, dict[str, Any]]] = [
    ("llava-1.5", {"size": {"shortest_edge": 100}, "crop_size": {"height": 90, "width": 110}, "resample": 2}),
    ("llava-1.5", {"do_normalize": False, "rescale_factor": 0.01}),
    ("llava-1.5-pad", {"image_mean": [0.1, 0.2, 0.3]}),
    ("internvl2", {"max_patches": 5, "min_patches": 2, "size": {"height": 224, "width": 224}}),
    ("llava-next", {"image_grid_pinpoints": [[336, 336], [672, 336]]}),
    ("qwen2-vl", {"size": {"shortest_edge": 50176, "longest_edge": 200704}, "temporal_patch_size": 1}),
    ("qwen3-vl", {"patch_size": 12, "merge_size": 3, "resample": 1}),
    ("siglip2-naflex", {"max_num_patches": 100, "patch_size": 14}),
    ("deepseek-ocr-2", {"tile_size": 512, "max_patches": 4, "background_color": [1, 2, 3]}),
    ("aria", {"max_image_size": 490, "min_image_size": 100}),
    ("deepseek-vl", {"min_size": 100, "image_mean": [0.1, 0.5, 0.9]}),
    (
        "gemma3",
        {
            "do_pan_and_scan": True,
            "pan_and_scan_min_crop_size": 50,
            "pan_and_scan_max_num_crops": 3,
            "pan_and_scan_min_ratio_to_activate": 1.1,
            "size": {"height": 100, "width": 120},
        },
    ),
    ("gemma4", {"max_soft_tokens": 140, "do_normalize": True, "image_mean": [0.1, 0.2, 0.3]}),
    ("glm-4v", {"size": {"shortest_edge": 100000, "longest_edge": 200000}, "temporal_patch_size": 1}),
    ("glm-5-next", {"min_image_tokens": 100, "max_image_tokens": 200, "merge_size": 3}),
    ("hunyuan-vl", {"size": {"shortest_edge": 100000, "longest_edge": 200000}, "resample": 2}),
    ("idefics2", {"size": {"shortest_edge": 100, "longest_edge": 300}, "do_image_splitting": True}),
    ("idefics3", {"size": {"longest_edge": 1000}, "max_image_size": {"longest_edge": 300}, "resample": 3}),
    ("idefics3", {"size": {"longest_edge": 4500}, "max_image_size": {"longest_edge": 1500}, "resample": 0}),
    ("llava-onevision", {"size": {"height": 100, "width": 100}, "image_grid_pinpoints": [[100, 200], [300, 100]]}),
    ("minicpm-v-4.6", {"scale_resolution": 200, "max_slice_nums": 5}),
    ("mllama", {"size": {"height": 100, "width": 100}, "max_image_tiles": 9}),
    ("ovis2", {"size": {"height": 100, "width": 100}, "max_patches": 7}),
    ("paddleocr-vl", {"size": {"shortest_edge": 3136, "longest_edge": 50000}, "patch_size": 10}),
    ("pixtral", {"size": {"longest_edge": 333}, "patch_size": {"height": 20, "width": 20}}),
    ("siglip", {"size": {"height": 99, "width": 101}, "resample": 1}),
]


@pytest.mark.parametrize(
    ("name", "settings"), CUSTOM, ids=[f"{name}-{'-'.join(settings)}" for name, settings in CUSTOM]
)
def test_saved_settings_are_followed(name: str, settings: dict[str, Any], tmp_path: Path) -> None:
    reference = hf.processor(name, "pillow", **settings)
    reference.save_pretrained(tmp_path)
    recipe = vlmres.Recipe.from_pretrained(tmp_path)
    picture = image(400, 310)
    # The class saves itself without its suffix, so that transformers loads the default one.
    assert recipe.params["arithmetic"] == "torch"
    got = vlmres.Processor(recipe, arithmetic="pillow")(picture).torch()
    assert_equal_batches(got, reference(picture, return_tensors="pt"), name)


DEFAULTS = [
    ("clip", "CLIPImageProcessor", {}),
    ("llava", "LlavaImageProcessor", {}),
    ("llava", "LlavaImageProcessor", {"do_pad": True}),
    ("llava_next", "LlavaNextImageProcessor", {"do_pad": True, "image_grid_pinpoints": [[224, 448], [448, 448]]}),
    ("got_ocr2", "GotOcr2ImageProcessor", {"crop_to_patches": True}),
    ("deepseek_ocr2", "DeepseekOcr2ImageProcessor", {}),
    ("qwen2_vl", "Qwen2VLImageProcessor", {}),
    ("siglip2", "Siglip2ImageProcessor", {}),
    *[
        (reference.model, reference.name, {"crop_to_patches": True} if reference.model == "ovis2" else {})
        for name, reference in hf.REFERENCES.items()
        if name not in (*hf.CORE, *hf.ALIKE, "aria-split", "got-ocr2") or name in ("glm-4.6v", "smolvlm")
    ],
]


@pytest.mark.parametrize(("model", "name", "settings"), DEFAULTS)
def test_silence_means_the_class_defaults(model: str, name: str, settings: dict[str, Any]) -> None:
    config = {"image_processor_type": name, **settings}
    recipe = vlmres.Recipe.from_pretrained(config)
    pictures = [image(500, 410), image(80, 200)]
    expected = hf.helper(model, name)(**settings)(pictures, return_tensors="pt")
    processor = vlmres.Processor(recipe, arithmetic="torch", dtype="bfloat16" if model == "llama4" else "float32")
    assert_equal_batches(processor(pictures).torch(), expected, name)
    assert vlmres.Recipe.from_pretrained({**config, "image_processor_type": f"{name}Fast"}) == recipe
    on_pillow = vlmres.Recipe.from_pretrained({**config, "image_processor_type": f"{name}Pil"})
    assert on_pillow == recipe.replace(arithmetic="pillow")


@pytest.mark.parametrize(("processor_class", "expected"), [(value, key) for key, value in CLASS_OF_MODEL.items()])
def test_silence_of_each_qwen(processor_class: str, expected: str) -> None:
    """One class with its own defaults stands behind all of them."""
    recipe = vlmres.Recipe.from_pretrained(
        {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": processor_class}
    )
    assert recipe.name == expected
    picture = image(1500, 900)
    reference = hf.helper("qwen2_vl", "Qwen2VLImageProcessor")()(picture, return_tensors="pt")
    assert_equal_batches(vlmres.Processor(recipe, arithmetic="torch")(picture).torch(), reference)


def test_old_configurations() -> None:
    old_clip = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "crop_size": 336, "resample": 3}
    recipe = vlmres.Recipe.from_pretrained(old_clip)
    assert recipe == vlmres.Recipe.load("llava-1.5")
    old_qwen = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": 3136,
        "max_pixels": 12845056,
        "size": None,
    }
    recipe = vlmres.Recipe.from_pretrained(old_qwen, family="qwen2-vl")
    assert of_images(recipe) == vlmres.Recipe.load("qwen2-vl")


def test_authors_configurations() -> None:
    internvl = {
        "architectures": ["InternVLChatModel"],
        "force_image_size": 448,
        "dynamic_image_size": True,
        "max_dynamic_patch": 6,
        "use_thumbnail": True,
    }
    assert vlmres.Recipe.from_pretrained(internvl) == vlmres.Recipe.load("internvl2", arithmetic="pillow", max_tiles=6)
    assert vlmres.Recipe.from_pretrained({**internvl, "use_thumbnail": False}).params["use_thumbnail"] is False
    assert vlmres.Recipe.from_pretrained({"architectures": ["DeepseekOCRForCausalLM"]}).name == "deepseek-ocr-gundam"
    native = {"architectures": ["LlavaQwenForCausalLM"], "mm_min_image_token": 16, "mm_max_image_token": 4096}
    assert vlmres.Recipe.from_pretrained(native) == vlmres.Recipe.load(
        "nativeres-llava", arithmetic="pillow", min_tokens=16, max_tokens=4096
    )


def test_files_have_an_order(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlavaForConditionalGeneration"], "size": 7}))
    preprocessor = {"image_processor_type": "CLIPImageProcessor", "size": 50, "crop_size": 50, "resample": 2}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    assert vlmres.Recipe.from_pretrained(tmp_path).params["shortest_edge"] == 50
    assert vlmres.Recipe.from_pretrained(tmp_path, shortest_edge=60).params["shortest_edge"] == 60


def test_a_nested_image_processor_is_the_only_one(tmp_path: Path) -> None:
    """As in transformers, keys that it lacks come from its class, not from the other file."""
    budget = {"image_processor_type": "Qwen2VLImageProcessor", "max_pixels": 100352, "patch_size": 16}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(budget))
    assert vlmres.Recipe.from_pretrained(tmp_path).params["max_pixels"] == 100352
    size = {"shortest_edge": 3136, "longest_edge": 501760}
    nested = {"image_processor": {"image_processor_type": "Qwen2VLImageProcessor", "size": size}}
    (tmp_path / "processor_config.json").write_text(json.dumps(nested))
    recipe = vlmres.Recipe.from_pretrained(tmp_path)
    reference = hf.helper("qwen2_vl", "Qwen2VLImageProcessor").from_pretrained(tmp_path)
    assert recipe.params["max_pixels"] == reference.size["longest_edge"] == 501760
    assert recipe.params["patch_size"] == reference.patch_size == 14


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, ()),
        ({"image_processor_type": "SamImageProcessor"}, ("image_processor_type=SamImageProcessor",)),
        ({"image_processor_type": "CLIPImageProcessor", "do_resize": False}, ("do_resize",)),
        ({"image_processor_type": "CLIPImageProcessor", "do_center_crop": False}, ("do_center_crop",)),
        ({"image_processor_type": "CLIPImageProcessor", "resample": 77}, ("resample", "77")),
        ({"image_processor_type": "CLIPImageProcessor", "image_mean": "half"}, ("image_mean",)),
        ({"image_processor_type": "LlavaNextImageProcessor", "do_pad": False}, ("do_pad",)),
        # The class's default crop does not divide its default pinpoints.
        ({"image_processor_type": "LlavaNextImageProcessor"}, ("[336, 672]", "224x224")),
        (
            {"image_processor_type": "LlavaNextImageProcessor", "crop_size": {"height": 336, "width": 224}},
            ("crop_size.height=336", "crop_size.width=224"),
        ),
        ({"image_processor_type": "DeepseekOcr2ImageProcessor", "crop_to_patches": False}, ("crop_to_patches",)),
        (
            {
                "image_processor_type": "GotOcr2ImageProcessor",
                "crop_to_patches": True,
                "size": {"height": 448, "width": 224},
            },
            ("size.height", "size.width"),
        ),
        ({"image_processor_type": "GotOcr2ImageProcessor", "crop_to_patches": True, "min_patches": 20}, ("20", "12")),
        ({"image_processor_type": "Siglip2ImageProcessor", "do_resize": False}, ("do_resize",)),
    ],
)
def test_settings_that_cannot_be_followed(config: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(vlmres.RecipeError) as caught:
        vlmres.Recipe.from_pretrained(config)
    assert all(word in str(caught.value) for word in words), caught.value


def test_bad_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"preprocessor_config\.json"):
        vlmres.Recipe.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError):
        vlmres.Recipe.from_pretrained("Qwen/Qwen2-VL-7B-Instruct")
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(vlmres.RecipeError, match=r"preprocessor_config\.json"):
        vlmres.Recipe.from_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("[1, 2]")
    with pytest.raises(vlmres.RecipeError):
        vlmres.Recipe.from_pretrained(tmp_path)
    with pytest.raises(TypeError):
        vlmres.Recipe.from_pretrained(5)  # type: ignore[arg-type]


def test_recipes_are_frozen() -> None:
    recipe = vlmres.Recipe.load("qwen2-vl")
    with pytest.raises(AttributeError):
        recipe.name = "mine"  # type: ignore[misc]
    recipe.params["max_pixels"] = 5
    assert recipe.params["max_pixels"] == 12845056


def test_a_processor_passes_overrides_on_to_its_recipe() -> None:
    recipe = vlmres.Recipe.load("qwen3-vl", max_pixels=200_000)
    assert vlmres.Processor("qwen3-vl", max_pixels=200_000).recipe == recipe
    assert vlmres.Processor(vlmres.Recipe.load("qwen3-vl"), max_pixels=200_000).recipe == recipe
    processor = vlmres.Processor(recipe, "packed", arithmetic="pillow-12", patch_size=14)
    assert processor.recipe == recipe.replace(patch_size=14, arithmetic="pillow")
    assert (processor.layout, processor.arithmetic) == ("packed", "pillow-12")
    for given in ("qwen3-vl", recipe):
        with pytest.raises(vlmres.RecipeError, match=r'no parameter "max_pixel"; .*max_pixels.*num_threads'):
            vlmres.Processor(given, max_pixel=1)
        with pytest.raises(vlmres.RecipeError, match="max_pixels must be an integer"):
            vlmres.Processor(given, max_pixels="many")
    with pytest.raises(TypeError, match="a recipe is a Recipe or a name, got dict"):
        vlmres.Processor({})  # type: ignore[arg-type]
