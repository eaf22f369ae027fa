//! A block of sequential data: what a baseline file has.

use super::huffman::{AHEAD, Joint, Pair, extend};
use super::quad::Quad;
use super::stream::Stream;

/// The next bits of a stream, and where they are.
struct Bits<'s, 'a> {
    stream: &'s Stream<'a>,
    word: u64,
    position: usize,
}

impl Bits<'_, '_> {
    #[inline]
    fn fill(&mut self) {
        self.word = self.stream.peek(self.position);
    }

    #[inline]
    fn pass(&mut self, length: u32) {
        self.word <<= length & 63;
        self.position += length as usize;
    }

    #[inline]
    fn next(&self) -> usize {
        (self.word >> (64 - AHEAD)) as usize
    }

    /// A code that no table has together with its value: its run and its size, and the value.
    #[inline(never)]
    fn long(&mut self, table: &Joint) -> (u32, u32, i32) {
        self.fill();
        let (symbol, length) = table.codes.symbol(self.word);
        self.pass(length);
        let (run, size) = (symbol >> 4, symbol & 15);
        if size == 0 {
            return (run, 0, 0);
        }
        let value = extend((self.word >> (64 - size)) as i32, size);
        self.pass(size);
        self.fill();
        (run, size, value)
    }
}

/// Look-ups between two fills: what is at hand has bits for five.
const LOOKUPS: usize = 4;

/// Reads the coefficients of one of four blocks, which are zero before; returns the first's difference to the one before.
#[inline]
pub(super) fn block(stream: &mut Stream<'_>, dc: &Joint, ac: &Joint, quad: &mut Quad, lane: usize) -> i32 {
    let mut bits = Bits { word: 0, position: stream.position(), stream };
    bits.fill();
    let entry = dc.single(bits.word);
    let difference = if entry == 0 {
        bits.long(dc).2
    } else {
        bits.pass(entry & 0xff);
        entry as i32 >> 16
    };
    let mut set = |at, value| quad.set(lane, at, value);
    let mut at = 1;
    if let Some(pairs) = &ac.pairs {
        'pairs: loop {
            for _ in 0..LOOKUPS {
                let Pair(entry) = pairs[bits.next()];
                if entry as u8 == 0 {
                    let (run, size, value) = bits.long(ac);
                    at += run as usize + 1;
                    if size > 0 {
                        set(at - 1, value as i16);
                    } else if run < 15 {
                        at = 64;
                    }
                    if at > Pair::LAST {
                        break 'pairs;
                    }
                    break;
                }
                bits.pass(entry as u32 & 0xff);
                set(at + (entry >> 8) as u8 as usize, (entry >> 32) as i16);
                set(at + (entry >> 16) as u8 as usize, (entry >> 48) as i16);
                at += (entry >> 24) as u8 as usize;
                if at > Pair::LAST {
                    break 'pairs;
                }
            }
            bits.fill();
        }
    }
    while at < 64 {
        bits.fill();
        for _ in 0..LOOKUPS {
            let entry = ac.single(bits.word);
            if entry == 0 {
                let (run, size, value) = bits.long(ac);
                at += run as usize + 1;
                if size > 0 {
                    set(at - 1, value as i16);
                } else if run < 15 {
                    at = 64;
                }
                break;
            }
            bits.pass(entry & 0xff);
            at += (entry >> 8 & 0xff) as usize + 1;
            if entry >> 16 != 0 {
                set(at - 1, (entry >> 16) as i16);
            }
            if at >= 64 {
                break;
            }
        }
    }
    let position = bits.position;
    stream.set_position(position);
    difference
}
