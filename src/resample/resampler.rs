//! A resample of one image, made row by row for any range of output rows: a band needs no other band.

use std::ops::Range;
use std::sync::Arc;

use super::input::Input;
use super::kernels::{BLOCK, Horizontal, KernelScratch, Ring, Vertical, first_rows};
use super::passes::{self, AxisKey};
use super::{Arithmetic, nearest};
use crate::error::{Error, Result};
use crate::geometry::Size;
use crate::memory::try_resize;
use crate::options::Filter;
use crate::simd::Level;
use crate::source::{Interleaving, Orientation, Rows};
use crate::threads::check_stopped;

/// Most pixels between the passes where those are columns of a tall image that is made wide and short.
const MOST_BETWEEN: u64 = 1 << 28;

/// The part of the resized image that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Columns.
    pub(crate) columns: Range<u32>,
    /// Rows.
    pub(crate) rows: Range<u32>,
}

impl Window {
    /// The same part of an image of a size, seen thus, as it is stored.
    pub(crate) fn stored(&self, size: Size, lies: Orientation) -> Self {
        let size = lies.turned(size);
        let (across, down) = if lies.swaps_sides() { (&self.rows, &self.columns) } else { (&self.columns, &self.rows) };
        let of = |range: &Range<u32>, side: u32, mirrored: bool| {
            if mirrored { side - range.end..side - range.start } else { range.clone() }
        };
        let [columns, rows] = lies.mirrors();
        Self { columns: of(across, size.width, columns), rows: of(down, size.height, rows) }
    }

    /// Its size.
    pub(crate) fn size(&self) -> Size {
        Size::new(self.columns.len() as u32, self.rows.len() as u32)
    }
}

/// Takes rows of pixels in their order, so that each is made where it is to lie. A trait object, as sources are: the resample
/// is compiled once, not for each type of values, and a call for a row costs nothing beside the row.
pub(crate) trait RowSink {
    /// Row `y`: `make` writes all of its bytes.
    fn row(&mut self, y: u32, make: &mut dyn FnMut(&mut [u8]));
}

/// Buffers that a worker keeps from band to band.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// Source rows that had to be converted.
    converted: Vec<u8>,
    /// The ring.
    ring: Vec<u8>,
    /// A block of rows between the passes, where rows go first.
    block: Vec<u8>,
    /// A block of rows that are made at once.
    output: Vec<u8>,
    kernel: KernelScratch,
}

impl Scratch {
    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let vectors = [&self.converted, &self.ring, &self.block, &self.output];
        vectors.map(Vec::capacity).into_iter().sum::<usize>() + self.kernel.bytes()
    }
}

/// A resample, set up.
pub(crate) struct Resampler {
    /// Of the source.
    size: Size,
    /// How the rows lie that the first pass reads: the source's own, or converted ones.
    from: Interleaving,
    window: Window,
    passes: Passes,
}

enum Passes {
    /// Sizes agree: rows are copied.
    Copy,
    /// Columns and rows to pick.
    Nearest {
        columns: Vec<u32>,
        rows: Vec<u32>,
    },
    Horizontal(Arc<Horizontal>),
    Vertical(Arc<Vertical>),
    HorizontalVertical(Arc<Horizontal>, Arc<Vertical>),
    VerticalHorizontal(Arc<Horizontal>, Arc<Vertical>),
}

impl Resampler {
    /// Sets up the resample of whole images of a size, whose rows lie as `lie` says where they can be read in place, to `to`, of
    /// which `window` is wanted.
    pub(crate) fn new(
        size: Size,
        lie: Option<Interleaving>,
        to: Size,
        window: Window,
        filter: Filter,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        Self::at_level(Level::current()?, size, lie, to, window, filter, arithmetic)
    }

