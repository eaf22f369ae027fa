//! Recipes by name, before their parameters are filled in: the built-in ones, those of a folder, or those of one file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use toml::{Table, Value};

use super::build::substitute;
use super::language::Checkpoint;
use super::place::{Place, Problem};
use super::source::{Key, Source, keys};
use super::{reading, spelling, text};
use crate::error::{Error, Result};

/// What every recipe starts from.
const COMMON: &str = include_str!("builtin/common.toml");

const FAMILIES: &[(&str, &str)] = &[
    ("aria", include_str!("builtin/aria.toml")),
    ("clip", include_str!("builtin/clip.toml")),
    ("deepseek_ocr", include_str!("builtin/deepseek_ocr.toml")),
    ("deepseek_ocr2", include_str!("builtin/deepseek_ocr2.toml")),
    ("deepseek_vl", include_str!("builtin/deepseek_vl.toml")),
    ("gemma4", include_str!("builtin/gemma4.toml")),
    ("glm_vl", include_str!("builtin/glm_vl.toml")),
    ("idefics", include_str!("builtin/idefics.toml")),
    ("internvl", include_str!("builtin/internvl.toml")),
    ("lfm2_vl", include_str!("builtin/lfm2_vl.toml")),
    ("llama", include_str!("builtin/llama.toml")),
    ("llava", include_str!("builtin/llava.toml")),
    ("llava_next", include_str!("builtin/llava_next.toml")),
    ("llava_onevision", include_str!("builtin/llava_onevision.toml")),
    ("minicpm_v", include_str!("builtin/minicpm_v.toml")),
    ("molmo2", include_str!("builtin/molmo2.toml")),
    ("nativeres_llava", include_str!("builtin/nativeres_llava.toml")),
    ("nemotron", include_str!("builtin/nemotron.toml")),
    ("phi", include_str!("builtin/phi.toml")),
    ("pixtral", include_str!("builtin/pixtral.toml")),
    ("qwen_vl", include_str!("builtin/qwen_vl.toml")),
    ("raster_native", include_str!("builtin/raster_native.toml")),
    ("siglip2", include_str!("builtin/siglip2.toml")),
    ("squash", include_str!("builtin/squash.toml")),
    ("step3", include_str!("builtin/step3.toml")),
    ("unlimited_ocr", include_str!("builtin/unlimited_ocr.toml")),
];

/// Names a folder whose files are recipes like the built-in ones.
const FOLDER: &str = "VLMRES_RECIPES";
/// The section that says which configuration files a recipe follows.
const CHECKPOINT: &str = "checkpoint";
/// What to do with the name of a checkpoint.
const OF_CHECKPOINT: &str = ": from_pretrained makes the recipe of a checkpoint's files";
/// The section of videos.
const VIDEO: &str = "video";

/// A recipe before its parameters are filled in.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) params: Table,
    pub(super) structure: Table,
    pub(super) checkpoints: BTreeMap<String, Checkpoint>,
    /// How many recipes it extends, one after the other.
    pub(super) depth: usize,
    /// `checkpoints` as written.
    checkpoint: Table,
    /// Where it and those that it extends are written.
    sources: Vec<(Arc<Source>, String)>,
    text: OnceLock<String>,
}

impl Entry {
    /// The recipe as a file that needs no other.
    pub(super) fn text(&self) -> &str {
        self.text.get_or_init(|| text::write(&self.name, &self.params, &self.structure, &self.checkpoint))
    }

    /// The same with these parameters, and with these keys added.
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

    /// The place of the parameter, where what is written at `path` refers to one.
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

    /// The user's file that it is of.
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
            // A list is one recipe's alone.
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
}

/// Recipes by name.
pub(super) type Registry = BTreeMap<String, Arc<Entry>>;

