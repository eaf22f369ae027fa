//! An image that comes in several scans: all its coefficients are kept.

use std::mem::take;

use super::careful::CarefulReader;
use super::check;
use super::frame::{Frame, Stop};
use super::kernels::Nonzero;
use super::markers::{Event, Markers};
use super::output::Output;
use super::quad::{LANES, Plane, Quad};
use super::rows::Rows;
use super::scan::{Place, ReadUnits, ScanReader};
use super::smooth::Progress;
use super::stream::Window;
use super::units::Units;

/// A file of more scans is refused, as by libjpeg-turbo's own tests.
const MOST_SCANS: u32 = 500;
/// A file is refused whose scans go over more blocks than this, all together, and over each more often than
/// [`VISITS_OF_A_BLOCK`]: a few bytes may cost a pass over the image.
const MOST_VISITS: u64 = 1 << 26;
/// The most progressive of pictures need about 21.
const VISITS_OF_A_BLOCK: u64 = 24;
/// Somebody is asked once in so many whether the rest is still wanted.
const CHECKED: u64 = 1 << 12;
/// A block that a scan refines costs as much as so many others.
const VISITS_OF_REFINED: u64 = 8;

/// All coefficients of an image that comes in several scans.
pub(super) struct Coefficients {
    /// Of each component, with blocks that fill up the last unit.
    planes: Vec<Plane>,
    progress: Progress,
    /// Blocks that scans went over, or what they cost.
    visits: u64,
    /// The most of them.
    most_visits: u64,
    nonzero: Nonzero,
    /// Of scans' bits.
    window: Window,
    /// Sequential scans are read as if no marker ended them.
    careful: bool,
}

impl Coefficients {
    pub(super) fn new(frame: &Frame, nonzero: Nonzero, careful: bool) -> Result<Self, Stop> {
        let mut planes = Vec::new();
        let mut blocks_of_all = 0;
        for part in &frame.components {
            let (across, down) = (part.blocks_x.next_multiple_of(part.h), part.blocks_y.next_multiple_of(part.v));
            blocks_of_all += u64::from(across) * u64::from(down);
            planes.push(Plane::new(across, down)?);
        }
        let most_visits = MOST_VISITS.max(blocks_of_all * VISITS_OF_A_BLOCK);
        let progress = Progress::new(frame.components.len());
        Ok(Self { planes, progress, visits: 0, most_visits, nonzero, window: Window::default(), careful })
    }

    /// Reads all scans, to the end marker.
    pub(super) fn read(&mut self, markers: &mut Markers<'_>) -> Result<(), Stop> {
        if markers.frame.as_ref().is_some_and(|frame| !frame.progressive) {
            markers.default_codes();
        }
        loop {
            let frame = markers.frame.as_ref().ok_or(Stop::Broken("a scan without a frame"))?;
            let (units, is_progressive) = (Units::new(frame, markers)?, frame.progressive);
            markers.latch_quant()?;
            if is_progressive {
                self.progressive(&units, markers)?;
            } else if self.careful {
                let scan = CarefulReader::new(markers)?;
                self.sequential(&units, markers, scan)?;
            } else {
                let scan = ScanReader::new(markers, Window::default())?;
                self.sequential(&units, markers, scan)?;
            }
            match markers.read(markers.bytes.len())? {
                Event::End => return Ok(()),
                Event::Scan if markers.scans > MOST_SCANS => return Err(Stop::Broken("more than 500 scans")),
                Event::Scan => {}
            }
        }
    }

    /// Notes that a scan goes over so many blocks.
    fn visit(&mut self, visits: u64) -> Result<(), Stop> {
        let before = self.visits;
        self.visits += visits;
        if before / CHECKED != self.visits / CHECKED {
            check()?;
        }
        if self.visits > self.most_visits {
            return Err(Stop::Broken("more scans than an image of its size may have"));
        }
        Ok(())
    }

