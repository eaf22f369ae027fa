//! Inner loops, one file per instruction set, the same names in each. Every level gives the scalar level's bits: sums of
//! integers do not depend on their order, and no level's intermediate leaves 32 bits (modulo 2^32 where weights are split).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod ring;
mod scalar;
mod streamed;

pub(super) use ring::Ring;

use std::ops::Range;

use arrayvec::ArrayVec;

use super::weights::{Axis, AxisWeights};
use crate::error::Result;
use crate::memory::probe;
use crate::simd::Level;
use crate::source::Interleaving;

/// Most rows that a horizontal kernel takes at once.
pub(super) const BLOCK: usize = 16;

/// At least the bytes that a level takes for a weight.
const MOST_BYTES_OF_A_WEIGHT: usize = 64;

/// Buffers of the kernels.
#[derive(Debug, Default)]
pub(super) struct KernelScratch {
    sums: Vec<i32>,
    /// Weights of an output that are computed for it alone.
    weights: Vec<i32>,
    floats: Vec<f64>,
    #[cfg(target_arch = "x86_64")]
    gathered: Vec<u8>,
    #[cfg(target_arch = "x86_64")]
    columns: Vec<u8>,
}

impl KernelScratch {
    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let bytes = (self.sums.capacity() + self.weights.capacity()) * 4 + self.floats.capacity() * 8;
        #[cfg(target_arch = "x86_64")]
        let bytes = bytes + self.gathered.capacity() + self.columns.capacity();
        bytes
    }
}

/// The horizontal pass, set up for a level.
pub(super) enum Horizontal {
    Scalar(AxisWeights, Interleaving),
    Streamed(streamed::Horizontal),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Horizontal),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Horizontal),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Horizontal),
}

impl Horizontal {
    /// A pass over rows that lie as `from` says, to packed RGB.
    pub(super) fn new(level: Level, axis: AxisWeights, from: Interleaving) -> Result<Self> {
        probe(axis.bytes() / 4 * MOST_BYTES_OF_A_WEIGHT)?;
        Ok(match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Self::Avx2(avx2::Horizontal::new(&axis, from)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Self::Avx512(avx512::Horizontal::new(&axis, from)),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => Self::Neon(neon::Horizontal::new(&axis, from)),
            _ => Self::Scalar(axis, from),
        })
    }

    /// The same of weights that are not kept, at no level.
    pub(super) fn streamed(axis: Axis, from: Interleaving) -> Self {
        Self::Streamed(streamed::Horizontal::new(axis, from))
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Scalar(axis, _) => axis.bytes(),
            Self::Streamed(_) => 0,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(horizontal) => horizontal.bytes(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(horizontal) => horizontal.bytes(),
            #[cfg(target_arch = "aarch64")]
            Self::Neon(horizontal) => horizontal.bytes(),
        }
    }

    /// Up to [`BLOCK`] rows of equal length to as many rows of packed RGB.
    pub(super) fn rows(&self, input: &[&[u8]], output: &mut [&mut [u8]], scratch: &mut KernelScratch) -> Result<()> {
        assert!(input.len() == output.len() && output.len() <= BLOCK, "{} rows", input.len());
        assert!(
            are_equal(input.iter().map(|row| row.len())) && are_equal(output.iter().map(|row| row.len())),
            "ragged"
        );
        match self {
            Self::Streamed(horizontal) => return horizontal.rows(input, output, scratch),
            Self::Scalar(axis, from) => {
                for (input, output) in input.iter().zip(output) {
                    scalar::horizontal(input, output, axis, *from);
                }
            }
            // SAFETY: the level was found on this machine.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(horizontal) => unsafe { horizontal.rows(input, output, scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(horizontal) => unsafe { horizontal.rows(input, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Self::Neon(horizontal) => unsafe { horizontal.rows(input, output) },
        }
        Ok(())
    }
}

