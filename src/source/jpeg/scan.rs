//! A scan's entropy-coded data, unit by unit, with libjpeg's way through damaged data.

use arrayvec::ArrayVec;

use super::frame::Stop;
use super::huffman::{Joint, Use};
use super::markers::Markers;
use super::quad::Quad;
use super::sequential;
use super::stream::{Stream, Window};

/// Where a block of a unit goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The scan's part that it belongs to.
    pub(super) part: usize,
    pub(super) quad: usize,
    /// See [`Quad::lane`].
    pub(super) lane: usize,
}

/// Who reads a scan of sequential data.
pub(super) trait ReadUnits<'a> {
    /// Reads one unit, whose blocks hold zeros.
    fn sequential(&mut self, markers: &mut Markers<'a>, places: &[Place], quads: &mut [Quad]) -> Result<(), Stop>;

    /// Whether no unit that is left changes anything: the data has ended at a marker, and no restart can follow. An error where the
    /// file ended.
    fn is_over(&self, markers: &Markers<'a>) -> Result<bool, Stop>;

    /// Gives `markers` the place at which the scan ends, and says where the data ends that has been looked at.
    fn finish(&mut self, markers: &mut Markers<'a>) -> Result<usize, Stop>;
}

/// How a block's coefficients are sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Sequential,
    DcFirst,
    DcRefine,
    AcFirst,
    AcRefine,
}

/// The tables of a part of a scan.
pub(super) struct Tables {
    pub(super) dc: Option<Joint>,
    pub(super) ac: Option<Joint>,
}

/// Reads the units of one scan.
pub(super) struct ScanReader<'a> {
    pub(super) stream: Stream<'a>,
    pub(super) kind: Kind,
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) low: u32,
    pub(super) predictions: [i32; 4],
    pub(super) end_of_band_run: u32,
    to_restart: u32,
    pub(super) tables: ArrayVec<Tables, 4>,
}

impl<'a> ScanReader<'a> {
    /// Sets up the scan whose header was read, with the window of an earlier one.
    pub(super) fn new(markers: &Markers<'a>, window: Window) -> Result<Self, Stop> {
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
        let bytes = markers.bytes.len().saturating_sub(markers.at);
        let tables = scan.parts.iter().map(|&(_, dc, ac)| {
            let wants_dc = matches!(kind, Kind::Sequential | Kind::DcFirst);
            let dc = if wants_dc { Some(Joint::new(markers.dc_code(dc)?, Use::Dc, bytes)?) } else { None };
            let ac = match kind {
                Kind::Sequential => Some(Joint::new(markers.ac_code(ac)?, Use::Sequential, bytes)?),
                Kind::AcFirst => Some(Joint::new(markers.ac_code(ac)?, Use::Progressive, bytes)?),
                Kind::AcRefine => Some(Joint::new(markers.ac_code(ac)?, Use::Refining, bytes)?),
                Kind::DcFirst | Kind::DcRefine => None,
            };
            Ok(Tables { dc, ac })
        });
        Ok(Self {
            stream: Stream::new(markers.bytes, markers.at, window),
            kind,
            first: scan.first as usize,
            last: scan.last as usize,
            low: scan.low,
            predictions: [0; 4],
            end_of_band_run: 0,
            to_restart: markers.restart_interval,
            tables: tables.collect::<Result<_, Stop>>()?,
        })
    }

    /// Whether it refines the coefficients of a band, each of which it then looks at.
    pub(super) fn refines_bands(&self) -> bool {
        self.kind == Kind::AcRefine
    }

    /// Begins a unit; says whether it has data.
    pub(super) fn start_unit(&mut self, markers: &mut Markers<'a>) -> Result<bool, Stop> {
        self.restart_if_due(markers)?;
        self.stream.prepare();
        Ok(!self.stream.starved())
    }

    fn restart_if_due(&mut self, markers: &mut Markers<'a>) -> Result<(), Stop> {
        if markers.restart_interval == 0 || self.to_restart > 0 {
            return Ok(());
        }
        self.stream.finish(markers);
        markers.restart()?;
        self.stream.restart(markers);
        self.predictions = [0; 4];
        self.end_of_band_run = 0;
        self.to_restart = markers.restart_interval;
        Ok(())
    }

    pub(super) fn count_unit(&mut self, markers: &Markers<'a>) {
        if markers.restart_interval > 0 {
            self.to_restart -= 1;
        }
    }
}

impl<'a> ReadUnits<'a> for ScanReader<'a> {
    fn sequential(&mut self, markers: &mut Markers<'a>, places: &[Place], quads: &mut [Quad]) -> Result<(), Stop> {
        if self.start_unit(markers)? {
            for place in places {
                let Some(Tables { dc: Some(dc), ac: Some(ac) }) = self.tables.get(place.part) else { continue };
                let quad = &mut quads[place.quad];
                let difference = sequential::block(&mut self.stream, dc, ac, quad, place.lane);
                let prediction = &mut self.predictions[place.part & 3];
                *prediction = prediction.wrapping_add(difference);
                quad.set(place.lane, 0, *prediction as i16);
            }
        }
        self.count_unit(markers);
        Ok(())
    }

    fn is_over(&self, markers: &Markers<'a>) -> Result<bool, Stop> {
        self.stream.check()?;
        let restarts = markers.restart_interval > 0 && !matches!(self.stream.marker(), 0xc0..0xd0 | 0xd8..);
        Ok(self.stream.starved() && !restarts)
    }

    fn finish(&mut self, markers: &mut Markers<'a>) -> Result<usize, Stop> {
        self.stream.finish(markers);
        // What libjpeg leaves in a block of these depends on how it came to read them.
        let odd = self.kind == Kind::Sequential && self.stream.is_odd;
        if odd { Err(Stop::Again) } else { Ok(markers.bytes.len()) }
    }
}
