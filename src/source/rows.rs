//! Rows of an image, read from the first to the last.

use std::ops::Range;

use super::{Interleaving, PixelView};
use crate::error::Result;
use crate::geometry::Size;

/// An image whose rows are read from the first to the last: all are there, or they are made on the way.
pub(crate) trait Rows {
    /// The image's size.
    fn size(&self) -> Size;

    /// How rows lie, where they can be read in place.
    fn interleaving(&self) -> Option<Interleaving>;

    /// Makes the rows before `end`, where that was not done. Of those made earlier only the last are kept.
    fn advance(&mut self, end: u32) -> Result<()>;

    /// Bytes `range` of row `y`, as [`Self::interleaving`] counts them.
    fn row_bytes(&self, y: u32, range: Range<usize>) -> &[u8];

    /// Row `y` as packed RGB, written to `out`.
    fn copy_row(&self, y: u32, out: &mut [u8]);
}

impl Rows for PixelView<'_> {
    fn size(&self) -> Size {
        self.size()
    }

    fn interleaving(&self) -> Option<Interleaving> {
        self.interleaving()
    }

    fn advance(&mut self, _: u32) -> Result<()> {
        Ok(())
    }

    fn row_bytes(&self, y: u32, range: Range<usize>) -> &[u8] {
        self.row_bytes(y, range)
    }

    fn copy_row(&self, y: u32, out: &mut [u8]) {
        self.copy_row(y, out);
    }
}
