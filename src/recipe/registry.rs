//! The built-in recipes, parsed once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;
use toml::{Table, Value};

use super::language::Checkpoint;
use crate::error::{Error, Result};

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

/// A recipe before its parameters are filled in.
pub(super) struct Entry {
    pub(super) params: Table,
    pub(super) structure: Table,
    pub(super) checkpoints: BTreeMap<String, Checkpoint>,
    /// How many recipes it extends, one after the other.
    pub(super) depth: usize,
}

pub(super) fn entry(name: &str) -> Result<&'static Entry> {
    registry().get(name).ok_or_else(|| Error::UnknownRecipe { name: name.to_owned(), known: super::names().join(", ") })
}

/// All entries by name. The files are part of the binary, so what is wrong with one is a bug, found by the first test.
pub(super) fn registry() -> &'static BTreeMap<String, Entry> {
    static REGISTRY: OnceLock<BTreeMap<String, Entry>> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let common: Table = toml::from_str(COMMON).expect("builtin/common.toml parses");
        let mut sources = BTreeMap::new();
        for (file, text) in FAMILIES {
            let family: Table = toml::from_str(text).unwrap_or_else(|error| panic!("builtin/{file}.toml: {error}"));
            for (name, recipe) in family {
                let Value::Table(recipe) = recipe else { panic!("builtin/{file}.toml: {name} is not a table") };
                assert!(sources.insert(name.clone(), recipe).is_none(), "two recipes are named {name}");
            }
        }
        sources.keys().map(|name| (name.clone(), resolve(name, &sources, &common))).collect()
    })
}

fn resolve(name: &str, sources: &BTreeMap<String, Table>, common: &Table) -> Entry {
    let mut lineage = vec![name];
    while let Some(Value::String(base)) = lineage.last().and_then(|last| sources[*last].get("extends")) {
        assert!(!lineage.contains(&base.as_str()), "{name} extends itself");
        lineage.push(base);
    }
    let mut merged = common.clone();
    for ancestor in lineage.iter().rev() {
        merge(&mut merged, &sources[*ancestor]);
    }
    merged.remove("extends");
    // A derived recipe writes `false` where it does not take videos as the recipe that it extends does.
    if merged.get("video").is_some_and(|video| !video.is_table()) {
        merged.remove("video");
    }
    let mut section = |key: &str| match merged.remove(key) {
        Some(Value::Table(table)) => table,
        _ => Table::new(),
    };
    let mut params = section("params");
    let checkpoints = section("checkpoint")
        .into_iter()
        // A derived recipe writes `false` for a kind of configuration that is not its own.
        .filter(|(_, value)| value.is_table())
        .map(|(key, value)| {
            let checkpoint = Checkpoint::deserialize(value).unwrap_or_else(|error| panic!("{name}: {error}"));
            (key, checkpoint)
        })
        .collect();
    // A derived recipe has those parameters that it names, and those that something of it refers to.
    let text = toml::to_string(&merged).unwrap_or_default();
    let own = |key: &str| sources[name].get("params").is_some_and(|params| params.get(key).is_some());
    params.retain(|key, _| lineage.len() == 1 || own(key) || text.contains(&format!("${key}\"")));
    Entry { params, structure: merged, checkpoints, depth: lineage.len() - 1 }
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
