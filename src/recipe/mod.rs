//! Recipes: a family's preprocessing as data.
//!
//! The built-in ones are the TOML files of `builtin/`, one per lineage. A recipe may extend another; its `params` are
//! what callers may override, and the rest refers to them as `"$name"`.

mod checkpoint;
mod language;
mod registry;
mod validate;

use serde::Deserialize;
use toml::{Table, Value};

pub use checkpoint::{CheckpointFiles, Hints};
pub(crate) use validate::smart_budget;

pub use language::{
    Align, Backend, Boxes, Cap, CapPer, Clamp, ContainRounding, Convention, Convert, Crops, Enlarge, Fill, Filter,
    FloatResize, Frame, FrameCount, FrameSampling, IntType, LongestRounding, NamedFill, NamedFrameCount, NamedTarget,
    NormalizeAs, OutputKind, OutputSpec, PatchOrder, Patches, Per, Pixels, Precision, Role, Sampled, Search,
    Separators, Step, Strategy, Target, TileSize, Tiles, Tokens, Unpad, Video, ViewOrder, ViewSpec, When,
};

use crate::error::{Error, Result};

/// A family's preprocessing, checked and ready to plan with.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    name: String,
    params: Table,
    body: Body,
    unsupported: Unsupported,
}

/// Why a checkpoint's boxes or videos cannot be followed though its images can; empty where they can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Unsupported {
    /// Of boxes.
    pub boxes: String,
    /// Of videos.
    pub videos: String,
}

/// What a recipe says once its parameters are filled in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The family's name for people.
    pub title: String,
    /// Which answer to the resolution question it is.
    pub strategy: Strategy,
    /// The code whose output this recipe reproduces.
    pub reference: String,
    /// What of it is not established; empty where all is.
    pub note: String,
    /// From pixels to values.
    pub pixels: Pixels,
    /// The encoder's patches.
    pub patches: Patches,
    /// Views of the image, in the order in which the language model receives them.
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

/// Names of the built-in recipes, sorted.
pub fn names() -> Vec<&'static str> {
    registry::registry().keys().map(String::as_str).collect()
}

impl Recipe {
    /// The built-in recipe of this name with these parameters overridden.
    ///
    /// Unknown names, unknown parameters and values that a parameter cannot take are errors that name them.
    pub fn load(name: &str, overrides: &Table) -> Result<Self> {
        let entry = registry::entry(name)?;
        Self::build(name, entry.params.clone(), entry.structure.clone(), overrides, Unsupported::default())
    }

    /// This recipe with further parameters overridden.
    pub fn replace(&self, overrides: &Table) -> Result<Self> {
        let entry = registry::entry(&self.name)?;
        Self::build(&self.name, self.params.clone(), entry.structure.clone(), overrides, self.unsupported.clone())
    }

    /// The recipe that a checkpoint's configuration asks for.
    ///
    /// An image processor nested in `processor_config.json` takes the place of `preprocessor_config.json`, as in transformers;
    /// `config.json` says whose it is, and must not contradict. Where boxes or videos cannot be followed but images can, only
    /// [`Self::check_boxes`] and [`Self::video`] are errors.
    pub fn from_checkpoint(files: &CheckpointFiles, hints: &Hints) -> Result<Self> {
        checkpoint::resolve(files, hints)
    }

    fn build(
        name: &str,
        mut params: Table,
        structure: Table,
        overrides: &Table,
        unsupported: Unsupported,
    ) -> Result<Self> {
        for (key, value) in overrides {
            let Some(slot) = params.get_mut(key) else {
                return Err(Error::UnknownParameter {
                    recipe: name.to_owned(),
                    name: key.clone(),
                    known: params.keys().map(String::as_str).collect::<Vec<_>>().join(", "),
                });
            };
            *slot = coerce(slot, value).ok_or_else(|| Error::Recipe {
                recipe: name.to_owned(),
                message: format!("{key} must be {}, got {value}", describe(slot)),
            })?;
        }
        let invalid = |message: String| Error::Recipe { recipe: name.to_owned(), message };
        let mut table = Value::Table(structure);
        substitute(&mut table, &params).map_err(invalid)?;
        let mut body: Body = table.try_into().map_err(|error: toml::de::Error| {
            let given = overrides.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
            let message = error.message().to_owned();
            invalid(if given.is_empty() { message } else { format!("{message} (with {given})") })
        })?;
        validate::check(&mut body).map_err(invalid)?;
        Ok(Self { name: name.to_owned(), params, body, unsupported })
    }

