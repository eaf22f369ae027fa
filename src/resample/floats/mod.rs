//! Resampling in f32, as torch's `interpolate` or `OpenCV`'s `resize` do on the CPU: nothing is rounded to bytes on the way, and
//! without antialiasing the filter stays as narrow as it is where the image shrinks.
//!
//! What a byte is before it is weighted stands in a table: itself, or its normalised value.

mod axis;
mod sums;

use std::ops::Range;

use axis::{Axis, Direction, Tap};

use super::Window;
use crate::error::Result;
use crate::geometry::Size;
use crate::memory::try_resize;
use crate::options::{Filter, FloatResize};
use crate::simd::Level;
use crate::source::Rows;
use crate::threads::check_stopped;

/// Output sizes (width plus height) up to which ATen weighs four corners, whatever its threads.
const SMALL: u32 = 128;

/// After so many rows somebody is asked whether the rest is still wanted.
const CHECKED: u32 = 16;

/// What each byte of each channel is.
pub(crate) type Table = [[f32; 256]; 3];

/// Bytes as they are.
pub(crate) fn identity() -> Box<Table> {
    Box::new([std::array::from_fn(|byte| byte as f32); 3])
}

/// Buffers that a worker keeps from band to band.
#[derive(Debug, Default)]
pub(crate) struct FloatScratch {
    converted: Vec<u8>,
    values: Vec<f32>,
    lines: Lines,
    output: Vec<f32>,
}

impl FloatScratch {
    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let floats = self.values.capacity() + self.lines.values.capacity() + self.output.capacity();
        self.converted.capacity() + floats * 4 + self.lines.rows.capacity() * 8
    }
}

/// The source rows that the next output rows read: brought to the output's columns, or, for corners, as they are.
#[derive(Debug, Default)]
struct Lines {
    values: Vec<f32>,
    /// Which row is where.
    rows: Vec<Option<u32>>,
}

/// A resample in f32, set up.
pub(crate) struct FloatResampler {
    /// Of the source.
    size: Size,
    table: Box<Table>,
    window: Window,
    /// Columns of the source that are read, in whose order the horizontal axis counts.
    used: Vec<u32>,
    horizontal: Axis,
    vertical: Axis,
    /// Whether four corners are weighted at once.
    corners: bool,
    /// Most rows from the first to the last that an output row reads.
    span: u32,
    level: Level,
}

impl FloatResampler {
    /// Sets up the resample of a whole image of a size to `to`, of which `window` is wanted.
    pub(crate) fn new(size: Size, to: Size, window: Window, sampling: FloatResize, table: Box<Table>) -> Result<Self> {
        Self::at_level(Level::current()?, size, to, window, sampling, table)
    }

    fn at_level(
        level: Level,
        size: Size,
        to: Size,
        window: Window,
        sampling: FloatResize,
        table: Box<Table>,
    ) -> Result<Self> {
        let two = sampling.filter == Filter::Bilinear && !sampling.antialias;
        let sampling = FloatResize { corners: two && (sampling.corners || to.width + to.height <= SMALL), ..sampling };
        let mut horizontal = Axis::new(sampling, Direction::Across, size.width, to.width, &window.columns)?;
        let vertical = Axis::new(sampling, Direction::Down, size.height, to.height, &window.rows)?;
        let span = (0..window.rows.len()).map(|row| vertical.span(row).len() as u32).max().unwrap_or(0);
        let corners = sampling.corners;
        let used = horizontal.compact()?;
        Ok(Self { size, table, window, used, horizontal, vertical, corners, span, level })
    }

    /// Makes the rows `band` (absolute rows within the window) in order and hands each to `emit`: RGB values of the window's
    /// columns.
    pub(crate) fn rows(
        &self,
        source: &mut dyn Rows,
        band: Range<u32>,
        scratch: &mut FloatScratch,
        emit: &mut dyn FnMut(u32, &[f32]),
    ) -> Result<()> {
        let len = self.window.columns.len() * 3;
        let line = if self.corners { self.used.len() * 3 } else { len };
        let FloatScratch { converted, values, lines, output } = scratch;
        try_resize(converted, self.size.width as usize * 3, 0)?;
        try_resize(values, self.used.len() * 3, 0.0)?;
        try_resize(output, len, 0.0)?;
        try_resize(&mut lines.values, line.saturating_mul(self.span as usize), 0.0)?;
        lines.rows.clear();
        lines.rows.resize(self.span as usize, None);
        for y in band {
            if y.is_multiple_of(CHECKED) {
                check_stopped()?;
            }
            let row = (y - self.window.rows.start) as usize;
            for at in self.vertical.span(row) {
                let place = (at % self.span) as usize;
                if lines.rows[place] != Some(at) {
                    if at.is_multiple_of(CHECKED) {
                        check_stopped()?;
                    }
                    let out = &mut lines.values[place * line..][..line];
                    source.advance(at + 1)?;
                    source.copy_row(at, converted);
                    if self.corners {
                        self.take(converted, out);
                    } else {
                        self.take(converted, values);
                        sums::columns(self.level, values.as_chunks().0, &self.horizontal, out.as_chunks_mut().0);
                    }
                    lines.rows[place] = Some(at);
                }
            }
            let (taps, rounded) = self.vertical.taps(row);
            let line_of = |tap: &Tap| (&lines.values[(tap.index % self.span) as usize * line..][..line], tap.weight);
            if self.corners {
                let [above, below] = [0, 1].map(|tap| line_of(&taps[tap]));
                let (above, below) = ((above.0.as_chunks().0, above.1), (below.0.as_chunks().0, below.1));
                sums::corners(self.level, above, below, &self.horizontal, output.as_chunks_mut().0);
            } else {
                let rows: Vec<_> = taps.iter().map(line_of).collect();
                sums::rows(self.level, &rows, rounded, output);
            }
            emit(y, output);
        }
        Ok(())
    }

    /// The values of the pixels of a row that are read.
    fn take(&self, row: &[u8], values: &mut [f32]) {
        let [red, green, blue] = &*self.table;
        let pixels = row.as_chunks::<3>().0;
        for (value, &column) in values.as_chunks_mut::<3>().0.iter_mut().zip(&self.used) {
            let [r, g, b] = pixels[column as usize];
            *value = [red[usize::from(r)], green[usize::from(g)], blue[usize::from(b)]];
        }
    }
}

#[cfg(test)]
mod tests;
