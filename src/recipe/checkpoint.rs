//! From a checkpoint's configuration files to a recipe. What a recipe understands stands in its `checkpoint` section.

mod video;

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::{Table, Value};

use super::language::Checkpoint;
use super::registry::{Entry, registry};
use super::{Recipe, coerce};
use crate::error::{Error, Result};

/// Parameters that every image processor writes under one name.
const COMMON: [(&str, &str); 10] = [
    ("image_mean", "image_mean"),
    ("image_std", "image_std"),
    ("rescale_factor", "rescale_factor"),
    ("do_rescale", "do_rescale"),
    ("do_normalize", "do_normalize"),
    ("filter", "resample"),
    ("convert", "do_convert_rgb"),
    ("patch_size", "patch_size"),
    ("merge_size", "merge_size"),
    ("temporal_patch_size", "temporal_patch_size"),
];

/// Keys that name an image processor's type.
const TYPES: [&str; 2] = ["image_processor_type", "feature_extractor_type"];

/// Pillow's numbers of its filters.
const FILTERS: [&str; 6] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

pub(super) fn resolve(files: &[Json], video: Option<&Json>) -> Result<Recipe> {
    let config = Config::new(files);
    let types = config.types();
    let videos = video::config(files, video);
    if let Some((name, checkpoint)) = choose(&config, &types, Of::Images) {
        let overrides = follow(name, checkpoint, &config)?;
        let recipe = Recipe::load(name, &overrides)?;
        return video::added(recipe, videos.as_ref());
    }
    if let Some(config) = &videos
        && let Some((name, checkpoint)) = choose(config, &config.video_types(), Of::Videos)
    {
        return Recipe::load(name, &follow(name, checkpoint, config)?);
    }
    let asked = types.into_iter().chain(videos.iter().flat_map(Config::video_types)).collect::<Vec<_>>().join(", ");
    let known = known_types().join(", ");
    Err(Error::Checkpoint(format!("no recipe follows {asked:?} with these settings; the types known are {known}")))
}

/// What a configuration is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Images,
    Videos,
}

/// The parameters that a configuration asks for, where the recipe can be exact.
fn follow(name: &str, checkpoint: &Checkpoint, config: &Config) -> Result<Table> {
    for (key, expected) in &checkpoint.fixed {
        if let Some(value) = config.get(key)
            && !same(value, expected)
        {
            return Err(Error::Checkpoint(format!("{key}={value} is not what recipe {name:?} does ({expected})")));
        }
    }
    for (key, values) in &checkpoint.refused {
        if let Some(value) = config.get(key)
            && values.iter().any(|refused| same(value, refused))
        {
            return Err(Error::Checkpoint(format!("{key}={value} is not followed by recipe {name:?}")));
        }
    }
    for key in &checkpoint.absent {
        if let Some(value) = config.get(key) {
            return Err(Error::Checkpoint(format!("{key}={value} is not followed by recipe {name:?}")));
        }
    }
    for [first, second] in &checkpoint.equal {
        if let (Some(a), Some(b)) = (config.get(first), config.get(second))
            && a != b
        {
            return Err(Error::Checkpoint(format!("{first}={a} and {second}={b} must agree in recipe {name:?}")));
        }
    }
    parameters(name, &registry()[name], checkpoint, config)
}

