//! Where a canvas row's pixels go: tiles, merged patches or flat patches.

use std::ops::Range;

use crate::error::Result;
use crate::geometry::{Grid, Size};
use crate::memory::filled;
use crate::options::PatchOrder;
use crate::plan::Slots;

/// Order of a segment's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Rows of each channel's plane.
    Planar {
        /// Values from a row to the next.
        row: usize,
        /// Values from a channel to the next.
        plane: usize,
        /// Rows after which the next one lies `step` values after the first of these; more than a tile has if never.
        fold: u32,
        /// Values from a fold to the next.
        step: usize,
    },
    /// `[3 * temporal * size * size]` per patch.
    Merged {
        /// Patch side.
        size: u32,
        /// Patches per side of a merged one.
        merge: u32,
        /// Copies of a still frame.
        temporal: u32,
        /// Order of patches.
        order: PatchOrder,
    },
    /// `[size, size, 3]` per patch.
    Flat {
        /// Patch side.
        size: u32,
        /// Patches per side of a merged one.
        merge: u32,
        /// Order of patches.
        order: PatchOrder,
    },
    /// One frame of patches that hold several: as many copies as it has places.
    Slots {
        /// Patch side.
        size: u32,
        /// Patches per side of a merged one.
        merge: u32,
        /// Order of patches.
        order: PatchOrder,
        /// The frame's places.
        slots: Slots,
        /// Whether a patch is `[3, temporal, size, size]`; else `[temporal, size, size, 3]`.
        planar: bool,
    },
}

/// A view's cut, as the writer needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cells {
    /// Size of a tile.
    pub(crate) tile: Size,
    /// Tiles of the canvas.
    pub(crate) tiles: Grid,
    /// Patches of a tile.
    pub(crate) patches: Grid,
}

impl Layout {
    /// `[3, height, width]` of a canvas that begins with the tile.
    pub(crate) fn planes(canvas: Size) -> Self {
        Self::Planar { row: canvas.width as usize, plane: canvas.area() as usize, fold: u32::MAX, step: 0 }
    }

    /// `[3, size, size * total]`: patches side by side, those of a tile row by row.
    pub(crate) fn strip(size: u32, total: usize, patches: Grid) -> Self {
        let row = total * size as usize;
        Self::Planar { row, plane: row * size as usize, fold: size, step: (patches.cols * size) as usize }
    }

    /// Rows that hold whole runs of memory: a row of merged patches, because their patches follow each other across its rows.
    pub(super) fn lines(self) -> u32 {
        match self {
            Self::Planar { .. } => 1,
            Self::Merged { size, merge, order, .. }
            | Self::Flat { size, merge, order }
            | Self::Slots { size, merge, order, .. } => size * order.rows(merge),
        }
    }

    /// Values of one patch; of a planar layout there are none.
    pub(crate) fn patch_len(self) -> usize {
        match self {
            Self::Planar { .. } => 0,
            Self::Merged { size, temporal, .. } => 3 * (temporal * size * size) as usize,
            Self::Flat { size, .. } => 3 * (size * size) as usize,
            Self::Slots { size, slots, .. } => 3 * (slots.temporal * size * size) as usize,
        }
    }
}

/// Where a view of an image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Index of the tensor.
    pub(crate) tensor: usize,
    /// Index of the view's first value.
    pub(crate) base: usize,
    /// Order of values.
    pub(crate) layout: Layout,
    /// The view's cut.
    pub(crate) cells: Cells,
    /// Values from a tile to the next.
    pub(crate) stride: usize,
}

impl Placement {
    /// Rows that are written together: bands begin and end at multiples of this many.
    pub(crate) fn unit(&self) -> u32 {
        let unit = self.layout.lines();
        if self.cells.tile.height.is_multiple_of(unit) { unit } else { self.cells.tile.height }
    }

    /// Values from the first of a tile to its last, where none of another view lies between them.
    pub(crate) fn tile_len(&self) -> Option<usize> {
        match self.layout {
            // Patches side by side lie in the rows of all images.
            Layout::Planar { fold, .. } if fold != u32::MAX => None,
            Layout::Planar { plane, .. } => Some(plane * 3),
            layout => Some(self.cells.patches.cells() as usize * layout.patch_len()),
        }
    }

