//! Coefficients, four blocks at a time: as many as the widest vectors transform together.

use super::frame::{NATURAL, Stop};
use crate::memory::zeroed;

/// Blocks side by side in one.
pub(super) const LANES: u32 = 4;

/// The coefficients of four blocks side by side: the first rows of all, then the second rows, and so on.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Quad(pub(super) [i16; 256]);

/// The order in which a block's coefficients are sent, as places in the first block of a [`Quad`]. Damaged data may run past the
/// last.
pub(super) const ORDER: [u8; 128] = {
    let mut order = NATURAL;
    let mut at = 0;
    while at < order.len() {
        order[at] = order[at] / 8 * 32 + order[at] % 8;
        at += 1;
    }
    order
};

impl Quad {
    pub(super) const ZERO: Self = Self([0; 256]);

    /// How far the coefficients of a row's block `x` are from those of the first in the same [`Quad`].
    pub(super) fn lane(x: u32) -> usize {
        (x % LANES) as usize * 8
    }

    /// Sets the coefficient that is sent as number `at` of a block.
    #[inline]
    pub(super) fn set(&mut self, lane: usize, at: usize, value: i16) {
        self.0[(usize::from(ORDER[at & 127]) + lane) & 255] = value;
    }

    /// Coefficients of a block, row by row.
    pub(super) fn rows(&self, lane: usize) -> impl Iterator<Item = &[i16; 8]> {
        self.0.as_chunks::<8>().0.iter().skip(lane / 8).step_by(LANES as usize)
    }

    /// As [`Self::rows`], to write to.
    pub(super) fn rows_mut(&mut self, lane: usize) -> impl Iterator<Item = &mut [i16; 8]> {
        self.0.as_chunks_mut::<8>().0.iter_mut().skip(lane / 8).step_by(LANES as usize)
    }
}

/// The coefficients of a component of an image that comes in several scans.
pub(super) struct Plane {
    /// With room for a start at a multiple of 64 bytes: an allocation with that alignment would be written to.
    memory: Vec<[i16; 8]>,
    /// In a row.
    across: usize,
}

impl Plane {
    /// Zeros for rows of so many blocks. Memory that no scan writes to costs nothing.
    pub(super) fn new(across: u32, rows: u32) -> Result<Self, Stop> {
        let across = across.div_ceil(LANES) as usize;
        let count = (across * rows as usize + 1) * 32;
        let memory = zeroed(count).ok_or(Stop::Memory(count * size_of::<[i16; 8]>()))?;
        Ok(Self { memory, across })
    }

    /// The blocks of row `y`.
    pub(super) fn row(&self, y: u32) -> &[Quad] {
        // SAFETY: any numbers are a `Quad`, which is as many of them without gaps.
        let (_, quads, _) = unsafe { self.memory.align_to::<Quad>() };
        &quads[y as usize * self.across..][..self.across]
    }

    /// As [`Self::row`], to write to.
    pub(super) fn row_mut(&mut self, y: u32) -> &mut [Quad] {
        // SAFETY: any numbers are a `Quad`, which is as many of them without gaps.
        let (_, quads, _) = unsafe { self.memory.align_to_mut::<Quad>() };
        &mut quads[y as usize * self.across..][..self.across]
    }
}
