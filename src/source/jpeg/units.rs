//! The units of a scan: a block of its one part, or the blocks that all its parts have in a minimum coded unit.

use arrayvec::ArrayVec;

use super::frame::{Frame, Stop};
use super::markers::Markers;

/// The units of a scan.
pub(super) struct Units {
    /// For each block of one: the scan's part, the component, and its place in the unit.
    places: ArrayVec<(usize, usize, u32, u32), 10>,
    /// Units in a row, and rows of them.
    pub(super) columns: u32,
    pub(super) rows: u32,
    /// Blocks from one unit to the next, by component.
    pub(super) steps: [(u32, u32); 4],
    /// Rows of units to a row of the whole image's.
    pub(super) per_row: u32,
}

impl Units {
    pub(super) fn new(frame: &Frame, markers: &Markers<'_>) -> Result<Self, Stop> {
        let scan = &markers.scan.parts;
        let mut units = Self { places: ArrayVec::new(), columns: 0, rows: 0, steps: [(1, 1); 4], per_row: 1 };
        if let [(index, ..)] = scan[..] {
            let part = &frame.components[index];
            units.places.push((0, index, 0, 0));
            (units.columns, units.rows, units.per_row) = (part.blocks_x, part.blocks_y, part.v);
            return Ok(units);
        }
        (units.columns, units.rows) = (frame.columns(), frame.rows());
        for (number, &(index, ..)) in scan.iter().enumerate() {
            let part = &frame.components[index];
            units.steps[index] = (part.h, part.v);
            for y in 0..part.v {
                for x in 0..part.h {
                    let place = units.places.try_push((number, index, x, y));
                    place.map_err(|_| Stop::Broken("more than ten blocks to a unit"))?;
                }
            }
        }
        Ok(units)
    }

    /// Blocks of a unit.
    pub(super) fn size(&self) -> usize {
        self.places.len()
    }

    /// The scan's part, the component and the place of each block of a unit.
    pub(super) fn blocks(&self, column: u32, row: u32) -> impl Iterator<Item = (usize, usize, u32, u32)> + Clone {
        self.places.iter().map(move |&(part, index, x, y)| {
            let (across, down) = self.steps[index];
            (part, index, column * across + x, row * down + y)
        })
    }
}