/// The first `count` rows of a block, each of `len` bytes.
pub(super) fn first_rows(block: &mut [u8], len: usize, count: usize) -> ArrayVec<&mut [u8], BLOCK> {
    block.chunks_exact_mut(len).take(count).collect()
}

/// Whether the rows of a block have one length.
fn are_equal(mut lengths: impl Iterator<Item = usize>) -> bool {
    let first = lengths.next();
    lengths.all(|length| Some(length) == first)
}

/// The vertical pass, set up for a level.
pub(super) enum Vertical {
    Kept(AxisWeights, VerticalKernel),
    Streamed(streamed::Vertical),
}

/// What a level makes of the weights.
pub(super) enum VerticalKernel {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Vertical),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Vertical),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Vertical),
}

impl Vertical {
    pub(super) fn new(level: Level, axis: AxisWeights) -> Result<Self> {
        probe(axis.bytes() / 4 * MOST_BYTES_OF_A_WEIGHT)?;
        let kernel = match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => VerticalKernel::Avx2(avx2::Vertical::new(&axis)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => VerticalKernel::Avx512(avx512::Vertical::new(&axis)),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => VerticalKernel::Neon(neon::Vertical::new(&axis)),
            _ => VerticalKernel::Scalar,
        };
        Ok(Self::Kept(axis, kernel))
    }

    /// The same of weights that are not kept, at no level.
    pub(super) fn streamed(axis: Axis) -> Self {
        Self::Streamed(streamed::Vertical::new(axis))
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        let Self::Kept(axis, kernel) = self else { return 0 };
        axis.bytes()
            + match kernel {
                #[cfg(target_arch = "x86_64")]
                VerticalKernel::Avx2(vertical) => vertical.bytes(),
                #[cfg(target_arch = "x86_64")]
                VerticalKernel::Avx512(vertical) => vertical.bytes(),
                _ => 0,
            }
    }

    /// Most input rows of an output row, or more.
    pub(super) fn widest(&self) -> usize {
        match self {
            Self::Kept(axis, _) => axis.widest(),
            Self::Streamed(vertical) => vertical.axis().widest(),
        }
    }

    /// How many rows of `len` bytes a ring stores together for this level, and the bytes that they take.
    fn unit(&self, len: usize) -> (usize, usize) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Kept(_, VerticalKernel::Avx512(_)) => (4, avx512::quad_stride(len)),
            _ => (1, len),
        }
    }

    /// The input rows of the output row at `index` of the kept range.
    pub(super) fn window(&self, index: usize) -> Range<u32> {
        match self {
            Self::Kept(axis, _) => {
                let (start, weights) = axis.of(index);
                start as u32..(start + weights.len()) as u32
            }
            Self::Streamed(vertical) => vertical.axis().window(index),
        }
    }

    /// The output row at `index` of the kept range from its input rows; of a streamed pass they come some at a time.
    pub(super) fn row(&self, index: usize, rows: &[&[u8]], output: &mut [u8], scratch: &mut KernelScratch) {
        let Self::Kept(axis, kernel) = self else { unreachable!("rows of a streamed pass come some at a time") };
        let (_, weights) = axis.of(index);
        assert!(rows.len() == weights.len() && !rows.is_empty(), "{} rows for {} weights", rows.len(), weights.len());
        assert!(rows.iter().all(|row| row.len() == output.len()), "ragged");
        match kernel {
            VerticalKernel::Scalar => scalar::vertical(rows, weights, axis.bits(), &mut scratch.sums, output),
            // SAFETY: the level was found on this machine.
            #[cfg(target_arch = "x86_64")]
            VerticalKernel::Avx2(vertical) => unsafe { vertical.row(index, rows, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            VerticalKernel::Avx512(vertical) => unsafe { vertical.row(index, rows, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            VerticalKernel::Neon(vertical) => unsafe { vertical.row(rows, weights, output) },
        }
    }
}
