//! A block of sequential data: what a baseline file has.

use super::huffman::{AHEAD, Joint, Pair, extend};
use super::quad::Quad;
use super::stream::Stream;

/// A code that no table has together with its value.
struct Long {
    run: usize,
    size: u32,
    value: i32,
    /// Of both.
    length: usize,
}

impl Long {
    #[cold]
    #[inline(never)]
    fn read(stream: &Stream<'_>, table: &Joint, position: usize) -> Self {
        let mut word = stream.peek(position);
        let (symbol, code) = table.codes.symbol(word);
        let (run, size) = (symbol as usize >> 4, symbol & 15);
        word <<= code;
        let value = if size == 0 { 0 } else { extend((word >> (64 - size)) as i32, size) };
        Self { run, size, value, length: (code + size) as usize }
    }

    /// The place after it in a block, and its own where it is a coefficient.
    #[inline]
    fn step(&self, at: usize) -> (usize, Option<usize>) {
        match (self.size, self.run) {
            (0, 15) => (at + 16, None),
            (0, _) => (64, None),
            (_, run) => (at + run + 1, Some(at + run)),
        }
    }
}

/// Look-ups between two fills: what is at hand has bits for five.
const LOOKUPS: usize = 4;

/// Reads the coefficients of one of four blocks, which are zero before; returns the first's difference to the one before.
#[inline]
pub(super) fn block(stream: &mut Stream<'_>, dc: &Joint, ac: &Joint, quad: &mut Quad, lane: usize) -> i32 {
    let mut position = stream.position();
    let mut word = stream.peek(position);
    let entry = dc.single(word);
    let difference = if entry == 0 {
        let long = Long::read(stream, dc, position);
        position += long.length;
        word = stream.peek(position);
        long.value
    } else {
        position += (entry & 0xff) as usize;
        word <<= entry & 63;
        entry as i32 >> 16
    };
    let mut at = 1;
    if let Some(pairs) = &ac.pairs {
        'pairs: loop {
            for _ in 0..LOOKUPS {
                let Pair(entry) = pairs[(word >> (64 - AHEAD)) as usize];
                if entry as u8 == 0 {
                    let long = Long::read(stream, ac, position);
                    position += long.length;
                    let (next, place) = long.step(at);
                    if let Some(place) = place {
                        quad.set(lane, place, long.value as i16);
                    }
                    at = next;
                    if at > Pair::LAST {
                        break 'pairs;
                    }
                    break;
                }
                position += usize::from(entry as u8);
                word <<= entry & 63;
                quad.set(lane, at + usize::from((entry >> 8) as u8), (entry >> 32) as i16);
                quad.set(lane, at + usize::from((entry >> 16) as u8), (entry >> 48) as i16);
                at += usize::from((entry >> 24) as u8);
                if at > Pair::LAST {
                    break 'pairs;
                }
            }
            word = stream.peek(position);
        }
    }
    while at < 64 {
        word = stream.peek(position);
        for _ in 0..LOOKUPS {
            let entry = ac.single(word);
            if entry == 0 {
                let long = Long::read(stream, ac, position);
                position += long.length;
                let (next, place) = long.step(at);
                if let Some(place) = place {
                    quad.set(lane, place, long.value as i16);
                }
                at = next;
                break;
            }
            position += (entry & 0xff) as usize;
            word <<= entry & 63;
            at += (entry >> 8 & 0xff) as usize + 1;
            if entry >> 16 != 0 {
                quad.set(lane, at - 1, (entry >> 16) as i16);
            }
            if at >= 64 {
                break;
            }
        }
    }
    stream.set_position(position);
    difference
}
