//! A file of one scan, a row of units at a time.

use super::careful::CarefulReader;
use super::check;
use super::frame::{Frame, Stop};
use super::markers::{Event, Markers};
use super::output::Output;
use super::quad::{LANES, Quad};
use super::scan::{Place, ReadUnits, ScanReader};
use super::units::Units;

/// Reads and transforms the image, carefully or not; [`Stop::Again`] where it must be read carefully.
pub(super) fn read(markers: &mut Markers<'_>, output: &mut Output, careful: bool) -> Result<(), Stop> {
    markers.latch_quant()?;
    markers.default_codes();
    let frame = markers.frame.clone().ok_or(Stop::Broken("a scan without a frame"))?;
    if careful || !markers.is_ended() {
        let mut scan = CarefulReader::new(markers)?;
        rows(&frame, markers, &mut scan, output)?;
        let end = scan.finish(markers)?;
        return rest(markers, end);
    }
    let mut scan = ScanReader::new(markers, Vec::new())?;
    rows(&frame, markers, &mut scan, output)?;
    // How far Pillow looks at what follows, which may be damaged, only careful reading tells.
    let end = scan.finish(markers)?;
    rest(markers, end).map_err(|_| Stop::Again)
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
fn rows<'a>(
    frame: &Frame,
    markers: &mut Markers<'a>,
    scan: &mut impl ReadUnits<'a>,
    output: &mut Output,
) -> Result<(), Stop> {
    let units = Units::new(frame, markers)?;
    let quants: Vec<[u16; 64]> = frame.components.iter().map(|part| part.quant.unwrap_or([0; 64])).collect();
    // Of each component, where its quads begin, and how many it has across and down.
    let mut parts = Vec::new();
    let mut count = 0;
    for &(h, v) in &units.steps[..frame.components.len()] {
        parts.push((count, h as usize, v as usize));
        count += (h * v) as usize;
    }
    let mut quads = vec![Quad::ZERO; count];
    let mut places = Vec::new();
    for column in 0..LANES {
        for (part, index, x, y) in units.blocks(column, 0) {
            let (start, across, _) = parts[index];
            let quad = start + y as usize * across + (x / LANES) as usize;
            places.push(Place { part, quad, lane: Quad::lane(x) });
        }
    }
    for row in 0..units.rows {
        check()?;
        for column in (0..units.columns).step_by(LANES as usize) {
            quads.fill(Quad::ZERO);
            for places in places.chunks_exact(units.size()).take((units.columns - column) as usize) {
                scan.sequential(markers, places, &mut quads)?;
            }
            for (index, &(start, across, down)) in parts.iter().enumerate() {
                for (at, quad) in quads[start..start + across * down].iter().enumerate() {
                    let x = (column / LANES) as usize * across + at % across;
                    output.transform(index, x, row as usize * down + at / across, quad, &quants[index]);
                }
            }
        }
        let is_last = row + 1 == units.rows;
        if is_last || (row + 1) % units.per_row == 0 {
            output.emit((row + 1).div_ceil(units.per_row), is_last);
        }
    }
    Ok(())
}
