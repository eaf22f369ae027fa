//! The bits of a scan, with libjpeg's rhythm: how far ahead it reads decides which truncated files it still accepts.

use super::frame::Stop;
use super::huffman::Decoder;

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
