//! Chooses the recipe of a checkpoint, or explains why there is none.

use std::sync::Arc;

use super::evidence::Evidence;
use super::said::Config;
use super::video;
use crate::error::{Error, Result};
use crate::recipe::entry::Entry;
use crate::recipe::language::Checkpoint;
use crate::recipe::registry::registry;

/// What a configuration is of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Images,
    Videos,
}

/// A recipe's section that a checkpoint matches.
pub(super) struct Choice {
    pub(super) name: &'static str,
    pub(super) entry: &'static Arc<Entry>,
    pub(super) section: &'static Checkpoint,
    /// Why the recipe's boxes and videos may be another's; empty where they are its own.
    pub(super) unsure: String,
}

type Section = (&'static str, &'static Arc<Entry>, &'static Checkpoint);

/// How well a section fits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    architecture: bool,
    model_type: bool,
    processor: bool,
    conditions: usize,
    /// Recipes that extend another yield to it.
    base: usize,
}

fn sections(of: Of) -> impl Iterator<Item = Section> {
    // `resolve` has asked for it before: it is no error here.
    registry()
        .into_iter()
        .flatten()
        .flat_map(|(name, entry)| entry.checkpoints.iter().map(move |(kind, section)| (name, entry, kind, section)))
        .filter(move |(_, _, kind, _)| (*kind == video::KIND) == (of == Of::Videos))
        .map(|(name, entry, _, section)| (name.as_str(), entry, section))
}

