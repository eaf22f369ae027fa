//! Huffman codes and the bits they are read from, with libjpeg's rhythm: how far ahead it reads decides which truncated files
//! it still accepts.

use super::markers::{NATURAL, Stop};

/// A table as sent: codes of each length from 1 to 16, and what they mean.
#[derive(Clone)]
pub(super) struct Code {
    pub(super) counts: [u8; 16],
    pub(super) values: [u8; 256],
}

/// A table as used.
pub(super) struct Decoder {
    /// Of the next eight bits: the code's length times 256, plus its value; a length of nine where the code is longer.
    lookup: [u16; 256],
    /// Of the next [`AHEAD`] bits, where a coefficient's code and value fit them: its value times 65536, plus the zeros before it
    /// times 256, plus the bits of both. A run of 64 ends the block. 0 where they do not fit.
    joint: Vec<u32>,
    /// The largest code of each length, -1 for none; one past the longest catches all.
    max: [i32; 18],
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
}

/// Bits that the joint table looks at.
const AHEAD: u32 = 10;

impl Decoder {
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
}

/// The bits of a scan.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Where the data that Pillow has handed over ends.
    pub(super) end: usize,
    buffer: u64,
    left: u32,
    /// A marker that ends the data, or 0.
    pub(super) marker: u8,
    /// Zeros were put where bits were missing.
    pub(super) starved: bool,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize, end: usize) -> Self {
        Self { bytes, at, end, buffer: 0, left: 0, marker: 0, starved: false }
    }

    /// Forgets the bits read ahead.
    pub(super) fn discard(&mut self) {
        self.left = 0;
    }

    /// Reads ahead to 57 bits or more; fewer only at a marker, where zeros follow if `bits` are needed.
    #[cold]
    #[inline(never)]
    fn fill_slowly(&mut self, bits: u32) -> Result<(), Stop> {
        while self.marker == 0 && self.left < 57 {
            let mut next = || {
                let byte = self.bytes[..self.end].get(self.at).copied().ok_or(Stop::Truncated);
                self.at += 1;
                byte
            };
            let mut byte = next()?;
            if byte == 0xff {
                while byte == 0xff {
                    byte = next()?;
                }
                if byte != 0 {
                    self.marker = byte;
                    break;
                }
                byte = 0xff;
            }
            self.buffer = self.buffer << 8 | u64::from(byte);
            self.left += 8;
        }
        if self.marker != 0 && bits > self.left {
            self.starved = true;
            self.buffer <<= 57 - self.left;
            self.left = 57;
        }
        Ok(())
    }

    #[inline]
    fn fill(&mut self, bits: u32) -> Result<(), Stop> {
        if self.marker == 0
            && let Some(word) = self.bytes[..self.end].get(self.at..).and_then(<[u8]>::first_chunk::<8>)
        {
            let word = u64::from_be_bytes(*word);
            let count = (64 - self.left) / 8;
            let ahead = word >> (64 - count * 8);
            if count < 8 && !has_ff(ahead) {
                self.buffer = self.buffer << (count * 8) | ahead;
                self.left += count * 8;
                self.at += count as usize;
                return Ok(());
            }
        }
        self.fill_slowly(bits)
    }

    /// So many bits.
    #[inline]
    pub(super) fn get(&mut self, bits: u32) -> Result<i32, Stop> {
        if self.left < bits {
            self.fill(bits)?;
        }
        self.left -= bits;
        Ok((self.buffer >> self.left) as i32 & ((1 << bits) - 1))
    }

    /// The next symbol.
    #[inline]
    pub(super) fn symbol(&mut self, table: &Decoder) -> Result<u32, Stop> {
        if self.left < 8 {
            self.fill(0)?;
            if self.left < 8 {
                return self.long_symbol(table, 1);
            }
        }
        let found = table.lookup[(self.buffer >> (self.left - 8)) as usize & 0xff];
        let length = u32::from(found >> 8);
        if length <= 8 {
            self.left -= length;
            return Ok(u32::from(found & 0xff));
        }
        self.long_symbol(table, 9)
    }

    #[inline(never)]
    fn long_symbol(&mut self, table: &Decoder, length: u32) -> Result<u32, Stop> {
        let mut code = self.get(length)?;
        let mut length = length as usize;
        while code > table.max[length] {
            code = code << 1 | self.get(1)?;
            length += 1;
        }
        Ok(table.value(code, length))
    }

    /// Whether [`Quick`] may read `blocks` blocks: libjpeg's own condition.
    pub(super) fn has_room_for(&self, blocks: usize) -> bool {
        self.marker == 0 && self.end.saturating_sub(self.at) >= 512 * blocks
    }
}

impl Decoder {
    fn value(&self, code: i32, length: usize) -> u32 {
        if length > 16 { 0 } else { self.values[(code + self.offset[length]) as usize & 0xff].into() }
    }
}

/// The bits where many are left: read six bytes at a time; a marker sends the reader back to [`Bits`].
#[derive(Clone, Copy)]
pub(super) struct Quick<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    left: u32,
    pub(super) met_marker: bool,
}

impl<'a> Quick<'a> {
    pub(super) fn new(bits: &Bits<'a>) -> Self {
        Self { bytes: bits.bytes, at: bits.at, buffer: bits.buffer, left: bits.left, met_marker: false }
    }

