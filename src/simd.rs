//! Instruction sets: which one this machine has, and which one resampling, writing and JPEG decoding use.

use std::str::FromStr;
use std::sync::OnceLock;

use crate::error::{Error, Result};

/// An instruction set with kernels of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Portable code.
    Scalar,
    /// AVX2, FMA and F16C (x86-64).
    Avx2,
    /// AVX-512 F, BW, VL, VNNI and VBMI (x86-64).
    Avx512,
    /// NEON (64-bit Arm).
    Neon,
}

impl Level {
    /// All levels.
    const ALL: [Self; 4] = [Self::Scalar, Self::Avx2, Self::Avx512, Self::Neon];

    /// The level's name, as in `VLMRES_FORCE_LEVEL`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Neon => "neon",
        }
    }

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx512vbmi")
            }
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[allow(unreachable_patterns)] // levels of other architectures, of which there may be none
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
