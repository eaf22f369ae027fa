//! The contents of a checkpoint's files, key by key.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use toml::Value;

use super::files::{File, Role};

/// Keys that name an image processor's type, in order of precedence.
pub(super) const TYPES: [&str; 2] = ["image_processor_type", "feature_extractor_type"];

/// Key that names a video processor's type.
pub(super) const VIDEO_TYPE: &str = "video_processor_type";

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// One file, or the part of it that is of images, as a map from dotted keys to values.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) file: String,
    pub(super) keys: BTreeMap<String, Json>,
    /// Whether it is an image or video processor's own, of which every key means something. Elsewhere a null is an absence.
    pub(super) own: bool,
}

impl Layer {
    pub(super) fn new(file: &str, content: &Json, own: bool, ignore: &[String]) -> Self {
        let mut keys = flatten(content);
        keys.retain(|key, value| (own || !value.is_null()) && !ignore.iter().any(|ignored| under(key, ignored)));
        Self { file: file.to_owned(), keys, own }
    }
}

/// A key with its value, and the file that says it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) file: &'a str,
    pub(super) key: &'a str,
    pub(super) value: &'a Json,
}

impl std::fmt::Display for Said<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned);
        write!(formatter, "{}: {}={}", self.file, self.key, shorten(&text))
    }
}

/// The beginning of a long text.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The layers of the processor's settings and those of the model, each in order of precedence.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) settings: Vec<Layer>,
    pub(super) model: Vec<Layer>,
}

impl Config {
    pub(super) fn new(files: &[File], ignore: &[String]) -> Self {
        // transformers 5 nests the image processor in processor_config.json, and then reads no other file for it.
        let nested = files.iter().find_map(|file| Some((file, file.content.get("image_processor")?)));
        let mut settings: Vec<Layer> = Vec::new();
        if let Some((file, content)) = nested {
            settings.push(Layer::new(&file.name, content, true, ignore));
        }
        let mut model = Vec::new();
        for file in files.iter().filter(|file| file.role != Role::Videos) {
            let typed = TYPES.iter().any(|key| file.content.get(*key).is_some_and(Json::is_string));
            if file.role != Role::Model {
                let own = nested.is_none() && (typed || file.role == Role::Images);
                let mut layer = Layer::new(&file.name, &file.content, own, ignore);
                if nested.is_some() && (typed || file.role == Role::Images) {
                    layer.keys.retain(|key, _| key == "processor_class");
                }
                settings.push(layer);
            }
            if file.role != Role::Images {
                model.push((file.role != Role::Model, Layer::new(&file.name, &file.content, false, ignore)));
            }
        }
        // The model's own file says more of it than the processor's.
        model.sort_by_key(|(other, _)| *other);
        let model = model.into_iter().map(|(_, layer)| layer).collect();
        Self { settings, model }
    }

    /// What the processor's files say of a key, null included: transformers' classes keep it in place of their default.
    pub(super) fn written<'a>(&'a self, key: &str) -> Option<Said<'a>> {
        find(&self.settings, key)
    }

    /// The value that the processor's files have for a key.
    pub(super) fn setting<'a>(&'a self, key: &str) -> Option<Said<'a>> {
        self.written(key).filter(|said| !said.value.is_null())
    }

    /// The value that the model's file has for a key.
    pub(super) fn of_model<'a>(&'a self, key: &str) -> Option<Said<'a>> {
        find(&self.model, key)
    }

    /// The value that any file has for a key; the processor's before the model's.
    pub(super) fn get<'a>(&'a self, key: &str) -> Option<Said<'a>> {
        self.setting(key).or_else(|| self.of_model(key))
    }

    /// What any file says of a key, null included.
    pub(super) fn said<'a>(&'a self, key: &str) -> Option<Said<'a>> {
        self.written(key).or_else(|| self.of_model(key))
    }

    /// Whether the first file that has a key has this value for it.
    pub(super) fn is(&self, key: &str, expected: &Value) -> bool {
        self.said(key).is_some_and(|said| same(said.value, expected))
    }
}

fn find<'a>(layers: &'a [Layer], key: &str) -> Option<Said<'a>> {
    layers.iter().find_map(|layer| {
        let (key, value) = find_in(&layer.keys, key)?;
        Some(Said { file: &layer.file, key, value })
    })
}

fn find_in<'a>(keys: &'a BTreeMap<String, Json>, key: &str) -> Option<(&'a String, &'a Json)> {
    if let Some(found) = keys.get_key_value(key) {
        return Some(found);
    }
    let (outer, last) = key.rsplit_once('.')?;
    let (outer, value) = find_in(keys, outer)?;
    match value {
        // All that would be nested in it is null, too.
        Json::Null => Some((outer, value)),
        // A number is a place in a list.
        Json::Array(items) => Some((outer, items.get(last.parse::<usize>().ok()?)?)),
        _ => None,
    }
}

/// Whether a dotted key is this one, or nested in it.
pub(super) fn under(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether a value is the expected one. A step that is null is not done, as one that is false.
pub(super) fn same(given: &Json, expected: &Value) -> bool {
    match given {
        Json::Null => expected == &Value::Boolean(false),
        _ => to_toml(given).is_some_and(|given| given == *expected),
    }
}

/// Whether a step is not done.
pub(super) fn is_off(value: &Json) -> bool {
    same(value, &Value::Boolean(false))
}

pub(super) fn to_toml(value: &Json) -> Option<Value> {
    Value::try_from(value).ok()
}

fn flatten(value: &Json) -> BTreeMap<String, Json> {
    fn walk(prefix: &str, value: &Json, into: &mut BTreeMap<String, Json>) {
        match value {
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
