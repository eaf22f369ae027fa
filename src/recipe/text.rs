//! A recipe as TOML.

use std::fmt::Write;

use toml::{Table, Value};

/// Sections in the order in which people write them.
const SECTIONS: [&str; 8] = ["params", "pixels", "patches", "views", "tokens", "outputs", "boxes", "video"];

/// A file of one recipe that needs no other.
pub(super) fn write(name: &str, params: &Table, structure: &Table, checkpoint: &Table) -> String {
    let mut out = String::new();
    let mut body = structure.clone();
    body.insert("params".into(), Value::Table(params.clone()));
    let sections: Vec<_> = SECTIONS.iter().filter_map(|key| Some((*key, body.remove(*key)?))).collect();
    let name = quoted(name);
    table(&mut out, &name, &body);
    for (key, value) in sections {
        section(&mut out, &format!("{name}.{key}"), &value);
    }
    for (kind, value) in checkpoint {
        section(&mut out, &format!("{name}.checkpoint.{}", quoted(kind)), value);
    }
    out
}

/// A table, or each table of a list, under a header of its own.
fn section(out: &mut String, path: &str, value: &Value) {
    match value {
        Value::Table(entries) => table(out, path, entries),
        Value::Array(items) => {
            for item in items {
                let _ = writeln!(out, "\n[[{path}]]");
                if let Value::Table(entries) = item {
                    pairs(out, entries);
                }
            }
        }
        // Nothing else passes the checks of a recipe.
        _ => {}
    }
}

fn table(out: &mut String, path: &str, entries: &Table) {
    let _ = writeln!(out, "{}[{path}]", if out.is_empty() { "" } else { "\n" });
    let (inner, plain): (Table, Table) = entries.clone().into_iter().partition(|(_, value)| is_section(value));
    pairs(out, &plain);
    for (key, value) in &inner {
        section(out, &format!("{path}.{}", quoted(key)), value);
    }
}

/// Whether a value is long enough for a header: a table that holds lists of tables, or a list of such.
fn is_section(value: &Value) -> bool {
    let holds_lists = |value: &Value| {
        value.as_table().is_some_and(|table| {
            table.values().any(|value| value.as_array().is_some_and(|items| items.iter().any(Value::is_table)))
        })
    };
    match value {
        Value::Table(table) => holds_lists(value) || table.values().any(Value::is_table),
        Value::Array(items) => {
            !items.is_empty() && items.iter().all(|item| item.is_table() && item.get("key").is_some())
        }
        _ => false,
    }
}

fn pairs(out: &mut String, entries: &Table) {
    for (key, value) in entries {
        let key = quoted(key);
        match value {
            // A step a line.
            Value::Array(items) if items.len() > 1 && items.iter().all(Value::is_table) => {
                let _ = writeln!(out, "{key} = [");
                for item in items {
                    let _ = writeln!(out, "    {},", inline(item));
                }
                let _ = writeln!(out, "]");
            }
            _ => {
                let _ = writeln!(out, "{key} = {}", inline(value));
            }
        }
    }
}

/// A value in one line, the kind of a table first.
fn inline(value: &Value) -> String {
    match value {
        Value::Table(table) if table.is_empty() => "{}".into(),
        Value::Table(table) => {
            let (kind, others): (Vec<_>, Vec<_>) = table.iter().partition(|(key, _)| *key == "kind");
            let pairs = kind.into_iter().chain(others);
            let pairs: Vec<_> = pairs.map(|(key, value)| format!("{} = {}", quoted(key), inline(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// A key as TOML writes it.
fn quoted(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if bare { key.to_owned() } else { Value::String(key.to_owned()).to_string() }
}
