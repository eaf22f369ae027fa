//! The videos of a checkpoint: their own configuration beside that of its images.

use serde_json::Value as Json;
use toml::{Table, Value};

use super::{Config, TYPES, follow};
use crate::error::{Error, Result};
use crate::recipe::Recipe;
use crate::recipe::language::Checkpoint;
use crate::recipe::registry::registry;

/// The kind of checkpoint section that is of videos.
pub(super) const KIND: &str = "video";

/// Key that names a video processor's type.
pub(super) const TYPE: &str = "video_processor_type";

/// The parameter that says why videos cannot be followed.
const REFUSED: &str = "no_video";

/// The configuration that transformers reads for videos: nested in `processor_config.json`, else a file of its own, else
/// that of images.
pub(super) fn config(files: &[Json], own: Option<&Json>) -> Option<Config> {
    let nested = files.iter().find_map(|file| file.get("video_processor"));
    let of_images = || files.iter().find(|file| TYPES.iter().chain([&TYPE]).any(|key| file.get(key).is_some()));
    nested.or(own).or_else(of_images).map(|file| Config { layers: vec![super::flatten(file)] })
}

/// A recipe of a checkpoint's images with what the configuration of its videos says.
pub(super) fn added(recipe: Recipe, config: Option<&Config>) -> Result<Recipe> {
    let Some(checkpoint) = registry()[recipe.name()].checkpoints.get(KIND) else { return Ok(recipe) };
    // Without any, they are as the class takes them that is given no settings.
    let Some(config) = config else { return Ok(recipe) };
    let added = wanted(&recipe, checkpoint, config).and_then(|overrides| recipe.replace(&overrides));
    added.or_else(|error| recipe.replace(&Table::from_iter([(REFUSED.to_owned(), Value::String(error.to_string()))])))
}

/// Parameters for videos, where they can be followed.
fn wanted(recipe: &Recipe, checkpoint: &Checkpoint, config: &Config) -> Result<Table> {
    if let Some(kind) = config.video_types().into_iter().find(|kind| !checkpoint.types.contains(kind)) {
        return Err(Error::Checkpoint(format!("{kind} is not {}", checkpoint.types.join(" or "))));
    }
    let entry = &registry()[recipe.name()];
    let mut overrides = follow(recipe.name(), checkpoint, config)?;
    // Images and videos have an encoder in common, and some parameters.
    let mut images = entry.structure.clone();
    let mut videos = Table::new();
    videos.extend(images.remove("video").map(|video| ("video".to_owned(), video)));
    videos.extend(["pixels", "patches"].map(|part| (part.to_owned(), images[part].clone())));
    let [images, videos] = [images, videos].map(|part| part.to_string());
    let shared = |key: &str| [&images, &videos].iter().all(|part| part.contains(&format!("\"${key}\"")));
    for (key, default) in entry.params.iter().filter(|(key, _)| shared(key)) {
        let (of_videos, of_images) = (overrides.remove(key).unwrap_or_else(|| default.clone()), &recipe.params()[key]);
        if of_videos != *of_images {
            return Err(Error::Checkpoint(format!("{key} is {of_videos} for videos and {of_images} for images")));
        }
    }
    Ok(overrides)
}