fn choose<'a>(config: &Config, types: &[String], of: Of) -> Option<(&'a str, &'a Checkpoint)> {
    registry()
        .iter()
        .flat_map(|(name, entry)| {
            entry.checkpoints.iter().map(move |(kind, checkpoint)| (name, entry, kind, checkpoint))
        })
        .filter(|(_, _, kind, _)| (*kind == video::KIND) == (of == Of::Videos))
        .map(|(name, entry, _, checkpoint)| (name, entry, checkpoint))
        .filter(|(_, _, checkpoint)| {
            (checkpoint.types.is_empty() || checkpoint.types.iter().any(|name| types.contains(name)))
                && checkpoint.when.iter().all(|(key, value)| config.get(key).is_some_and(|given| same(given, value)))
                && (checkpoint.when_any.is_empty()
                    || checkpoint
                        .when_any
                        .iter()
                        .any(|(key, value)| config.get(key).is_some_and(|given| same(given, value))))
                && checkpoint.present.iter().all(|key| config.get(key).is_some())
                && !(checkpoint.types.is_empty() && checkpoint.present.is_empty())
        })
        // An architecture says more than the processor's type, each further condition more still; derived recipes yield to the one they extend.
        .max_by_key(|(_, entry, checkpoint)| {
            let by_architecture = checkpoint.types.iter().any(|name| config.architectures().contains(name));
            let any = usize::from(!checkpoint.when_any.is_empty());
            let conditions = checkpoint.when.len() + any + checkpoint.present.len();
            (by_architecture, conditions, usize::MAX - entry.depth)
        })
        .map(|(name, _, checkpoint)| (name.as_str(), checkpoint))
}

fn known_types() -> Vec<String> {
    let mut types: Vec<String> =
        registry().values().flat_map(|entry| entry.checkpoints.values()).flat_map(|c| c.types.clone()).collect();
    types.sort();
    types.dedup();
    types
}

fn parameters(name: &str, entry: &Entry, checkpoint: &Checkpoint, config: &Config) -> Result<Table> {
    let mut overrides = checkpoint.defaults.clone();
    let common = COMMON.iter().filter(|(param, _)| !checkpoint.keys.contains_key(*param));
    let keys = common.map(|(param, key)| (*param, vec![(*key).to_owned()]));
    for (param, keys) in keys.chain(checkpoint.keys.iter().map(|(param, keys)| (param.as_str(), keys.clone()))) {
        let Some(default) = entry.params.get(param) else {
            continue;
        };
        let Some((key, value)) = keys.iter().find_map(|key| config.get(key).map(|value| (key, value))) else {
            continue;
        };
        let refused = || Error::Checkpoint(format!("{key}={value} cannot be followed by recipe {name:?}"));
        let value = match param {
            "filter" | "global_filter" => filter(value).ok_or_else(refused)?,
            "convert" if value == &Json::Bool(true) => continue,
            "convert" => Value::String("none".into()),
            _ => coerce(default, &to_toml(value).ok_or_else(refused)?).ok_or_else(refused)?,
        };
        overrides.insert(param.to_owned(), value);
    }
    Ok(overrides)
}

fn filter(value: &Json) -> Option<Value> {
    let name = FILTERS.get(usize::try_from(value.as_u64()?).ok()?)?;
    Some(Value::String((*name).into()))
}

fn to_toml(value: &Json) -> Option<Value> {
    Value::try_from(value).ok()
}

fn same(given: &Json, expected: &Value) -> bool {
    to_toml(given).is_some_and(|given| given == *expected)
}

/// The files as one map from dotted keys to values; nulls are absences.
struct Config {
    layers: Vec<BTreeMap<String, Json>>,
}

impl Config {
    fn new(files: &[Json]) -> Self {
        // transformers 5 nests the image processor in processor_config.json, and then reads no other file for it.
        let nested = files.iter().find_map(|file| file.get("image_processor"));
        let mut layers: Vec<_> = nested.map(flatten).into_iter().collect();
        for file in files {
            let mut layer = flatten(file);
            if nested.is_some() && TYPES.iter().any(|key| layer.contains_key(*key)) {
                layer.retain(|key, _| key == "processor_class");
            }
            layers.push(layer);
        }
        Self { layers }
    }

    fn get(&self, key: &str) -> Option<&Json> {
        self.layers.iter().find_map(|layer| layer.get(key))
    }

    fn architectures(&self) -> Vec<String> {
        let names = self.get("architectures").and_then(Json::as_array);
        names.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
    }

