//! The rows between a horizontal and a vertical pass, each made once, in whatever form the level's vertical pass reads best.

use std::ops::Range;

use arrayvec::ArrayVec;

use super::{BLOCK, Horizontal, KernelScratch, Vertical, first_rows, streamed};
use crate::error::Result;
use crate::memory::try_resize;
use crate::threads::check_stopped;

/// Somebody is asked once in so many rows whether the rest is still wanted.
const CHECKED: u32 = 4 * BLOCK as u32;

/// A ring of rows, as tall as the filter's widest window and a block more.
pub(in crate::resample) struct Ring<'s> {
    memory: &'s mut Vec<u8>,
    /// Rows that there is room for: whole blocks, so that none wraps.
    capacity: usize,
    /// Rows that are stored together.
    unit: usize,
    /// Bytes of a unit.
    stride: usize,
    /// Bytes of a row.
    len: usize,
    /// Rows made so far end here.
    end: Option<u32>,
}

impl<'s> Ring<'s> {
    /// A ring for a pass over rows of `len` bytes.
    pub(in crate::resample) fn new(memory: &'s mut Vec<u8>, vertical: &Vertical, len: usize) -> Result<Self> {
        let (unit, stride) = vertical.unit(len);
        let capacity = (vertical.widest() + unit - 1 + BLOCK).next_multiple_of(BLOCK);
        try_resize(memory, (capacity / unit).saturating_mul(stride), 0)?;
        Ok(Self { memory, capacity, unit, stride, len, end: None })
    }

    /// Makes rows until those of `window` are there, in blocks that may reach beyond it but not beyond `last`. Windows only
    /// move down.
    pub(in crate::resample) fn advance(
        &mut self,
        window: &Range<u32>,
        last: u32,
        mut make: impl FnMut(Range<u32>, Block<'_>) -> Result<()>,
    ) -> Result<()> {
        let start = window.start / self.unit as u32 * self.unit as u32;
        let mut from = self.end.map_or(start, |end| end.max(start));
        while from < window.end {
            if from / CHECKED != (from + BLOCK as u32) / CHECKED {
                check_stopped()?;
            }
            let first = from as usize % self.capacity;
            let count = BLOCK.min(self.capacity - first).min((last - from) as usize);
            let memory = &mut self.memory[first / self.unit * self.stride..][..count.div_ceil(self.unit) * self.stride];
            make(from..from + count as u32, Block { memory, stride: self.stride, unit: self.unit, len: self.len })?;
            from += count as u32;
        }
        self.end = Some(from);
        Ok(())
    }

    /// The output row at `index` of the vertical pass's kept range.
    pub(in crate::resample) fn row(
        &self,
        index: usize,
        vertical: &Vertical,
        output: &mut [u8],
        scratch: &mut KernelScratch,
    ) -> Result<()> {
        let window = vertical.window(index);
        assert!(output.len() == self.len, "{} bytes of {}", output.len(), self.len);
        #[cfg(target_arch = "x86_64")]
        if let Vertical::Kept(_, super::VerticalKernel::Avx512(vertical)) = vertical {
            let first = window.start as usize / self.unit;
            // SAFETY: the level was found on this machine.
            unsafe { vertical.row_of_quads(index, self.memory, first, self.stride, output) };
            return Ok(());
        }
        let row = |row: u32| &self.memory[row as usize % self.capacity * self.stride..][..self.len];
        if let Vertical::Streamed(vertical) = vertical {
            vertical.begin(index, output.len(), scratch)?;
            for part in vertical.parts(index) {
                let input: ArrayVec<_, { streamed::Vertical::ROWS }> = part.clone().map(row).collect();
                vertical.add(index, part.start, &input, scratch)?;
            }
            vertical.end(scratch, output);
            return Ok(());
        }
        let input: Vec<_> = window.map(row).collect();
        vertical.row(index, &input, output, scratch);
        Ok(())
    }
}

/// Rows of a ring that are yet to be made.
pub(in crate::resample) struct Block<'r> {
    memory: &'r mut [u8],
    stride: usize,
    unit: usize,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // told by the stride where rows are stored alone
    len: usize,
}

impl Block<'_> {
    /// Makes them.
    pub(in crate::resample) fn fill(
        self,
        horizontal: &Horizontal,
        input: &[&[u8]],
        scratch: &mut KernelScratch,
    ) -> Result<()> {
        #[cfg(target_arch = "x86_64")]
        if let Horizontal::Avx512(horizontal) = horizontal {
            assert!(self.unit == 4, "quads in a ring of rows");
            // SAFETY: the level was found on this machine.
            unsafe { horizontal.quads(input, self.memory, self.stride, self.len) };
            return Ok(());
        }
        assert!(self.unit == 1, "rows in a ring of quads");
        horizontal.rows(input, &mut first_rows(self.memory, self.stride, input.len()), scratch)
    }
}
