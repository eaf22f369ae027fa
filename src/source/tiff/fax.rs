//! Fax compression of group 4 (T.6): each line by its differences from the one above.

use std::sync::LazyLock;

/// Runs below this have a code each, longer ones one for every multiple of it.
const LONG: usize = 64;
const LONGEST: usize = 2560;
/// Bits of the longest code of a run.
const MOST_BITS: u32 = 13;

/// Lengths and bits of the codes of white runs: 0 to 63, then multiples of 64 to 2560.
#[rustfmt::skip]
const WHITE: [(u8, u16); 104] = [
    (8, 0x35), (6, 0x7), (4, 0x7), (4, 0x8), (4, 0xb), (4, 0xc), (4, 0xe), (4, 0xf),
    (5, 0x13), (5, 0x14), (5, 0x7), (5, 0x8), (6, 0x8), (6, 0x3), (6, 0x34), (6, 0x35),
    (6, 0x2a), (6, 0x2b), (7, 0x27), (7, 0xc), (7, 0x8), (7, 0x17), (7, 0x3), (7, 0x4),
    (7, 0x28), (7, 0x2b), (7, 0x13), (7, 0x24), (7, 0x18), (8, 0x2), (8, 0x3), (8, 0x1a),
    (8, 0x1b), (8, 0x12), (8, 0x13), (8, 0x14), (8, 0x15), (8, 0x16), (8, 0x17), (8, 0x28),
    (8, 0x29), (8, 0x2a), (8, 0x2b), (8, 0x2c), (8, 0x2d), (8, 0x4), (8, 0x5), (8, 0xa),
    (8, 0xb), (8, 0x52), (8, 0x53), (8, 0x54), (8, 0x55), (8, 0x24), (8, 0x25), (8, 0x58),
    (8, 0x59), (8, 0x5a), (8, 0x5b), (8, 0x4a), (8, 0x4b), (8, 0x32), (8, 0x33), (8, 0x34),
    (5, 0x1b), (5, 0x12), (6, 0x17), (7, 0x37), (8, 0x36), (8, 0x37), (8, 0x64), (8, 0x65),
    (8, 0x68), (8, 0x67), (9, 0xcc), (9, 0xcd), (9, 0xd2), (9, 0xd3), (9, 0xd4), (9, 0xd5),
    (9, 0xd6), (9, 0xd7), (9, 0xd8), (9, 0xd9), (9, 0xda), (9, 0xdb), (9, 0x98), (9, 0x99),
    (9, 0x9a), (6, 0x18), (9, 0x9b), (11, 0x8), (11, 0xc), (11, 0xd), (12, 0x12), (12, 0x13),
    (12, 0x14), (12, 0x15), (12, 0x16), (12, 0x17), (12, 0x1c), (12, 0x1d), (12, 0x1e), (12, 0x1f),
];

/// Of black runs.
#[rustfmt::skip]
const BLACK: [(u8, u16); 104] = [
    (10, 0x37), (3, 0x2), (2, 0x3), (2, 0x2), (3, 0x3), (4, 0x3), (4, 0x2), (5, 0x3),
    (6, 0x5), (6, 0x4), (7, 0x4), (7, 0x5), (7, 0x7), (8, 0x4), (8, 0x7), (9, 0x18),
    (10, 0x17), (10, 0x18), (10, 0x8), (11, 0x67), (11, 0x68), (11, 0x6c), (11, 0x37), (11, 0x28),
    (11, 0x17), (11, 0x18), (12, 0xca), (12, 0xcb), (12, 0xcc), (12, 0xcd), (12, 0x68), (12, 0x69),
    (12, 0x6a), (12, 0x6b), (12, 0xd2), (12, 0xd3), (12, 0xd4), (12, 0xd5), (12, 0xd6), (12, 0xd7),
    (12, 0x6c), (12, 0x6d), (12, 0xda), (12, 0xdb), (12, 0x54), (12, 0x55), (12, 0x56), (12, 0x57),
    (12, 0x64), (12, 0x65), (12, 0x52), (12, 0x53), (12, 0x24), (12, 0x37), (12, 0x38), (12, 0x27),
    (12, 0x28), (12, 0x58), (12, 0x59), (12, 0x2b), (12, 0x2c), (12, 0x5a), (12, 0x66), (12, 0x67),
    (10, 0xf), (12, 0xc8), (12, 0xc9), (12, 0x5b), (12, 0x33), (12, 0x34), (12, 0x35), (13, 0x6c),
    (13, 0x6d), (13, 0x4a), (13, 0x4b), (13, 0x4c), (13, 0x4d), (13, 0x72), (13, 0x73), (13, 0x74),
    (13, 0x75), (13, 0x76), (13, 0x77), (13, 0x52), (13, 0x53), (13, 0x54), (13, 0x55), (13, 0x5a),
    (13, 0x5b), (13, 0x64), (13, 0x65), (11, 0x8), (11, 0xc), (11, 0xd), (12, 0x12), (12, 0x13),
    (12, 0x14), (12, 0x15), (12, 0x16), (12, 0x17), (12, 0x1c), (12, 0x1d), (12, 0x1e), (12, 0x1f),
];

