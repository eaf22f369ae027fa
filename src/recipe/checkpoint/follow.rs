//! From the contents of the files to a recipe's parameters, if the recipe can be exact.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde::Deserialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::said::{Config, Said, is_off, same, shorten, to_toml, under};
use crate::error::{Error, Result};
use crate::recipe::coerce;
use crate::recipe::entry::Entry;
use crate::recipe::language::Checkpoint;

/// Parameters that every image processor writes under one name.
const COMMON: [(&str, &str); 10] = [
    ("image_mean", "image_mean"),
    ("image_std", "image_std"),
    ("rescale_factor", "rescale_factor"),
    ("do_rescale", "do_rescale"),
    ("do_normalize", "do_normalize"),
    ("filter", "resample"),
    ("convert", "do_convert_rgb"),
    ("patch_size", "patch_size"),
    ("merge_size", "merge_size"),
    ("temporal_patch_size", "temporal_patch_size"),
];

/// Pillow's numbers of its filters.
const FILTERS: [&str; 6] = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"];

/// Keys that do not affect pixels.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    without_effect: Vec<String>,
    off: Vec<String>,
    idle: BTreeMap<String, String>,
    null: BTreeMap<String, String>,
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    // It cannot fail: the file is part of the library, and the test below reads it.
    KEYS.get_or_init(|| toml::from_str(include_str!("keys.toml")).expect("keys.toml parses"))
}

/// The parameters that a configuration asks for, where the recipe can be exact.
pub(super) fn follow(name: &str, entry: &Entry, section: &Checkpoint, config: &Config) -> Result<Table> {
    let refuse = |message: String| Err(Error::Checkpoint(message));
    for (key, expected) in &section.fixed {
        // The processor's file and the model's may disagree.
        for said in [config.written(key), config.of_model(key)].into_iter().flatten() {
            if !same(said.value, expected) {
                return refuse(format!("{said} is not what recipe {name:?} does ({})", shorten(&expected.to_string())));
            }
        }
    }
    for (key, values) in &section.refused {
        if let Some(said) = config.written(key)
            && values.iter().any(|refused| same(said.value, refused))
        {
            return refuse(format!("{said} is not followed by recipe {name:?}"));
        }
    }
    for key in &section.absent {
        if let Some(said) = config.setting(key) {
            return refuse(format!("{said} is not followed by recipe {name:?}"));
        }
    }
    for [first, second] in &section.equal {
        if let (Some(a), Some(b)) = (config.said(first), config.said(second))
            && a.value != b.value
        {
            return refuse(format!("{a} and {b} must agree in recipe {name:?}"));
        }
    }
    every_key_is_known(name, entry, section, config)?;
    parameters(name, entry, section, config)
}

/// Keys of each parameter.
type Parameters<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// Keys of each parameter in the processor's files.
fn setting_keys(section: &Checkpoint) -> Parameters<'_> {
    let mut keys: Parameters<'_> = COMMON.iter().map(|(param, key)| (*param, vec![*key])).collect();
    for (param, named) in &section.keys {
        keys.insert(param, named.iter().map(String::as_str).collect());
    }
    keys
}

fn parameters(name: &str, entry: &Entry, section: &Checkpoint, config: &Config) -> Result<Table> {
    let mut overrides = section.defaults.clone();
    let keys = setting_keys(section);
    let named = ["model_type", "architectures"].iter().any(|key| config.of_model(key).is_some());
    for (param, default) in &entry.params {
        let listed = || keys.get(param.as_str()).into_iter().flatten();
        let null =
            || listed().find_map(|key| config.written(key)).filter(|said| !silent(entry, section, config, &keys, said));
        let of_setting = listed().find_map(|key| config.setting(key)).or_else(null);
        // Colours are then converted as the recipe does it.
        let of_setting = of_setting.filter(|said| param != "convert" || said.value != &Json::Bool(true));
        let of_model = section.model_keys.get(param).into_iter().flatten().find_map(|key| config.of_model(key));
        let read = |said: Said<'_>| value(name, section, param, default, said);
        let found = of_setting.map(read).transpose()?;
        let unsaid = || section.model_defaults.get(param).filter(|_| named).cloned();
        let modelled = of_model.map(read).transpose()?.or_else(unsaid);
        // Where the model alone tells, it need not agree with a class of transformers.
        let assumed = found.as_ref().or_else(|| section.defaults.get(param).filter(|_| !section.by_model));
        if let (Some(of_model), Some(modelled), Some(assumed)) = (of_model, &modelled, assumed)
            && modelled != assumed
        {
            let setting = of_setting.map_or_else(
                || format!("{param}={assumed}, which the image processor assumes,"),
                |said| said.to_string(),
            );
            return Err(Error::Checkpoint(format!("{setting} and {of_model} disagree")));
        }
        if let Some(value) = found.or(modelled) {
            overrides.insert(param.clone(), value);
        }
    }
    for (param, [dividend, divisor]) in &section.divided {
        if let (Some(dividend), Some(divisor)) = (config.get(dividend), config.get(divisor)) {
            let quotient = dividend.value.as_f64().zip(divisor.value.as_f64()).map(|(a, b)| (a / b).floor());
            let whole = quotient.filter(|quotient| (1.0..=f64::from(u32::MAX)).contains(quotient));
            let whole = whole.ok_or_else(|| {
                Error::Checkpoint(format!("{dividend} over {divisor} cannot be followed by recipe {name:?}"))
            })?;
            overrides.insert(param.clone(), Value::Integer(whole as i64));
        }
    }
    Ok(overrides)
}

