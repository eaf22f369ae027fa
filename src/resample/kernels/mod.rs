//! Inner loops, one file per instruction set, the same names in each. Every level gives the scalar level's bits: sums of
//! integers do not depend on their order, and no level's intermediate leaves 32 bits (modulo 2^32 where weights are split).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use std::str::FromStr;
use std::sync::OnceLock;

use super::AxisWeights;
use crate::error::{Error, Result};

/// Most rows that a horizontal kernel takes at once.
pub(super) const BLOCK: usize = 16;

/// An instruction set with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Portable code.
    Scalar,
    /// AVX2 (x86-64).
    Avx2,
    /// AVX-512 F, BW, VL and VNNI (x86-64).
    Avx512,
}

impl Level {
    /// All levels.
    const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// The level's name, as in `VLMRES_FORCE_LEVEL`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The levels of this machine, slowest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|level| level.is_available()).collect()
    }

    /// The level in use: that of `VLMRES_FORCE_LEVEL`, else the machine's best. Found once.
    pub fn current() -> Result<Self> {
        static CURRENT: OnceLock<Result<Level>> = OnceLock::new();
        CURRENT
            .get_or_init(|| match std::env::var("VLMRES_FORCE_LEVEL") {
                Ok(name) if !name.is_empty() => name.parse(),
                _ => Ok(Self::available().pop().unwrap_or(Self::Scalar)),
            })
            .clone()
    }
}

impl FromStr for Level {
    type Err = Error;

    /// A level of this machine by its name.
    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name && level.is_available()).ok_or_else(|| {
            let known: Vec<_> = Self::available().into_iter().map(Self::name).collect();
            Error::Argument(format!("VLMRES_FORCE_LEVEL: this machine has {}, got {name:?}", known.join(", ")))
        })
    }
}

/// Rows of equal length in one piece of memory.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    memory: &'a [u8],
    starts: &'a [usize],
    len: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `len` bytes that begin at `starts`.
    pub(super) fn new(memory: &'a [u8], starts: &'a [usize], len: usize) -> Self {
        assert!(
            starts.iter().all(|start| *start <= memory.len() && len <= memory.len() - start),
            "a row leaves memory"
        );
        Self { memory, starts, len }
    }

    fn count(&self) -> usize {
        self.starts.len()
    }

    fn row(&self, index: usize) -> &'a [u8] {
        &self.memory[self.starts[index]..self.starts[index] + self.len]
    }
}

/// Buffers of the kernels.
#[derive(Debug, Default)]
pub(super) struct KernelScratch {
    sums: Vec<i32>,
    gathered: Vec<u8>,
    columns: Vec<u8>,
}

/// The horizontal pass, set up for a level.
pub(super) enum Horizontal {
    Scalar(AxisWeights),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Horizontal),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Horizontal),
}

impl Horizontal {
    pub(super) fn new(level: Level, axis: AxisWeights) -> Self {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Self::Avx2(avx2::Horizontal::new(&axis)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Self::Avx512(avx512::Horizontal::new(&axis)),
            _ => Self::Scalar(axis),
        }
    }

    /// Up to [`BLOCK`] rows of packed RGB: row `i` of the result goes to `output[starts[i]..][..len]`.
    pub(super) fn rows(
        &self,
        input: Rows<'_>,
        output: &mut [u8],
        starts: &[usize],
        len: usize,
        scratch: &mut KernelScratch,
    ) {
        assert!(input.count() == starts.len() && starts.len() <= BLOCK, "{} rows", starts.len());
        let _ = Rows::new(output, starts, len);
        match self {
            Self::Scalar(axis) => {
                for (index, start) in starts.iter().enumerate() {
                    scalar::horizontal(input.row(index), &mut output[*start..start + len], axis);
                }
            }
            // SAFETY: the level was found on this machine.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(horizontal) => unsafe { horizontal.rows(input, output, starts, len, scratch) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(horizontal) => unsafe { horizontal.rows(input, output, starts, len, scratch) },
        }
    }
}

/// The vertical pass, set up for a level.
pub(super) struct Vertical {
    axis: AxisWeights,
    kernel: VerticalKernel,
}

enum VerticalKernel {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Vertical),
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Vertical),
}

impl Vertical {
    pub(super) fn new(level: Level, axis: AxisWeights) -> Self {
        let kernel = match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => VerticalKernel::Avx2(avx2::Vertical::new(&axis)),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => VerticalKernel::Avx512(avx512::Vertical::new(&axis)),
            _ => VerticalKernel::Scalar,
        };
        Self { axis, kernel }
    }

    pub(super) fn axis(&self) -> &AxisWeights {
        &self.axis
    }

    /// The output row at `index` of the kept range from its input rows.
    pub(super) fn row(&self, index: usize, rows: Rows<'_>, output: &mut [u8], scratch: &mut KernelScratch) {
        let (_, weights) = self.axis.of(index);
        assert!(
            rows.len == output.len() && rows.count() == weights.len() && !weights.is_empty(),
            "{} rows for {} weights",
            rows.count(),
            weights.len()
        );
        match &self.kernel {
            VerticalKernel::Scalar => scalar::vertical(rows, weights, self.axis.bits(), &mut scratch.sums, output),
            // SAFETY: the level was found on this machine.
            #[cfg(target_arch = "x86_64")]
            VerticalKernel::Avx2(vertical) => unsafe { vertical.row(index, rows, output) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            VerticalKernel::Avx512(vertical) => unsafe { vertical.row(index, rows, output) },
        }
    }
}
