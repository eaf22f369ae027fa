//! Bytes of an encoded image, read where they are wanted: those in memory, or a file's.

use std::io::{Read, Seek, SeekFrom};

use crate::error::{Error, Result};

/// The most that is read at once for a header.
pub(super) const HEADER_BYTES: u64 = 64 << 20;

/// A reader that knows its length.
pub(super) struct Bytes<R> {
    reader: R,
    length: u64,
}

impl<R: Read + Seek> Bytes<R> {
    pub(super) fn new(mut reader: R) -> std::io::Result<Self> {
        let length = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader, length })
    }

    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// `count` bytes, or nothing where not all of them are there.
    pub(super) fn get(&mut self, at: u64, count: u64) -> Option<Vec<u8>> {
        let end = at.checked_add(count)?;
        if end > self.length { None } else { self.up_to(at, count).filter(|bytes| bytes.len() as u64 == count) }
    }

    /// As many of `count` bytes as are there.
    pub(super) fn up_to(&mut self, at: u64, count: u64) -> Option<Vec<u8>> {
        let count = count.min(self.length.saturating_sub(at));
        if count > HEADER_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(count as usize).ok()?;
        self.reader.seek(SeekFrom::Start(at)).ok()?;
        (&mut self.reader).take(count).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// So many bytes, on the stack.
    pub(super) fn array<const N: usize>(&mut self, at: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        if at.checked_add(N as u64)? > self.length {
            return None;
        }
        self.reader.seek(SeekFrom::Start(at)).ok()?;
        self.reader.read_exact(&mut bytes).ok()?;
        Some(bytes)
    }
}

/// So many zeros, or an error where there is no memory for them.
pub(super) fn zeroed(length: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Error::Memory { bytes: length })?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// Bytes that are copied at once.
pub(super) const PIECE: usize = 8;

/// Copies a string within a buffer, to beyond its end, in pieces: of up to [`PIECE`] bytes behind the copy nothing is known.
pub(super) fn copy(bytes: &mut [u8], from: usize, to: usize, length: usize) {
    let mut done = 0;
    loop {
        // What a piece holds beyond the string is of no use to anybody.
        let piece: [u8; PIECE] = *bytes[from + done..].first_chunk().unwrap_or(&[0; PIECE]);
        bytes[to + done..to + done + PIECE].copy_from_slice(&piece);
        done += PIECE;
        if done >= length {
            return;
        }
    }
}