    /// Hands the position back.
    pub(super) fn settle(self, bits: &mut Bits<'a>) {
        (bits.at, bits.buffer, bits.left) = (self.at, self.buffer, self.left);
    }

    #[inline]
    fn fill(&mut self) {
        if self.left <= 16 {
            let word = self.bytes.get(self.at..self.at + 8).and_then(<[u8]>::first_chunk::<8>);
            let six = word.map_or(!0, |word| u64::from_be_bytes(*word) >> 16);
            if has_ff(six) {
                self.fill_slowly();
            } else {
                self.buffer = self.buffer << 48 | six;
                self.left += 48;
                self.at += 6;
            }
        }
    }

    #[inline(never)]
    fn fill_slowly(&mut self) {
        for _ in 0..6 {
            let next = |at: usize| self.bytes.get(at).copied().unwrap_or(0xff);
            let byte = next(self.at);
            self.buffer <<= 8;
            self.left += 8;
            if byte != 0xff {
                self.buffer |= u64::from(byte);
                self.at += 1;
            } else if next(self.at + 1) == 0 {
                self.buffer |= 0xff;
                self.at += 2;
            } else {
                self.met_marker = true;
            }
        }
    }

    #[inline]
    pub(super) fn get(&mut self, bits: u32) -> i32 {
        self.fill();
        self.left -= bits;
        (self.buffer >> self.left) as i32 & ((1 << bits) - 1)
    }

    #[inline]
    pub(super) fn symbol(&mut self, table: &Decoder) -> u32 {
        self.fill();
        let found = table.lookup[(self.buffer >> (self.left - 8)) as usize & 0xff];
        let length = u32::from(found >> 8);
        self.left -= length;
        if length <= 8 { u32::from(found & 0xff) } else { self.long_symbol(table) }
    }

    /// A sequential block's coefficients from the second on. The last of a whole block may leave the buffer fuller than the next
    /// read would find it: libjpeg looks for bits before each value.
    #[inline]
    pub(super) fn coefficients(&mut self, table: &Decoder, block: &mut [i16; 64]) {
        let Some(joint) = table.joint.first_chunk::<{ 1 << AHEAD }>() else { return };
        let mut at = 1;
        while at < 64 {
            self.fill();
            let entry = joint[(self.buffer >> (self.left - AHEAD)) as usize & ((1 << AHEAD) - 1)];
            let value = if entry == 0 {
                let symbol = self.symbol(table);
                let (run, size) = (symbol >> 4, symbol & 15);
                at += run as usize;
                if size == 0 {
                    if run == 15 {
                        at += 1;
                        continue;
                    }
                    return;
                }
                extend(self.get(size), size) as i16
            } else {
                self.left -= entry & 0xff;
                at += (entry >> 8 & 0xff) as usize;
                (entry >> 16) as i16
            };
            if value != 0 {
                block[usize::from(NATURAL[at & 127]) & 63] = value;
                if at >= 63 && entry != 0 && self.left + size_of_value(value) <= 16 {
                    self.fill();
                }
            }
            at += 1;
        }
    }

    #[inline(never)]
    fn long_symbol(&mut self, table: &Decoder) -> u32 {
        let mut length = 9;
        let mut code = (self.buffer >> self.left) as i32 & 0x1ff;
        while code > table.max[length] {
            self.left -= 1;
            code = code << 1 | (self.buffer >> self.left) as i32 & 1;
            length += 1;
        }
        table.value(code, length)
    }
}

/// Whether a byte of it is 0xff.
#[inline]
fn has_ff(word: u64) -> bool {
    // A byte is 0xff where its complement is zero.
    let zero = !word;
    zero.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 != 0
}

/// The bits in which a coefficient is sent.
fn size_of_value(value: i16) -> u32 {
    16 - value.unsigned_abs().leading_zeros()
}

/// The number that `size` bits stand for.
#[inline]
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    if bits < 1 << (size - 1) { bits + (-1 << size) + 1 } else { bits }
}

/// The tables of the standard's Annex K, which Motion JPEG leaves out.
pub(super) mod standard {
    use super::Code;

    fn code(counts: [u8; 16], values: &[u8]) -> Code {
        let mut all = [0; 256];
        all[..values.len()].copy_from_slice(values);
        Code { counts, values: all }
    }

    pub(in super::super) fn dc() -> [Code; 2] {
        let values: Vec<u8> = (0..12).collect();
        [
            code([0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], &values),
            code([0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], &values),
        ]
    }

    pub(in super::super) fn ac() -> [Code; 2] {
        [
            code([0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], &LUMA),
            code([0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], &CHROMA),
        ]
    }

    #[rustfmt::skip]
    const LUMA: [u8; 162] = [
        0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07,
        0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0,
        0x24, 0x33, 0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28,
        0x29, 0x2a, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49,
        0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69,
        0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
        0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
        0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5,
        0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2,
        0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
        0xf9, 0xfa,
    ];

    #[rustfmt::skip]
    const CHROMA: [u8; 162] = [
        0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71,
        0x13, 0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0,
        0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26,
        0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48,
        0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68,
        0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87,
        0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5,
        0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3,
        0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda,
        0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8,
        0xf9, 0xfa,
    ];
}
