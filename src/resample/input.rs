//! Source rows as a first pass reads them: where they lie, or converted.

use std::ops::Range;

use crate::error::Result;
use crate::memory::try_resize;
use crate::source::{Interleaving, Rows};

/// The rows of a source, from the first to the last.
pub(super) struct Input<'s> {
    source: &'s mut dyn Rows,
    /// How rows lie that can be read in place.
    lie: Option<Interleaving>,
    /// Bytes of a whole row of packed RGB.
    len: usize,
    /// Rows that had to be converted.
    converted: &'s mut Vec<u8>,
}

impl<'s> Input<'s> {
    /// Reads a source, with room for what has to be converted.
    pub(super) fn new(source: &'s mut dyn Rows, converted: &'s mut Vec<u8>) -> Self {
        let (lie, len) = (source.interleaving(), source.size().width as usize * 3);
        Self { source, lie, len, converted }
    }

    /// Columns of some rows: in place as the source has them, else packed RGB.
    pub(super) fn rows(&mut self, rows: Range<u32>, columns: Range<u32>) -> Result<Vec<&[u8]>> {
        self.source.advance(rows.end)?;
        let (source, len) = (&*self.source, self.len);
        if let Some(from) = self.lie {
            let bytes = from.bytes(columns);
            return Ok(rows.map(|y| source.row_bytes(y, bytes.clone())).collect());
        }
        try_resize(self.converted, rows.len().saturating_mul(len), 0)?;
        for (y, row) in rows.zip(self.converted.chunks_exact_mut(len)) {
            source.copy_row(y, row);
        }
        let bytes = Interleaving::RGB.bytes(columns);
        Ok(self.converted.chunks_exact(len).map(|row| &row[bytes.clone()]).collect())
    }

    /// Hands columns of a row to `take` as packed RGB.
    pub(super) fn packed(&mut self, y: u32, columns: Range<u32>, take: impl FnOnce(&[u8])) -> Result<()> {
        let Self { source, lie, len, converted } = self;
        source.advance(y + 1)?;
        match *lie {
            Some(Interleaving::RGB) => take(source.row_bytes(y, Interleaving::RGB.bytes(columns))),
            Some(from) => {
                try_resize(converted, columns.len() * 3, 0)?;
                from.pack(source.row_bytes(y, from.bytes(columns)), converted);
                take(converted);
            }
            None => {
                try_resize(converted, *len, 0)?;
                source.copy_row(y, converted);
                take(&converted[Interleaving::RGB.bytes(columns)]);
            }
        }
        Ok(())
    }
}