    fn video_types(&self) -> Vec<String> {
        self.get(video::TYPE).and_then(Json::as_str).map(str::to_owned).into_iter().collect()
    }

    fn types(&self) -> Vec<String> {
        let processors = TYPES
            .iter()
            .filter_map(|key| self.get(key)?.as_str())
            .map(|name| name.trim_end_matches("Fast").trim_end_matches("Pil").to_owned());
        processors.chain(self.architectures()).collect()
    }
}

fn flatten(value: &Json) -> BTreeMap<String, Json> {
    fn walk(prefix: &str, value: &Json, into: &mut BTreeMap<String, Json>) {
        match value {
            Json::Null => {}
            Json::Object(map) => {
                for (key, item) in map {
                    let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    walk(&path, item, into);
                }
            }
            _ => {
                into.insert(prefix.to_owned(), value.clone());
            }
        }
    }
    let mut map = BTreeMap::new();
    walk("", value, &mut map);
    map
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn load(file: &Json) -> Result<Recipe> {
        resolve(std::slice::from_ref(file), None)
    }

    #[test]
    fn the_processor_class_narrows_the_recipe() {
        let mut config = json!({
            "image_processor_type": "Qwen2VLImageProcessorFast", "processor_class": "Qwen3VLProcessor",
            "patch_size": 16, "size": {"shortest_edge": 65536, "longest_edge": 16_777_216},
            "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        });
        let recipe = load(&config).unwrap();
        assert_eq!(recipe.name(), "qwen3-vl");
        // Without settings of their own, videos go by those of images.
        assert_eq!(recipe.overrides().keys().collect::<Vec<_>>(), ["video_max_pixels", "video_min_pixels"]);
        config["processor_class"] = json!("Qwen2VLProcessor");
        assert_eq!(load(&config).unwrap().name(), "qwen2-vl");
    }

    #[test]
    fn silence_means_the_reference_class_default() {
        let recipe = load(&json!({"image_processor_type": "Qwen2VLImageProcessor"})).unwrap();
        assert_eq!(recipe.params()["max_pixels"], Value::Integer(1_003_520));
        let recipe = load(&json!({"image_processor_type": "CLIPImageProcessor"})).unwrap();
        assert_eq!(recipe.params()["crop_width"], Value::Integer(224));
        let recipe = load(&json!({"feature_extractor_type": "CLIPFeatureExtractor", "size": 336, "crop_size": 336}));
        assert_eq!(recipe.unwrap().params()["shortest_edge"], Value::Integer(336));
    }

    #[test]
    fn architecture_beats_a_borrowed_processor_type() {
        let processor = json!({"feature_extractor_type": "CLIPFeatureExtractor", "crop_size": 448, "size": 448});
        let model = json!({"architectures": ["InternVLChatModel"], "force_image_size": 448, "max_dynamic_patch": 6});
        let recipe = resolve(&[processor, model], None).unwrap();
        assert_eq!(recipe.name(), "internvl2");
        assert_eq!(recipe.params()["max_tiles"], Value::Integer(6));
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        let message = |config| load(&config).unwrap_err().to_string();
        assert!(message(json!({"image_processor_type": "SamImageProcessor"})).contains("SamImageProcessor"));
        let unresized = json!({"image_processor_type": "CLIPImageProcessor", "do_resize": false});
        assert!(message(unresized).contains("do_resize=false"));
        let squashed = json!({"image_processor_type": "CLIPImageProcessor", "size": {"height": 336, "width": 336}});
        assert!(message(squashed).contains("size.height=336"));
        let floored = json!({"image_processor_type": "Gemma4ImageProcessor", "resample": 0});
        assert!(message(floored).contains("resample=0"));
        let unsaid = json!({"image_processor_type": "GotOcr2ImageProcessor"});
        assert!(message(unsaid).contains("GotOcr2ImageProcessor"));
    }
}