    /// Index of the first value of every tile in a row of tiles.
    pub(super) fn tiles(&self, tile_row: u32) -> impl Iterator<Item = usize> + Clone {
        let (cols, stride) = (self.cells.tiles.cols as usize, self.stride);
        let first = self.base + tile_row as usize * cols * stride;
        (0..cols).map(move |tile| first + tile * stride)
    }

    /// Of every patch in some rows of patches, those of a row of merged ones, in the order of the output: its first byte in
    /// lines of `stride` bytes, and the index of its first value.
    pub(super) fn patches(
        &self,
        tile_row: u32,
        rows: Range<u32>,
        size: u32,
        order: PatchOrder,
        merge: u32,
        stride: usize,
    ) -> Vec<(usize, usize)> {
        let merge = order.rows(merge);
        let Grid { cols, .. } = self.cells.patches;
        let (patch_len, width) = (self.layout.patch_len(), self.cells.tile.width as usize);
        let orders: Vec<_> = rows.map(|row| Order::new(merge, self.cells.patches, row)).collect();
        let mut patches = Vec::with_capacity((self.cells.tiles.cols * cols) as usize * orders.len());
        for (tile, base) in self.tiles(tile_row).enumerate() {
            for first in (0..cols).step_by(merge as usize) {
                for (row, order) in orders.iter().enumerate() {
                    let line = row * size as usize * stride;
                    patches.extend((first..cols.min(first + merge)).map(|col| {
                        let from = line + (tile * width + (col * size) as usize) * 3;
                        (from, base + order.index(col) * patch_len)
                    }));
                }
            }
        }
        patches
    }
}

/// Index of the patches of one patch row.
struct Order {
    merge: u32,
    /// Index of the first patch of the (merged) row.
    start: u32,
    /// Row within the merged row.
    dy: u32,
}

impl Order {
    fn new(merge: u32, patches: Grid, row: u32) -> Self {
        Self { merge, start: row / merge * merge * patches.cols, dy: row % merge }
    }

    fn index(&self, col: u32) -> usize {
        let m = self.merge;
        (self.start + col / m * m * m + self.dy * m + col % m) as usize
    }
}