/// The recipe of this name, or of one that differs from it in case and punctuation alone.
pub(super) fn entry(name: &str) -> Result<&'static Arc<Entry>> {
    let recipes = registry()?;
    let known = || recipes.keys().map(String::as_str);
    let found = recipes.get(name).or_else(|| recipes.get(spelling::spelled(name, known())?));
    found.ok_or_else(|| Error::UnknownRecipe {
        name: spelling::shortened(name),
        hint: if name.contains('/') { OF_CHECKPOINT } else { "" }.to_owned() + &spelling::question(name, known()),
        count: recipes.len(),
    })
}

/// The built-in recipes and those of the folder that `VLMRES_RECIPES` names, read once.
pub(super) fn registry() -> Result<&'static Registry> {
    static REGISTRY: OnceLock<Result<Registry>> = OnceLock::new();
    let known = REGISTRY.get_or_init(|| match std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) {
        Some(folder) => with_folder(built_in()?, Path::new(&folder)),
        None => Ok(built_in()?.clone()),
    });
    known.as_ref().map_err(Clone::clone)
}

/// The recipes that are part of the library.
fn built_in() -> Result<&'static Registry> {
    static BUILT_IN: OnceLock<Result<Registry>> = OnceLock::new();
    let read = || {
        let files = FAMILIES.iter().map(|(file, text)| Source::built_in(file, text)).collect();
        parse(files, &Registry::new())
    };
    BUILT_IN.get_or_init(read).as_ref().map_err(Clone::clone)
}

fn with_folder(known: &Registry, folder: &Path) -> Result<Registry> {
    let failed = |error: &std::io::Error| match Error::of_file(folder, error) {
        Error::File { path, message, errno } => {
            Error::File { path, message: format!("{FOLDER} names a folder that can't be read: {message}"), errno }
        }
        other => other,
    };
    let entries = std::fs::read_dir(folder).map_err(|error| failed(&error))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<PathBuf>>>();
    let mut paths = paths.map_err(|error| failed(&error))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let files = paths.iter().map(|path| Source::read(path)).collect::<Result<Vec<_>>>()?;
    let own = parse(files, known)?;
    if let Some((name, entry)) = own.iter().find(|(name, _)| known.contains_key(*name)) {
        let (file, _) = &entry.sources[0];
        let built_in = known[name].sources.first().map_or("", |(source, _)| &source.file);
        let message = format!("{name:?} is already the name of a recipe of {built_in}");
        return Err(file.error(file.line(&[Key::Name(name)]).map(|(line, _)| line), &message));
    }
    Ok(known.iter().chain(&own).map(|(name, entry)| (name.clone(), Arc::clone(entry))).collect())
}

/// The recipes of a file or text, which may extend each other and those that are known.
pub(super) fn of_source(source: Source) -> Result<Registry> {
    parse(vec![source], registry()?)
}

/// The recipes of these files, which may extend each other and those of `known`.
fn parse(files: Vec<Source>, known: &Registry) -> Result<Registry> {
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
    let common: Table = toml::from_str(COMMON)
        .map_err(|error| Error::RecipeFile { file: "built-in common.toml".into(), message: error.to_string() })?;
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

/// Takes a merged recipe apart.
fn finish(
    name: &str,
    mut merged: Table,
    sources: Vec<(Arc<Source>, String)>,
    depth: usize,
    own: &BTreeSet<String>,
) -> Result<Entry> {
    merged.remove("extends");
    // A derived recipe writes `false` where it does not take videos as the recipe that it extends does.
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
    // A recipe has those parameters that it names, and those of others that something of it refers to.
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

impl Entry {
    /// All of it as one table, for another recipe to be laid over.
    fn merged(&self) -> Table {
        let mut merged = self.structure.clone();
        merged.insert("params".into(), Value::Table(self.params.clone()));
        merged.insert(CHECKPOINT.into(), Value::Table(self.checkpoint.clone()));
        merged
    }
}

/// Lays `over` on `base`: tables merge but those of another kind, anything else replaces.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/recipe/builtin");
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let is_shared = ["common", "parameters"].contains(&&*name);
            let listed = is_shared || FAMILIES.iter().any(|(listed, _)| *listed == name);
            assert!(listed, "builtin/{name}.toml is not in FAMILIES of registry.rs");
        }
    }
}
