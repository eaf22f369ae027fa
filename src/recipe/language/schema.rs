//! The language as a JSON schema, out of its types and their comments: for editors, and for the tables of docs/recipes.md.
//!
//! `VLMRES_WRITE_SCHEMA=1 cargo test --lib schema` rewrites the file.

use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Checkpoint, OutputKind};
use crate::geometry::Size;
use crate::recipe::Body;

const FILE: &str = "python/vlmres/recipe.schema.json";

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <[u32; 2]>::json_schema(generator)
    }
}

/// Sections of which a recipe may write a part: the rest is that of the recipe that it extends, or of all recipes.
const PARTIAL: [&str; 6] = ["Pixels", "Patches", "Tokens", "Boxes", "Video", "Checkpoint"];

fn schema() -> Value {
    let mut generator = SchemaSettings::draft07().into_generator();
    let mut recipe = Value::from(Body::json_schema(&mut generator));
    let checkpoint = Value::from(generator.subschema_for::<Checkpoint>());
    let mut definitions: Map<String, Value> = generator.take_definitions(true);
    for name in PARTIAL {
        let partial = definitions[name].as_object_mut().unwrap();
        partial.remove("required");
    }
    let mut frame = definitions["ViewSpec"].clone();
    frame.as_object_mut().unwrap().remove("required");
    definitions.insert("FrameView".into(), frame);
    definitions["Video"]["properties"]["view"]["allOf"] = json!([{ "$ref": "#/definitions/FrameView" }]);
    definitions["Video"]["properties"]["view"].as_object_mut().unwrap().remove("$ref");
    definitions["OutputSpec"]["allOf"] = words(&definitions["OutputKind"]);
    for (name, definition) in &mut definitions {
        // What a checkpoint's files say is no parameter.
        if name != "Checkpoint" {
            with_parameters(definition, true);
        }
    }
    with_parameters(&mut recipe, true);
    definitions.insert(
        "Parameter".into(),
        json!({ "type": "string", "pattern": "^!?\\$.", "description": "The value of a parameter, \"$name\", or its opposite, \"!$name\"." }),
    );
    let own = recipe["properties"].as_object_mut().unwrap();
    own.insert(
        "extends".into(),
        json!({ "type": "string", "description": "The recipe that this one starts from: this recipe's tables override those of the named recipe, and lists replace whole lists." }),
    );
    own.insert(
        "params".into(),
        json!({ "type": "object", "description": "What users may override, with the values that hold unless they do." }),
    );
    let video = own["video"].clone();
    own.insert("video".into(), json!({ "anyOf": [{ "const": false }, video], "description": "How the family takes videos; false where a derived recipe takes none." }));
    own.insert(
        "checkpoint".into(),
        json!({
            "description": "Configuration files that the recipe follows, by a name of one's own; false for one of the extended recipe's that is not its own. The section video is of the files of videos.",
            "type": "object",
            "additionalProperties": { "anyOf": [{ "const": false }, checkpoint] },
        }),
    );
    let recipe = recipe.as_object_mut().unwrap();
    for key in ["required", "$schema", "title", "definitions"] {
        recipe.remove(key);
    }
    definitions.insert("Recipe".into(), Value::Object(recipe.clone()));
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Recipes of vlmres",
        "description": "A table for each recipe, by name.",
        "type": "object",
        "additionalProperties": { "$ref": "#/definitions/Recipe" },
        "definitions": definitions,
    })
}

/// Which words each kind of output has.
fn words(kinds: &Value) -> Value {
    let kinds = kinds["oneOf"].as_array().unwrap().iter().flat_map(|kind| {
        let list = kind.get("enum").and_then(Value::as_array).cloned().unwrap_or_default();
        list.into_iter().chain(kind.get("const").cloned())
    });
    let rules = kinds.map(|kind| {
        let words = OutputKind::deserialize(&kind).unwrap().words();
        let all: Vec<_> = ["key", "kind", "enabled"].iter().chain(words).collect();
        json!({
            "if": { "properties": { "kind": { "const": kind } } },
            "then": { "propertyNames": { "enum": all } },
        })
    });
    rules.collect()
}

/// Allows a parameter wherever a value may stand.
fn with_parameters(schema: &mut Value, root: bool) {
    let parameter = json!({ "$ref": "#/definitions/Parameter" });
    let Value::Object(object) = schema else { return };
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            "properties" => {
                for (name, value) in value.as_object_mut().unwrap() {
                    with_parameters(value, name == "kind" || name == "key" || name == "role");
                }
            }
            "items" => with_parameters(value, false),
            "oneOf" | "anyOf" if root => {
                value.as_array_mut().unwrap().iter_mut().for_each(|item| with_parameters(item, true));
            }
            _ => {}
        }
    }
    if !root && !object.contains_key("const") {
        let description = object.remove("description");
        let default = object.remove("default");
        let mut inner = Map::new();
        inner.append(object);
        object.insert("anyOf".into(), json!([inner, parameter]));
        object.extend(description.map(|text| ("description".to_owned(), text)));
        object.extend(default.map(|value| ("default".to_owned(), value)));
    }
}

#[test]
fn the_schema_is_what_the_code_says() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os("VLMRES_WRITE_SCHEMA").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == text, "{FILE} is stale: VLMRES_WRITE_SCHEMA=1 cargo test --lib schema");
    assert!(text.len() < 300_000, "{} bytes", text.len());
}
