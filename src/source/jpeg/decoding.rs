//! A JPEG on its way from bytes to rows of RGB.

use super::baseline::Baseline;
use super::coefficients::Coefficients;
use super::frame::Stop;
use super::intervals::Intervals;
use super::markers::Markers;
use super::output::Output;
use super::rows::Kept;
use super::{Jpeg, check};
use crate::simd::Level;
use crate::threads::Threads;

/// A JPEG of which some rows are made: all that are made at once, or the last of them, are kept.
pub(super) struct Decoding<'a> {
    markers: Box<Markers<'a>>,
    scans: Scans<'a>,
    output: Output,
    eighths: usize,
    level: Level,
    rows: Kept,
    /// The next row of units, and how many there are.
    next: u32,
    count: u32,
}

enum Scans<'a> {
    /// One, which is read while rows are made.
    One(Box<Baseline<'a>>),
    /// Several, which are read before.
    Several(Coefficients),
}

impl<'a> Decoding<'a> {
    /// Reads what comes before the first row, at `eighths` of the size. Of the rows that are made, all are kept in `memory`, or as many
    /// that the last `span` before any row are there with it. [`Stop::Again`] where the file must be read carefully.
    pub(super) fn new(
        jpeg: Jpeg,
        bytes: &'a [u8],
        eighths: usize,
        memory: Vec<u8>,
        span: Option<usize>,
        careful: bool,
        level: Level,
    ) -> Result<Self, Stop> {
        let mut markers = Box::new(Markers::new(bytes));
        markers.read_header()?;
        let frame = markers.frame.clone().ok_or(Stop::Broken("a scan without a frame"))?;
        if (frame.width, frame.height) != jpeg.size() {
            return Err(Stop::Broken("two sizes"));
        }
        let output = Output::new(&frame, markers.colours(), eighths, level)?;
        let kept = span.map_or(output.height, |span| output.height.min(span + output.most_at_once()));
        let len = output.width * 3;
        let rows = Kept::new(memory, kept, len).ok_or(Stop::Memory(kept * len))?;
        let (scans, count) = if frame.progressive || markers.scan.parts.len() < frame.components.len() {
            let mut image = Coefficients::new(&frame, output.kernels.nonzero, careful)?;
            image.read(&mut markers)?;
            (Scans::Several(image), frame.rows())
        } else {
            let scan = Baseline::new(&mut markers, careful)?;
            let count = scan.rows();
            (Scans::One(Box::new(scan)), count)
        };
        Ok(Self { markers, scans, output, eighths, level, rows, next: 0, count })
    }

    /// Rows and columns of the image that is made.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.output.width, self.output.height)
    }

    /// Makes rows until `end` of them were made.
    pub(super) fn advance(&mut self, end: usize) -> Result<(), Stop> {
        while self.output.made < end && self.next < self.count {
            self.row_of_units()?;
        }
        Ok(())
    }

    /// Makes all rows and looks at what follows them, as [`Self::finish`], on several threads where that can be.
    pub(super) fn all(&mut self, threads: Threads) -> Result<(), Stop> {
        let frame = self.markers.frame.as_ref().ok_or(Stop::Broken("a scan without a frame"))?;
        let is_ahead = matches!(&self.scans, Scans::One(scan) if scan.reads_ahead());
        if is_ahead
            && threads != Threads::ONE
            && let Some(intervals) = Intervals::find(&self.markers, frame)
        {
            let output = || Output::new(frame, self.markers.colours(), self.eighths, self.level);
            return intervals.decode(output, self.rows.all_mut(), threads);
        }
        self.finish()
    }

    /// Makes the rows that are left, and looks at what follows them; [`Stop::Again`] where all rows must be made again, carefully.
    pub(super) fn finish(&mut self) -> Result<(), Stop> {
        while self.next < self.count {
            self.row_of_units()?;
        }
        match &mut self.scans {
            Scans::One(scan) => scan.finish(&mut self.markers),
            Scans::Several(_) => Ok(()),
        }
    }

    fn row_of_units(&mut self) -> Result<(), Stop> {
        check()?;
        let Self { markers, scans, output, rows, next, .. } = self;
        match scans {
            Scans::One(scan) => scan.row(*next, markers, output, rows)?,
            Scans::Several(image) => {
                let frame = markers.frame.as_ref().ok_or(Stop::Broken("a scan without a frame"))?;
                image.output(frame, *next, output, rows);
            }
        }
        *next += 1;
        Ok(())
    }

    /// Row `y`, which was made and is kept.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        self.rows.row(y)
    }

    /// The memory of all rows that are kept.
    pub(super) fn into_memory(self) -> Vec<u8> {
        self.rows.into_memory()
    }
}
