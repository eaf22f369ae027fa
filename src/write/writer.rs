//! Canvas rows to their final address.

use super::kernels::{PatchRow, SLACK};
use super::layout::{Layout, Placement};
use super::{Element, Sink, Values};
use crate::recipe::PatchOrder;

/// Writes a band of rows of one view.
///
/// Planes are written row by row. Patches are written a row of patches at a time, because then each is one run of
/// memory, filled from first to last byte while it is in cache.
pub struct Writer<'a, T> {
    placement: &'a Placement,
    values: &'a Values<T>,
    sink: &'a Sink<'a, T>,
    /// Lines of the current row of patches.
    lines: &'a mut Vec<u8>,
}

impl<'a, T: Element> Writer<'a, T> {
    /// A writer of the view placed by `placement` into its tensor's memory; `lines` is scratch.
    pub fn new(placement: &'a Placement, values: &'a Values<T>, sink: &'a Sink<'a, T>, lines: &'a mut Vec<u8>) -> Self {
        Self { placement, values, sink, lines }
    }

    /// Takes canvas row `y`, packed RGB over all tiles. Rows come in order, from a multiple of [`Placement::unit`] on.
    pub fn row(&mut self, y: u32, row: &[u8]) {
        let cells = self.placement.cells;
        let (tile_row, y) = (y / cells.tile.height, y % cells.tile.height);
        match self.placement.layout {
            Layout::Planar { row: stride, plane, fold, step } => {
                let width = cells.tile.width as usize;
                let line = (y % fold) as usize * stride + (y / fold) as usize * step;
                for (base, run) in self.placement.tiles(tile_row).zip(row.chunks_exact(width * 3)) {
                    let at = [0, 1, 2].map(|channel| base + channel * plane + line);
                    T::planar(run, at, self.values, self.sink);
                }
            }
            Layout::Merged { size, merge, temporal, order } => {
                self.patch_line((tile_row, y), row, size, order, merge, |row, values, sink| {
                    T::merged(row, temporal as usize, values, sink);
                });
            }
            Layout::Flat { size, merge, order } => {
                self.patch_line((tile_row, y), row, size, order, merge, T::flat);
            }
        }
    }

    /// Keeps a line until its row of patches is whole, then writes that. What a tile has beyond its last whole patch is
    /// not encoded.
    fn patch_line(
        &mut self,
        (tile_row, y): (u32, u32),
        row: &[u8],
        size: u32,
        order: PatchOrder,
        merge: u32,
        write: impl FnOnce(&PatchRow<'_>, &Values<T>, &Sink<'_, T>),
    ) {
        let (patch_row, line) = (y / size, (y % size) as usize);
        if patch_row >= self.placement.cells.patches.rows {
            return;
        }
        let stride = row.len();
        self.lines.resize(stride * size as usize + SLACK, 0);
        self.lines[line * stride..][..stride].copy_from_slice(row);
        if line + 1 == size as usize {
            let patches = self.placement.patches(tile_row, patch_row, size, order, merge);
            let row = PatchRow { lines: self.lines, stride, size: size as usize, patches: &patches };
            write(&row, self.values, self.sink);
        }
    }
}