/// Whether a null leaves a parameter as it is: where the class then takes its default, or does not do the step that reads it.
fn silent(entry: &Entry, section: &Checkpoint, config: &Config, keys: &Parameters<'_>, null: &Said<'_>) -> bool {
    let not_done = |step: &str| match config.written(step) {
        Some(said) => is_off(said.value),
        None => keys.iter().any(|(param, listed)| {
            let default = section.defaults.get(*param).or_else(|| entry.params.get(*param));
            listed.contains(&step) && default == Some(&Value::Boolean(false))
        }),
    };
    section.null_is_default.iter().any(|name| under(null.key, name))
        || self::keys().null.iter().any(|(name, step)| under(null.key, name) && not_done(step))
}

/// What a key says, as a value of the parameter. A step that is null is not done.
fn value(name: &str, section: &Checkpoint, param: &str, default: &Value, said: Said<'_>) -> Result<Value> {
    let off = Json::Bool(false);
    let said = match default {
        Value::Boolean(_) if said.value.is_null() => Said { value: &off, ..said },
        _ => said,
    };
    let converted = match param {
        "filter" | "global_filter" => filter(said.value),
        "convert" => is_off(said.value).then(|| Value::String("none".into())),
        _ if section.numbers.contains_key(param) && said.value.is_string() => {
            number_after(said.value.as_str().unwrap_or_default(), &section.numbers[param])
        }
        _ => to_toml(&plain(default, said.value, section.transposed.iter().any(|listed| listed == param)))
            .and_then(|given| coerce(default, &given)),
    };
    converted.ok_or_else(|| Error::Checkpoint(format!("{said} cannot be followed by recipe {name:?}")))
}

/// Both sides of a square as its side where the parameter is one, one channel's value as that of all, and pairs in the other
/// order where the recipe has them so.
fn plain(default: &Value, given: &Json, transposed: bool) -> Json {
    match (default, given.as_array().map(Vec::as_slice)) {
        (Value::Integer(_), Some([first, rest @ ..])) if rest.iter().all(|side| side == first) => first.clone(),
        (Value::Array(items), Some([one])) if one.is_number() && items.len() > 1 => {
            Json::from(vec![one.clone(); items.len()])
        }
        (_, Some(pairs)) if transposed => pairs
            .iter()
            .map(|pair| pair.as_array().map_or_else(|| pair.clone(), |sides| sides.iter().rev().cloned().collect()))
            .collect(),
        _ => given.clone(),
    }
}

/// The number that follows a word in a name: of "patch" in `vit_base_patch16_224` it is 16.
fn number_after(text: &str, word: &str) -> Option<Value> {
    let (_, rest) = text.split_once(word)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok().map(Value::Integer)
}

fn filter(value: &Json) -> Option<Value> {
    let by_number = || FILTERS.get(usize::try_from(value.as_u64()?).ok()?).copied();
    let by_name = || FILTERS.into_iter().find(|name| Some(*name) == value.as_str());
    Some(Value::String(by_number().or_else(by_name)?.into()))
}

/// Refuses a key of the image processor's own file that the recipe neither reads nor fixes, and that is not known to be
/// without effect.
fn every_key_is_known(name: &str, entry: &Entry, section: &Checkpoint, config: &Config) -> Result<()> {
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for (param, key) in COMMON {
        if entry.params.contains_key(param) || section.keys.contains_key(param) {
            known.insert(key);
        }
    }
    known.extend(
        setting_keys(section).iter().filter(|(param, _)| entry.params.contains_key(**param)).flat_map(|(_, keys)| keys),
    );
    let tables = [&section.fixed, &section.when, &section.alone];
    known.extend(tables.into_iter().flat_map(Table::keys).map(String::as_str));
    known.extend(section.refused.keys().map(String::as_str));
    known.extend(section.equal.iter().flatten().map(String::as_str));
    let lists = [&section.present, &section.absent, &section.without_effect];
    known.extend(lists.into_iter().flatten().map(String::as_str));
    known.extend(section.model_keys.values().flatten().map(String::as_str));
    known.extend(section.divided.values().flatten().map(String::as_str));
    let general = keys();
    let without_effect = |key: &str, value: &Json| {
        let listed = |names: &[String]| names.iter().any(|name| under(key, name));
        let idle = general
            .idle
            .iter()
            .find(|(name, _)| under(key, name))
            .is_some_and(|(_, step)| config.written(step).is_none_or(|said| is_off(said.value)));
        listed(&general.without_effect)
            || listed(&section.without_effect)
            || idle
            || is_off(value) && listed(&general.off)
    };
    for layer in config.settings.iter().filter(|layer| layer.own) {
        // A class keeps a null that it does not know, and does nothing with it.
        for (key, value) in layer.keys.iter().filter(|(_, value)| !value.is_null()) {
            if !known.contains(key.as_str()) && !without_effect(key, value) {
                let said = Said { file: &layer.file, key, value };
                return Err(Error::Checkpoint(format!(
                    "{said} is neither read nor fixed by recipe {name:?}; ignore=[{key:?}] passes over it"
                )));
            }
        }
    }
    Ok(())
}

#[test]
fn the_table_of_keys_parses() {
    assert!(!keys().without_effect.is_empty());
}
