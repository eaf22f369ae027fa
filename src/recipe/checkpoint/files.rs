//! The configuration files of a checkpoint: where they lie, and what they hold.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::hub;
use crate::error::{Error, Result};

/// Bytes of the largest file that is read. Configurations have a few thousand.
const MAX_BYTES: u64 = 4 << 20;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The image processor.
    Images,
    /// The processor of images and text, which may hold the image processor.
    Processor,
    /// The model.
    Model,
    /// The video processor.
    Videos,
    /// Whatever it says.
    Any,
}

/// Files by name, in order of precedence.
const NAMES: [(&str, Role); 5] = [
    ("preprocessor_config.json", Role::Images),
    ("processor_config.json", Role::Processor),
    ("config.json", Role::Model),
    ("open_clip_config.json", Role::Model),
    ("video_preprocessor_config.json", Role::Videos),
];

/// One file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) content: Json,
}

/// A checkpoint's configuration files.
#[derive(Clone, Debug)]
pub struct CheckpointFiles(pub(super) Vec<File>);

impl CheckpointFiles {
    /// Those of a folder, one file alone, or those of a model whose name on the Hugging Face Hub `path` is, where they lie
    /// in the local cache. Nothing is downloaded.
    pub fn read(path: &Path) -> Result<Self> {
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return match hub::name(path) {
                    Some(name) => Self::of_folder(&hub::snapshot(name)?),
                    None => Err(missing(path, "there is no such folder or file".into())),
                };
            }
            Err(error) => return Err(Error::of_file(path, &error)),
        };
        if found.is_dir() {
            return Self::of_folder(path);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let role = NAMES.iter().find(|(known, _)| *known == name).map_or(Role::Any, |(_, role)| *role);
        let content = parse(&bytes(path)?.unwrap_or_default(), &path.display().to_string())?;
        Ok(Self(vec![File { name, role, content }]))
    }

    /// One file's content, of whatever kind it is.
    pub fn of_text(text: &str) -> Result<Self> {
        let name = "configuration".to_owned();
        let content = parse(text.as_bytes(), &name)?;
        Ok(Self(vec![File { name, role: Role::Any, content }]))
    }

    fn of_folder(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for (name, role) in NAMES {
            let path = folder.join(name);
            if let Some(bytes) = bytes(&path)? {
                let content = parse(&bytes, &path.display().to_string())?;
                files.push(File { name: name.to_owned(), role, content });
            }
        }
        if files.is_empty() {
            let names = NAMES.map(|(name, _)| name);
            return Err(missing(folder, format!("the folder has none of {}", names.join(", "))));
        }
        Ok(Self(files))
    }
}

/// The bytes of a file, or nothing where there is none.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::of_file(path, &error)),
    };
    // A device or pipe may have no end.
    if !found.is_file() {
        return Err(Error::Checkpoint(format!("{} is no regular file", path.display())));
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| Error::of_file(path, &error))?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| Error::of_file(path, &error))?;
    if bytes.len() as u64 > MAX_BYTES {
        let size = found.len().max(bytes.len() as u64);
        return Err(Error::Checkpoint(format!("{} has {size} bytes, over the limit of {MAX_BYTES}", path.display())));
    }
    Ok(Some(bytes))
}

fn parse(bytes: &[u8], name: &str) -> Result<Json> {
    match serde_json::from_slice::<Json>(bytes) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Error::Checkpoint(format!("{name} is not a JSON object"))),
        Err(error) => Err(Error::Checkpoint(format!("{name}: {error}"))),
    }
}

pub(super) fn missing(path: &Path, message: String) -> Error {
    const ENOENT: i32 = 2;
    Error::File { path: path.display().to_string(), message, errno: Some(ENOENT) }
}

/// A folder that an environment variable names, where it is set.
pub(super) fn folder_of(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty())?;
    let path = PathBuf::from(value);
    match path.strip_prefix("~") {
        Ok(rest) => Some(PathBuf::from(std::env::var_os("HOME")?).join(rest)),
        Err(_) => Some(path),
    }
}
