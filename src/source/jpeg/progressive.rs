//! Scans of progressive data, which add to what the blocks hold.

use super::frame::{NATURAL, Stop};
use super::huffman::{END, extend};
use super::kernels::Nonzero;
use super::markers::Markers;
use super::quad::{LANES, ORDER, Quad};
use super::scan::{Kind, ScanReader, Tables};
use super::stream::Stream;

/// Look-ups for which a word of bits is enough.
const LOOKUPS: usize = 5;

impl<'a> ScanReader<'a> {
    /// Reads a block's first coefficient, or a bit more of it.
    pub(super) fn first_coefficient(&mut self, part: usize, first: &mut i16, has_data: bool) -> Result<(), Stop> {
        match self.kind {
            Kind::DcRefine => self.dc_refine(first),
            Kind::DcFirst if has_data => self.dc_first(part, first)?,
            _ => {}
        }
        Ok(())
    }

    /// Reads the units of a row, which are `count` blocks of one part; says whether there was data for one of them.
    pub(super) fn line(
        &mut self,
        markers: &mut Markers<'a>,
        line: &mut [Quad],
        count: u32,
        nonzero: Nonzero,
    ) -> Result<bool, Stop> {
        let mut good = false;
        let mut x = 0;
        while x < count {
            good |= !self.stream.starved();
            let passed = match self.kind {
                Kind::AcFirst => self.skip(markers, count - x),
                Kind::DcRefine if markers.restart_interval == 0 => self.refine_ready(line, x, count),
                _ => 0,
            };
            if passed > 0 {
                x += passed;
                continue;
            }
            let has_data = self.start_unit(markers)?;
            let (quad, lane) = (&mut line[(x / LANES) as usize], Quad::lane(x));
            x += 1;
            match self.kind {
                Kind::AcFirst if has_data => self.ac_first(quad, lane),
                Kind::AcRefine if has_data => self.ac_refine(quad, lane, nonzero(quad, lane)),
                Kind::DcFirst | Kind::DcRefine => self.first_coefficient(0, &mut quad.0[lane], has_data)?,
                _ => {}
            }
            self.count_unit(markers);
        }
        Ok(good)
    }

    /// How many of the next `most` units the scan's data passes over.
    fn skip(&mut self, markers: &Markers<'a>, most: u32) -> u32 {
        if self.stream.starved() || markers.restart_interval > 0 {
            return 0;
        }
        let count = self.end_of_band_run.min(most);
        self.end_of_band_run -= count;
        count
    }

    /// Refines as many first coefficients of a line's blocks as there are bits at hand, and says how many.
    fn refine_ready(&mut self, line: &mut [Quad], x: u32, count: u32) -> u32 {
        self.stream.prepare();
        let start = self.stream.position();
        let mut word = self.stream.peek(start);
        let count = (count - x).min(48);
        for x in x..x + count {
            line[(x / LANES) as usize].0[Quad::lane(x)] |= ((word >> 63) as i16) << self.low;
            word <<= 1;
        }
        self.stream.set_position(start + count as usize);
        count
    }

    fn dc_refine(&mut self, first: &mut i16) {
        *first |= (self.stream.get(1) as i16) << self.low;
    }

    fn dc_first(&mut self, part: usize, first: &mut i16) -> Result<(), Stop> {
        let Some(Tables { dc: Some(table), .. }) = self.tables.get(part) else { return Ok(()) };
        let difference = self.stream.difference(table);
        let sum = self.predictions[part].checked_add(difference);
        let sum = sum.ok_or(Stop::Broken("a coefficient out of range"))?;
        self.predictions[part] = sum;
        *first = (sum << self.low) as i16;
        Ok(())
    }

    fn ac_first(&mut self, quad: &mut Quad, lane: usize) {
        if self.end_of_band_run > 0 {
            self.end_of_band_run -= 1;
            return;
        }
        let Some(Tables { ac: Some(table), .. }) = self.tables.first() else { return };
        let mut at = self.first;
        let mut position = self.stream.position();
        while at <= self.last {
            let mut word = self.stream.peek(position);
            for _ in 0..LOOKUPS {
                let entry = table.single(word);
                if entry == 0 {
                    self.stream.set_position(position);
                    let symbol = self.stream.symbol(&table.codes);
                    let (run, size) = (symbol >> 4, symbol & 15);
                    at += run as usize;
                    if size != 0 {
                        let value = extend(self.stream.get(size) as i32, size);
                        quad.set(lane, at, (value << self.low) as i16);
                    } else if run != 15 {
                        self.end_of_band_run = (1 << run) - 1;
                        if run != 0 {
                            self.end_of_band_run += self.stream.get(run);
                        }
                        return;
                    }
                    at += 1;
                    position = self.stream.position();
                    break;
                }
                word <<= entry & 63;
                position += (entry & 0xff) as usize;
                at += (entry >> 8 & 0xff) as usize;
                if entry >> 16 != 0 {
                    quad.set(lane, at, ((entry as i32 >> 16) << self.low) as i16);
                }
                at += 1;
                if at > self.last {
                    break;
                }
            }
        }
        self.stream.set_position(position);
    }

