//! A scan's entropy-coded data, unit by unit, with libjpeg's way through damaged data.

use super::bits::{Bits, Quick};
use super::frame::{NATURAL, Stop};
use super::huffman::{Decoder, extend};
use super::markers::Markers;

/// A block's coefficients, row by row.
pub(super) type Block = [i16; 64];

/// Pillow hands data to libjpeg in pieces of this size.
const PIECE: usize = 1 << 16;

/// How a block's coefficients are sent.
#[derive(Clone, Copy)]
enum Kind {
    Sequential,
    DcFirst,
    DcRefine,
    AcFirst,
    AcRefine,
}

/// Reads the units of one scan.
pub(super) struct ScanReader<'a> {
    pub(super) bits: Bits<'a>,
    kind: Kind,
    first: usize,
    last: usize,
    low: u32,
    predictions: [i32; 4],
    end_of_band_run: u32,
    to_restart: u32,
    dc: Vec<Option<Decoder>>,
    ac: Vec<Option<Decoder>>,
}

impl<'a> ScanReader<'a> {
    /// Sets up the scan whose header was read.
    pub(super) fn new(markers: &Markers<'a>) -> Result<Self, Stop> {
        let scan = &markers.scan;
        let progressive = markers.frame.as_ref().is_some_and(|frame| frame.progressive);
        let kind = match (progressive, scan.first == 0, scan.high == 0) {
            (false, ..) => Kind::Sequential,
            (true, true, true) => Kind::DcFirst,
            (true, true, false) => Kind::DcRefine,
            (true, false, true) => Kind::AcFirst,
            (true, false, false) => Kind::AcRefine,
        };
        if progressive {
            let band = if scan.first == 0 {
                scan.last == 0
            } else {
                scan.first <= scan.last && scan.last < 64 && scan.parts.len() == 1
            };
            let refines = scan.high == 0 || scan.low + 1 == scan.high;
            if !band || !refines || scan.low > 13 {
                return Err(Stop::Broken("a scan that no progression allows"));
            }
        }
        let (mut dc, mut ac) = (Vec::new(), Vec::new());
        for &(_, dc_index, ac_index) in &scan.parts {
            let wants_dc = matches!(kind, Kind::Sequential | Kind::DcFirst);
            dc.push(if wants_dc { Some(Decoder::new(markers.dc_code(dc_index)?, true)?) } else { None });
            ac.push(match kind {
                Kind::Sequential => Some(Decoder::joint(markers.ac_code(ac_index)?)?),
                Kind::AcFirst | Kind::AcRefine => Some(Decoder::new(markers.ac_code(ac_index)?, false)?),
                Kind::DcFirst | Kind::DcRefine => None,
            });
        }
        Ok(Self {
            bits: Bits::new(markers.bytes, markers.at, piece_end(markers.bytes, markers.at)),
            kind,
            first: scan.first as usize,
            last: scan.last as usize,
            low: scan.low,
            predictions: [0; 4],
            end_of_band_run: 0,
            to_restart: markers.restart_interval,
            dc,
            ac,
        })
    }

    /// Reads one unit of sequential data: a block for each of `parts`, which says the scan's part that it belongs to. The blocks
    /// hold zeros, or what an earlier scan left.
    pub(super) fn sequential(
        &mut self,
        markers: &mut Markers<'a>,
        parts: &[u8],
        blocks: &mut [Block],
    ) -> Result<(), Stop> {
        self.restart_if_due(markers)?;
        while !self.bits.starved {
            let predictions = self.predictions;
            if markers.restart_interval == 0 && self.bits.has_room_for(blocks.len()) {
                let mut quick = Quick::new(&self.bits);
                for (&part, block) in parts.iter().zip(&mut *blocks) {
                    let part = usize::from(part);
                    let (Some(Some(dc)), Some(Some(ac))) = (self.dc.get(part), self.ac.get(part)) else { break };
                    quick_block(&mut quick, dc, ac, block, &mut self.predictions[part]);
                }
                if !quick.met_marker {
                    quick.settle(&mut self.bits);
                    break;
                }
                self.predictions = predictions;
            }
            let mut bits = self.bits;
            let read = parts.iter().zip(&mut *blocks).try_for_each(|(&part, block)| {
                let part = usize::from(part);
                let (Some(Some(dc)), Some(Some(ac))) = (self.dc.get(part), self.ac.get(part)) else { return Ok(()) };
                sequential_block(&mut bits, dc, ac, block, &mut self.predictions[part])
            });
            match read {
                Ok(()) => {
                    self.bits = bits;
                    break;
                }
                Err(stop) => {
                    self.predictions = predictions;
                    self.next_piece(stop)?;
                    blocks.fill([0; 64]);
                }
            }
        }
        self.count_unit(markers);
        Ok(())
    }

