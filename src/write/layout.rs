//! Where a canvas row's pixels go: tiles, merged patches or flat patches.

use super::{Element, Sink};
use crate::geometry::{Grid, Size};
use crate::recipe::PatchOrder;

/// Order of a segment's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[3, height, width]` per tile.
    Planar,
    /// `[3 * temporal * size * size]` per patch, in merge order (Qwen).
    Merged {
        /// Patch side.
        size: u32,
        /// Patches per side of a merged one.
        merge: u32,
        /// Copies of a still frame.
        temporal: u32,
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
}

/// A view's cut, as the writer needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cells {
    /// Size of a tile.
    pub tile: Size,
    /// Tiles of the canvas.
    pub tiles: Grid,
    /// Patches of a tile.
    pub patches: Grid,
}

impl Layout {
    /// Values of one tile.
    pub fn tile_len(self, cells: Cells) -> usize {
        match self {
            Self::Planar => cells.tile.area() as usize * 3,
            Self::Merged { .. } | Self::Flat { .. } => cells.patches.cells() as usize * self.patch_len(),
        }
    }

    /// Values of one patch; of a planar layout there are none.
    pub fn patch_len(self) -> usize {
        match self {
            Self::Planar => 0,
            Self::Merged { size, temporal, .. } => 3 * (temporal * size * size) as usize,
            Self::Flat { size, .. } => 3 * (size * size) as usize,
        }
    }
}

/// Where a view of an image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Index of the tensor.
    pub tensor: usize,
    /// Index of the view's first value.
    pub base: usize,
    /// Order of values.
    pub layout: Layout,
    /// The view's cut.
    pub cells: Cells,
}

impl Placement {
    /// Writes canvas row `y` (packed RGB over all tiles). `values` is scratch, `sink` the tensor's memory.
    pub fn write_row<T: Element>(
        &self,
        y: u32,
        row: &[u8],
        table: &[[T; 256]; 3],
        values: &mut Vec<T>,
        sink: &Sink<'_, T>,
    ) {
        let Self { base, layout, cells, .. } = *self;
        let (tile_len, patch_len) = (layout.tile_len(cells), layout.patch_len());
        let (tile_row, y) = (y / cells.tile.height, (y % cells.tile.height) as usize);
        let first = base + (tile_row * cells.tiles.cols) as usize * tile_len;
        let width = cells.tile.width as usize;
        let bases = (0..cells.tiles.cols as usize).map(|tile| first + tile * tile_len);
        match layout {
            Layout::Planar => {
                let planes = planar(row, table, values);
                for (channel, plane) in planes.into_iter().enumerate() {
                    for (base, run) in bases.clone().zip(plane.chunks_exact(width)) {
                        sink.copy(base + (channel * cells.tile.height as usize + y) * width, run);
                    }
                }
            }
            Layout::Merged { size, merge, temporal } => {
                let (size, temporal) = (size as usize, temporal as usize);
                let order = Order::new(PatchOrder::Merge, merge, cells.patches, (y / size) as u32);
                let planes = planar(row, table, values);
                let line = y % size;
                for (tile, base) in bases.enumerate() {
                    let planes = planes.map(|plane| &plane[tile * width..(tile + 1) * width]);
                    for col in 0..cells.patches.cols as usize {
                        let patch = base + order.index(col as u32) * patch_len;
                        for (channel, plane) in planes.into_iter().enumerate() {
                            let run = &plane[col * size..(col + 1) * size];
                            for copy in 0..temporal {
                                sink.copy_run(patch + ((channel * temporal + copy) * size + line) * size, run);
                            }
                        }
                    }
                }
            }
            Layout::Flat { size, merge, order } => {
                let size = size as usize;
                // What a tile has beyond its last whole patch is not encoded.
                if y >= cells.patches.rows as usize * size {
                    return;
                }
                let order = Order::new(order, merge, cells.patches, (y / size) as u32);
                let pixels = T::interleaved(row, table, values);
                for (base, row) in bases.zip(pixels.chunks_exact(width * 3)) {
                    for (col, run) in row.chunks_exact(size * 3).take(cells.patches.cols as usize).enumerate() {
                        let at = base + order.index(col as u32) * patch_len + y % size * size * 3;
                        sink.copy_run(at, run);
                    }
                }
            }
        }
    }
}

/// The three planes of a row, normalised.
fn planar<'v, T: Element>(row: &[u8], table: &[[T; 256]; 3], values: &'v mut Vec<T>) -> [&'v [T]; 3] {
    let width = row.len() / 3;
    values.resize(row.len(), T::zero());
    let (red, rest) = values.split_at_mut(width);
    let (green, blue) = rest.split_at_mut(width);
    let outs = red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut());
    for (((red, green), blue), [r, g, b]) in outs.zip(row.as_chunks::<3>().0) {
        *red = table[0][*r as usize];
        *green = table[1][*g as usize];
        *blue = table[2][*b as usize];
    }
    [red, green, blue]
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
    fn new(order: PatchOrder, merge: u32, patches: Grid, row: u32) -> Self {
        let merge = if order == PatchOrder::Merge { merge } else { 1 };
        Self { merge, start: row / merge * merge * patches.cols, dy: row % merge }
    }

    fn index(&self, col: u32) -> usize {
        let m = self.merge;
        (self.start + col / m * m * m + self.dy * m + col % m) as usize
    }
}

/// (row, column) of every patch of a tile, in the order in which patches are written.
pub(super) fn positions(order: PatchOrder, merge: u32, patches: Grid) -> Vec<[i32; 2]> {
    let mut positions = vec![[0; 2]; patches.cells() as usize];
    for row in 0..patches.rows {
        let order = Order::new(order, merge, patches, row);
        for col in 0..patches.cols {
            positions[order.index(col)] = [row as i32, col as i32];
        }
    }
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> [[u8; 256]; 3] {
        [std::array::from_fn(|byte| byte as u8); 3]
    }

    fn write(layout: Layout, cells: Cells) -> Vec<u8> {
        let canvas = cells.tiles.canvas(cells.tile);
        let mut out = vec![255; layout.tile_len(cells) * cells.tiles.cells() as usize];
        let sink = Sink::from_slice(&mut out);
        let placement = Placement { tensor: 0, base: 0, layout, cells };
        for y in 0..canvas.height {
            let row: Vec<u8> = (0..canvas.width * 3).map(|i| (y * canvas.width * 3 + i) as u8).collect();
            placement.write_row(y, &row, &identity(), &mut Vec::new(), &sink);
        }
        out
    }

    #[test]
    fn merged_patches_follow_qwens_index_formula() {
        let (size, merge, temporal) = (2, 2, 2);
        let patches = Grid { rows: 2, cols: 4 };
        let cells = Cells { tile: Size::new(8, 4), tiles: Grid::SINGLE, patches };
        let out = write(Layout::Merged { size, merge, temporal }, cells);
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
    fn tiles_are_planar_and_row_major() {
        let cells = Cells { tile: Size::new(2, 2), tiles: Grid { rows: 2, cols: 2 }, patches: Grid::SINGLE };
        let out = write(Layout::Planar, cells);
        // Tile 1 starts at column 2 of row 0; its green plane is its second.
        assert_eq!(out[12..20], [6, 9, 18, 21, 7, 10, 19, 22]);
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
        let merged = positions(PatchOrder::Merge, 2, patches);
        assert_eq!(merged, [[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3]]);
        assert_eq!(positions(PatchOrder::Raster, 2, patches)[4], [1, 0]);
    }
}
