//! From a recipe's tables and its parameters' values to a checked [`Recipe`].

use std::sync::Arc;

use toml::{Table, Value};

use super::entry::Entry;
use super::place::{Place, Problem};
use super::{Body, Recipe, Strategy, check, parameters, reading, spelling};
use crate::error::{Error, Result};

impl Recipe {
    /// Builds the recipe of a checkpoint. Its sizes need not be whole patches, because it does what the checkpoint's
    /// class does.
    pub(super) fn followed(entry: &Arc<Entry>, overrides: &Table) -> Result<Self> {
        let build = |partial| Self::build(Arc::clone(entry), entry.params.clone(), overrides, partial);
        build(false).or_else(|_| build(true))
    }

    /// Fills parameters in. `partial` says that sizes need not be whole patches, whatever the recipe says.
    pub(super) fn build(entry: Arc<Entry>, mut params: Table, overrides: &Table, partial: bool) -> Result<Self> {
        for (key, value) in overrides {
            let Some(slot) = params.get_mut(key) else {
                let names = || params.keys().map(String::as_str);
                let hint = spelling::question(key, names());
                let known = if hint.is_empty() { spelling::listed(names()) } else { String::new() };
                return Err(Error::UnknownParameter {
                    recipe: entry.name.clone(),
                    name: spelling::shortened(key),
                    hint,
                    known,
                });
            };
            *slot = coerce(slot, value).ok_or_else(|| Error::Recipe {
                recipe: entry.name.clone(),
                message: format!("{key} must be {}, got {value}", describe(slot)),
            })?;
            if let Some(Err(problem)) = parameters().get(key).map(|parameter| parameter.check(slot)) {
                let message = format!("{key} must be {problem}");
                return Err(Error::Recipe { recipe: entry.name.clone(), message });
            }
        }
        let invalid = |mut problem: Problem| {
            // An override is the likelier fault: the file was valid without it.
            if overrides.is_empty() {
                return entry.error(&problem);
            }
            let given = overrides.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
            if !overrides.keys().any(|key| problem.message.contains(key.as_str())) {
                problem.message = format!("{} (with {given})", problem.message);
            }
            Error::Recipe { recipe: entry.name.clone(), message: problem.message }
        };
        let written = Value::Table(entry.structure.clone());
        let mut filled = written.clone();
        substitute(&mut filled, &params, "").map_err(&invalid)?;
        let place = &Place::root(&written);
        let mut body: Body = reading::read(&filled, place).map_err(&invalid)?;
        body.partial_patches |= partial;
        check::body(&mut body, place).map_err(&invalid)?;
        if check::tiled_by_overrides(&body, place, params == entry.params).map_err(&invalid)? {
            body.strategy = Strategy::Tiles;
        }
        Ok(Self { entry, params, body })
    }
}

/// The override as a value of the parameter's own type, or nothing. An integer may stand for a float.
pub(super) fn coerce(default: &Value, given: &Value) -> Option<Value> {
    match (default, given) {
        (Value::Float(_), Value::Integer(integer)) => Some(Value::Float(*integer as f64)),
        (Value::Array(items), Value::Array(new)) => match items.first() {
            Some(item) => Some(Value::Array(new.iter().map(|value| coerce(item, value)).collect::<Option<_>>()?)),
            None => Some(given.clone()),
        },
        _ => default.same_type(given).then(|| given.clone()),
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Integer(_) => "an integer".into(),
        Value::Float(_) => "a number".into(),
        Value::Boolean(_) => "true or false".into(),
        Value::String(_) => "a string".into(),
        Value::Array(items) => match items.first() {
            Some(Value::Integer(_)) => "a list of integers".into(),
            Some(Value::Float(_)) => "a list of numbers".into(),
            Some(Value::Array(_)) => "a list of lists of integers".into(),
            _ => "a list".into(),
        },
        other => other.type_str().into(),
    }
}

/// Replaces every `"$name"` by the parameter's value, and `"!$name"` by its opposite.
pub(super) fn substitute(value: &mut Value, params: &Table, path: &str) -> std::result::Result<(), Problem> {
    let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::String(text) => {
            let (negated, reference) = text.strip_prefix('!').map_or((false, text.as_str()), |rest| (true, rest));
            let Some(name) = reference.strip_prefix('$') else { return Ok(()) };
            let wrong = |message: String| Problem { path: path.to_owned(), message };
            let param = params.get(name).ok_or_else(|| {
                let hint = spelling::question(name, params.keys().map(String::as_str));
                wrong(format!("{text:?} refers to no parameter of it{hint}"))
            })?;
            *value = match param {
                Value::Boolean(on) if negated => Value::Boolean(!on),
                other if negated => {
                    return Err(wrong(format!("{text:?} needs {name} to be true or false, got {other}")));
                }
                other => other.clone(),
            };
            Ok(())
        }
        Value::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(index, item)| substitute(item, params, &format!("{path}[{index}]")))
        }
        Value::Table(table) => table.iter_mut().try_for_each(|(key, item)| substitute(item, params, &inner(key))),
        _ => Ok(()),
    }
}
