//! Configuration files of checkpoints that a recipe follows.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Table, Value};

/// One kind of configuration that a recipe follows.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::recipe) struct Checkpoint {
    /// Image processor types (without the suffixes `Fast` and `Pil`) or model architectures.
    pub types: Vec<String>,
    /// Keys that must have these values for this recipe to be the one.
    pub when: Table,
    /// Keys of which one must have its value, where there are any.
    pub when_any: Table,
    /// Keys that must be there.
    pub present: Vec<String>,
    /// Keys that must not be there: other ways to say a size, which the recipe does not follow.
    pub absent: Vec<String>,
    /// What the reference class assumes where the configuration is silent and the recipe thinks otherwise.
    pub defaults: Table,
    /// Keys that must have these values, or be absent, for the recipe to be exact.
    pub fixed: Table,
    /// Keys that must not have these values: of those the reference makes something of its own.
    pub refused: BTreeMap<String, Vec<Value>>,
    /// Pairs of keys that must agree where both are there.
    pub equal: Vec<[String; 2]>,
    /// Keys of each parameter, in order of precedence.
    pub keys: BTreeMap<String, Vec<String>>,
}
