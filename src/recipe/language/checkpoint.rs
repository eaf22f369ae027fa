//! Configuration files of checkpoints that a recipe follows.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

/// One kind of configuration that a recipe follows. A key nested in others is written with dots, `size.height`; a number is a
/// place in a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub(in crate::recipe) struct Checkpoint {
    /// Classes of image processors (or, in the section `video`, of video processors), without the suffixes `Fast` and `Pil`.
    pub types: Vec<String>,
    /// Classes of the checkpoint's own code that take a class's place, as `auto_map` names them: module and class.
    pub remote: Vec<String>,
    /// Classes of processors of images and text.
    pub processors: Vec<String>,
    /// The model's type or classes (`model_type` and `architectures` of `config.json`).
    pub models: Vec<String>,
    /// Whether the model alone tells, so that an image processor need not be named. Without `models`, it is what must be there.
    pub by_model: bool,
    /// Whether these models share no more than the preparation of images: of their boxes and videos nothing is known.
    pub images_only: bool,
    /// Keys that must have these values where neither the model nor the processor tells.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub alone: Table,
    /// Keys that must have these values for this recipe to be the one.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub when: Table,
    /// Keys that must be there.
    pub present: Vec<String>,
    /// Keys that must not be there: other ways to say a size, which the recipe does not follow.
    pub absent: Vec<String>,
    /// Parameters that the reference class assumes where the configuration is silent and the recipe thinks otherwise.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub defaults: Table,
    /// Keys that must have these values, or be absent, for the recipe to be exact.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub fixed: Table,
    /// Keys that must not have these values: of those the reference makes something of its own.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Vec<serde_json::Value>>"))]
    pub refused: BTreeMap<String, Vec<Value>>,
    /// Keys of which the reference class takes its default where they are null. Elsewhere a null is a step that is not done, or
    /// an error where a number is read.
    pub null_is_default: Vec<String>,
    /// Pairs of keys that must agree where both are there.
    pub equal: Vec<[String; 2]>,
    /// Keys of each parameter in the processor's files, in order of precedence.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Keys of each parameter in the model's file. Where the processor's files say another value, it is an error.
    pub model_keys: BTreeMap<String, Vec<String>>,
    /// Parameters that the model's class assumes where its file is silent.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub model_defaults: Table,
    /// Parameters that are one key's value over another's, rounded down.
    pub divided: BTreeMap<String, [String; 2]>,
    /// Parameters that are the number behind this word, where a key's value is a name.
    pub numbers: BTreeMap<String, String>,
    /// Parameters whose pairs the checkpoint writes in the other order.
    pub transposed: Vec<String>,
    /// Further keys that do not affect pixels, beside those of `keys.toml`.
    pub without_effect: Vec<String>,
}
