//! Sequential data that no marker ends: a file cut short. Pillow may have all its rows, which depends on how far ahead libjpeg
//! reads, and in which pieces Pillow hands it the file: both are followed here.

use super::bits::{Bits, Quick};
use super::frame::Stop;
use super::huffman::{Decoder, extend};
use super::markers::Markers;
use super::quad::Quad;
use super::scan::{Place, ReadUnits};

/// Pillow hands data to libjpeg in pieces of this size.
const PIECE: usize = 1 << 16;

/// Reads the units of one scan.
pub(super) struct CarefulReader<'a> {
    bits: Bits<'a>,
    predictions: [i32; 4],
    to_restart: u32,
    /// For each of the scan's parts, the codes of first coefficients and of others.
    tables: Vec<[Box<Decoder>; 2]>,
}

impl<'a> CarefulReader<'a> {
    /// Sets up the scan whose header was read.
    pub(super) fn new(markers: &Markers<'a>) -> Result<Self, Stop> {
        let tables = markers.scan.parts.iter().map(|&(_, dc, ac)| {
            Ok([Decoder::new(markers.dc_code(dc)?, true)?, Decoder::new(markers.ac_code(ac)?, false)?])
        });
        Ok(Self {
            bits: Bits::new(markers.bytes, markers.at, piece_end(markers.bytes, markers.at)),
            predictions: [0; 4],
            to_restart: markers.restart_interval,
            tables: tables.collect::<Result<_, Stop>>()?,
        })
    }

    fn restart_if_due(&mut self, markers: &mut Markers<'a>) -> Result<(), Stop> {
        if markers.restart_interval == 0 || self.to_restart > 0 {
            return Ok(());
        }
        self.bits.discard();
        (markers.at, markers.pending) = (self.bits.at, self.bits.marker);
        markers.restart()?;
        self.bits.at = markers.at;
        self.bits.marker = markers.pending;
        self.bits.end = self.bits.end.max(piece_end(markers.bytes, markers.at));
        self.predictions = [0; 4];
        self.to_restart = markers.restart_interval;
        if markers.pending == 0 {
            self.bits.starved = false;
        }
        Ok(())
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

    /// Reads a unit as libjpeg does where much data is at hand.
    fn quickly(&mut self, places: &[Place], quads: &mut [Quad]) -> bool {
        let mut quick = Quick::new(&self.bits);
        let kept = self.predictions;
        for place in places {
            let [dc, ac] = &self.tables[place.part];
            let prediction = &mut self.predictions[place.part];
            let (quad, lane) = (&mut quads[place.quad], place.lane);
            let size = quick.symbol(dc);
            let difference = if size == 0 { 0 } else { extend(quick.get(size), size) };
            *prediction = prediction.wrapping_add(difference);
            quad.set(lane, 0, *prediction as i16);
            let mut at = 1;
            while at < 64 {
                let symbol = quick.symbol(ac);
                let (run, size) = (symbol >> 4, symbol & 15);
                at += run as usize;
                if size != 0 {
                    quad.set(lane, at, extend(quick.get(size), size) as i16);
                } else if run != 15 {
                    break;
                }
                at += 1;
            }
        }
        if quick.met_marker {
            self.predictions = kept;
        } else {
            quick.settle(&mut self.bits);
        }
        !quick.met_marker
    }

    /// Reads a unit as libjpeg does near the end of what is at hand.
    fn slowly(&mut self, places: &[Place], quads: &mut [Quad]) -> Result<(), Stop> {
        let mut bits = self.bits;
        let mut predictions = self.predictions;
        for place in places {
            let [dc, ac] = &self.tables[place.part];
            let prediction = &mut predictions[place.part];
            let (quad, lane) = (&mut quads[place.quad], place.lane);
            let size = bits.symbol(dc)?;
            let difference = if size == 0 { 0 } else { extend(bits.get(size)?, size) };
            *prediction = prediction.wrapping_add(difference);
            quad.set(lane, 0, *prediction as i16);
            let mut at = 1;
            while at < 64 {
                let symbol = bits.symbol(ac)?;
                let (run, size) = (symbol >> 4, symbol & 15);
                at += run as usize;
                if size != 0 {
                    quad.set(lane, at, extend(bits.get(size)?, size) as i16);
                } else if run != 15 {
                    break;
                }
                at += 1;
            }
        }
        (self.bits, self.predictions) = (bits, predictions);
        Ok(())
    }
}

impl<'a> ReadUnits<'a> for CarefulReader<'a> {
    fn sequential(&mut self, markers: &mut Markers<'a>, places: &[Place], quads: &mut [Quad]) -> Result<(), Stop> {
        self.restart_if_due(markers)?;
        while !self.bits.starved {
            if markers.restart_interval == 0 && self.bits.has_room_for(places.len()) {
                // What it leaves in the blocks where it meets a marker stays there, as libjpeg leaves it.
                if self.quickly(places, quads) {
                    break;
                }
            }
            let Err(stop) = self.slowly(places, quads) else { break };
            self.next_piece(stop)?;
            clear(places, quads);
        }
        if markers.restart_interval > 0 {
            self.to_restart -= 1;
        }
        Ok(())
    }

    fn is_over(&self, markers: &Markers<'a>) -> Result<bool, Stop> {
        Ok(self.bits.starved && (markers.restart_interval == 0 || matches!(self.bits.marker, 0xc0..0xd0 | 0xd8..)))
    }

    fn finish(&mut self, markers: &mut Markers<'a>) -> Result<usize, Stop> {
        (markers.at, markers.pending) = (self.bits.at, self.bits.marker);
        Ok(self.bits.end)
    }
}

/// The end of the pieces in which `at` bytes lie.
fn piece_end(bytes: &[u8], at: usize) -> usize {
    at.next_multiple_of(PIECE).min(bytes.len())
}

fn clear(places: &[Place], quads: &mut [Quad]) {
    for place in places {
        quads[place.quad].rows_mut(place.lane).for_each(|row| *row = [0; 8]);
    }
}
