//! The videos of a checkpoint: their own configuration beside that of its images.

use std::sync::Arc;

use toml::Table;

use super::files::{File, Role};
use super::follow::follow;
use super::said::{Config, Layer, TYPES, VIDEO_TYPE};
use crate::error::{Error, Result};
use crate::recipe::entry::Entry;
use crate::recipe::language::Checkpoint;
use crate::recipe::{Recipe, Unsupported};

/// The kind of checkpoint section that is of videos.
pub(super) const KIND: &str = "video";

/// What is said of videos.
pub(super) struct Videos {
    pub(super) config: Config,
    /// Whether it is their own, and not that of images.
    own: bool,
}

/// The configuration that transformers reads for videos: nested in `processor_config.json`, else a file of its own, else
/// that of images.
pub(super) fn config(files: &[File], ignore: &[String]) -> Option<Videos> {
    let nested = files.iter().find_map(|file| Some((file, file.content.get("video_processor")?)));
    let role = |role| files.iter().find(move |file| file.role == role).map(|file| (file, &file.content));
    let typed = |key: &str| files.iter().find(|file| file.content.get(key).is_some()).map(|file| (file, &file.content));
    let own = nested.or_else(|| role(Role::Videos)).or_else(|| typed(VIDEO_TYPE));
    let (file, content) = own.or_else(|| TYPES.iter().find_map(|key| typed(key)))?;
    let settings = Layer { own: own.is_some(), ..Layer::new(&file.name, content, true, ignore) };
    let mut config = Config { settings: vec![settings], ..Config::default() };
    config.model = Config::new(files, ignore).model;
    Some(Videos { config, own: own.is_some() })
}

/// A recipe of a checkpoint's images with what the configuration of its videos says; `unsure` is why its family is not known.
pub(super) fn added(recipe: Recipe, videos: Option<&Videos>, unsure: &str) -> Recipe {
    let entry = &Arc::clone(&recipe.entry);
    // Where the family is not known, a class of videos still says what becomes of them.
    let named = videos.is_some_and(|videos| videos.own && videos.config.setting(VIDEO_TYPE).is_some());
    let doubt = if named { "" } else { unsure };
    let without = |recipe: Recipe, videos: &str| {
        recipe.without(Unsupported { boxes: unsure.to_owned(), videos: videos.to_owned() })
    };
    // Without any, they are as the class takes them that is given no settings.
    let (Some(section), Some(videos)) = (entry.checkpoints.get(KIND), videos) else { return without(recipe, doubt) };
    match wanted(&recipe, entry, section, videos).and_then(|overrides| recipe.replace(&overrides)) {
        Ok(recipe) => without(recipe, doubt),
        Err(error) => without(recipe, &error.to_string()),
    }
}

/// Parameters for videos, where they can be followed.
fn wanted(recipe: &Recipe, entry: &Entry, section: &Checkpoint, videos: &Videos) -> Result<Table> {
    let kind = videos.config.setting(VIDEO_TYPE);
    if let Some(kind) = kind.filter(|said| !section.types.iter().any(|known| said.value.as_str() == Some(known))) {
        return Err(Error::Checkpoint(format!("{kind} is not {}", section.types.join(" or "))));
    }
    let mut overrides = follow(recipe.name(), entry, section, &videos.config)?;
    // Images and videos have an encoder in common, and some parameters.
    let mut images = entry.structure.clone();
    let mut of_videos = Table::new();
    of_videos.extend(images.remove("video").map(|video| ("video".to_owned(), video)));
    of_videos.extend(["pixels", "patches"].map(|part| (part.to_owned(), images[part].clone())));
    let [images, of_videos] = [images, of_videos].map(|part| part.to_string());
    let shared = |key: &str| [&images, &of_videos].iter().all(|part| part.contains(&format!("\"${key}\"")));
    for (key, default) in entry.params.iter().filter(|(key, _)| shared(key)) {
        let (of_videos, of_images) = (overrides.remove(key).unwrap_or_else(|| default.clone()), &recipe.params()[key]);
        // The class of videos has one implementation, whatever that of images.
        if of_videos != *of_images && key != super::ARITHMETIC {
            return Err(Error::Checkpoint(format!("{key} is {of_videos} for videos and {of_images} for images")));
        }
    }
    Ok(overrides)
}
