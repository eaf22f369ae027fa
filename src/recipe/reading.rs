//! From a recipe's tables to its types, with errors that name the wrong key and contain no terms of Rust.

use serde::de::DeserializeOwned;
use toml::Value;

use self::deserializer::{Key, Written};
use super::place::{Place, Problem};
use super::spelling;

mod deserializer;

/// The value as a `T`. `place` is where it stands in the recipe.
pub(super) fn read<T: DeserializeOwned>(value: &Value, place: &Place<'_>) -> Result<T, Problem> {
    let wrong = match attempt::<T>(value) {
        Ok(read) => return Ok(read),
        Err(wrong) => wrong,
    };
    let mut found = place.clone();
    let mut at = Some(value);
    let mut keys = wrong.keys;
    if !wrong.message.starts_with("missing field") {
        blame::<T>(value, &wrong.message, &mut keys);
    }
    let mut last = None;
    for key in &keys {
        match key {
            Key::Name(name) => {
                at = at.and_then(|value| value.get(name.as_str()));
                last = Some((found.name(name), name.clone()));
                found = found.key(name);
            }
            Key::Index(index) => {
                at = at.and_then(|value| value.get(*index));
                last = Some((found.name_at(*index), String::new()));
                found = found.item(*index);
            }
        }
    }
    let (name, key) = last.unwrap_or_default();
    let is_list = matches!(at, Some(Value::Table(_))) && wrong.message.contains("expected a sequence");
    let message = if is_list && !key.is_empty() {
        format!("{key} is a list of tables: write [[NAME.{key}]] with two brackets above each, not [NAME.{key}]")
    } else {
        plain(&wrong.message, &name)
    };
    Err(found.problem(message))
}

struct Wrong {
    keys: Vec<Key>,
    message: String,
}

fn attempt<T: DeserializeOwned>(value: &Value) -> Result<T, Wrong> {
    T::deserialize(Written(value)).map_err(|wrong| {
        let (keys, message) = wrong.into_parts();
        Wrong { keys, message }
    })
}

/// Extends the path of a table by its wrong key: the key without which the error changes. serde reads a table with a
/// `kind` as a whole and does not report the key.
fn blame<T: DeserializeOwned>(value: &Value, message: &str, keys: &mut Vec<Key>) {
    while let Some(Value::Table(table)) = at(&mut value.clone(), keys) {
        let words: Vec<String> = table.keys().filter(|key| *key != "kind").cloned().collect();
        let to_blame = words.into_iter().find(|word| {
            let mut without = value.clone();
            if let Some(Value::Table(table)) = at(&mut without, keys) {
                table.remove(word);
            }
            attempt::<T>(&without).map_or_else(|wrong| wrong.message != message, |_| true)
        });
        match to_blame {
            Some(word) => keys.push(Key::Name(word)),
            None if (message.starts_with("unknown variant") || message.contains("variant identifier"))
                && table.contains_key("kind") =>
            {
                keys.push(Key::Name("kind".into()));
            }
            None => return,
        }
    }
}

fn at<'a>(value: &'a mut Value, keys: &[Key]) -> Option<&'a mut Value> {
    keys.iter().try_fold(value, |value, key| match key {
        Key::Name(name) => value.get_mut(name.as_str()),
        Key::Index(index) => value.get_mut(*index),
    })
}

/// serde's message without terms of Rust. `name` has the wrong value.
fn plain(message: &str, name: &str) -> String {
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    if let Some(rest) = message.strip_prefix("missing field ") {
        return format!("{:?} is missing", quoted(rest).unwrap_or_default());
    }
    for start in ["unknown field ", "unknown variant "] {
        if let Some((word, known)) = message.strip_prefix(start).and_then(|rest| rest.split_once(", ")) {
            let word = word.trim_matches('`');
            let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
            let hint = spelling::question(word, known.iter().copied());
            let shown = spelling::shortened(word);
            return format!("unknown word {shown:?}{hint} (known are {})", known.join(", "));
        }
    }
    let parts = message.strip_prefix("invalid ").and_then(|rest| rest.split_once(": ").or(rest.split_once(' ')));
    let Some((got, expected)) = parts.and_then(|(_, rest)| rest.rsplit_once(", expected ")) else {
        return message.to_owned();
    };
    let got = match got.split_once(' ') {
        Some(("string", text)) => text.to_owned(),
        _ => match got {
            "sequence" => "a list".to_owned(),
            "map" => "a table".to_owned(),
            _ if message.starts_with("invalid length") => format!("{got} of them"),
            _ => quoted(got).unwrap_or_else(|| got.to_owned()),
        },
    };
    let name = if name.is_empty() { "it" } else { name };
    format!("{name} must be {}, got {got}", wanted(expected))
}

/// The expected type, in terms of the recipe language.
fn wanted(expected: &str) -> String {
    let length = expected.strip_prefix("an array of length ").or_else(|| expected.strip_prefix("a tuple of size "));
    if let Some(length) = length {
        return format!("a list of {length}");
    }
    match expected {
        "u8" | "u32" | "u64" => "a whole number of 0 or more",
        "i64" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "string or map" | "string only" | "variant identifier" => "a word",
        "a map" => "a table",
        _ if expected.starts_with("enum ") => "a word",
        _ if expected.contains("struct ") || expected.contains("enum ") => "a table",
        _ => expected,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_need_no_rust() {
        for (message, expected) in [
            ("missing field `title`", "\"title\" is missing"),
            (
                "unknown field `kidn`, expected one of `kind`, `to`",
                "unknown word \"kidn\"; did you mean \"kind\"? (known are kind, to)",
            ),
            ("unknown variant `x`, expected `all`", "unknown word \"x\" (known are all)"),
            ("invalid type: string \"6\", expected u32", "max must be a whole number of 0 or more, got \"6\""),
            ("invalid value: integer `-1`, expected u32", "max must be a whole number of 0 or more, got -1"),
            ("invalid type: boolean `true`, expected f64", "max must be a number, got true"),
            ("invalid length 2, expected an array of length 3", "max must be a list of 3, got 2 of them"),
            ("invalid type: integer `3`, expected struct Pixels", "max must be a table, got 3"),
            ("a size is [width, height]", "a size is [width, height]"),
        ] {
            assert_eq!(plain(message, "max"), expected);
        }
    }
}
