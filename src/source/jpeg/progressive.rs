//! Scans of progressive data, which add to what the blocks hold.

use super::frame::Stop;
use super::huffman::{AHEAD, extend};
use super::markers::Markers;
use super::quad::{LANES, ORDER, Quad};
use super::scan::{Kind, ScanReader, Tables};

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
    pub(super) fn line(&mut self, markers: &mut Markers<'a>, line: &mut [Quad], count: u32) -> Result<bool, Stop> {
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
                Kind::AcRefine if has_data => self.ac_refine(quad, lane),
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
                let entry = table.singles[(word >> (64 - AHEAD)) as usize];
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

    fn ac_refine(&mut self, quad: &mut Quad, lane: usize) {
        let Some(Tables { ac: Some(table), .. }) = self.tables.first() else { return };
        let stream = &mut self.stream;
        let plus = 1i16 << self.low;
        let minus = -1i16 << self.low;
        let place = |at: usize| (usize::from(ORDER[at & 127]) + lane) & 255;
        let correct = |bit: u32, value: &mut i16| {
            if bit == 1 && *value & plus == 0 {
                *value = value.wrapping_add(if *value >= 0 { plus } else { minus });
            }
        };
        let mut at = self.first;
        if self.end_of_band_run == 0 {
            while at <= self.last {
                let symbol = stream.symbol(&table.codes);
                let (mut run, size) = (symbol >> 4, symbol & 15);
                let mut fresh = 0;
                if size != 0 {
                    fresh = if stream.get(1) == 1 { plus } else { minus };
                } else if run != 15 {
                    self.end_of_band_run = 1 << run;
                    if run != 0 {
                        self.end_of_band_run += stream.get(run);
                    }
                    break;
                }
                loop {
                    let value = &mut quad.0[place(at)];
                    if *value != 0 {
                        correct(stream.get(1), value);
                    } else if run == 0 {
                        break;
                    } else {
                        run -= 1;
                    }
                    at += 1;
                    if at > self.last {
                        break;
                    }
                }
                if fresh != 0 {
                    quad.0[place(at)] = fresh;
                }
                at += 1;
            }
        }
        if self.end_of_band_run > 0 {
            for at in at..=self.last {
                let value = &mut quad.0[place(at)];
                if *value != 0 {
                    correct(stream.get(1), value);
                }
            }
            self.end_of_band_run -= 1;
        }
    }
}