    /// As [`Self::new`], with the kernels of a level of this machine.
    pub(super) fn at_level(
        level: Level,
        size: Size,
        lie: Option<Interleaving>,
        to: Size,
        window: Window,
        filter: Filter,
        arithmetic: Arithmetic,
    ) -> Result<Self> {
        let level = if level.is_available() { level } else { Level::Scalar };
        let from = lie.unwrap_or(Interleaving::RGB);
        let passes = if size == to {
            Passes::Copy
        } else if filter == Filter::Nearest {
            let (columns, rows) = nearest::indices(arithmetic, size, to, &window)?;
            Passes::Nearest { columns, rows }
        } else {
            let key = |input, output, range, mirrored| {
                AxisKey::new(level, filter, arithmetic.backend, input, output, range, mirrored)
            };
            let [columns, rows] = arithmetic.mirrored;
            let mut across = key(size.width, to.width, &window.columns, columns);
            let mut down = key(size.height, to.height, &window.rows, rows);
            if across.is_streamed() || down.is_streamed() {
                (across, down) = (across.without_level(), down.without_level());
            }
            let horizontal = || passes::horizontal(&across, from);
            let vertical = || passes::vertical(&down);
            let vertical_first = arithmetic.vertical_first(size, to);
            match (size.width != to.width, size.height != to.height) {
                (true, false) => Passes::Horizontal(horizontal()?),
                (false, _) => Passes::Vertical(vertical()?),
                (true, true) => {
                    check_between(size, to, vertical_first, arithmetic.transposed)?;
                    let (horizontal, vertical) = (horizontal()?, vertical()?);
                    if vertical_first {
                        Passes::VerticalHorizontal(horizontal, vertical)
                    } else {
                        Passes::HorizontalVertical(horizontal, vertical)
                    }
                }
            }
        };
        Ok(Self { size, from, window, passes })
    }

    /// Makes the rows `band` (absolute rows within the window) in order, as packed RGB of the window's columns. `source` is like the one
    /// that this was set up for.
    pub(crate) fn rows(
        &self,
        source: &mut dyn Rows,
        band: Range<u32>,
        scratch: &mut Scratch,
        sink: &mut dyn RowSink,
    ) -> Result<()> {
        debug_assert!(source.size() == self.size && source.interleaving().unwrap_or(Interleaving::RGB) == self.from);
        debug_assert!(band.start >= self.window.rows.start && band.end <= self.window.rows.end);
        if band.is_empty() {
            return Ok(());
        }
        let columns = self.window.columns.clone();
        let len = columns.len() * 3;
        let width = 0..self.size.width;
        let first_row = self.window.rows.start;
        let index = |y: u32| (y - first_row) as usize;
        let Scratch { converted, ring, block, output, kernel } = scratch;
        let mut input = Input::new(source, converted);
        let together = BLOCK.min(band.len());
        let blocks = band.clone().step_by(BLOCK).map(|y| y..band.end.min(y + BLOCK as u32));
        match &self.passes {
            Passes::Copy => {
                for rows in blocks {
                    check_stopped()?;
                    for y in rows {
                        try_row(sink, y, &mut |out| input.packed(y, columns.clone(), |row| out.copy_from_slice(row)))?;
                    }
                }
            }
            Passes::Nearest { columns, rows } => {
                for block in blocks {
                    check_stopped()?;
                    for y in block {
                        let pick = |out: &mut [u8], row: &[u8]| {
                            let (pixels, _) = row.as_chunks::<3>();
                            for (out, &x) in out.as_chunks_mut::<3>().0.iter_mut().zip(columns) {
                                *out = pixels[x as usize];
                            }
                        };
                        try_row(sink, y, &mut |out| input.packed(rows[index(y)], width.clone(), |row| pick(out, row)))?;
                    }
                }
            }
            Passes::Horizontal(horizontal) => {
                try_resize(output, len * together, 0)?;
                for rows in blocks {
                    check_stopped()?;
                    let input = input.rows(rows.clone(), width.clone())?;
                    horizontal.rows(&input, &mut first_rows(output, len, rows.len()), kernel)?;
                    rows.zip(output.chunks_exact(len))
                        .for_each(|(y, row)| sink.row(y, &mut |out| out.copy_from_slice(row)));
                }
            }
            Passes::Vertical(vertical) => {
                try_resize(block, self.from.bytes(columns.clone()).len(), 0)?;
                for rows in blocks {
                    check_stopped()?;
                    for y in rows {
                        try_row(sink, y, &mut |out| {
                            let columns = columns.clone();
                            if self.from == Interleaving::RGB {
                                return vertical_row(&mut input, vertical, index(y), columns, out, kernel);
                            }
                            vertical_row(&mut input, vertical, index(y), columns, block, kernel)?;
                            self.from.pack(block, out);
                            Ok(())
                        })?;
                    }
                }
            }
            Passes::HorizontalVertical(horizontal, vertical) => {
                let mut ring = Ring::new(ring, vertical, len)?;
                let last = vertical.window(index(band.end - 1)).end;
                for y in band {
                    ring.advance(&vertical.window(index(y)), last, |rows, block| {
                        block.fill(horizontal, &input.rows(rows, width.clone())?, kernel)
                    })?;
                    let mut made = Ok(());
                    sink.row(y, &mut |out| made = ring.row(index(y), vertical, out, kernel));
                    made?;
                }
            }
            Passes::VerticalHorizontal(horizontal, vertical) => {
                try_resize(output, len * together, 0)?;
                let inner = self.from.bytes(width.clone()).len();
                try_resize(block, inner * together, 0)?;
                for rows in blocks {
                    check_stopped()?;
                    for (y, out) in rows.clone().zip(block.chunks_exact_mut(inner)) {
                        vertical_row(&mut input, vertical, index(y), width.clone(), out, kernel)?;
                    }
                    let input: Vec<_> = block.chunks_exact(inner).take(rows.len()).collect();
                    horizontal.rows(&input, &mut first_rows(output, len, rows.len()), kernel)?;
                    rows.zip(output.chunks_exact(len))
                        .for_each(|(y, row)| sink.row(y, &mut |out| out.copy_from_slice(row)));
                }
            }
        }
        Ok(())
    }

