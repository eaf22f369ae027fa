//! Configuration files of checkpoints that a recipe follows.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

/// One kind of configuration that a recipe follows. A nested key is written with dots, as in `size.height`; a number is
/// an index into a list.
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
    /// Whether the model alone identifies the recipe, so that no image processor need be named. Without `models`,
    /// the keys of `present` identify it.
    pub by_model: bool,
    /// Whether these models only share the preparation of images, so that their boxes and videos are unknown.
    pub images_only: bool,
    /// Keys that must have these values if neither the model nor the processor identifies the recipe.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub alone: Table,
    /// Keys that must have these values for this recipe to be chosen.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub when: Table,
    /// Keys that must be there.
    pub present: Vec<String>,
    /// Keys that must be absent: other ways to give a size, which the recipe does not follow.
    pub absent: Vec<String>,
    /// Values that the reference class assumes for absent keys, if they differ from the recipe's.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub defaults: Table,
    /// Keys that must have these values, or be absent, for the recipe to be exact.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub fixed: Table,
    /// Keys that must not have these values, for which the reference behaves differently.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, Vec<serde_json::Value>>"))]
    pub refused: BTreeMap<String, Vec<Value>>,
    /// Keys for which the reference class uses its default if they are null. For other keys a null means that a step is
    /// skipped, or it is an error if a number is needed.
    pub null_is_default: Vec<String>,
    /// Pairs of keys that must have the same value if both are present.
    pub equal: Vec<[String; 2]>,
    /// Keys of each parameter in the processor's files, in order of precedence.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Keys of each parameter in the model's file. It is an error if the processor's files have another value.
    pub model_keys: BTreeMap<String, Vec<String>>,
    /// Values that the model's class assumes for absent keys.
    #[cfg_attr(test, schemars(with = "BTreeMap<String, serde_json::Value>"))]
    pub model_defaults: Table,
    /// Parameters that are the quotient of two keys' values, rounded down.
    pub divided: BTreeMap<String, [String; 2]>,
    /// Parameters that are the number after this word in a key's value, which is a name.
    pub numbers: BTreeMap<String, String>,
    /// Parameters whose pairs have the other order in the checkpoint.
    pub transposed: Vec<String>,
    /// Further keys that do not affect pixels, besides those of `keys.toml`.
    pub without_effect: Vec<String>,
}
