//! TIFF's LZW: codes from the high bits on, that grow a code earlier than the table. A string is where its first copy was
//! written, so that a code is a copy within the output.

use crate::source::bytes::{PIECE, copy};

const CLEAR: usize = 256;
const END: usize = 257;
const CODES: usize = 4096;

/// Fills `out` but for its last [`PIECE`] bytes, which hold anything. Nothing where the codes are damaged, end too early, or are
/// of the old kind, low bits first.
pub(super) fn decode(data: &[u8], out: &mut [u8]) -> Option<()> {
    if let [0, second, ..] = data
        && second & 1 == 1
    {
        return None;
    }
    let count = out.len().checked_sub(PIECE)?;
    // Of a code: where its string is in the output, and its length.
    let mut strings: Box<[(u32, u32); CODES]> = vec![(0, 0); CODES].try_into().ok()?;
    let (mut next, mut width) = (CLEAR + 2, 9);
    let mut bits = Bits { data, buffer: 0, filled: 0 };
    let mut written = 0;
    // The string before: its place and length, or no length.
    let mut last = (0u32, 0u32);
    while written < count {
        let code = bits.take(width)?;
        let start = written;
        if code < CLEAR {
            out[written] = code as u8;
            written += 1;
        } else if code == CLEAR {
            (next, width, last) = (CLEAR + 2, 9, (0, 0));
            continue;
        } else if code == END || code > next || last.1 == 0 {
            return None;
        } else {
            let is_known = code < next;
            let (from, length) = if is_known { strings[code % CODES] } else { last };
            let (from, length) = (from as usize, length as usize);
            // The last string may be longer than what is wanted.
            let room = count - written;
            copy(out, from, written, length.min(room));
            written += length;
            if !is_known && length < room {
                out[written] = out[from];
                written += 1;
            }
        }
        if last.1 > 0 {
            if next >= CODES {
                return None;
            }
            strings[next] = (last.0, last.1 + 1);
            next += 1;
            if next == (1 << width) - 1 && width < 12 {
                width += 1;
            }
        }
        last = (start as u32, (written - start) as u32);
    }
    Some(())
}

struct Bits<'a> {
    data: &'a [u8],
    /// High bits first.
    buffer: u64,
    filled: u32,
}

impl Bits<'_> {
    fn take(&mut self, width: u32) -> Option<usize> {
        if self.filled < width {
            self.fill();
            if self.filled < width {
                return None;
            }
        }
        let code = self.buffer >> (64 - width);
        self.buffer <<= width;
        self.filled -= width;
        Some(code as usize)
    }

    fn fill(&mut self) {
        let taken = ((64 - self.filled) / 8) as usize;
        if let Some(eight) = self.data.first_chunk::<8>() {
            let word = u64::from_be_bytes(*eight) & (u64::MAX << (64 - 8 * taken as u32));
            self.buffer |= word >> self.filled;
            self.filled += 8 * taken as u32;
            self.data = &self.data[taken..];
            return;
        }
        while self.filled <= 56
            && let Some((&byte, rest)) = self.data.split_first()
        {
            self.buffer |= u64::from(byte) << (56 - self.filled);
            self.filled += 8;
            self.data = rest;
        }
    }
}