    /// Most source rows from the first to the last that are read at once.
    pub(crate) fn span(&self) -> u32 {
        match &self.passes {
            Passes::Vertical(vertical) | Passes::VerticalHorizontal(_, vertical) => vertical.widest() as u32,
            Passes::Copy | Passes::Nearest { .. } | Passes::Horizontal(_) | Passes::HorizontalVertical(..) => {
                BLOCK as u32
            }
        }
    }
}

/// Row `y` of the sink, by something that can fail.
fn try_row(sink: &mut dyn RowSink, y: u32, make: &mut dyn FnMut(&mut [u8]) -> Result<()>) -> Result<()> {
    let mut made = Ok(());
    sink.row(y, &mut |out| made = make(out));
    made
}

/// Some columns of the vertical pass's row at `index`, straight from the source.
fn vertical_row(
    input: &mut Input<'_>,
    vertical: &Vertical,
    index: usize,
    columns: Range<u32>,
    output: &mut [u8],
    kernel: &mut KernelScratch,
) -> Result<()> {
    if let Vertical::Streamed(vertical) = vertical {
        vertical.begin(index, output.len(), kernel)?;
        for part in vertical.parts(index) {
            let rows = input.rows(part.clone(), columns.clone())?;
            vertical.add(index, part.start, &rows, kernel)?;
        }
        vertical.end(kernel, output);
    } else {
        vertical.row(index, &input.rows(vertical.window(index), columns)?, output, kernel);
    }
    Ok(())
}

/// Refuses a resize with far more pixels between the passes than both images have. An image that lies on its side is told of
/// as it is meant.
fn check_between(from: Size, to: Size, vertical_first: bool, transposed: bool) -> Result<()> {
    let (from, to) = if transposed { (from.transposed(), to.transposed()) } else { (from, to) };
    let between =
        if vertical_first == transposed { Size::new(to.width, from.height) } else { Size::new(from.width, to.height) };
    let pixels = between.area();
    if pixels > MOST_BETWEEN && pixels / 4 > from.area().max(to.area()) {
        return Err(Error::Canvas {
            width: between.width,
            height: between.height,
            pixels,
            limit: MOST_BETWEEN,
            from_width: from.width,
            from_height: from.height,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
