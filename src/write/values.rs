//! Normalised values of bytes for the kernels: a table, and vector arithmetic that gives the same bits.

use crate::simd::Level;

/// What every byte becomes in every channel.
pub(crate) struct Values<T> {
    /// The value of each byte.
    pub(super) table: [[T; 256]; 3],
    /// A level and the arithmetic by which its vectors give the values of all 256 bytes, bit for bit, where there is one.
    pub(super) vectors: Option<(Level, Form)>,
}

impl<T> Values<T> {
    #[cfg(test)]
    pub(super) fn of_table(table: [[T; 256]; 3]) -> Self {
        Self { table, vectors: None }
    }
}

/// `(byte / divisor - mean) / std` in f32, each operation rounded: normalisation as vectors do it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Form {
    pub(super) divisor: f32,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
}
