use toml::Value;

use super::*;
use crate::recipe::names;

fn load(text: &str, family: Option<&str>) -> Result<Recipe> {
    let hints = Hints { family: family.map(str::to_owned), ignore: Vec::new() };
    resolve(&CheckpointFiles::of_text(text)?, &hints)
}

fn message(text: &str) -> String {
    load(text, None).unwrap_err().to_string()
}

#[test]
fn the_processor_class_narrows_the_recipe() {
    let config = |class: &str| {
        format!(
            r#"{{"image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "{class}", "patch_size": 16,
                "size": {{"shortest_edge": 65536, "longest_edge": 16777216}}, "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5]}}"#
        )
    };
    let recipe = load(&config("Qwen3VLProcessor"), None).unwrap();
    assert_eq!(recipe.name(), "qwen3-vl");
    // Without settings of their own, videos go by those of images.
    assert_eq!(recipe.overrides().keys().collect::<Vec<_>>(), ["video_max_pixels", "video_min_pixels"]);
    assert_eq!(load(&config("Qwen2VLProcessor"), None).unwrap().name(), "qwen2-vl");
}

#[test]
fn a_class_of_several_families_has_no_boxes_or_videos() {
    let text = r#"{"image_processor_type": "Qwen2VLImageProcessor"}"#;
    let recipe = load(text, None).unwrap();
    assert_eq!(recipe.params()["max_pixels"], Value::Integer(1_003_520));
    assert!(recipe.check_boxes().is_err() && recipe.video().is_err());
    for family in ["qwen2.5-vl", "Qwen2.5-VL", "qwen2_5_vl"] {
        let recipe = load(text, Some(family)).unwrap();
        assert_eq!(recipe.name(), "qwen2.5-vl");
        assert!(recipe.check_boxes().is_ok() && recipe.video().is_ok());
    }
}

#[test]
fn the_model_beats_a_borrowed_processor_type() {
    let text = r#"{"feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 448, "size": 448,
        "architectures": ["InternVLChatModel"], "force_image_size": 448, "dynamic_image_size": true, "max_dynamic_patch": 8}"#;
    let recipe = load(text, None).unwrap();
    assert_eq!((recipe.name(), &recipe.params()["max_tiles"]), ("internvl2", &Value::Integer(8)));
}

#[test]
fn what_cannot_be_followed_is_an_error() {
    assert!(message(r#"{"image_processor_type": "SamImageProcessor"}"#).contains("SamImageProcessor"));
    assert!(
        message(r#"{"image_processor_type": "CLIPImageProcessor", "do_resize": false}"#).contains("do_resize=false")
    );
    let squashed = r#"{"image_processor_type": "CLIPImageProcessor", "size": {"height": 336, "width": 336}}"#;
    assert!(message(squashed).contains("size.height=336"));
    assert!(message(r#"{"image_processor_type": "Gemma4ImageProcessor", "resample": 0}"#).contains("resample=0"));
    assert!(message(r#"{"image_processor_type": "GotOcr2ImageProcessor"}"#).contains("GotOcr2ImageProcessor"));
    assert!(message(r#"{"image_processor_type": "SiglipImageProcessor", "merge_size": 2}"#).contains("merge_size=2"));
}

#[test]
fn sections_name_parameters_that_their_recipe_has() {
    for name in names().unwrap() {
        let entry = registry::entry(name).unwrap();
        for (kind, section) in &entry.checkpoints {
            let tables = section.defaults.keys().chain(section.model_defaults.keys()).chain(section.divided.keys());
            let listed = section.numbers.keys().chain(&section.transposed);
            for param in tables.chain(listed) {
                assert!(entry.params.contains_key(param), "{name}, {kind}: there is no parameter {param}");
            }
        }
    }
}