/// By the next 13 bits: the run, and the bits of its code, 0 where there is none.
static RUNS: LazyLock<[Vec<(u16, u8)>; 2]> = LazyLock::new(|| [table(&WHITE), table(&BLACK)]);

fn table(codes: &[(u8, u16)]) -> Vec<(u16, u8)> {
    let mut table = vec![(0, 0); 1 << MOST_BITS];
    for (index, &(length, code)) in codes.iter().enumerate() {
        let run = if index < LONG { index } else { (index - LONG + 1) * LONG };
        let free = MOST_BITS - u32::from(length);
        let first = usize::from(code) << free;
        table[first..first + (1 << free)].fill((run as u16, length));
    }
    table
}

/// Decodes lines of so many pixels and bytes; black is 1. Nothing where a code is damaged, or a line too long.
pub(super) fn decode(data: &[u8], pixels: usize, row: usize, out: &mut [u8]) -> Option<()> {
    let runs = &*RUNS;
    let width = i32::try_from(pixels).ok()?;
    let mut bits = Bits { data, buffer: 0, filled: 0, missing: 0 };
    // Where colours change on the line above, ending with the width a few times, and on this one.
    let mut above = vec![width; 4];
    let mut line: Vec<i32> = Vec::new();
    for out in out.chunks_exact_mut(row) {
        line.clear();
        let mut at = -1;
        let mut black = false;
        let mut next = 0usize;
        while at < width {
            // The first change to the other colour beyond here.
            while next > 0 && above[next - 1] > at {
                next -= 1;
            }
            while above[next] <= at && above[next] < width {
                next += 1;
            }
            if next & 1 != usize::from(black) {
                next += 1;
            }
            let change = above[next.min(above.len() - 1)];
            let ahead = bits.peek(7);
            let (used, offset) = match ahead {
                0b100_0000.. => (1, 0),
                0b011_0000.. => (3, 1),
                0b010_0000.. => (3, -1),
                0b001_0000.. => {
                    bits.skip(3);
                    for colour in [black, !black] {
                        let run = bits.run(&runs[usize::from(colour)])?;
                        at = at.max(0).checked_add(run)?;
                        if at > width || !push(&mut line, at, width) {
                            return None;
                        }
                    }
                    continue;
                }
                0b000_1000.. => {
                    bits.skip(4);
                    at = above[(next + 1).min(above.len() - 1)];
                    continue;
                }
                0b000_0110.. => (6, 2),
                0b000_0100.. => (6, -2),
                0b000_0011 => (7, 3),
                0b000_0010 => (7, -3),
                _ => return None,
            };
            bits.skip(used);
            let to = change + offset;
            if to < at.max(0) || to > width || !push(&mut line, to, width) {
                return None;
            }
            (at, black) = (to, !black);
        }
        if bits.missing > 0 {
            return None;
        }
        out.fill(0);
        for pair in line.chunks(2) {
            blacken(out, pair[0] as usize, pair.get(1).copied().unwrap_or(width) as usize);
        }
        line.extend([width; 4]);
        std::mem::swap(&mut above, &mut line);
    }
    Some(())
}

/// Notes a change of colour; false where there are two in one place, which no encoder writes within a line.
fn push(line: &mut Vec<i32>, at: i32, width: i32) -> bool {
    if at >= width {
        return true;
    }
    let fine = line.last().is_none_or(|&last| last < at);
    line.push(at);
    fine
}

fn blacken(row: &mut [u8], from: usize, to: usize) {
    if from >= to {
        return;
    }
    let (first, last) = (from / 8, (to - 1) / 8);
    let (head, tail) = (0xffu8 >> (from % 8), 0xffu8 << (7 - (to - 1) % 8));
    if first == last {
        row[first] |= head & tail;
        return;
    }
    row[first] |= head;
    row[first + 1..last].fill(0xff);
    row[last] |= tail;
}

struct Bits<'a> {
    data: &'a [u8],
    /// High bits first.
    buffer: u64,
    filled: u32,
    /// Bits that were used beyond the end.
    missing: u32,
}

impl Bits<'_> {
    /// The next bits, with zeros after the end.
    fn peek(&mut self, count: u32) -> u32 {
        if self.filled < count {
            self.fill();
        }
        (self.buffer >> (64 - count)) as u32
    }

    fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.missing += count.saturating_sub(self.filled);
        self.filled = self.filled.saturating_sub(count);
    }

    fn fill(&mut self) {
        while self.filled <= 56
            && let Some((&byte, rest)) = self.data.split_first()
        {
            self.buffer |= u64::from(byte) << (56 - self.filled);
            self.filled += 8;
            self.data = rest;
        }
    }

    /// A run, of as many codes as it takes.
    fn run(&mut self, codes: &[(u16, u8)]) -> Option<i32> {
        let mut total = 0i32;
        loop {
            let (run, length) = codes[self.peek(MOST_BITS) as usize];
            if length == 0 {
                return None;
            }
            self.skip(length.into());
            total = total.checked_add(run.into())?;
            if usize::from(run) < LONG {
                return Some(total);
            }
            if usize::from(run) > LONGEST || self.missing > 0 {
                return None;
            }
        }
    }
}
