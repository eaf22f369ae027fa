//! Huffman codes, and tables to read them by.

use super::frame::Stop;

/// A table as sent: codes of each length from 1 to 16, and what they mean.
#[derive(Clone)]
pub(super) struct Code {
    pub(super) counts: [u8; 16],
    pub(super) values: [u8; 256],
}

/// Bits that a table of codes and values together looks at.
pub(super) const AHEAD: u32 = 10;
const ENTRIES: usize = 1 << AHEAD;

/// A run that ends a block.
pub(super) const END: u32 = 64;

/// A table as used.
pub(super) struct Decoder {
    /// Of the next eight bits: the code's length times 256, plus its value; a length of nine where the code is longer.
    pub(super) lookup: [u16; 256],
    /// The largest code of each length, -1 for none; one past the longest catches all.
    pub(super) max: [i32; 18],
    /// From a code to its value's place.
    offset: [i32; 18],
    values: [u8; 256],
}

impl Decoder {
    pub(super) fn new(code: &Code, is_dc: bool) -> Result<Box<Self>, Stop> {
        const BAD: Stop = Stop::Broken("a bad Huffman table");
        let mut made = Box::new(Self { lookup: [9 << 8; 256], max: [-1; 18], offset: [0; 18], values: code.values });
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

    /// What a code of so many bits means; 0 where there is none.
    pub(super) fn value(&self, code: i32, length: usize) -> u32 {
        if length > 16 { 0 } else { self.values[(code + self.offset[length]) as usize & 0xff].into() }
    }

    /// The symbol with which these bits begin, and the length of its code.
    #[inline]
    pub(super) fn symbol(&self, bits: u64) -> (u32, u32) {
        let found = self.lookup[(bits >> 56) as usize];
        let length = u32::from(found >> 8);
        if length <= 8 { (u32::from(found & 0xff), length) } else { self.long_symbol(bits) }
    }

    #[inline(never)]
    fn long_symbol(&self, bits: u64) -> (u32, u32) {
        let mut length = 9;
        let mut code = (bits >> 55) as i32;
        while code > self.max[length] {
            length += 1;
            code = (bits >> (64 - length)) as i32;
        }
        (self.value(code, length), length as u32)
    }
}

/// What a table's symbols are followed by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// The bits of a difference.
    Dc,
    /// Those of a coefficient, after a run of zeros; symbols of no bits end the block, but for a run of 16.
    Sequential,
    /// The same, but that a symbol of no bits may be followed by the length of a run of blocks.
    Progressive,
    /// The same, where all coefficients have one bit, whatever the symbol says.
    Refining,
}

/// Codes with the values that follow them.
pub(super) struct Joint {
    pub(super) codes: Box<Decoder>,
    /// Of the next bits, as many as [`Self::shift`] leaves of 64, where a code and its value fit them: the value times 65536, plus
    /// the zeros before it times 256, plus the bits of both. A run of 64 ends the block. 0 where they do not fit.
    singles: Box<[u32]>,
    shift: u32,
    /// Of the next [`AHEAD`] bits, where they begin with one coefficient or more; see [`Pair`].
    pub(super) pairs: Option<Box<[Pair; ENTRIES]>>,
}

impl Joint {
    /// A table for about so many bytes of data: a small one, without pairs, where making a large one takes longer than it saves.
    pub(super) fn new(code: &Code, purpose: Use, bytes: usize) -> Result<Self, Stop> {
        const MUCH: usize = 6000;
        let codes = Decoder::new(code, purpose == Use::Dc)?;
        let ahead = if bytes > MUCH { AHEAD } else { 8 };
        let mut singles = vec![0; 1 << ahead].into_boxed_slice();
        let mut next = 0;
        let mut index = 0;
        for length in 1..=ahead {
            for _ in 0..code.counts[length as usize - 1] {
                let start = next << (ahead - length);
                let entries = &mut singles[start..start + (1 << (ahead - length))];
                single(purpose, u32::from(code.values[index]), length, entries);
                next += 1;
                index += 1;
            }
            next <<= 1;
        }
        let pairs = (purpose == Use::Sequential && bytes > MUCH).then(|| Pair::all(&singles));
        Ok(Self { codes, singles, shift: 64 - ahead, pairs })
    }

    /// The entry of the code and the value with which these bits begin.
    #[inline]
    pub(super) fn single(&self, bits: u64) -> u32 {
        self.singles[(bits >> self.shift) as usize]
    }
}

/// Fills the entries of bits that begin with a symbol's code.
fn single(purpose: Use, symbol: u32, length: u32, entries: &mut [u32]) {
    let (run, size) = match purpose {
        Use::Dc => (0, symbol),
        Use::Refining => (symbol >> 4, (symbol & 15).min(1)),
        Use::Sequential | Use::Progressive => (symbol >> 4, symbol & 15),
    };
    let total = length + size;
    if entries.len() >> size == 0 {
        return;
    }
    if size == 0 {
        let ends = run < 15 && purpose != Use::Dc;
        if run == 0 || !ends || purpose == Use::Sequential {
            entries.fill((if ends { END } else { run }) << 8 | length);
        }
        return;
    }
    let alike = entries.len() >> size;
    for (bits, entries) in entries.chunks_exact_mut(alike).enumerate() {
        entries.fill((extend(bits as i32, size) as u32) << 16 | run << 8 | total);
    }
}

/// Up to two coefficients, and the block's end after them. Each number has the bits named: their own length 0 to 7 (0 where none
/// fits), from the place at hand to the first coefficient's 8 to 15, to the second's 16 to 23, to the next place 24 to 31, the
/// values 32 to 47 and 48 to 63. A coefficient alone is there twice; where there is none, a zero stands for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Pair(pub(super) u64);

impl Pair {
    /// A pair may be read up to this place: whatever its runs, the first coefficient is not the block's last, after which no
    /// end of block follows.
    pub(super) const LAST: usize = 47;

    fn all(singles: &[u32]) -> Box<[Self; ENTRIES]> {
        let mut made = Box::new([Self(0); ENTRIES]);
        for (bits, pair) in made.iter_mut().enumerate() {
            *pair = Self::new(singles, bits);
        }
        made
    }

    fn new(singles: &[u32], bits: usize) -> Self {
        let parts = |entry: u32| (entry & 0xff, entry >> 8 & 0xff, u64::from(entry >> 16));
        let (mut length, run, first) = parts(singles[bits]);
        if length == 0 {
            return Self(0);
        }
        if first == 0 {
            let step = if run == END { END } else { run + 1 };
            return Self(u64::from(length | step << 24));
        }
        let (mut step, mut last, mut second) = (run + 1, run, first);
        let after = |length: u32| {
            let entry = parts(singles[bits << length & (ENTRIES - 1)]);
            if entry.0 > 0 && length + entry.0 <= AHEAD { Some(entry) } else { None }
        };
        if let Some((more, run, value)) = after(length)
            && value != 0
        {
            (last, second) = (step + run, value);
            step += run + 1;
            length += more;
        }
        // Not where the last coefficient may be the block's last.
        if let Some((more, END, _)) = after(length)
            && last <= 62 - Self::LAST as u32
        {
            step += END;
            length += more;
        }
        Self(u64::from(length | run << 8 | last << 16 | step << 24) | first << 32 | second << 48)
    }
}

/// The number that `size` bits stand for.
#[inline]
pub(super) fn extend(bits: i32, size: u32) -> i32 {
    if bits < 1 << (size - 1) { bits + (-1 << size) + 1 } else { bits }
}
