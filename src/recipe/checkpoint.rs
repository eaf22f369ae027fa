//! From a checkpoint's configuration files to a recipe. A recipe's `checkpoint` section lists the configurations that
//! it understands.

mod choose;
mod evidence;
mod files;
mod follow;
mod hub;
mod said;
#[cfg(test)]
mod tests;
mod video;

use toml::Value;

use self::choose::{Choice, Of, choose};
use self::evidence::Evidence;
use self::follow::follow;
use self::said::Config;
use super::{Recipe, Unsupported, registry};
use crate::error::{Error, Result};

pub use files::CheckpointFiles;

/// What a caller can tell beyond a checkpoint's files.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// The recipe of the model's family, if its files do not tell.
    pub family: Option<String>,
    /// Keys to ignore.
    pub ignore: Vec<String>,
}

pub(super) fn resolve(files: &CheckpointFiles, hints: &Hints) -> Result<Recipe> {
    registry::registry()?;
    let family = hints.family.as_deref().map(registry::entry).transpose()?.map(|entry| entry.name.as_str());
    let config = Config::new(&files.0, &hints.ignore);
    let videos = video::config(&files.0, &hints.ignore);
    let evidence = Evidence::of_images(&config);
    if evidence.kind.is_none()
        && evidence.remote.is_none()
        && let Some(videos) = &videos
        && let Some(choice) = choose(&videos.config, &Evidence::of_videos(&videos.config), family, Of::Videos)?
    {
        let Choice { name, entry, section, unsure } = choice;
        let recipe = Recipe::followed(entry, &follow(name, entry, section, &videos.config)?)?;
        return Ok(recipe.without(Unsupported { boxes: unsure, ..Unsupported::default() }));
    }
    let Some(choice) = choose(&config, &evidence, family, Of::Images)? else {
        return Err(Error::Checkpoint("no recipe follows these files".into()));
    };
    let Choice { name, entry, section, unsure } = choice;
    let mut overrides = follow(name, entry, section, &config)?;
    if evidence.pillow && entry.params.contains_key(ARITHMETIC) {
        overrides.insert(ARITHMETIC.to_owned(), Value::String("pillow".into()));
    }
    let recipe = Recipe::followed(entry, &overrides)?;
    Ok(video::added(recipe, videos.as_ref(), &unsure))
}

/// The parameter that says whose numbers a resize computes with.
const ARITHMETIC: &str = "arithmetic";
