//! Where a canvas row's pixels go: tiles, merged patches or flat patches.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

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

    /// Writes canvas row `y` (packed RGB over all tiles) of a view whose first value lies at `base`.
    pub fn write_row<T: Copy>(
        self,
        cells: Cells,
        base: usize,
        y: u32,
        row: &[u8],
        table: &[[T; 256]; 3],
        sink: &Sink<'_, T>,
    ) {
        let tile_len = self.tile_len(cells);
        let (tile_row, y) = (y / cells.tile.height, (y % cells.tile.height) as usize);
        let first = base + (tile_row * cells.tiles.cols) as usize * tile_len;
        let width = cells.tile.width as usize;
        for (index, row) in row.chunks_exact(width * 3).enumerate() {
            let base = first + index * tile_len;
            match self {
                Self::Planar => {
                    for (channel, table) in table.iter().enumerate() {
                        let at = base + (channel * cells.tile.height as usize + y) * width;
                        sink.write(at, row[channel..].iter().step_by(3).map(|&byte| table[byte as usize]), width);
                    }
                }
                Self::Merged { size, merge, temporal } => {
                    let (size, temporal) = (size as usize, temporal as usize);
                    let order = Order::new(PatchOrder::Merge, merge, cells.patches, (y / size) as u32);
                    let line = y % size;
                    for (col, run) in row.chunks_exact(size * 3).enumerate() {
                        let patch = base + order.index(col as u32) * self.patch_len();
                        for (channel, table) in table.iter().enumerate() {
                            for copy in 0..temporal {
                                let at = patch + ((channel * temporal + copy) * size + line) * size;
                                sink.write(
                                    at,
                                    run[channel..].iter().step_by(3).map(|&byte| table[byte as usize]),
                                    size,
                                );
                            }
                        }
                    }
                }
                Self::Flat { size, merge, order } => {
                    let size = size as usize;
                    // What a tile has beyond its last whole patch is not encoded.
                    if y >= cells.patches.rows as usize * size {
                        return;
                    }
                    let order = Order::new(order, merge, cells.patches, (y / size) as u32);
                    let line = y % size;
                    for (col, run) in row.chunks_exact(size * 3).take(cells.patches.cols as usize).enumerate() {
                        let at = base + order.index(col as u32) * self.patch_len() + line * size * 3;
                        let pixels = run.as_chunks::<3>().0.iter();
                        let values = pixels
                            .flat_map(|&[r, g, b]| [table[0][r as usize], table[1][g as usize], table[2][b as usize]]);
                        sink.write(at, values, size * 3);
                    }
                }
            }
        }
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

/// An output buffer that several workers write at once, each to places that no other writes.
pub struct Sink<'a, T> {
    start: *mut T,
    len: usize,
    marker: PhantomData<&'a mut [T]>,
}

// SAFETY: every write is bounds-checked and goes to a run that belongs to one row of one view of one image; the engine
// gives each such row to one worker.
unsafe impl<T: Send> Sync for Sink<'_, T> {}
// SAFETY: as above; the buffer is borrowed for the sink's lifetime.
unsafe impl<T: Send> Send for Sink<'_, T> {}

impl<'a, T: Copy> Sink<'a, T> {
    /// A sink over memory that need not be initialised.
    ///
    /// # Safety
    /// `start` must be valid for writes of `len` values, aligned, and used by nobody else for `'a`.
    pub unsafe fn new(start: *mut T, len: usize) -> Self {
        Self { start, len, marker: PhantomData }
    }

    /// A sink over a slice.
    pub fn from_slice(slice: &'a mut [T]) -> Self {
        // SAFETY: the slice is borrowed mutably for 'a.
        unsafe { Self::new(slice.as_mut_ptr(), slice.len()) }
    }

    /// A sink over memory that holds no values yet.
    pub fn from_uninit(slice: &'a mut [MaybeUninit<T>]) -> Self {
        // SAFETY: the slice is borrowed mutably for 'a, and a sink only writes.
        unsafe { Self::new(slice.as_mut_ptr().cast(), slice.len()) }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes `count` values from `at` on.
    fn write(&self, at: usize, values: impl Iterator<Item = T>, count: usize) {
        let run = self.run(at, count);
        for (index, value) in values.take(count).enumerate() {
            // SAFETY: `run` holds `count` places and `index < count`.
            unsafe { run.add(index).write(value) };
        }
    }

    /// Copies values to `at` and on.
    pub fn copy(&self, at: usize, values: &[T]) {
        let run = self.run(at, values.len());
        // SAFETY: `run` holds as many places, and a sink's memory is nobody else's.
        unsafe { run.copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    }

    /// Writes one value `count` times from `at` on.
    pub fn fill(&self, at: usize, count: usize, value: T) {
        self.write(at, std::iter::repeat_n(value, count), count);
    }

    fn run(&self, at: usize, count: usize) -> *mut T {
        let end = at.checked_add(count);
        assert!(end.is_some_and(|end| end <= self.len), "a run of {count} at {at} leaves a buffer of {}", self.len);
        // SAFETY: the whole run lies in the buffer.
        unsafe { self.start.add(at) }
    }
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
        for y in 0..canvas.height {
            let row: Vec<u8> = (0..canvas.width * 3).map(|i| (y * canvas.width * 3 + i) as u8).collect();
            layout.write_row(cells, 0, y, &row, &identity(), &sink);
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
