//! Recipes by name: the built-in ones, those of a folder, or those of one file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::entry::{Entry, Registry};
use super::resolve::parse;
use super::source::{Key, Source};
use super::spelling;
use crate::error::{Error, Result};

/// The files of `builtin/`, by name.
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

/// The environment variable that names a folder of recipe files.
const FOLDER: &str = "VLMRES_RECIPES";
/// The hint for the name of a checkpoint.
const OF_CHECKPOINT: &str = ": from_pretrained makes the recipe of a checkpoint's files";
/// The hint for the name of a file of recipes.
const OF_FILE: &str = ": from_toml reads a recipe of a file";

/// The recipe of this name. Case and punctuation of the name do not matter.
pub(super) fn entry(name: &str) -> Result<&'static Arc<Entry>> {
    let recipes = registry()?;
    let known = || recipes.keys().map(String::as_str);
    let hint = match name {
        file if file.contains(".toml") => OF_FILE,
        path if path.contains('/') => OF_CHECKPOINT,
        _ => "",
    };
    let found = recipes.get(name).or_else(|| recipes.get(spelling::spelled(name, known())?));
    found.ok_or_else(|| Error::UnknownRecipe {
        name: spelling::shortened(name),
        hint: hint.to_owned() + &spelling::question(name, known()),
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
