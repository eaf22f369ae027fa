//! Places in a recipe, for messages that name its own keys and parameters.

use toml::Value;

use crate::geometry::Size;

/// No side of a tile, canvas or crop is larger.
pub(super) const MAX_SIDE: u64 = 1 << 16;

/// A problem at a place of a recipe.
#[derive(Debug)]
pub(super) struct Problem {
    /// Keys and indices, `views[0].steps[1]`; empty for the recipe itself.
    pub(super) path: String,
    /// The problem, with the value.
    pub(super) message: String,
}

impl Problem {
    /// A problem of the recipe as a whole.
    pub(super) fn of_recipe(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }
}

/// What a check finds.
pub(super) type Check = Result<(), Problem>;

/// A place in a recipe, with what is written there before parameters are filled in.
#[derive(Clone)]
pub(super) struct Place<'a> {
    path: String,
    written: Option<&'a Value>,
}

impl<'a> Place<'a> {
    /// The recipe itself.
    pub(super) fn root(written: &'a Value) -> Self {
        Self { path: String::new(), written: Some(written) }
    }

    /// The place of a key of a recipe, of which nothing refers to parameters.
    pub(super) fn of_key(key: &str) -> Self {
        Self { path: key.to_owned(), written: None }
    }

    /// The place of a key.
    pub(super) fn key(&self, key: &str) -> Self {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Self { path, written: self.written.and_then(|value| value.get(key)) }
    }

    /// The place of an item of a list.
    pub(super) fn item(&self, index: usize) -> Self {
        Self { path: format!("{}[{index}]", self.path), written: self.written.and_then(|value| value.get(index)) }
    }

    /// The name for messages: the parameter to which `key` or its items refer; else the key itself.
    pub(super) fn name(&self, key: &str) -> String {
        let parameter = |value: &Value| {
            let text = value.as_str()?;
            Some(text.strip_prefix('!').unwrap_or(text).strip_prefix('$')?.to_owned())
        };
        let mut names: Vec<String> = match self.written.and_then(|value| value.get(key)) {
            Some(Value::Array(items)) => items.iter().filter_map(parameter).collect(),
            Some(value) => parameter(value).into_iter().collect(),
            None => Vec::new(),
        };
        names.dedup();
        if names.is_empty() { key.to_owned() } else { names.join(" and ") }
    }

    /// A problem at this place.
    pub(super) fn problem(&self, message: impl Into<String>) -> Problem {
        Problem { path: self.path.clone(), message: message.into() }
    }

    /// `key` holds a number within these bounds.
    pub(super) fn range(&self, key: &str, value: u64, min: u64, max: u64) -> Check {
        if (min..=max).contains(&value) {
            Ok(())
        } else {
            Err(self.key(key).problem(format!("{} must be between {min} and {max}, got {value}", self.name(key))))
        }
    }

    /// `key` holds pixels of a side.
    pub(super) fn side(&self, key: &str, value: u32) -> Check {
        self.range(key, value.into(), 1, MAX_SIDE)
    }

    /// `key` holds a number that is at least this, and finite.
    pub(super) fn at_least(&self, key: &str, value: f64, min: f64) -> Check {
        if value.is_finite() && value >= min {
            Ok(())
        } else {
            let message = format!("{} must be a finite number of at least {min}, got {value}", self.name(key));
            Err(self.key(key).problem(message))
        }
    }

    /// The keys that are written here.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.written.and_then(Value::as_table).into_iter().flat_map(|table| table.keys().map(String::as_str))
    }

    /// The name of an item of this list.
    pub(super) fn name_at(&self, index: usize) -> String {
        self.path.rsplit('.').next().map_or_else(String::new, |key| format!("{key}[{index}]"))
    }

    /// `key` holds a size that a view can have: whole patches, unless the recipe says that they need not be.
    pub(super) fn size(&self, key: &str, size: Size, patches: PatchRule) -> Check {
        let Size { width, height } = size;
        let name = self.name(key);
        let wrong = |message: String| Err(self.key(key).problem(format!("{name} {message}, got {width}x{height}")));
        if u64::from(size.longest()) > MAX_SIDE || size.shortest() == 0 {
            return wrong(format!("must be between 1 and {MAX_SIDE} pixels on each side"));
        }
        let patch = patches.size;
        if size.shortest() < patch {
            return wrong(format!("must hold a patch of patch_size {patch}"));
        }
        let whole = width.is_multiple_of(patch) && height.is_multiple_of(patch);
        if !whole && !patches.partial {
            return wrong(format!(
                "must be whole patches of patch_size {patch}, or the recipe must say partial_patches = true (then the rest at the right and below is in no patch)"
            ));
        }
        let merge = patches.merge;
        if !(width / patch).is_multiple_of(merge) || !(height / patch).is_multiple_of(merge) {
            return wrong(format!(
                "must be whole merged patches, {merge}x{merge} of patch_size {patch}, where patches.order is \"merge\""
            ));
        }
        Ok(())
    }
}

/// How sizes of canvases and tiles relate to patches.
#[derive(Clone, Copy)]
pub(super) struct PatchRule {
    /// Side of a patch.
    pub(super) size: u32,
    /// Whether a side need not be whole patches.
    pub(super) partial: bool,
    /// Patches per side of which a side has a multiple: 1 where their order does not ask for more.
    pub(super) merge: u32,
}
