//! Writes canvas rows to their final places.

use super::kernels::{PatchRow, SLACK, TileRows};
use super::layout::{Layout, Placement};
use super::{Element, Sink, Values};
use crate::error::Result;
use crate::memory::try_resize;
use crate::resample::RowSink;
use crate::threads::{Phase, timed};

/// Rows of tiles that are written at once: enough for runs of whole pages.
const TILE_ROWS: usize = 8;

/// Writes a band of rows of one view.
///
/// Rows are kept until there is a row of merged patches, or some rows of tiles, because then each of them is one run of memory,
/// filled from first to last byte.
pub(crate) struct Writer<'a, T> {
    placement: &'a Placement,
    values: &'a Values<T>,
    sink: &'a Sink<'a, T>,
    /// Rows that wait.
    lines: &'a mut Vec<u8>,
    /// Bytes of each.
    len: usize,
    /// How many wait at most, and the line of a tile at which none do.
    most: usize,
    end: u32,
    /// Canvas row of the first of them.
    first: u32,
    /// How many they are.
    count: usize,
}

impl<'a, T: Element> Writer<'a, T> {
    /// A writer of the view placed by `placement` into its tensor's memory; `lines` is scratch.
    pub(crate) fn new(
        placement: &'a Placement,
        values: &'a Values<T>,
        sink: &'a Sink<'a, T>,
        lines: &'a mut Vec<u8>,
    ) -> Result<Self> {
        let cells = placement.cells;
        let len = cells.tiles.canvas(cells.tile).width as usize * 3;
        let (most, end) = match placement.layout {
            // Rows that do not follow each other in memory are written one by one.
            Layout::Planar { row: stride, fold, .. } => {
                let contiguous = stride == cells.tile.width as usize && fold > cells.tile.height;
                (if contiguous { TILE_ROWS.min(cells.tile.height as usize) } else { 1 }, cells.tile.height)
            }
            // What a tile has beyond its last whole patch is not encoded.
            Layout::Merged { size, .. } | Layout::Flat { size, .. } | Layout::Slots { size, .. } => {
                (placement.layout.lines() as usize, cells.patches.rows * size)
            }
        };
        try_resize(lines, SLACK + len * most + SLACK, 0)?;
        Ok(Self { placement, values, sink, lines, len, most, end, first: 0, count: 0 })
    }

    /// Writes what waits.
    pub(crate) fn finish(mut self) {
        timed(Phase::Write, || self.flush());
    }

    fn flush(&mut self) {
        let Self { placement, values, sink, first, len: stride, .. } = *self;
        let cells = placement.cells;
        let (tile_row, line) = (first / cells.tile.height, first % cells.tile.height);
        let count = std::mem::take(&mut self.count);
        let (lines, rows_of_tiles) = (&self.lines[..], &self.lines[SLACK..]);
        let rows = |size| line / size..(line + count as u32) / size;
        match placement.layout {
            _ if count == 0 => {}
            Layout::Planar { row, plane, fold, step } => {
                let width = cells.tile.width as usize;
                let line = (line % fold) as usize * row + (line / fold) as usize * step;
                let tiles = placement.tiles(tile_row).enumerate();
                let tiles: Vec<_> = tiles.map(|(tile, base)| (tile * width * 3, base + line)).collect();
                T::planar(&TileRows { lines: rows_of_tiles, stride, count, width, plane, tiles: &tiles }, values, sink);
            }
            Layout::Merged { size, merge, temporal, order } => {
                let patches = placement.patches(tile_row, rows(size), size, order, merge, stride);
                let row = PatchRow { lines, stride, size: size as usize, patches: &patches };
                T::merged(&row, temporal as usize, values, sink);
            }
            Layout::Flat { size, merge, order } => {
                let patches = placement.patches(tile_row, rows(size), size, order, merge, stride);
                T::flat(&PatchRow { lines, stride, size: size as usize, patches: &patches }, values, sink);
            }
            Layout::Slots { size, merge, order, slots, planar } => {
                let mut patches = placement.patches(tile_row, rows(size), size, order, merge, stride);
                let size = size as usize;
                let place = if planar { size * size } else { size * size * 3 };
                let mut shift = slots.first as usize * place;
                for _ in 0..slots.count {
                    for (_, at) in &mut patches {
                        *at += shift;
                    }
                    shift = place;
                    if planar {
                        // A frame's part of a patch is a tile whose planes lie a whole patch's frames apart.
                        let plane = slots.temporal as usize * place;
                        let lines = rows_of_tiles;
                        let rows = TileRows { lines, stride, count: size, width: size, plane, tiles: &patches };
                        T::planar(&rows, values, sink);
                    } else {
                        T::flat(&PatchRow { lines, stride, size, patches: &patches }, values, sink);
                    }
                }
            }
        }
    }
}

impl<T: Element> RowSink for Writer<'_, T> {
    /// Canvas row `y`, packed RGB over all tiles. Rows come in order, from a multiple of [`Placement::unit`] on.
    fn row(&mut self, y: u32, make: &mut dyn FnMut(&mut [u8])) {
        let line = y % self.placement.cells.tile.height;
        if self.count == 0 {
            self.first = y;
        }
        make(&mut self.lines[SLACK + self.count * self.len..][..self.len]);
        if line < self.end {
            self.count += 1;
        }
        if self.count == self.most || line + 1 == self.end {
            timed(Phase::Write, || self.flush());
        }
    }
}
