//! Huffman codes, and tables to read them by.

use super::frame::Stop;

/// A table as sent: codes of each length from 1 to 16, and what they mean.
#[derive(Clone)]
pub(super) struct Code {
    pub(super) counts: [u8; 16],
    pub(super) values: [u8; 256],
}

/// Bits that the joint table looks at.
pub(super) const AHEAD: u32 = 10;

/// A table as used.
pub(super) struct Decoder {
    /// Of the next eight bits: the code's length times 256, plus its value; a length of nine where the code is longer.
    pub(super) lookup: [u16; 256],
    /// Of the next [`AHEAD`] bits, where a coefficient's code and value fit them: its value times 65536, plus the zeros before it
    /// times 256, plus the bits of both. A run of 64 ends the block. 0 where they do not fit.
    pub(super) joint: Vec<u32>,
    /// The largest code of each length, -1 for none; one past the longest catches all.
    pub(super) max: [i32; 18],
    /// From a code to its value's place.
    offset: [i32; 18],
    values: [u8; 256],
}

impl Decoder {
    pub(super) fn new(code: &Code, is_dc: bool) -> Result<Self, Stop> {
        const BAD: Stop = Stop::Broken("a bad Huffman table");
        let mut made =
            Self { lookup: [9 << 8; 256], max: [-1; 18], offset: [0; 18], values: code.values, joint: Vec::new() };
        made.max[17] = 0xf_ffff;
        let mut next = 0i32;
        let mut index = 0usize;
        for length in 1..=16 {
            let count = usize::from(code.counts[length - 1]);
            if index + count > 256 {
                return Err(BAD);
            }
            if count > 0 {
                made.offset[length] = index as i32 - next;
                for step in 0..count {
                    if length <= 8 {
                        let width = 1usize << (8 - length);
                        let start = (next as usize + step) << (8 - length);
                        let entries = made.lookup.get_mut(start..start + width).ok_or(BAD)?;
                        entries.fill((length as u16) << 8 | u16::from(code.values[index + step]));
                    }
                }
                next += count as i32;
                index += count;
                made.max[length] = next - 1;
                // No code is all ones.
                if next >= 1 << length {
                    return Err(BAD);
                }
            }
            next <<= 1;
        }
        if is_dc && code.values[..index].iter().any(|&value| value > 15) {
            return Err(BAD);
        }
        Ok(made)
    }

    /// The same, with a joint table of codes and values: for the AC coefficients of sequential scans.
    pub(super) fn joint(code: &Code) -> Result<Self, Stop> {
        let mut made = Self::new(code, false)?;
        let mut joint = vec![0; 1 << AHEAD];
        for (bits, entry) in joint.iter_mut().enumerate() {
            let found = u32::from(made.lookup[bits >> (AHEAD - 8)]);
            let (length, run, size) = (found >> 8, found >> 4 & 15, found & 15);
            let total = length + size;
            if length > 8 || total > AHEAD {
                continue;
            }
            if size == 0 {
                *entry = (if run == 15 { 15 } else { 64 }) << 8 | length;
            } else {
                let value = (bits >> (AHEAD - total)) as i32 & ((1 << size) - 1);
                *entry = (extend(value, size) as u32) << 16 | run << 8 | total;
            }
        }
        made.joint = joint;
        Ok(made)
    }

    /// What a code of so many bits means; 0 where there is none.
    pub(super) fn value(&self, code: i32, length: usize) -> u32 {
        if length > 16 { 0 } else { self.values[(code + self.offset[length]) as usize & 0xff].into() }
    }
}

/// The number that `size` bits stand for.
#[inline]
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    if bits < 1 << (size - 1) { bits + (-1 << size) + 1 } else { bits }
}
