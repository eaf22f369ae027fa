//! Passes of an axis with more weights than are kept: those of an output are computed when it is made, and forgotten. Such an axis
//! is hundreds of thousands of samples long.

use std::ops::Range;

use super::{KernelScratch, scalar};
use crate::error::Result;
use crate::memory::try_resize;
use crate::resample::weights::Axis;
use crate::source::Interleaving;
use crate::threads::check_stopped;

/// The horizontal pass.
pub(in crate::resample) struct Horizontal {
    axis: Axis,
    from: Interleaving,
}

impl Horizontal {
    pub(super) fn new(axis: Axis, from: Interleaving) -> Self {
        Self { axis, from }
    }

    /// As [`super::Horizontal::rows`].
    pub(super) fn rows(&self, input: &[&[u8]], output: &mut [&mut [u8]], scratch: &mut KernelScratch) -> Result<()> {
        let KernelScratch { floats, weights, .. } = scratch;
        let pixels = output.first().map_or(0, |row| row.len() / 3);
        for index in 0..pixels {
            check_stopped()?;
            weights.clear();
            self.axis.push(index, floats, weights)?;
            let start = self.axis.window(index).start as usize;
            for (input, output) in input.iter().zip(&mut *output) {
                let pixel = scalar::pixel(input, start, weights, self.axis.bits(), self.from);
                output[index * 3..][..3].copy_from_slice(&pixel);
            }
        }
        Ok(())
    }
}

/// The vertical pass. An output row's input rows are many, and come some at a time: [`Self::begin`], [`Self::add`] for all
/// of them, [`Self::end`].
pub(in crate::resample) struct Vertical(Axis);

impl Vertical {
    /// Most input rows that come at a time.
    pub(in crate::resample) const ROWS: usize = 1024;

    pub(super) fn new(axis: Axis) -> Self {
        Self(axis)
    }

    pub(super) fn axis(&self) -> &Axis {
        &self.0
    }

    /// The input rows of the output row at `index`, some at a time.
    pub(in crate::resample) fn parts(&self, index: usize) -> impl Iterator<Item = Range<u32>> + use<> {
        let window = self.0.window(index);
        window.clone().step_by(Self::ROWS).map(move |start| start..window.end.min(start + Self::ROWS as u32))
    }

    /// Begins the output row at `index`, of `len` bytes.
    pub(in crate::resample) fn begin(&self, index: usize, len: usize, scratch: &mut KernelScratch) -> Result<()> {
        let KernelScratch { floats, weights, sums, .. } = scratch;
        weights.clear();
        self.0.push(index, floats, weights)?;
        sums.clear();
        try_resize(sums, len, 1i32 << (self.0.bits() - 1))
    }

    /// Adds input rows from `first` on to the output row at `index`.
    pub(in crate::resample) fn add(
        &self,
        index: usize,
        first: u32,
        rows: &[&[u8]],
        scratch: &mut KernelScratch,
    ) -> Result<()> {
        check_stopped()?;
        let KernelScratch { weights, sums, .. } = scratch;
        let at = (first - self.0.window(index).start) as usize;
        scalar::add(rows, &weights[at..][..rows.len()], sums);
        Ok(())
    }

    /// Ends the output row.
    pub(in crate::resample) fn end(&self, scratch: &KernelScratch, output: &mut [u8]) {
        scalar::round(&scratch.sums, self.0.bits(), output);
    }
}