    /// Reads one unit of progressive data, which adds to what the blocks hold.
    pub(super) fn progressive(
        &mut self,
        markers: &mut Markers<'a>,
        parts: &[u8],
        blocks: &mut [Block],
    ) -> Result<(), Stop> {
        self.restart_if_due(markers)?;
        if self.end_of_band_run > 0 && matches!(self.kind, Kind::AcFirst) {
            if !self.bits.starved {
                self.end_of_band_run -= 1;
            }
            self.count_unit(markers);
            return Ok(());
        }
        if matches!(self.kind, Kind::DcRefine)
            && let Some(mut word) = self.bits.ready(blocks.len() as u32)
        {
            for block in blocks.iter_mut().rev() {
                block[0] |= ((word & 1) as i16) << self.low;
                word >>= 1;
            }
            self.count_unit(markers);
            return Ok(());
        }
        while !self.bits.starved || matches!(self.kind, Kind::DcRefine) {
            let (predictions, run) = (self.predictions, self.end_of_band_run);
            // Only near the end of the data at hand can a block be left half done.
            let near_end = self.bits.end.saturating_sub(self.bits.at) < 1024;
            let kept = (near_end && matches!(self.kind, Kind::AcRefine)).then(|| blocks[0]);
            let mut bits = self.bits;
            let mut starts = parts.iter().zip(&mut *blocks);
            let read = starts.try_for_each(|(&part, block)| self.progressive_block(&mut bits, part.into(), block));
            match read {
                Ok(()) => {
                    self.bits = bits;
                    break;
                }
                Err(stop) => {
                    (self.predictions, self.end_of_band_run) = (predictions, run);
                    if let Some(kept) = kept {
                        blocks[0] = kept;
                    }
                    self.next_piece(stop)?;
                }
            }
        }
        self.count_unit(markers);
        Ok(())
    }

    /// Refines as many first coefficients of a line's blocks as there are bits at hand, and says how many.
    pub(super) fn refine_ready(&mut self, markers: &Markers<'a>, line: &mut [Block]) -> u32 {
        if !matches!(self.kind, Kind::DcRefine) || markers.restart_interval > 0 {
            return 0;
        }
        let count = self.bits.at_hand().min(line.len() as u32);
        if let Some(mut word) = self.bits.ready(count) {
            for block in line[..count as usize].iter_mut().rev() {
                block[0] |= ((word & 1) as i16) << self.low;
                word >>= 1;
            }
        }
        count
    }

    fn progressive_block(&mut self, bits: &mut Bits<'a>, part: usize, block: &mut Block) -> Result<(), Stop> {
        match self.kind {
            Kind::DcRefine => {
                if bits.get(1)? == 1 {
                    block[0] |= 1 << self.low;
                }
                Ok(())
            }
            Kind::DcFirst => {
                let Some(Some(table)) = self.dc.get(part) else { return Ok(()) };
                let size = bits.symbol(table)?;
                let difference = if size == 0 { 0 } else { extend(bits.get(size)?, size) };
                let sum = self.predictions[part].checked_add(difference);
                let sum = sum.ok_or(Stop::Broken("a coefficient out of range"))?;
                self.predictions[part] = sum;
                block[0] = (sum << self.low) as i16;
                Ok(())
            }
            Kind::AcFirst => self.ac_first(bits, block),
            Kind::AcRefine => self.ac_refine(bits, block),
            Kind::Sequential => Ok(()),
        }
    }

    fn ac_first(&mut self, bits: &mut Bits<'a>, block: &mut Block) -> Result<(), Stop> {
        let Some(Some(table)) = self.ac.first() else { return Ok(()) };
        let mut at = self.first;
        while at <= self.last {
            let symbol = bits.symbol(table)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            at += run as usize;
            if size != 0 {
                let value = extend(bits.get(size)?, size);
                block[usize::from(NATURAL[at])] = (value << self.low) as i16;
            } else if run != 15 {
                self.end_of_band_run = (1 << run) - 1;
                if run != 0 {
                    self.end_of_band_run += bits.get(run)? as u32;
                }
                break;
            }
            at += 1;
        }
        Ok(())
    }