    fn progressive(&mut self, units: &Units, markers: &mut Markers<'_>) -> Result<(), Stop> {
        let mut scan = ScanReader::new(markers, take(&mut self.window))?;
        self.progress.start_scan(&markers.scan, markers.scans);
        let visits = u64::from(units.columns) * units.size() as u64;
        let visits = if scan.refines_bands() { visits * VISITS_OF_REFINED } else { visits };
        let parts = markers.scan.parts.clone();
        for row in 0..units.rows {
            if scan.is_over(markers)? {
                break;
            }
            self.visit(visits)?;
            let mut good = false;
            if let [(index, ..)] = parts[..] {
                good = scan.line(markers, self.planes[index].row_mut(row), units.columns, self.nonzero)?;
            } else {
                for column in 0..units.columns {
                    good |= !scan.stream.starved();
                    let has_data = scan.start_unit(markers)?;
                    for (part, index, x, y) in units.blocks(column, row) {
                        let quad = &mut self.planes[index].row_mut(y)[(x / LANES) as usize];
                        scan.first_coefficient(part, &mut quad.0[Quad::lane(x)], has_data)?;
                    }
                    scan.count_unit(markers);
                }
            }
            if good {
                self.progress.last_good_row = row / units.per_row;
            }
        }
        scan.stream.finish(markers);
        self.window = scan.stream.into_window();
        Ok(())
    }

    fn sequential<'a>(
        &mut self,
        units: &Units,
        markers: &mut Markers<'a>,
        mut scan: impl ReadUnits<'a>,
    ) -> Result<(), Stop> {
        let mut quads = vec![Quad::ZERO; units.size()];
        let places: Vec<Place> =
            units.blocks(0, 0).enumerate().map(|(quad, (part, ..))| Place { part, quad, lane: 0 }).collect();
        for row in 0..units.rows {
            if scan.is_over(markers)? {
                break;
            }
            self.visit(u64::from(units.columns) * units.size() as u64)?;
            for column in 0..units.columns {
                for (quad, (_, index, x, y)) in quads.iter_mut().zip(units.blocks(column, row)) {
                    *quad = Quad::ZERO;
                    quad.0[0] = self.planes[index].row(y)[(x / LANES) as usize].0[Quad::lane(x)];
                }
                scan.sequential(markers, &places, &mut quads)?;
                for (quad, (_, index, x, y)) in quads.iter().zip(units.blocks(column, row)) {
                    let lane = Quad::lane(x);
                    let kept = &mut self.planes[index].row_mut(y)[(x / LANES) as usize];
                    // An earlier scan's coefficients stay where this one has none.
                    for (kept, row) in kept.rows_mut(lane).zip(quad.rows(0)) {
                        for (kept, &value) in kept.iter_mut().zip(row) {
                            *kept = if value == 0 { *kept } else { value };
                        }
                    }
                    kept.0[lane] = quad.0[0];
                }
            }
        }
        scan.finish(markers)?;
        Ok(())
    }

    /// Transforms a row of the image's units, and makes the rows that it allows.
    pub(super) fn output(&self, frame: &Frame, row: u32, output: &mut Output, rows: &mut impl Rows) {
        let smooths = frame.progressive && self.progress.is_incomplete(frame);
        for (index, part) in frame.components.iter().enumerate() {
            let plane = &self.planes[index];
            let quant = part.quant.unwrap_or([0; 64]);
            for y in row * part.v..((row + 1) * part.v).min(part.blocks_y) {
                let mut emit = |x, quad: &Quad| output.transform(index, x, y as usize, quad, &quant);
                if smooths {
                    self.progress.smooth(frame, index, row, y, plane, emit);
                    continue;
                }
                for (x, quad) in plane.row(y).iter().take(part.blocks_x.div_ceil(LANES) as usize).enumerate() {
                    emit(x, quad);
                }
            }
        }
        output.emit(row + 1, row + 1 == frame.rows(), rows);
    }
}
