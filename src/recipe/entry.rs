//! A recipe before its parameters are filled in, and the files where it is written.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use toml::{Table, Value};

use super::language::Checkpoint;
use super::place::Problem;
use super::source::{Key, Source, keys};
use super::text;
use crate::error::Error;

/// The section that says which configuration files a recipe follows.
pub(super) const CHECKPOINT: &str = "checkpoint";

/// Recipes by name.
pub(super) type Registry = BTreeMap<String, Arc<Entry>>;

/// A recipe before its parameters are filled in.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) params: Table,
    pub(super) structure: Table,
    pub(super) checkpoints: BTreeMap<String, Checkpoint>,
    /// The number of recipes in the chain that it extends.
    pub(super) depth: usize,
    /// `checkpoints`, as written in the file.
    pub(super) checkpoint: Table,
    /// The files of the recipe and of those that it extends.
    pub(super) sources: Vec<(Arc<Source>, String)>,
    pub(super) text: OnceLock<String>,
}

impl Entry {
    /// The recipe as the text of a file that needs no other.
    pub(super) fn text(&self) -> &str {
        self.text.get_or_init(|| text::write(&self.name, &self.params, &self.structure, &self.checkpoint))
    }

    /// The same with these parameters and added keys.
    pub(super) fn text_with(&self, params: &Table, added: Table) -> String {
        let mut structure = self.structure.clone();
        structure.extend(added);
        text::write(&self.name, params, &structure, &self.checkpoint)
    }

    /// An error of the recipe, with the file and line where it stands.
    pub(super) fn error(&self, problem: &Problem) -> Error {
        let Problem { path, message } = problem;
        let place = self.place(&self.parameter(path).unwrap_or_else(|| path.clone()));
        let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
        Error::Recipe { recipe: self.name.clone(), message: format!("{place}{path}{message}") }
    }

    /// The path of the parameter to which the value at `path` refers, if it refers to one.
    fn parameter(&self, path: &str) -> Option<String> {
        let mut written = None;
        for key in keys(path) {
            written = match (key, written) {
                (Key::Name(name), None) => Some(self.structure.get(name)?),
                (Key::Name(name), Some(value)) => Some(value.get(name)?),
                (Key::Index(index), value) => Some(value?.get(index)?),
            };
        }
        let written = written?;
        let text = written.as_str().or_else(|| written.as_array()?.first()?.as_str())?;
        Some(format!("params.{}", text.trim_start_matches('!').strip_prefix('$')?))
    }

    /// The user's file from which it was read.
    pub(super) fn file(&self) -> Option<&str> {
        self.sources.first().and_then(|(source, _)| source.own_file())
    }

    fn place(&self, path: &str) -> String {
        let mut best: Option<(&Source, usize, usize)> = None;
        for (source, name) in &self.sources {
            let path: Vec<_> = std::iter::once(Key::Name(name)).chain(keys(path)).collect();
            let Some((line, depth)) = source.line(&path) else { continue };
            if best.is_none_or(|(_, _, deepest)| depth > deepest) {
                best = Some((source, line, depth));
            }
            // Lists are not merged, so a list belongs to one recipe.
            if path[..depth].iter().any(|key| matches!(key, Key::Index(_))) {
                break;
            }
        }
        match best {
            Some((source, line, _)) if source.file.is_empty() => format!("line {line}: "),
            Some((source, line, _)) => format!("{}, line {line}: ", source.file),
            None => String::new(),
        }
    }

    /// The whole recipe as one table, for a derived recipe.
    pub(super) fn merged(&self) -> Table {
        let mut merged = self.structure.clone();
        merged.insert("params".into(), Value::Table(self.params.clone()));
        merged.insert(CHECKPOINT.into(), Value::Table(self.checkpoint.clone()));
        merged
    }
}
