//! Files of images. One is opened for its header, and kept open, or in memory where it is small, until it is decoded: as many
//! as a process can afford. One that has to be opened again must still be the same.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::decode::Header;
use super::jpeg;
use crate::error::{Error, Result};
use crate::limits::Limits;
use crate::threads::check_stopped;

/// A file of no more bytes is read whole at once.
const SMALL_BYTES: usize = 1 << 18;
/// A larger JPEG's header is looked for in this many bytes, then in so many times as many.
const HEADER_BYTES: usize = 1 << 15;
const MORE_BYTES: usize = 8;
/// Bytes that are read at once.
const PIECE: usize = 16 << 20;
/// Most files that wait with an open descriptor, in the whole process.
const MOST_OPEN: usize = 256;
/// Most bytes of small files that wait in memory, in the whole process.
const MOST_KEPT: usize = 32 << 20;

static OPEN: AtomicUsize = AtomicUsize::new(0);
static KEPT: AtomicUsize = AtomicUsize::new(0);

/// A file whose header was read.
#[derive(Debug)]
pub struct ImageFile {
    path: PathBuf,
    identity: Identity,
    held: Mutex<Held>,
}

/// What is left of reading the header.
#[derive(Debug)]
enum Held {
    Nothing,
    /// All bytes of the file.
    Bytes(Vec<u8>, #[allow(dead_code)] Share), // held, not read
    Open(File, Share),
}

/// What stays the same while nobody touches a file.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    /// Device and inode, where there are such.
    place: (u64, u64),
    size: u64,
    modified: Option<SystemTime>,
}

/// A part of what the process may hold, until it is dropped.
#[derive(Debug)]
struct Share(&'static AtomicUsize, usize);

impl ImageFile {
    /// Opens a file and reads its header. It must be a regular file: pipes and devices have no end, or none that can be known.
    pub fn open(path: &Path, limits: &Limits) -> Result<(Self, Header)> {
        let error = |error| Error::of_file(path, &error);
        let (file, metadata) = open_within(path, limits)?;
        let identity = Identity::of(&metadata);
        let mut bytes = Vec::new();
        // A file may have grown meanwhile.
        let mut wanted = if identity.size < SMALL_BYTES as u64 { SMALL_BYTES } else { HEADER_BYTES };
        let header = loop {
            let missing = wanted - bytes.len();
            bytes.reserve_exact(missing.min(identity.size as usize + 1));
            (&file).take(missing as u64).read_to_end(&mut bytes).map_err(error)?;
            let complete = bytes.len() < wanted;
            if complete {
                break Header::of(&bytes)?;
            }
            if !jpeg::is_jpeg(&bytes) {
                // Other formats may have parts of their headers anywhere.
                break Header::read(&file)?;
            }
            if let Ok(header) = Header::of(&bytes) {
                break header;
            }
            wanted = wanted.saturating_mul(MORE_BYTES);
        };
        let complete = bytes.len() as u64 == identity.size;
        let kept = if complete { Share::take(&KEPT, bytes.len(), MOST_KEPT) } else { None };
        let held = if let Some(share) = kept {
            Held::Bytes(bytes, share)
        } else {
            Share::take(&OPEN, 1, most_open()).map_or(Held::Nothing, |share| Held::Open(file, share))
        };
        Ok((Self { path: path.to_owned(), identity, held: Mutex::new(held) }, header))
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.identity.size
    }

    /// Refuses what is no regular file, or one over a limit, before another library opens it.
    pub(super) fn check(path: &Path, limits: &Limits) -> Result<()> {
        open_within(path, limits).map(drop)
    }

    /// All bytes of the file; it is held no longer.
    pub fn read(&self) -> Result<Vec<u8>> {
        let held = mem::replace(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner), Held::Nothing);
        let error = |error| Error::of_file(&self.path, &error);
        // The share is given back once the file is closed.
        let (mut file, _share) = match held {
            Held::Bytes(bytes, _) => return Ok(bytes),
            Held::Open(mut file, share) => {
                file.seek(SeekFrom::Start(0)).map_err(error)?;
                (file, Some(share))
            }
            Held::Nothing => (open(&self.path).map_err(error)?, None),
        };
        if Identity::of(&file.metadata().map_err(error)?) != self.identity {
            return Err(Error::Decode(format!("{} has changed since its header was read", self.path.display())));
        }
        let size = self.identity.size as usize;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| Error::Memory { bytes: size })?;
        read(&mut file, &mut bytes, size).map_err(error)??;
        Ok(bytes)
    }
}

/// The first bytes of a file, at most so many.
pub(super) fn head(path: &Path, most: usize) -> Result<Vec<u8>> {
    let error = |error| Error::of_file(path, &error);
    let (file, metadata) = open_within(path, &Limits { file_bytes: u64::MAX, ..Limits::default() })?;
    let mut bytes = Vec::with_capacity(most.min(metadata.len() as usize) + 1);
    file.take(most as u64).read_to_end(&mut bytes).map_err(error)?;
    Ok(bytes)
}

/// Opens a regular file that is within limits.
fn open_within(path: &Path, limits: &Limits) -> Result<(File, Metadata)> {
    let error = |error| Error::of_file(path, &error);
    let file = open(path).map_err(error)?;
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() && !metadata.is_dir() {
        let message = "not a regular file; read it, and pass its bytes".to_owned();
        return Err(Error::File { path: path.display().to_string(), message, errno: None });
    }
    limits.check_file(metadata.len())?;
    Ok((file, metadata))
}

/// Opens a file. A pipe is opened, too, rather than waited for until somebody writes to it.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path)
}

/// Reads `size` bytes, or as many as there are, while they are wanted.
fn read(file: &mut File, bytes: &mut Vec<u8>, size: usize) -> io::Result<Result<()>> {
    while bytes.len() < size {
        if let Err(stopped) = check_stopped() {
            return Ok(Err(stopped));
        }
        if file.take((size - bytes.len()).min(PIECE) as u64).read_to_end(bytes)? == 0 {
            break;
        }
    }
    Ok(Ok(()))
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let place = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let place = (0, 0);
        Self { place, size: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl Share {
    /// So much of `most`, where as much is left.
    fn take(total: &'static AtomicUsize, amount: usize, most: usize) -> Option<Self> {
        let fits = |used: usize| used.checked_add(amount).filter(|sum| *sum <= most);
        total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok().map(|_| Self(total, amount))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// How many files may wait open: the process needs descriptors for other things, too.
fn most_open() -> usize {
    #[cfg(target_os = "linux")]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the struct is ours.
        if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
            return MOST_OPEN.min((limit.rlim_cur / 4) as usize);
        }
    }
    MOST_OPEN
}
