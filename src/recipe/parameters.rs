//! The meanings, units and limits of recipes' parameters.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use toml::{Table, Value};

use super::place::Place;
use super::reading;

const TABLE: &str = include_str!("builtin/parameters.toml");

/// What a parameter of this name means, in every recipe that has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameter {
    /// A sentence without its period.
    pub meaning: String,
    /// What its numbers count; empty where it has none.
    pub unit: String,
    /// Smallest and largest number, both allowed.
    pub range: Option<[i64; 2]>,
    /// The strings that it may be.
    pub values: Vec<String>,
    /// Limits in words, which the recipe checks.
    pub limits: String,
}

/// Parameters by name. A user's recipe may have others, which are not described here.
pub fn parameters() -> &'static BTreeMap<String, Parameter> {
    static TABLE_OF: OnceLock<BTreeMap<String, Parameter>> = OnceLock::new();
    // The table is part of the binary, and a test reads it: what does not parse is of no user's making.
    TABLE_OF.get_or_init(|| read().unwrap_or_default())
}

fn read() -> Option<BTreeMap<String, Parameter>> {
    reading::read(&Value::Table(TABLE.parse().ok()?), &Place::of_key("")).ok()
}

impl Parameter {
    /// What is wrong with a value, if anything, after "must be".
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        let inside = match value {
            Value::Array(items) if items.iter().any(Value::is_array) => {
                return items.iter().try_for_each(|item| self.check(item));
            }
            Value::Array(items) => items.iter().all(|item| self.check(item).is_ok()),
            Value::Integer(number) => self.range.is_none_or(|[min, max]| (min..=max).contains(number)),
            Value::Float(number) => self.range.is_none_or(|[min, max]| (min as f64..=max as f64).contains(number)),
            Value::String(text) => self.values.is_empty() || self.values.contains(text),
            _ => true,
        };
        if inside { Ok(()) } else { Err(format!("{}, got {value}", self.range())) }
    }

    /// The limits as text, such as `between 1 and 1024, at least min_tiles`; those by a parameter that the recipe does not
    /// have are left out. `has` are the recipe's parameters.
    pub fn allowed(&self, has: &Table) -> String {
        let means = |clause: &&str| {
            let mut words = clause.split(' ').filter(|word| parameters().contains_key(*word));
            !clause.is_empty() && words.all(|word| has.contains_key(word))
        };
        let range = self.range();
        let clauses = self.limits.split(", ").filter(means);
        [&*range].into_iter().filter(|range| !range.is_empty()).chain(clauses).collect::<Vec<_>>().join(", ")
    }

    /// Those of them that hold whatever the other parameters are.
    fn range(&self) -> String {
        if let Some([min, max]) = self.range {
            return format!("between {min} and {max}");
        }
        let Some((last, others)) = self.values.split_last() else { return String::new() };
        let others = others.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
        if others.is_empty() { format!("{last:?}") } else { format!("{others} or {last:?}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Recipe, names};

    #[test]
    fn every_parameter_of_a_built_in_recipe_means_something() {
        let known = read().unwrap();
        let mut used = std::collections::BTreeSet::new();
        for name in names().unwrap() {
            let recipe = Recipe::load(name, &toml::Table::new()).unwrap();
            for (key, value) in recipe.params() {
                let parameter = known.get(key).unwrap_or_else(|| panic!("{key} of {name} is not in parameters.toml"));
                parameter.check(value).unwrap_or_else(|problem| panic!("{key} of {name} must be {problem}"));
                assert!(!parameter.meaning.is_empty());
                let limits = parameter.allowed(recipe.params());
                assert!(
                    key != "max_tiles" || limits.contains("min_tiles") == recipe.params().contains_key("min_tiles")
                );
                let limited = !limits.is_empty();
                assert_eq!(limited, !value.is_bool(), "{key} of {name}");
                used.insert(key.clone());
            }
        }
        let unused = known.keys().filter(|key| !used.contains(*key)).collect::<Vec<_>>();
        assert!(unused.is_empty(), "{unused:?} are of no recipe");
    }
}