/// (row, column) of every patch of a tile, in the order in which patches are written.
pub(super) fn positions(order: PatchOrder, merge: u32, patches: Grid) -> Result<Vec<[i32; 2]>> {
    let mut positions = filled(patches.cells() as usize, [0; 2])?;
    for row in 0..patches.rows {
        let order = Order::new(order.rows(merge), patches, row);
        for col in 0..patches.cols {
            positions[order.index(col)] = [row as i32, col as i32];
        }
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resample::RowSink;
    use crate::write::{Sink, Values, Writer};

    fn write(layout: Layout, cells: Cells) -> Vec<u8> {
        let identity: [[u8; 256]; 3] = [std::array::from_fn(|byte| byte as u8); 3];
        let canvas = cells.tiles.canvas(cells.tile);
        let stride = match layout {
            Layout::Planar { .. } => cells.tile.area() as usize * 3,
            _ => cells.patches.cells() as usize * layout.patch_len(),
        };
        let mut out = vec![255; stride * cells.tiles.cells() as usize];
        let sink = Sink::from_slice(&mut out);
        let placement = Placement { tensor: 0, base: 0, layout, cells, stride };
        let (values, mut lines) = (Values::of_table(identity), Vec::new());
        let mut writer = Writer::new(&placement, &values, &sink, &mut lines).unwrap();
        for y in 0..canvas.height {
            let row: Vec<u8> = (0..canvas.width * 3).map(|i| (y * canvas.width * 3 + i) as u8).collect();
            writer.row(y, &mut |out| out.copy_from_slice(&row));
        }
        writer.finish();
        out
    }

    #[test]
    fn merged_patches_follow_qwens_index_formula() {
        let (size, merge, temporal) = (2, 2, 2);
        let patches = Grid { rows: 2, cols: 4 };
        let cells = Cells { tile: Size::new(8, 4), tiles: Grid::SINGLE, patches };
        let out = write(Layout::Merged { size, merge, temporal, order: PatchOrder::Merge }, cells);
        let (p, m, t, gw) = (2usize, 2usize, 2usize, 4usize);
        for n in 0..8 {
            let (b, r) = (n / (m * m), n % (m * m));
            let (row, col) = (b / (gw / m) * m + r / m, b % (gw / m) * m + r % m);
            for k in 0..3 * t * p * p {
                let (j, i, c) = (k % p, k / p % p, k / (t * p * p));
                let expected = (row * p + i) * 24 + (col * p + j) * 3 + c;
                assert_eq!(out[n * 3 * t * p * p + k] as usize, expected, "patch {n}, value {k}");
            }
        }
    }

    #[test]
    fn frames_fill_their_places_of_a_patch() {
        let (size, merge, temporal, order) = (2, 1, 3, PatchOrder::Raster);
        let patches = Grid { rows: 1, cols: 2 };
        let cells = Cells { tile: Size::new(4, 2), tiles: Grid::SINGLE, patches };
        for planar in [true, false] {
            let mut whole = vec![255; 2 * 36];
            for (first, count) in [(0, 1), (1, 2)] {
                let slots = Slots { temporal, first, count };
                let frame = write(Layout::Slots { size, merge, order, slots, planar }, cells);
                for (at, value) in frame.into_iter().enumerate().filter(|(_, value)| *value != 255) {
                    // What the second frame writes is marked.
                    assert_eq!(std::mem::replace(&mut whole[at], value + 100 * first as u8), 255);
                }
            }
            for (at, value) in whole.into_iter().enumerate() {
                let (patch, k) = (at / 36, at % 36);
                let (channel, time, row, col) =
                    if planar { (k / 12, k / 4 % 3, k / 2 % 2, k % 2) } else { (k % 3, k / 12, k / 6 % 2, k / 3 % 2) };
                let byte = row * 12 + (patch * 2 + col) * 3 + channel;
                assert_eq!(usize::from(value), byte + if time > 0 { 100 } else { 0 }, "value {at}, planar {planar}");
            }
        }
    }

    #[test]
    fn tiles_are_planar_and_row_major() {
        let cells = Cells { tile: Size::new(2, 2), tiles: Grid { rows: 2, cols: 2 }, patches: Grid::SINGLE };
        let out = write(Layout::planes(cells.tile), cells);
        // Tile 1 starts at column 2 of row 0; its green plane is its second.
        assert_eq!(out[12..20], [6, 9, 18, 21, 7, 10, 19, 22]);
    }

    #[test]
    fn a_strip_holds_patches_side_by_side() {
        let patches = Grid { rows: 2, cols: 2 };
        let cells = Cells { tile: Size::new(4, 4), tiles: Grid::SINGLE, patches };
        let out = write(Layout::strip(2, 4, patches), cells);
        // The red plane: lines 0 of all four patches, then lines 1.
        assert_eq!(out[..16], [0, 3, 6, 9, 24, 27, 30, 33, 12, 15, 18, 21, 36, 39, 42, 45]);
    }

    #[test]
    fn flat_patches_drop_what_is_beyond_the_last_whole_patch() {
        let cells = Cells { tile: Size::new(5, 5), tiles: Grid::SINGLE, patches: Grid { rows: 2, cols: 2 } };
        let out = write(Layout::Flat { size: 2, merge: 1, order: PatchOrder::Raster }, cells);
        assert_eq!(out.len(), 4 * 12);
        assert_eq!(out[12..24], [6, 7, 8, 9, 10, 11, 21, 22, 23, 24, 25, 26]);
        assert!(!out.contains(&255));
    }

    #[test]
    fn positions_follow_the_order_of_patches() {
        let patches = Grid { rows: 2, cols: 4 };
        let merged = positions(PatchOrder::Merge, 2, patches).unwrap();
        assert_eq!(merged, [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]);
        assert_eq!(positions(PatchOrder::Raster, 2, patches).unwrap()[4], [1, 0]);
    }
}
