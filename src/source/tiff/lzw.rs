//! TIFF's LZW: codes from the high bits on, that grow a code earlier than the table. A string is where its first copy was
//! written, so that a code is a copy within the output.

use std::cmp::Ordering;

const CLEAR: usize = 256;
const END: usize = 257;
const CODES: usize = 4096;
const PIECE: usize = 8;

/// Fills `out`. Nothing where the codes are damaged, end too early, or are of the old kind, low bits first.
pub(super) fn decode(data: &[u8], out: &mut [u8]) -> Option<()> {
    if let [0, second, ..] = data
        && second & 1 == 1
    {
        return None;
    }
    let mut starts = [0u32; CODES];
    let mut lengths = [0u32; CODES];
    let (mut next, mut width) = (CLEAR + 2, 9);
    let mut bits = Bits { data, buffer: 0, filled: 0 };
    let mut written = 0;
    let mut last: Option<(usize, usize)> = None;
    while written < out.len() {
        let code = bits.take(width)?;
        if code == CLEAR {
            (next, width, last) = (CLEAR + 2, 9, None);
            continue;
        }
        if code == END {
            return None;
        }
        let start = written;
        if code < CLEAR {
            out[written] = code as u8;
            written += 1;
        } else {
            let before = last?;
            let (from, length) = match code.cmp(&next) {
                Ordering::Less => (starts[code] as usize, lengths[code] as usize),
                Ordering::Equal => (before.0, before.1 + 1),
                Ordering::Greater => return None,
            };
            // The last string may be longer than what is wanted.
            let length = length.min(out.len() - written);
            copy(out, from, written, length);
            written += length;
        }
        if let Some((from, length)) = last {
            if next >= CODES {
                return None;
            }
            (starts[next], lengths[next]) = (from as u32, length as u32 + 1);
            next += 1;
            if next == (1 << width) - 1 && width < 12 {
                width += 1;
            }
        }
        last = Some((start, written - start));
    }
    Some(())
}

/// Copies a string that may run into its copy.
fn copy(out: &mut [u8], from: usize, to: usize, length: usize) {
    let whole = length.next_multiple_of(PIECE);
    if from + whole <= to && to + whole <= out.len() {
        let (before, after) = out.split_at_mut(to);
        let (before, after) = (&before[from..from + whole], &mut after[..whole]);
        for (after, before) in after.chunks_exact_mut(PIECE).zip(before.chunks_exact(PIECE)) {
            after.copy_from_slice(before);
        }
    } else {
        for index in 0..length {
            out[to + index] = out[from + index];
        }
    }
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
