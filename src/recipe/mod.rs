//! Recipes: a family's preprocessing as data.
//!
//! The built-in recipes are the TOML files of `builtin/`, one per lineage. A recipe may extend another. Callers may
//! override its `params`; the rest of the recipe refers to them as `"$name"`.

mod build;
mod check;
mod checkpoint;
mod entry;
mod language;
mod parameters;
mod place;
mod reading;
mod registry;
mod resolve;
mod source;
mod spelling;
mod text;

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use toml::{Table, Value};

use build::coerce;
pub(crate) use check::smart_budget;
pub use checkpoint::{CheckpointFiles, Hints};
use entry::Entry;
use source::Source;

pub use language::{
    Align, Backend, Boxes, Cap, CapPer, CeilRounding, Clamp, ContainRounding, Convention, Convert, Crops, Enlarge,
    Fill, Filter, FloatArithmetic, FloatResize, Frame, FrameCount, FrameSampling, IntType, LongestRounding, NamedFill,
    NamedFrameCount, NamedTarget, NormalizeAs, OutputKind, OutputSpec, PatchOrder, Patches, Per, Pixels, Precision,
    Role, Sampled, Sampling, Search, Separators, Step, Strategy, Target, TileSize, Tiles, Tokens, Unpad, Unsupported,
    Video, ViewOrder, ViewSpec, When,
};

pub use parameters::{Parameter, parameters};

use crate::error::{Error, Result};

/// A family's preprocessing, checked and ready to plan with.
#[derive(Clone, Debug)]
pub struct Recipe {
    entry: Arc<Entry>,
    params: Table,
    body: Body,
}

impl PartialEq for Recipe {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.params == other.params && self.body == other.body
    }
}

/// The content of a recipe after its parameters are filled in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The family's name in titles.
    pub title: String,
    /// How the family handles image size.
    pub strategy: Strategy,
    /// The code whose output this recipe reproduces.
    pub reference: String,
    /// What could not be verified against its reference; empty if everything was.
    pub note: String,
    /// From pixels to values.
    pub pixels: Pixels,
    /// The encoder's patches.
    pub patches: Patches,
    /// Views of the image, in the order in which they are made; `order` says where the language model receives one.
    pub views: Vec<ViewSpec>,
    /// The reference processor's output.
    pub outputs: Vec<OutputSpec>,
    /// From patches to tokens.
    pub tokens: Tokens,
    /// The model's coordinates.
    pub boxes: Boxes,
    /// Videos, where the family takes them.
    #[serde(default)]
    pub video: Option<Video>,
    /// Whether a tile or canvas need not be whole patches: the rest at its right and below is in no patch.
    #[serde(default)]
    pub partial_patches: bool,
    /// What a checkpoint does that the recipe cannot follow. `from_pretrained` sets it; recipe files do not.
    #[serde(default)]
    pub unsupported: Unsupported,
}

impl Body {
    /// Number of patches, or of tiles, that an output pads to.
    pub fn length(&self, output: &OutputSpec) -> u64 {
        let merged = u64::from(self.patches.merge) * u64::from(self.patches.merge);
        u64::from(output.length).max(u64::from(output.length_tokens) * merged)
    }
}

impl std::ops::Deref for Recipe {
    type Target = Body;

    fn deref(&self) -> &Body {
        &self.body
    }
}

/// Names of the recipes that can be loaded by name, sorted.
pub fn names() -> Result<Vec<&'static str>> {
    Ok(registry::registry()?.keys().map(String::as_str).collect())
}

impl Recipe {
    /// The recipe of this name with these parameters overridden.
    ///
    /// A name may differ from the recipe's in case and punctuation. Unknown names, unknown parameters and values that a parameter cannot take are errors that name them.
    pub fn load(name: &str, overrides: &Table) -> Result<Self> {
        let entry = registry::entry(name)?;
        Self::build(Arc::clone(entry), entry.params.clone(), overrides, false)
    }

