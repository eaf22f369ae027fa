//! Recipes and images out of a fuzzer's bytes.

use std::path::Path;

use arbitrary::{Result, Unstructured};
use toml::{Table, Value};
use vlmres::geometry::Size;
use vlmres::recipe::{Recipe, names};

/// A built-in recipe with some of its parameters overridden; none where it refuses them.
pub fn recipe(bytes: &mut Unstructured<'_>) -> Result<Option<Recipe>> {
    let names = names().expect("built-in recipes");
    let name = bytes.choose(&names)?;
    let recipe = Recipe::load(name, &Table::new()).expect("a built-in recipe");
    let keys: Vec<&String> = recipe.params().keys().collect();
    let mut overrides = Table::new();
    for _ in 0..bytes.int_in_range(0..=3)? {
        let key = *bytes.choose(&keys)?;
        overrides.insert(key.clone(), like(&recipe.params()[key], bytes, 0)?);
    }
    Ok(recipe.replace(&overrides).ok())
}

/// A value of a parameter's type, most times.
fn like(value: &Value, bytes: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    if bytes.ratio(1, 40)? {
        return any(bytes, depth);
    }
    Ok(match value {
        Value::Integer(known) => Value::Integer(integer(*known, bytes)?),
        Value::Float(known) => Value::Float(float(*known, bytes)?),
        Value::Boolean(_) => Value::Boolean(bytes.arbitrary()?),
        Value::String(_) => Value::String(word(bytes)?),
        Value::Array(items) => {
            let count = bytes.int_in_range(0..=items.len() + 1)?;
            let made = (0..count).map(|at| match items.get(at).or(items.last()) {
                Some(item) => like(item, bytes, depth + 1),
                None => any(bytes, depth + 1),
            });
            Value::Array(made.collect::<Result<_>>()?)
        }
        other => other.clone(),
    })
}

fn any(bytes: &mut Unstructured<'_>, depth: usize) -> Result<Value> {
    Ok(match bytes.int_in_range(0..=if depth > 2 { 3 } else { 4 })? {
        0 => Value::Integer(bytes.arbitrary()?),
        1 => Value::Float(bytes.arbitrary()?),
        2 => Value::Boolean(bytes.arbitrary()?),
        3 => Value::String(word(bytes)?),
        _ => {
            let count = bytes.int_in_range(0..=4)?;
            Value::Array((0..count).map(|_| any(bytes, depth + 1)).collect::<Result<_>>()?)
        }
    })
}

fn integer(known: i64, bytes: &mut Unstructured<'_>) -> Result<i64> {
    Ok(match bytes.int_in_range(0..=5)? {
        0 => bytes.arbitrary()?,
        1 => 1 << bytes.int_in_range(0..=62)?,
        2 => known.saturating_mul(bytes.int_in_range(0..=9)?),
        3 => known / bytes.int_in_range(1..=9)?,
        4 => known.saturating_add(bytes.int_in_range(-3..=3)?),
        _ => bytes.int_in_range(-1..=1024)?,
    })
}

fn float(known: f64, bytes: &mut Unstructured<'_>) -> Result<f64> {
    Ok(match bytes.int_in_range(0..=3)? {
        0 => bytes.arbitrary()?,
        1 => known * f64::from(bytes.int_in_range(-4..=4)?),
        2 => known + f64::from(bytes.int_in_range(-100..=100)?) / 100.0,
        _ => *bytes.choose(&[0.0, -0.0, 1.0, 1e-300, 1e300, f64::MIN_POSITIVE, f64::INFINITY, f64::NAN])?,
    })
}

/// A word that some parameter takes.
fn word(bytes: &mut Unstructured<'_>) -> Result<String> {
    const WORDS: [&str; 16] = [
        "nearest",
        "box",
        "bilinear",
        "hamming",
        "bicubic",
        "lanczos",
        "pillow",
        "torch",
        "never",
        "always",
        "image",
        "mean",
        "floor",
        "ceil",
        "",
        "$patch_size",
    ];
    Ok((*bytes.choose(&WORDS)?).to_owned())
}

/// An image's size: everyday, tiny, or of a ratio that no photo has.
pub fn size(bytes: &mut Unstructured<'_>, most: u32, area: u64) -> Result<Size> {
    let mut side = || -> Result<u32> {
        Ok(match bytes.int_in_range(0..=4)? {
            0 => bytes.int_in_range(1..=8)?,
            1 | 2 => bytes.int_in_range(1..=1200.min(most))?,
            3 => 1 << bytes.int_in_range(0..=most.ilog2())?,
            _ => bytes.int_in_range(1..=most)?,
        })
    };
    let (width, mut height) = (side()?, side()?);
    if u64::from(width) * u64::from(height) > area {
        height = (area / u64::from(width)).max(1) as u32;
    }
    Ok(Size::new(width, height))
}

/// A side of so many bits at most, of any order of magnitude.
pub fn side(bytes: &mut Unstructured<'_>, bits: u32) -> Result<u32> {
    let most = bytes.int_in_range(1..=bits)?;
    let value: u32 = bytes.arbitrary()?;
    Ok((value >> (32 - most)).max(1))
}

/// The files of some seeds.
pub fn files() -> Vec<Vec<u8>> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut files = Vec::new();
    for folder in ["jpeg", "png", "webp", "gif", "bmp", "tiff"] {
        let mut paths: Vec<_> = std::fs::read_dir(seeds.join(folder)).into_iter().flatten().flatten().collect();
        paths.sort_by_key(std::fs::DirEntry::path);
        files.extend(paths.iter().filter_map(|entry| std::fs::read(entry.path()).ok()));
    }
    files
}