fn lists(list: &[String], named: Option<&(String, super::said::Said<'_>)>) -> bool {
    named.is_some_and(|(name, _)| list.contains(name))
}

/// Whether a section is of the class that prepares images or videos.
fn takes(section: &Checkpoint, found: &Evidence<'_>) -> bool {
    if let Some((remote, _)) = &found.remote {
        return section.remote.contains(remote);
    }
    match &found.kind {
        Some((kind, _)) => section.types.contains(kind),
        // The model's file names it, and its image processor by that.
        None => section.by_model || found.settings && !section.models.is_empty(),
    }
}

/// Whether the settings are those that a section is about.
fn meets(section: &Checkpoint, config: &Config) -> bool {
    section.when.iter().all(|(key, value)| config.is(key, value))
        && section.present.iter().all(|key| config.get(key).is_some())
}

fn fit(section: &Checkpoint, entry: &Entry, found: &Evidence<'_>) -> Fit {
    Fit {
        architecture: found.architectures.iter().any(|(name, _)| section.models.contains(name)),
        model_type: lists(&section.models, found.model_type.as_ref()),
        processor: lists(&section.processors, found.processor.as_ref()),
        conditions: section.when.len() + section.present.len(),
        base: usize::MAX - entry.depth,
    }
}

/// The section that a checkpoint matches best; nothing where no file names a class of images or videos.
pub(super) fn choose(config: &Config, found: &Evidence<'_>, family: Option<&str>, of: Of) -> Result<Option<Choice>> {
    if of == Of::Videos && found.kind.is_none() {
        return Ok(None);
    }
    let fitting: Vec<(Section, Fit)> = sections(of)
        .filter(|(name, _, _)| family.is_none_or(|family| family == *name))
        .filter(|(_, _, section)| takes(section, found) && meets(section, config))
        .map(|(name, entry, section)| ((name, entry, section), fit(section, entry, found)))
        .collect();
    let known = |fit: &Fit| fit.architecture || fit.model_type;
    let classed = found.kind.is_some() || found.remote.is_some();
    let eligible = fitting.iter().filter(|((_, _, section), fit)| {
        of == Of::Videos
            || known(fit)
            || section.by_model && section.models.is_empty() && !classed && found.model().is_none()
            || classed
                && !section.by_model
                && (family.is_some()
                    || found.model().is_none()
                        && (fit.processor || !section.images_only && stands_alone(section, config, found)))
    });
    let Some((chosen, fit)) = eligible.max_by_key(|(_, fit)| *fit) else {
        return Err(refusal(config, found, family, of));
    };
    let (name, entry, section) = *chosen;
    if of == Of::Images {
        contradicted(found, family, *chosen, *fit)?;
    }
    let sure = family.is_some() || !section.images_only && (known(fit) || fit.processor);
    let rivals = fitting.iter().filter(|((other, _, section), rival)| {
        let as_much = rival.conditions == fit.conditions && (of == Of::Videos || stands_alone(section, config, found));
        *other != name && as_much && !section.by_model && !section.images_only
    });
    let unsure = if sure { String::new() } else { unsure(*chosen, found, of, rivals.map(|(rival, _)| *rival)) };
    Ok(Some(Choice { name, entry, section, unsure }))
}

/// Whether the settings tell as much as a section asks for where neither the model nor the processor tells.
fn stands_alone(section: &Checkpoint, config: &Config, found: &Evidence<'_>) -> bool {
    let said = section.alone.iter().all(|(key, value)| config.is(key, value));
    section.alone.is_empty() || said && found.processor.is_none()
}

/// Whether a section names the model.
fn names(section: &Checkpoint, found: &Evidence<'_>) -> bool {
    found.architectures.iter().chain(&found.model_type).any(|(name, _)| section.models.contains(name))
}

/// An error where the files, or they and the caller, name different recipes.
fn contradicted(found: &Evidence<'_>, family: Option<&str>, (name, _, section): Section, fit: Fit) -> Result<()> {
    let owner = |is: &dyn Fn(&Checkpoint) -> bool| sections(Of::Images).find(|(_, _, section)| is(section));
    if let (Some(family), Some((_, model))) = (family, found.model()) {
        let other = |section: &Checkpoint| names(section, found) && takes(section, found) && !section.images_only;
        return match owner(&other).filter(|_| !names(section, found)) {
            Some((other, _, _)) => {
                Err(Error::Checkpoint(format!("{model} is of recipe {other:?}, not of family={family:?}")))
            }
            None => Ok(()),
        };
    }
    let Some((processor, said)) = found.processor.as_ref().filter(|_| family.is_none() && !fit.processor) else {
        return Ok(());
    };
    let Some((other, _, _)) = owner(&|section| section.processors.contains(processor)) else { return Ok(()) };
    let own = found.model().or(found.remote.as_ref()).or(found.kind.as_ref());
    let own = own.map_or_else(|| "the settings".to_owned(), |(_, said)| said.to_string());
    let message = format!("{own} (of recipe {name:?}) and {said} (of {other:?}) disagree; family= says which holds");
    Err(Error::Checkpoint(message))
}

/// Why boxes and videos may be another's, or nothing where all recipes of the class agree on them.
fn unsure((_, entry, section): Section, found: &Evidence<'_>, of: Of, rivals: impl Iterator<Item = Section>) -> String {
    if section.images_only {
        let named = found.model().or(found.processor.as_ref()).or(found.kind.as_ref());
        let named = named.map_or_else(|| "this model".to_owned(), |(_, said)| said.to_string());
        return format!("those of {named} are known to no recipe; family= names one that it is like");
    }
    let about = |entry: &Entry| {
        let videos = (of == Of::Images).then(|| entry.structure.get("video").cloned());
        (entry.structure.get("boxes").cloned(), videos)
    };
    let mut others: Vec<&str> =
        rivals.filter(|(_, other, _)| about(other) != about(entry)).map(|(other, _, _)| other).collect();
    others.dedup();
    if others.is_empty() {
        return String::new();
    }
    let class = found.remote.as_ref().or(found.kind.as_ref()).map_or("the class", |(class, _)| class);
    format!("{class} may also be that of {}, where they differ; family= says which it is", others.join(", "))
}

/// Why no recipe is a checkpoint's.
fn refusal(config: &Config, found: &Evidence<'_>, family: Option<&str>, of: Of) -> Error {
    let said = match found.class() {
        Ok(said) => said,
        Err(error) => return error,
    };
    let message = |text: String| Error::Checkpoint(text);
    if let Some(family) = family {
        return message(format!("recipe {family:?} does not follow {said}"));
    }
    let of_class: Vec<Section> = sections(of).filter(|(_, _, section)| takes(section, found)).collect();
    let named: Vec<Section> = sections(Of::Images).filter(|(_, _, section)| names(section, found)).collect();
    // Of the recipes of one model, that of which most settings are these.
    let met = |(_, _, section): &Section| section.when.iter().filter(|(key, value)| config.is(key, value)).count();
    let owner = named.into_iter().rev().max_by_key(met);
    if found.kind.is_none() && found.remote.is_none() && owner.is_some_and(|(_, _, section)| !takes(section, found)) {
        return message(format!("{said}, but no file is an image processor's ({} is missing)", super::said::TYPES[0]));
    }
    if of_class.is_empty() {
        return message(match &found.remote {
            Some(_) => format!("{said} is a class of the checkpoint's own code, which no recipe follows"),
            None => format!("no recipe follows {said}"),
        });
    }
    if let Some((_, model)) = found.model() {
        if found.kind.is_none() && found.remote.is_none() && owner.is_none() {
            return message(format!("no recipe knows {model}, and no file names an image processor"));
        }
        return match owner {
            Some((name, _, section)) if !takes(section, found) => {
                message(format!("{said} and {model} (of recipe {name:?}) disagree"))
            }
            Some((name, _, section)) => message(format!(
                "{said} with these settings is not what recipe {name:?} follows{}",
                lacking(section, config)
            )),
            None => {
                let mut like: Vec<&str> = of_class.iter().map(|(name, _, _)| *name).collect();
                like.dedup();
                like.truncate(4);
                message(format!(
                    "no recipe knows {model}; {said} is that of {}: family= says which it is like",
                    like.join(", ")
                ))
            }
        };
    }
    let all: Vec<String> = of_class.iter().map(|(_, _, section)| lacking(section, config)).collect();
    message(match &found.processor {
        Some((_, processor)) if all.iter().any(String::is_empty) => {
            format!("no recipe follows {said} with {processor}")
        }
        _ => format!("no recipe follows {said} with these settings{}", all[0]),
    })
}

/// The first setting that a section asks for and a checkpoint lacks.
fn lacking(section: &Checkpoint, config: &Config) -> String {
    let mut conditions = section.when.iter().chain(&section.alone);
    match conditions.find(|(key, value)| !config.is(key, value)) {
        Some((key, value)) => match config.said(key) {
            Some(said) => format!(": {said}, not {value}"),
            None => format!(": {key} is not given"),
        },
        None => String::new(),
    }
}