    /// A recipe of a TOML file. `name` picks one of several.
    pub fn from_file(path: &Path, name: Option<&str>, overrides: &Table) -> Result<Self> {
        Self::of_source(Source::read(path)?, name, overrides)
    }

    /// A recipe of a TOML text. `name` picks one of several.
    pub fn from_text(text: &str, name: Option<&str>, overrides: &Table) -> Result<Self> {
        Self::of_source(Source::of_text(text), name, overrides)
    }

    fn of_source(source: Source, name: Option<&str>, overrides: &Table) -> Result<Self> {
        let file = source.file.clone();
        let recipes = registry::of_source(source)?;
        let names = || recipes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let wrong = |message: String| {
            let file = if file.is_empty() { "the text of recipes".to_owned() } else { file.clone() };
            Error::RecipeFile { file, message }
        };
        let entry = match name {
            Some(name) => recipes.get(name).ok_or_else(|| {
                let hint = spelling::question(name, recipes.keys().map(String::as_str));
                wrong(format!("has no recipe {name:?}{hint}; it has {}", names()))
            })?,
            None if recipes.len() > 1 => {
                let ways = "FILE.toml:NAME in a command, name= in from_toml";
                return Err(wrong(format!("has several recipes; name one ({ways}): {}", names())));
            }
            None => recipes.values().next().ok_or_else(|| wrong("has no recipe".into()))?,
        };
        Self::build(Arc::clone(entry), entry.params.clone(), overrides, false)
    }

    /// The recipe as TOML that needs no other recipe, overrides included. It loads back as an equal recipe.
    pub fn to_toml(&self) -> String {
        let Unsupported { boxes, videos } = self.body.unsupported.clone();
        let reasons = [("boxes", boxes), ("videos", videos)].into_iter().filter(|(_, reason)| !reason.is_empty());
        let reasons: Table = reasons.map(|(key, reason)| (key.to_owned(), Value::String(reason))).collect();
        let mut added = Table::new();
        if !reasons.is_empty() {
            added.insert("unsupported".into(), Value::Table(reasons));
        }
        let strategy = self.strategy.name();
        if self.entry.structure.get("strategy").and_then(Value::as_str) != Some(strategy) {
            added.insert("strategy".into(), Value::String(strategy.into()));
        }
        if self.partial_patches {
            added.insert("partial_patches".into(), Value::Boolean(true));
        }
        self.entry.text_with(&self.params, added)
    }

    /// The recipe as it was before overrides, as [`Self::to_toml`] would write it.
    pub fn source_toml(&self) -> &str {
        self.entry.text()
    }

    /// The recipe whose [`Self::source_toml`] and overrides these are, and whether its sizes need not be whole patches.
    pub fn restore(name: &str, text: &str, overrides: &Table, partial_patches: bool) -> Result<Self> {
        let known = registry::registry()?.get(name).filter(|entry| entry.text() == text).cloned();
        let entry = match known {
            Some(entry) => entry,
            None => registry::of_source(Source::of_text(text))?
                .remove(name)
                .ok_or_else(|| Error::Argument(format!("the text holds no recipe {name:?}")))?,
        };
        let params = entry.params.clone();
        Self::build(entry, params, overrides, partial_patches)
    }

    /// Whether [`Self::load`] gives this recipe by its name and overrides.
    pub fn is_known(&self) -> bool {
        registry::entry(self.name())
            .is_ok_and(|entry| Arc::ptr_eq(entry, &self.entry) || entry.text() == self.entry.text())
    }

    /// This recipe with further parameters overridden.
    pub fn replace(&self, overrides: &Table) -> Result<Self> {
        let replaced = Self::build(Arc::clone(&self.entry), self.params.clone(), overrides, self.partial_patches)?;
        Ok(replaced.without(self.body.unsupported.clone()))
    }

    /// The recipe that a checkpoint's configuration asks for.
    ///
    /// An image processor nested in `processor_config.json` takes the place of `preprocessor_config.json`, as in transformers;
    /// `config.json` says whose it is, and must not contradict. Where boxes or videos cannot be followed but images can, only
    /// [`Self::check_boxes`] and [`Self::video`] are errors.
    pub fn from_checkpoint(files: &CheckpointFiles, hints: &Hints) -> Result<Self> {
        checkpoint::resolve(files, hints)
    }

