//! Several threads for a file whose restart markers let its rows be read from many places: each makes some rows of the image.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::baseline::Baseline;
use super::check;
use super::frame::{Frame, Stop};
use super::markers::Markers;
use super::output::Output;
use super::rows::Part;
use crate::threads::{Threads, parallel};

/// Fewest rows of units that a thread takes: with a row more on each side, from which samples are smoothed.
const FEWEST: u32 = 16;
/// Parts to a thread, so that none waits long for the last.
const PARTS: usize = 2;
/// Most rows of units from one that a marker stands before to the next.
const MOST_APART: u32 = 4;

/// Where the intervals of a scan's data begin.
pub(super) struct Intervals<'a> {
    /// At the scan's data.
    markers: Markers<'a>,
    starts: Vec<usize>,
    /// Units of an interval, and of a row.
    interval: u32,
    columns: u32,
    /// Rows of units from one that begins with an interval to the next.
    apart: u32,
    rows: u32,
}

impl<'a> Intervals<'a> {
    /// The intervals of a file of one scan, if all of them are there, none is out of its order, and a marker ends the last: then each is
    /// read as it is where one thread reads all.
    pub(super) fn find(markers: &Markers<'a>, frame: &Frame) -> Option<Self> {
        let (interval, columns, rows) = (markers.restart_interval, frame.columns(), frame.rows());
        if interval == 0 || frame.components.len() == 1 || rows < 2 * FEWEST {
            return None;
        }
        let apart = (1..=MOST_APART).find(|apart| (apart * columns).is_multiple_of(interval))?;
        let count = (columns * rows).div_ceil(interval) as usize;
        let mut starts = vec![markers.at];
        let mut at = markers.at;
        loop {
            at += markers.bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
            at += markers.bytes[at..].iter().position(|&byte| byte != 0xff)?;
            match markers.bytes[at] {
                0 => {}
                code @ 0xd0..=0xd7 if usize::from(code & 7) == (starts.len() - 1) % 8 => starts.push(at + 1),
                0xd0..=0xd7 => return None,
                _ => break,
            }
            at += 1;
        }
        let whole = starts.len() == count;
        whole.then(|| Self { markers: markers.clone(), starts, interval, columns, apart, rows })
    }

    /// Makes all rows of the image that `output` makes for a part of it, which begins with some row: packed RGB in `pixels`.
    /// [`Stop::Again`] where the file must be read carefully.
    pub(super) fn decode(
        &self,
        output: impl Fn() -> Result<Output, Stop> + Sync,
        pixels: &mut [u8],
        threads: Threads,
    ) -> Result<(), Stop> {
        let tall = FEWEST.max(self.rows.div_ceil((threads.get() * PARTS) as u32));
        let Output { width, height, unit_rows, .. } = output()?;
        let len = width * 3;
        let memory = pixels[..height * len].chunks_mut(tall as usize * unit_rows * len).map(Mutex::new);
        let parts: Vec<_> = (0..self.rows).step_by(tall as usize).zip(memory).collect();
        let done = parallel(&parts, threads, |(first, memory)| {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            let mut output = output()?;
            output.only(*first as usize * unit_rows..(*first + tall) as usize * unit_rows);
            let mut rows = Part { memory: &mut memory, first: *first as usize * unit_rows, len };
            self.part(*first..self.rows.min(first + tall), &mut output, &mut rows)
        });
        // Who reads all alone meets the first of them first.
        done.into_iter().collect()
    }

    /// Makes the rows that some rows of units allow.
    fn part(&self, units: Range<u32>, output: &mut Output, rows: &mut Part<'_>) -> Result<(), Stop> {
        // Samples at the edges are smoothed with those beyond.
        let first = units.start.saturating_sub(1) / self.apart * self.apart;
        let end = self.rows.min(units.end + 1);
        let mut markers = self.markers.clone();
        let index = first * self.columns / self.interval;
        markers.at = self.starts[index as usize];
        markers.next_restart = (index % 8) as u8;
        let mut scan = Baseline::new(&mut markers, false)?;
        for row in first..end {
            check()?;
            scan.row(row, &mut markers, output, rows)?;
        }
        if units.end == self.rows { scan.finish(&mut markers) } else { scan.end(&mut markers).map(drop) }
    }
}