    /// Refines a block of whose coefficients, row by row, those of `some` are not zero.
    fn ac_refine(&mut self, quad: &mut Quad, lane: usize, some: u64) {
        let Self { stream, tables, end_of_band_run, last, low, .. } = self;
        let Some(Tables { ac: Some(table), .. }) = tables.first() else { return };
        let (last, low) = (*last, *low);
        let band = !0 >> (63 - last);
        let some = sent_order(some) & band;
        let mut set = 0;
        let mut at = self.first;
        while *end_of_band_run == 0 && at <= last {
            let word = stream.peek(stream.position());
            let entry = table.single(word);
            let (run, value) = if entry == 0 {
                let symbol = stream.symbol(&table.codes);
                let (run, size) = (symbol >> 4, symbol & 15);
                if size != 0 {
                    (run, stream.get(1) as i16 * 2 - 1)
                } else if run == 15 {
                    (run, 0)
                } else {
                    *end_of_band_run = 1 << run;
                    if run != 0 {
                        *end_of_band_run += stream.get(run);
                    }
                    break;
                }
            } else {
                stream.set_position(stream.position() + (entry & 0xff) as usize);
                let run = entry >> 8 & 0xff;
                if run == END {
                    *end_of_band_run = 1;
                    break;
                }
                (run, (entry >> 16) as i16)
            };
            // On over `run` zeros to the next, past those that are none.
            let mut zeros = !some & band & (!0 << at);
            for _ in 0..run {
                zeros &= zeros.wrapping_sub(1);
            }
            let next = if zeros == 0 { last + 1 } else { zeros.trailing_zeros() as usize };
            let between = (1u64.checked_shl(next as u32).unwrap_or(0)).wrapping_sub(1) & (!0 << at);
            set |= corrections(stream, some & between);
            if value != 0 {
                quad.set(lane, next, value << low);
            }
            at = next + 1;
        }
        if *end_of_band_run > 0 {
            if at <= last {
                set |= corrections(stream, some & (!0 << at));
            }
            *end_of_band_run -= 1;
        }
        correct(quad, lane, low, set);
    }
}

/// Reads a bit for each coefficient of `some`, in the order they are sent, and says for which it is set.
#[inline]
fn corrections(stream: &mut Stream<'_>, some: u64) -> u64 {
    const AT_HAND: usize = 56;
    let (mut left, mut set) = (some, 0);
    while left != 0 {
        let position = stream.position();
        let mut word = stream.peek(position);
        let mut count = 0;
        while left != 0 && count < AT_HAND {
            let lowest = left & left.wrapping_neg();
            set |= lowest & ((word as i64) >> 63) as u64;
            left ^= lowest;
            word <<= 1;
            count += 1;
        }
        stream.set_position(position + count);
    }
    set
}

/// Adds a bit to the coefficients of `some`, away from zero, as far as it is not there.
#[inline]
fn correct(quad: &mut Quad, lane: usize, low: u32, mut some: u64) {
    let plus = 1i16 << low;
    while some != 0 {
        let value = &mut quad.0[(usize::from(ORDER[some.trailing_zeros() as usize & 63]) + lane) & 255];
        some &= some - 1;
        if *value & plus == 0 {
            let sign = *value >> 15;
            *value = value.wrapping_add((plus ^ sign) - sign);
        }
    }
}

/// From bits of coefficients row by row to bits in the order they are sent.
#[inline]
fn sent_order(rows: u64) -> u64 {
    rows.to_le_bytes().iter().zip(&SENT).fold(0, |made, (&row, sent)| made | sent[usize::from(row)])
}

/// For each row, where the coefficients of a byte's bits are sent.
static SENT: [[u64; 256]; 8] = {
    let mut made = [[0; 256]; 8];
    let mut at = 0;
    while at < 64 {
        let (row, column) = (NATURAL[at] as usize / 8, NATURAL[at] as usize % 8);
        let mut byte = 0;
        while byte < 256 {
            made[row][byte] |= ((byte >> column & 1) as u64) << at;
            byte += 1;
        }
        at += 1;
    }
    made
};