    /// The name under which the recipe is loaded.
    pub fn name(&self) -> &str {
        &self.entry.name
    }

    /// The user's file from which it was read; nothing for a built-in recipe and a text.
    pub fn file(&self) -> Option<&str> {
        self.entry.file()
    }

    /// All parameters with their values.
    pub fn params(&self) -> &Table {
        &self.params
    }

    /// The parameters whose values differ from those that are written in the recipe.
    pub fn overrides(&self) -> Table {
        let differs = |(key, value): &(&String, &Value)| self.entry.params.get(*key) != Some(*value);
        self.params.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// How the family takes videos.
    ///
    /// It is an error if the family takes no videos, or if those of the checkpoint cannot be followed.
    pub fn video(&self) -> Result<&Video> {
        let refuse = |message: String| Error::Recipe { recipe: self.name().to_owned(), message };
        match &self.body.video {
            None => Err(refuse("takes no videos".into())),
            Some(_) if !self.body.unsupported.videos.is_empty() => {
                Err(refuse(format!("takes no videos: {}", self.body.unsupported.videos)))
            }
            Some(video) => Ok(video),
        }
    }

    /// It is an error if the model's coordinates are not known.
    pub fn check_boxes(&self) -> Result<()> {
        if self.body.unsupported.boxes.is_empty() {
            return Ok(());
        }
        let message = format!("takes no boxes: {}", self.body.unsupported.boxes);
        Err(Error::Recipe { recipe: self.name().to_owned(), message })
    }

    /// Why boxes or videos cannot be followed.
    pub fn unsupported(&self) -> &Unsupported {
        &self.body.unsupported
    }

    /// This recipe where boxes or videos cannot be followed for these reasons.
    #[must_use]
    pub fn without(mut self, unsupported: Unsupported) -> Self {
        self.body.unsupported = unsupported;
        self
    }

    /// Pixels per side that native sizes are multiples of.
    pub fn align(&self) -> u32 {
        self.patches.size * self.patches.merge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn every_builtin_recipe_loads() {
        for name in names().unwrap() {
            let recipe = Recipe::load(name, &Table::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(recipe.name(), name);
            assert!(recipe.overrides().is_empty());
        }
    }

    #[test]
    fn overrides_are_checked_by_name_and_value() {
        let load = |name, text| Recipe::load(name, &overrides(text)).map_err(|error| error.to_string());
        assert!(load("qwen9-vl", "").unwrap_err().contains("qwen9-vl"));
        assert!(load("qwen2-vl", "max_pixel = 5").unwrap_err().contains("\"max_pixel\""));
        assert!(load("qwen2-vl", "max_pixels = 'many'").unwrap_err().contains("max_pixels must be an integer"));
        assert!(load("qwen2-vl", "max_pixels = 100").unwrap_err().contains("min_pixels 3136"));
        assert!(load("qwen2-vl", "patch_size = 0").unwrap_err().contains("patch"));
        assert!(load("internvl2", "min_tiles = 13").unwrap_err().contains("13"));
        assert!(load("siglip2-naflex", "image_std = [0.0, 1.0, 1.0]").unwrap_err().contains("std"));
        assert!(load("llava-1.5", "filter = 'cubic'").unwrap_err().contains("cubic"));
        assert!(load("llava-next", "image_grid_pinpoints = [[336, 500]]").unwrap_err().contains("500"));
        assert!(load("internvl2", "patch_size = 500").unwrap_err().contains("patch_size 500"));
        assert!(load("deepseek-ocr-tiny", "rescale_factor = 0.5").unwrap_err().contains("0.5"));
        let recipe = load("qwen3-vl", "max_pixels = 1048576").unwrap();
        assert_eq!(recipe.overrides(), overrides("max_pixels = 1048576"));
    }
}
