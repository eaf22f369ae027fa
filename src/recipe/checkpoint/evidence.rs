//! The classes that a checkpoint's files name: of the image processor, the processor and the model.

use serde_json::Value as Json;

use super::said::{Config, Said, TYPES, VIDEO_TYPE};
use crate::error::{Error, Result};

/// Suffixes of classes that a class's other implementations have.
const SUFFIXES: [&str; 2] = ["Fast", "Pil"];

/// The names in a checkpoint's files that tell its family.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// The image or video processor's class, without the suffix of its implementation, and where that stands.
    pub(super) kind: Option<(String, Said<'a>)>,
    /// Whether it is the implementation on Pillow.
    pub(super) pillow: bool,
    /// The class of the checkpoint's own code that takes its place, as module and name.
    pub(super) remote: Option<(String, Said<'a>)>,
    /// The class of the processor of images and text.
    pub(super) processor: Option<(String, Said<'a>)>,
    /// The model's classes.
    pub(super) architectures: Vec<(String, Said<'a>)>,
    /// The model's type.
    pub(super) model_type: Option<(String, Said<'a>)>,
    /// Whether there are settings of an image processor, whatever its class.
    pub(super) settings: bool,
}

impl<'a> Evidence<'a> {
    pub(super) fn of_images(config: &'a Config) -> Self {
        let named = TYPES.iter().find_map(|key| text(config.setting(key)?));
        let remote = config.settings.iter().find_map(|layer| remote(layer.file.as_str(), &layer.keys)).or_else(|| {
            named.is_none().then(|| config.model.iter().find_map(|layer| remote(&layer.file, &layer.keys)))?
        });
        Self {
            pillow: named.as_ref().is_some_and(|(name, _)| name.ends_with("Pil")),
            kind: named.map(|(name, said)| (class(&name), said)),
            remote,
            ..Self::of_model(config)
        }
    }

    pub(super) fn of_videos(config: &'a Config) -> Self {
        let named = config.setting(VIDEO_TYPE).and_then(text);
        Self { kind: named.map(|(name, said)| (class(&name), said)), ..Self::of_model(config) }
    }

    fn of_model(config: &'a Config) -> Self {
        let listed = config.of_model("architectures");
        let architectures = listed.into_iter().flat_map(|said| {
            let names = said.value.as_array().into_iter().flatten();
            names.filter_map(move |value| text(Said { value, ..said }))
        });
        Self {
            kind: None,
            pillow: false,
            remote: None,
            processor: config.setting("processor_class").and_then(text),
            architectures: architectures.collect(),
            model_type: config.of_model("model_type").and_then(text),
            settings: config.settings.iter().any(|layer| layer.own && !layer.keys.is_empty()),
        }
    }

    /// What names the model, the most telling first.
    pub(super) fn model(&self) -> Option<&(String, Said<'a>)> {
        self.architectures.first().or(self.model_type.as_ref())
    }

    /// What names the image or video processor, the most telling first; it is an error where nothing does.
    pub(super) fn class(&self) -> Result<Said<'a>> {
        let found = self.remote.as_ref().or(self.kind.as_ref()).or(self.model()).or(self.processor.as_ref());
        let (_, said) = found.ok_or_else(|| {
            let names = [TYPES[0], VIDEO_TYPE, "architectures"].join(", ");
            Error::Checkpoint(format!("no file names a class: there is none of {names}"))
        })?;
        Ok(*said)
    }
}

fn text(said: Said<'_>) -> Option<(String, Said<'_>)> {
    Some((said.value.as_str()?.to_owned(), said))
}

/// The name of a class without what its implementation or an old version of transformers adds to it.
fn class(name: &str) -> String {
    let name = SUFFIXES.iter().fold(name, |name, suffix| name.strip_suffix(suffix).unwrap_or(name));
    match name.strip_suffix("FeatureExtractor") {
        Some(stem) => format!("{stem}ImageProcessor"),
        None => name.to_owned(),
    }
}

/// The class of the checkpoint's own code that prepares images, without the repository that may stand before it.
fn remote<'a>(file: &'a str, keys: &'a std::collections::BTreeMap<String, Json>) -> Option<(String, Said<'a>)> {
    const KEY: &str = "auto_map.AutoImageProcessor";
    let (key, value) = keys.iter().find(|(key, _)| super::said::under(key, KEY))?;
    let listed = value.as_array().and_then(|classes| classes.iter().find_map(Json::as_str));
    let name = value.as_str().or(listed)?;
    let name = name.rsplit_once("--").map_or(name, |(_, name)| name);
    Some((name.to_owned(), Said { file, key, value }))
}
