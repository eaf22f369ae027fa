//! Models of the Hugging Face Hub in the local cache, laid out as `huggingface_hub` does: `refs/main` of a model's folder
//! names a snapshot.

use std::path::{Path, PathBuf};

use super::files::{bytes, folder_of, missing};
use crate::error::Result;

/// The path as a model's name on the Hub, `owner/model` or `model`, where it can be one.
pub(super) fn name(path: &Path) -> Option<&str> {
    let name = path.to_str()?;
    let parts = name.split('/').collect::<Vec<_>>();
    let fine = |part: &&str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
    };
    (parts.len() <= 2 && parts.iter().all(fine)).then_some(name)
}

/// The folder of a model's snapshot that its branch `main` names.
pub(super) fn snapshot(name: &str) -> Result<PathBuf> {
    let absent = |message: String| missing(Path::new(name), message);
    let Some(cache) = cache() else {
        return Err(absent("there is no such folder, and no Hugging Face cache".into()));
    };
    let model = cache.join(format!("models--{}", name.replace('/', "--")));
    if !model.is_dir() {
        return Err(absent(format!("there is no such folder, nor a model of this name in {}", cache.display())));
    }
    let reference = model.join("refs").join("main");
    let commit = String::from_utf8(bytes(&reference)?.unwrap_or_default()).unwrap_or_default();
    let commit = commit.trim();
    let whole = !commit.is_empty() && commit.chars().all(|letter| letter.is_ascii_alphanumeric());
    let snapshot = model.join("snapshots").join(commit);
    if whole && snapshot.is_dir() {
        return Ok(snapshot);
    }
    Err(absent(format!("the cache has no snapshot of its branch main: {}", reference.display())))
}

fn cache() -> Option<PathBuf> {
    let set = folder_of("HF_HUB_CACHE").or_else(|| folder_of("HUGGINGFACE_HUB_CACHE"));
    let home = || folder_of("HF_HOME").or_else(|| Some(folder_of("XDG_CACHE_HOME")?.join("huggingface")));
    let user = || Some(folder_of("HOME")?.join(".cache").join("huggingface"));
    set.or_else(|| Some(home().or_else(user)?.join("hub")))
}