    fn ac_refine(&mut self, bits: &mut Bits<'a>, block: &mut Block) -> Result<(), Stop> {
        let Some(Some(table)) = self.ac.first() else { return Ok(()) };
        let plus = 1i16 << self.low;
        let minus = -1i16 << self.low;
        let correct = |bits: &mut Bits<'a>, value: &mut i16| {
            if bits.get(1)? == 1 && *value & plus == 0 {
                *value = value.wrapping_add(if *value >= 0 { plus } else { minus });
            }
            Ok::<(), Stop>(())
        };
        let mut at = self.first;
        if self.end_of_band_run == 0 {
            while at <= self.last {
                let symbol = bits.symbol(table)?;
                let (mut run, size) = (symbol >> 4, symbol & 15);
                let mut fresh = 0;
                if size != 0 {
                    fresh = if bits.get(1)? == 1 { plus } else { minus };
                } else if run != 15 {
                    self.end_of_band_run = 1 << run;
                    if run != 0 {
                        self.end_of_band_run += bits.get(run)? as u32;
                    }
                    break;
                }
                loop {
                    let value = &mut block[usize::from(NATURAL[at])];
                    if *value != 0 {
                        correct(bits, value)?;
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
                    block[usize::from(NATURAL[at])] = fresh;
                }
                at += 1;
            }
        }
        if self.end_of_band_run > 0 {
            for &place in NATURAL.get(at..=self.last).unwrap_or_default() {
                let value = &mut block[usize::from(place)];
                if *value != 0 {
                    correct(bits, value)?;
                }
            }
            self.end_of_band_run -= 1;
        }
        Ok(())
    }

    /// Whether it refines the coefficients of a band, each of which it then looks at.
    pub(super) fn refines_bands(&self) -> bool {
        matches!(self.kind, Kind::AcRefine)
    }

    /// Whether no unit that is left changes anything: the data has ended at a marker, and no restart can follow.
    pub(super) fn is_over(&self, markers: &Markers<'a>) -> bool {
        self.bits.starved && (markers.restart_interval == 0 || matches!(self.bits.marker, 0xc0..0xd0 | 0xd8..))
    }

    /// How many of the next `most` units the scan's data passes over.
    pub(super) fn skip(&mut self, markers: &Markers<'a>, most: u32) -> u32 {
        if !matches!(self.kind, Kind::AcFirst) || self.bits.starved || markers.restart_interval > 0 {
            return 0;
        }
        let count = self.end_of_band_run.min(most);
        self.end_of_band_run -= count;
        count
    }

    /// Gives `markers` the place at which the scan ends.
    pub(super) fn finish(&self, markers: &mut Markers<'a>) {
        markers.at = self.bits.at;
        markers.pending = self.bits.marker;
    }

    fn restart_if_due(&mut self, markers: &mut Markers<'a>) -> Result<(), Stop> {
        if markers.restart_interval == 0 || self.to_restart > 0 {
            return Ok(());
        }
        self.bits.discard();
        self.finish(markers);
        markers.restart()?;
        self.bits.at = markers.at;
        self.bits.marker = markers.pending;
        self.bits.end = self.bits.end.max(piece_end(markers.bytes, markers.at));
        self.predictions = [0; 4];
        self.end_of_band_run = 0;
        self.to_restart = markers.restart_interval;
        if markers.pending == 0 {
            self.bits.starved = false;
        }
        Ok(())
    }

    fn count_unit(&mut self, markers: &Markers<'a>) {
        if markers.restart_interval > 0 {
            self.to_restart -= 1;
        }
    }

    /// Goes on where only the piece of data ended.
    fn next_piece(&mut self, stop: Stop) -> Result<(), Stop> {
        if stop != Stop::Truncated || self.bits.end == self.bits.bytes.len() {
            return Err(stop);
        }
        loop {
            let start = self.bits.end;
            self.bits.end = (start + PIECE).min(self.bits.bytes.len());
            // In a run of these the unit would stop once more, at this piece's end.
            let piece = &self.bits.bytes[start..self.bits.end];
            if piece.len() < PIECE || piece.iter().any(|&byte| byte != 0xff) {
                return Ok(());
            }
        }
    }
}

/// The end of the pieces in which `at` bytes lie.
fn piece_end(bytes: &[u8], at: usize) -> usize {
    at.next_multiple_of(PIECE).min(bytes.len())
}

fn sequential_block(
    bits: &mut Bits<'_>,
    dc: &Decoder,
    ac: &Decoder,
    block: &mut Block,
    prediction: &mut i32,
) -> Result<(), Stop> {
    let size = bits.symbol(dc)?;
    let difference = if size == 0 { 0 } else { extend(bits.get(size)?, size) };
    *prediction = prediction.wrapping_add(difference);
    block[0] = *prediction as i16;
    let mut at = 1;
    while at < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (symbol >> 4, symbol & 15);
        at += run as usize;
        if size != 0 {
            block[usize::from(NATURAL[at])] = extend(bits.get(size)?, size) as i16;
        } else if run != 15 {
            break;
        }
        at += 1;
    }
    Ok(())
}

#[inline]
fn quick_block(bits: &mut Quick<'_>, dc: &Decoder, ac: &Decoder, block: &mut Block, prediction: &mut i32) {
    let size = bits.symbol(dc);
    let difference = if size == 0 { 0 } else { extend(bits.get(size), size) };
    *prediction = prediction.wrapping_add(difference);
    block[0] = *prediction as i16;
    bits.coefficients(ac, block);
}
