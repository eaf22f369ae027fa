//! GIF's codes. A string is where its first copy was written, so that a code is a copy within the output.

use super::error;
use crate::error::{Error, Result};
use crate::source::bytes::{PIECE, copy};
use crate::source::decode::reuse;
use crate::threads::check_stopped;

const MOST_BITS: u32 = 12;
const CODES: usize = 1 << MOST_BITS;
/// Bytes that Pillow reads at once.
const READ: usize = 1 << 16;
/// Codes between two looks whether the result is still wanted.
const PATIENCE: u32 = 1 << 20;

/// Decodes at least `count` indices from the blocks at `at`. As in Pillow an end code ends nothing, but
/// asks for more of the file; data that end too early are refused.
pub(super) fn decode(bytes: &[u8], at: usize, bits: u8, count: usize) -> Result<Vec<u8>> {
    if bits > 11 {
        let feature = format!("codes of {bits} bits");
        return Err(if bits > 12 { error(&feature) } else { Error::NotNative { format: "a GIF", feature } });
    }
    let clear = 1usize << bits;
    let end = clear + 1;
    let mut out = reuse(count + CODES + PIECE)?;
    // Of a code: where its string is in the output, and its length.
    let strings: std::result::Result<Box<[(u32, u32); CODES]>, _> = vec![(0, 0); CODES].try_into();
    let mut strings = strings.map_err(|_| error("no table"))?;
    let mut blocks = Blocks { bytes, at, seen: at, left: 0, buffer: 0, filled: 0 };
    let (mut next, mut width) = (clear + 2, u32::from(bits) + 1);
    let mut written = 0;
    // The string before: its place and length, or no length.
    let mut last = (0u32, 0u32);
    let mut patience = PATIENCE;
    while written < count {
        let code = blocks.code(width)?;
        patience -= 1;
        if patience == 0 {
            check_stopped()?;
            patience = PATIENCE;
        }
        let start = written;
        if code < clear {
            out[written] = code as u8;
            written += 1;
        } else if code == clear {
            (next, width, last) = (clear + 2, u32::from(bits) + 1, (0, 0));
            continue;
        } else if code == end {
            blocks.read_on()?;
            continue;
        } else if last.1 == 0 {
            return Err(error("a code without a string"));
        } else if code < next {
            let (from, length) = strings[code % CODES];
            copy(&mut out, from as usize, written, length as usize);
            written += length as usize;
        } else if code == next && next < CODES {
            let (from, length) = (last.0 as usize, last.1 as usize);
            copy(&mut out, from, written, length);
            out[written + length] = out[from];
            written += length + 1;
        } else {
            return Err(error("a code that is not known yet"));
        }
        if last.1 > 0 && next < CODES {
            // The string before, and the first index of this one, which follows it in the output.
            strings[next] = (last.0, last.1 + 1);
            if next == (1 << width) - 1 && width < MOST_BITS {
                width += 1;
            }
            next += 1;
        }
        last = (start as u32, (written - start) as u32);
    }
    Ok(out)
}

/// Bits of data blocks. Pillow waits for a whole block before it reads of it, and has read the file in pieces.
struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the pieces end that are read.
    seen: usize,
    /// Bytes that are left of the block.
    left: usize,
    buffer: u64,
    filled: u32,
}

impl Blocks<'_> {
    fn code(&mut self, width: u32) -> Result<usize> {
        while self.filled < width {
            self.fill()?;
        }
        let code = self.buffer & ((1 << width) - 1);
        self.buffer >>= width;
        self.filled -= width;
        Ok(code as usize)
    }

    /// Reads one more piece of the file, of which something must be left.
    fn read_on(&mut self) -> Result<()> {
        if self.seen >= self.bytes.len() {
            return Err(error("data that end before the image does"));
        }
        self.seen = (self.seen + READ).min(self.bytes.len());
        Ok(())
    }

    fn fill(&mut self) -> Result<()> {
        if self.left == 0 {
            while self.at >= self.seen {
                self.read_on()?;
            }
            let length = usize::from(self.bytes[self.at]);
            while self.at + 1 + length > self.seen {
                self.read_on()?;
            }
            self.at += 1;
            self.left = length;
            return Ok(());
        }
        let free = (63 - self.filled as usize) / 8;
        let taken = free.min(self.left);
        if self.left >= 8
            && let Some(eight) = self.bytes[self.at..].first_chunk::<8>()
        {
            self.buffer |= (u64::from_le_bytes(*eight) & (u64::MAX >> (64 - 8 * taken))) << self.filled;
        } else {
            for (index, byte) in self.bytes[self.at..self.at + taken].iter().enumerate() {
                self.buffer |= u64::from(*byte) << (self.filled as usize + 8 * index);
            }
        }
        self.filled += 8 * taken as u32;
        self.at += taken;
        self.left -= taken;
        Ok(())
    }
}
