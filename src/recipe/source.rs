//! Recipe files as text: parsed into tables, with the line of each key.

use std::borrow::Cow;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::error::{Error, Result};

/// Most bytes of a file of recipes.
const MAX_BYTES: usize = 1 << 20;

/// A file of recipes, or a text that is none.
#[derive(Debug)]
pub(super) struct Source {
    /// Its name in messages; empty of a text.
    pub(super) file: String,
    text: Cow<'static, str>,
    /// Whether it is part of the library.
    built_in: bool,
}

impl Source {
    /// A file that is part of the library.
    pub(super) fn built_in(file: &'static str, text: &'static str) -> Self {
        Self { file: format!("built-in {file}.toml"), text: Cow::Borrowed(text), built_in: true }
    }

    /// A text.
    pub(super) fn of_text(text: &str) -> Self {
        Self { file: String::new(), text: Cow::Owned(text.to_owned()), built_in: false }
    }

    /// A file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let size = std::fs::metadata(path).map_err(|error| Error::of_file(path, &error))?.len();
        if size > MAX_BYTES as u64 {
            return Err(too_long(&file, size));
        }
        let bytes = std::fs::read(path).map_err(|error| Error::of_file(path, &error))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::RecipeFile { file: file.clone(), message: "is not UTF-8".into() })?;
        Ok(Self { file, text: Cow::Owned(text), built_in: false })
    }

    /// The file's name where it is a user's.
    pub(super) fn own_file(&self) -> Option<&str> {
        (!self.built_in && !self.file.is_empty()).then_some(self.file.as_str())
    }

    /// The tables of its recipes, by name.
    pub(super) fn recipes(&self) -> Result<Vec<(String, Table)>> {
        if self.text.len() > MAX_BYTES {
            return Err(too_long(&self.file, self.text.len() as u64));
        }
        let table: Table = self.text.parse().map_err(|error: toml::de::Error| {
            let start = error.span().map(|span| span.start);
            let line = start.map(|start| self.line_at(start));
            match start.filter(|_| error.message() == "duplicate key").and_then(|start| self.doubled(start)) {
                Some(message) => self.error(line, &message),
                None => self.error(line, error.message()),
            }
        })?;
        let named = table.into_iter().map(|(name, value)| match value {
            Value::Table(recipe) => Ok((name, recipe)),
            other => {
                let message = format!(
                    "{name} = {} stands outside of a recipe: a file has a table for each recipe, [name]",
                    brief(&other)
                );
                Err(self.error(self.line(&[Key::Name(&name)]).map(|(line, _)| line), &message))
            }
        });
        named.collect()
    }

    /// A problem of the file itself.
    pub(super) fn error(&self, line: Option<usize>, message: &str) -> Error {
        let file = if self.file.is_empty() { "the text of recipes" } else { &self.file };
        let file = line.map_or_else(|| file.to_owned(), |line| format!("{file}, line {line}"));
        Error::RecipeFile { file, message: message.trim_end().replace('\n', " ") }
    }

    /// The line of the last of these keys that exists, and how many do.
    pub(super) fn line(&self, path: &[Key<'_>]) -> Option<(usize, usize)> {
        let document = DeTable::parse(&self.text).ok()?;
        let mut table = Some(document.get_ref());
        let mut list = None;
        let mut found = None;
        for (depth, key) in path.iter().enumerate() {
            let (start, value) = match (key, table, list) {
                (Key::Name(name), Some(table), _) => {
                    let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == name) else { break };
                    (key.span().start, value.get_ref())
                }
                (Key::Index(index), _, Some(items)) => {
                    let items: &toml::de::DeArray<'_> = items;
                    let Some(item) = items.get(*index) else { break };
                    (item.span().start, item.get_ref())
                }
                _ => break,
            };
            found = Some((self.line_at(start), depth + 1));
            (table, list) = match value {
                DeValue::Table(table) => (Some(table), None),
                DeValue::Array(items) => (None, Some(items)),
                _ => (None, None),
            };
        }
        found
    }

    /// What to say of the key at `start`, which its table has already.
    fn doubled(&self, start: usize) -> Option<String> {
        let begin = self.text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let line = self.text.get(begin..)?.lines().next()?.trim();
        let Some(header) = line.strip_prefix('[') else {
            let key = line.split('=').next()?.trim();
            return Some(format!("the key {key:?} is there twice"));
        };
        let path = header.trim_start_matches('[').split(']').next()?.trim();
        let key = path.rsplit('.').next()?;
        Some(format!(
            "the table {path:?} is there twice: each item of a list of tables, such as views or outputs, starts with [[{path}]] (two brackets), and {key:?} can't be both"
        ))
    }

    fn line_at(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }
}

fn too_long(file: &str, bytes: u64) -> Error {
    Error::RecipeFile { file: file.to_owned(), message: format!("has {bytes} bytes, over the limit of {MAX_BYTES}") }
}

/// A value in a message: not all of it where it is long.
fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 60 { format!("{}…", text.chars().take(60).collect::<String>()) } else { text }
}

/// A step into a document.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Key<'a> {
    /// Of a table.
    Name(&'a str),
    /// Of a list.
    Index(usize),
}

/// The keys of a path such as `views[0].steps[1].to`.
pub(super) fn keys(path: &str) -> Vec<Key<'_>> {
    let mut keys = Vec::new();
    for part in path.split('.') {
        let mut pieces = part.split('[');
        match pieces.next() {
            Some(name) if !name.is_empty() => keys.push(Key::Name(name)),
            _ => {}
        }
        keys.extend(pieces.filter_map(|index| index.strip_suffix(']')?.parse().ok()).map(Key::Index));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_lines() {
        let source = Source::of_text(
            "[a]\nx = 1\n\n[[a.views]]\nrole = 'tile'\nsteps = [\n  { kind = 'pad' },\n  { kind = 'squash',\n  to = 3 },\n]\n",
        );
        let line = |path: &str| {
            let all: Vec<_> = std::iter::once(Key::Name("a")).chain(keys(path)).collect();
            source.line(&all)
        };
        assert_eq!(line(""), Some((1, 1)));
        assert_eq!(line("x"), Some((2, 2)));
        assert_eq!(line("views[0].role"), Some((5, 4)));
        assert_eq!(line("views[0].steps[1]"), Some((8, 5)));
        assert_eq!(line("views[0].steps[1].to.deeper"), Some((9, 6)));
        assert_eq!(line("views[7]"), Some((4, 2)));
        assert_eq!(source.line(&[Key::Name("b")]), None);
    }
}
