//! A file of one scan, a row of units at a time.

use super::careful::CarefulReader;
use super::frame::{Frame, Stop};
use super::markers::{Event, Markers};
use super::output::Output;
use super::quad::{LANES, Quad};
use super::rows::Rows;
use super::scan::{Place, ReadUnits, ScanReader};
use super::stream::Window;
use super::units::Units;

/// A scan that has all of the image, and who reads it.
pub(super) struct Baseline<'a> {
    scan: Scan<'a>,
    units: FourUnits,
}

enum Scan<'a> {
    Ahead(Box<ScanReader<'a>>),
    Careful(CarefulReader<'a>),
}

impl<'a> Baseline<'a> {
    /// Sets up the scan whose header was read: to be read carefully, or ahead where its data has an end.
    pub(super) fn new(markers: &mut Markers<'a>, careful: bool) -> Result<Self, Stop> {
        markers.latch_quant()?;
        markers.default_codes();
        let frame = markers.frame.as_ref().ok_or(Stop::Broken("a scan without a frame"))?;
        let scan = if careful || !markers.is_ended() {
            Scan::Careful(CarefulReader::new(markers)?)
        } else {
            Scan::Ahead(Box::new(ScanReader::new(markers, Window::default())?))
        };
        Ok(Self { scan, units: FourUnits::new(frame, markers)? })
    }

    /// Rows of units.
    pub(super) fn rows(&self) -> u32 {
        self.units.units.rows
    }

    /// Reads and transforms a row of units, and makes the rows that it allows.
    pub(super) fn row(
        &mut self,
        row: u32,
        markers: &mut Markers<'a>,
        output: &mut Output,
        rows: &mut impl Rows,
    ) -> Result<(), Stop> {
        match &mut self.scan {
            Scan::Ahead(scan) => self.units.row(row, markers, &mut **scan, output)?,
            Scan::Careful(scan) => self.units.row(row, markers, scan, output)?,
        }
        let Units { rows: count, per_row, .. } = self.units.units;
        let is_last = row + 1 == count;
        if is_last || (row + 1).is_multiple_of(per_row) {
            output.emit((row + 1).div_ceil(per_row), is_last, rows);
        }
        Ok(())
    }

    /// Looks at what follows the last row of units; [`Stop::Again`] where all must be read carefully.
    pub(super) fn finish(&mut self, markers: &mut Markers<'a>) -> Result<(), Stop> {
        let end = self.end(markers)?;
        // How far Pillow looks at what follows, which may be damaged, only careful reading tells.
        rest(markers, end).map_err(|stop| if self.reads_ahead() { Stop::Again } else { stop })
    }

    /// Ends the scan, and says where the data ends that has been looked at; [`Stop::Again`] where it must be read carefully.
    pub(super) fn end(&mut self, markers: &mut Markers<'a>) -> Result<usize, Stop> {
        match &mut self.scan {
            Scan::Ahead(scan) => scan.finish(markers),
            Scan::Careful(scan) => scan.finish(markers),
        }
    }

    /// Whether it is not read carefully.
    pub(super) fn reads_ahead(&self) -> bool {
        matches!(self.scan, Scan::Ahead(_))
    }
}

/// Pillow has all rows, and looks at the rest only as far as the data that it has read goes.
fn rest(markers: &mut Markers<'_>, end: usize) -> Result<(), Stop> {
    match markers.read(end) {
        Ok(Event::End) | Err(Stop::Truncated) => Ok(()),
        Ok(Event::Scan) => Err(Stop::Broken("a scan after the last")),
        Err(stop) => Err(stop),
    }
}

/// Four units at a time, so that each component has whole [`Quad`]s of them.
struct FourUnits {
    units: Units,
    /// Of each component.
    quants: Vec<[u16; 64]>,
    /// Of each component, where its quads begin, and how many it has across and down.
    parts: Vec<(usize, usize, usize)>,
    places: Vec<Place>,
    quads: Vec<Quad>,
}

impl FourUnits {
    fn new(frame: &Frame, markers: &Markers<'_>) -> Result<Self, Stop> {
        let units = Units::new(frame, markers)?;
        let quants = frame.components.iter().map(|part| part.quant.unwrap_or([0; 64])).collect();
        let mut parts = Vec::new();
        let mut count = 0;
        for &(h, v) in &units.steps[..frame.components.len()] {
            parts.push((count, h as usize, v as usize));
            count += (h * v) as usize;
        }
        let mut places = Vec::new();
        for column in 0..LANES {
            for (part, index, x, y) in units.blocks(column, 0) {
                let (start, across, _) = parts[index];
                let quad = start + y as usize * across + (x / LANES) as usize;
                places.push(Place { part, quad, lane: Quad::lane(x) });
            }
        }
        Ok(Self { units, quants, parts, places, quads: vec![Quad::ZERO; count] })
    }

    /// Reads and transforms a row.
    fn row<'a>(
        &mut self,
        row: u32,
        markers: &mut Markers<'a>,
        scan: &mut impl ReadUnits<'a>,
        output: &mut Output,
    ) -> Result<(), Stop> {
        let Self { units, quants, parts, places, quads } = self;
        for column in (0..units.columns).step_by(LANES as usize) {
            quads.fill(Quad::ZERO);
            for places in places.chunks_exact(units.size()).take((units.columns - column) as usize) {
                scan.sequential(markers, places, quads)?;
            }
            for (index, &(start, across, down)) in parts.iter().enumerate() {
                for (at, quad) in quads[start..start + across * down].iter().enumerate() {
                    let x = (column / LANES) as usize * across + at % across;
                    output.transform(index, x, row as usize * down + at / across, quad, &quants[index]);
                }
            }
        }
        Ok(())
    }
}
