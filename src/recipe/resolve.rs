//! Resolves `extends`: each recipe is merged over the recipe that it extends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use toml::{Table, Value};

use super::build::substitute;
use super::entry::{CHECKPOINT, Entry, Registry};
use super::place::{Place, Problem};
use super::source::{Key, Source};
use super::{reading, spelling};
use crate::error::{Error, Result};

/// The base of every recipe.
const COMMON: &str = include_str!("builtin/common.toml");
/// The section of videos.
const VIDEO: &str = "video";

/// The recipes of these files, which may extend each other and those of `known`.
pub(super) fn parse(files: Vec<Source>, known: &Registry) -> Result<Registry> {
    let mut written: BTreeMap<String, (Arc<Source>, Table)> = BTreeMap::new();
    for file in files {
        let file = Arc::new(file);
        for (name, recipe) in file.recipes()? {
            if let Some((other, _)) = written.get(&name) {
                let line = file.line(&[Key::Name(&name)]).map(|(line, _)| line);
                return Err(file.error(line, &format!("{name:?} is already the name of a recipe of {}", other.file)));
            }
            written.insert(name, (Arc::clone(&file), recipe));
        }
    }
    let common: Table = COMMON.parse().map_err(|error: toml::de::Error| Error::RecipeFile {
        file: "built-in common.toml".into(),
        message: error.to_string(),
    })?;
    written.keys().map(|name| Ok((name.clone(), Arc::new(resolve(name, &written, known, &common)?)))).collect()
}

fn resolve(
    name: &str,
    written: &BTreeMap<String, (Arc<Source>, Table)>,
    known: &Registry,
    common: &Table,
) -> Result<Entry> {
    let mut lineage: Vec<(&str, &Arc<Source>, &Table)> = Vec::new();
    let mut known_base = None;
    let mut next = Some(name);
    while let Some(current) = next {
        let Some((source, recipe)) = written.get(current) else {
            known_base = known.get(current);
            break;
        };
        lineage.push((current, source, recipe));
        let (_, first, _) = lineage[0];
        let wrong = |message: String| {
            let line = source.line(&[Key::Name(current), Key::Name("extends")]).map(|(line, _)| line);
            first.error(line.filter(|_| Arc::ptr_eq(first, source)), &format!("recipe {name:?}: {message}"))
        };
        next = match recipe.get("extends") {
            None => None,
            Some(Value::String(base)) if lineage.iter().any(|(other, _, _)| other == base) => {
                return Err(wrong(format!("extends itself ({base})")));
            }
            Some(Value::String(base)) if !written.contains_key(base) && !known.contains_key(base) => {
                let hint = spelling::question(base, written.keys().chain(known.keys()).map(String::as_str));
                return Err(wrong(format!("extends {base:?}, but no recipe is named so{hint}")));
            }
            Some(Value::String(base)) => Some(base),
            Some(other) => return Err(wrong(format!("extends must be a recipe's name, got {other}"))),
        };
    }
    let mut merged = known_base.map_or_else(|| common.clone(), |base| base.merged());
    for (_, _, recipe) in lineage.iter().rev() {
        merge(&mut merged, recipe);
    }
    let mut sources: Vec<_> =
        lineage.iter().map(|(name, source, _)| (Arc::clone(source), (*name).to_owned())).collect();
    sources.extend(known_base.iter().flat_map(|base| base.sources.iter().cloned()));
    let depth = sources.len() - 1;
    let own: BTreeSet<String> = match lineage[0].2.get("params") {
        Some(Value::Table(params)) => params.keys().cloned().collect(),
        _ => BTreeSet::new(),
    };
    finish(name, merged, sources, depth, &own)
}

/// Splits a merged recipe into its parameters, structure and checkpoint sections.
fn finish(
    name: &str,
    mut merged: Table,
    sources: Vec<(Arc<Source>, String)>,
    depth: usize,
    own: &BTreeSet<String>,
) -> Result<Entry> {
    merged.remove("extends");
    // A derived recipe writes `false` if it does not take videos, unlike the recipe that it extends.
    if merged.get(VIDEO) == Some(&Value::Boolean(false)) {
        merged.remove(VIDEO);
    }
    let mut entry = Entry {
        name: name.to_owned(),
        params: Table::new(),
        structure: Table::new(),
        checkpoints: BTreeMap::new(),
        depth,
        checkpoint: Table::new(),
        sources,
        text: OnceLock::new(),
    };
    let mut section = |entry: &Entry, key: &str| match merged.remove(key) {
        Some(Value::Table(table)) => Ok(table),
        Some(other) => {
            let message = format!("must be a table, got {}", other.type_str());
            Err(entry.error(&Problem { path: key.to_owned(), message }))
        }
        None => Ok(Table::new()),
    };
    let mut params = section(&entry, "params")?;
    let mut checkpoint = section(&entry, CHECKPOINT)?;
    // A derived recipe writes `false` for a kind of configuration that is not its own.
    checkpoint.retain(|_, kind| *kind != Value::Boolean(false));
    for (kind, value) in &checkpoint {
        let place = Place::of_key(CHECKPOINT).key(kind);
        let section = reading::read(value, &place).map_err(|problem| entry.error(&problem))?;
        entry.checkpoints.insert(kind.clone(), section);
    }
    substitute(&mut Value::Table(merged.clone()), &params, "").map_err(|problem| entry.error(&problem))?;
    // A recipe has the parameters that it defines itself, and inherited ones to which something in it refers.
    let text = merged.to_string();
    let known: Vec<String> = params.keys().filter(|key| text.contains(&format!("${key}\""))).cloned().collect();
    params.retain(|key, _| own.contains(key) || text.contains(&format!("${key}\"")));
    for (key, value) in &params {
        let path = format!("params.{key}");
        if !text.contains(&format!("${key}\"")) {
            let hint = spelling::question(key, known.iter().map(String::as_str));
            return Err(entry.error(&Problem { path, message: format!("nothing refers to this parameter{hint}") }));
        }
        if matches!(value, Value::Table(_) | Value::Datetime(_)) {
            let message = format!("a parameter is a number, string, boolean or list, got a {}", value.type_str());
            return Err(entry.error(&Problem { path, message }));
        }
    }
    (entry.params, entry.structure, entry.checkpoint) = (params, merged, checkpoint);
    Ok(entry)
}

/// Merges `over` into `base`: tables of the same kind are merged, any other value is replaced.
fn merge(base: &mut Table, over: &Table) {
    let alike = |below: &Table, above: &Table| {
        let kind = above.get("kind");
        kind.is_none() || kind == below.get("kind")
    };
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) if alike(below, above) => merge(below, above),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}