    /// The name under which the recipe is loaded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All parameters with their values.
    pub fn params(&self) -> &Table {
        &self.params
    }

    /// The parameters whose values differ from the built-in recipe's.
    pub fn overrides(&self) -> Table {
        let built_in = registry::entry(&self.name).map(|entry| &entry.params).ok();
        self.params
            .iter()
            .filter(|(key, value)| built_in.is_none_or(|params| params.get(*key) != Some(*value)))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// How the family takes videos.
    ///
    /// It is an error where it takes none, or where a checkpoint's cannot be followed.
    pub fn video(&self) -> Result<&Video> {
        let refuse = |message: String| Error::Recipe { recipe: self.name.clone(), message };
        match &self.body.video {
            None => Err(refuse("takes no videos".into())),
            Some(_) if !self.unsupported.videos.is_empty() => {
                Err(refuse(format!("takes no videos: {}", self.unsupported.videos)))
            }
            Some(video) => Ok(video),
        }
    }

    /// It is an error where the model's coordinates are not known.
    pub fn check_boxes(&self) -> Result<()> {
        if self.unsupported.boxes.is_empty() {
            return Ok(());
        }
        let message = format!("takes no boxes: {}", self.unsupported.boxes);
        Err(Error::Recipe { recipe: self.name.clone(), message })
    }

    /// Why boxes or videos cannot be followed.
    pub fn unsupported(&self) -> &Unsupported {
        &self.unsupported
    }

    /// This recipe where boxes or videos cannot be followed for these reasons.
    #[must_use]
    pub fn without(mut self, unsupported: Unsupported) -> Self {
        self.unsupported = unsupported;
        self
    }

    /// Pixels per side that native sizes are multiples of.
    pub fn align(&self) -> u32 {
        self.patches.size * self.patches.merge
    }
}

/// The override as a value of the parameter's own type, or nothing. An integer may stand for a float.
fn coerce(default: &Value, given: &Value) -> Option<Value> {
    match (default, given) {
        (Value::Float(_), Value::Integer(integer)) => Some(Value::Float(*integer as f64)),
        (Value::Array(items), Value::Array(new)) => match items.first() {
            Some(item) => Some(Value::Array(new.iter().map(|value| coerce(item, value)).collect::<Option<_>>()?)),
            None => Some(given.clone()),
        },
        _ => default.same_type(given).then(|| given.clone()),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Integer(_) => "an integer".into(),
        Value::Float(_) => "a number".into(),
        Value::Boolean(_) => "true or false".into(),
        Value::String(_) => "a string".into(),
        Value::Array(items) => match items.first() {
            Some(Value::Integer(_)) => "a list of integers".into(),
            Some(Value::Float(_)) => "a list of numbers".into(),
            Some(Value::Array(_)) => "a list of lists of integers".into(),
            _ => "a list".into(),
        },
        other => other.type_str().into(),
    }
}

/// Replaces every `"$name"` by the parameter's value, and `"!$name"` by its opposite.
fn substitute(value: &mut Value, params: &Table) -> std::result::Result<(), String> {
    match value {
        Value::String(text) => {
            let (negated, reference) = text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest));
            if let Some(name) = reference.strip_prefix('$') {
                let param = params.get(name).ok_or_else(|| format!("refers to ${name}, which it does not have"))?;
                *value = match param {
                    Value::Boolean(on) if negated => Value::Boolean(!on),
                    other if negated => return Err(format!("has {text:?}, but {name} is not true or false: {other}")),
                    other => other.clone(),
                };
            }
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| substitute(item, params)),
        Value::Table(table) => table.iter_mut().try_for_each(|(_, item)| substitute(item, params)),
        _ => Ok(()),
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
        for name in names() {
            let recipe = Recipe::load(name, &Table::new()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(recipe.name(), name);
            assert!(recipe.overrides().is_empty());
        }
    }

    #[test]
    fn every_parameter_is_used() {
        for name in names() {
            let entry = registry::entry(name).unwrap();
            let text = toml::to_string(&entry.structure).unwrap();
            for key in entry.params.keys() {
                assert!(text.contains(&format!("${key}\"")), "{name}: nothing refers to {key}");
            }
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
