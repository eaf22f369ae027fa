//! Element types of outputs.

use std::str::FromStr;

use half::{bf16, f16};

use super::kernels::Kernels;
use crate::error::{Error, Result};

/// Type of an output's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// IEEE single precision: the reference's values.
    Float32,
    /// bfloat16 nearest to them, ties to even.
    BFloat16,
    /// IEEE half precision nearest to them, ties to even.
    Float16,
    /// Pixels before normalisation.
    UInt8,
}

impl DType {
    /// Bytes of one value.
    pub fn size(self) -> usize {
        match self {
            Self::Float32 => 4,
            Self::BFloat16 | Self::Float16 => 2,
            Self::UInt8 => 1,
        }
    }

    /// The name that parses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::BFloat16 => "bfloat16",
            Self::Float16 => "float16",
            Self::UInt8 => "uint8",
        }
    }
}

impl FromStr for DType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Float32, Self::BFloat16, Self::Float16, Self::UInt8]
            .into_iter()
            .find(|dtype| dtype.name() == name)
            .ok_or_else(|| {
                Error::Argument(format!("dtype must be one of float32, bfloat16, float16, uint8, got {name:?}"))
            })
    }
}

/// A value that a byte of a normalised image can become.
#[allow(private_bounds)] // the kernels are an inner matter of the type
pub trait Element: Kernels + Send + Sync + 'static {
    /// Which type it is.
    const DTYPE: DType;

    /// The value for a pixel byte whose normalised value is given.
    fn new(byte: u8, normalised: f32) -> Self;

    /// Padding after normalisation.
    fn zero() -> Self;
}

impl Element for f32 {
    const DTYPE: DType = DType::Float32;

    fn new(_: u8, normalised: f32) -> Self {
        normalised
    }

    fn zero() -> Self {
        0.0
    }
}

impl Element for bf16 {
    const DTYPE: DType = DType::BFloat16;

    fn new(_: u8, normalised: f32) -> Self {
        Self::from_f32(normalised)
    }

    fn zero() -> Self {
        Self::ZERO
    }
}

impl Element for f16 {
    const DTYPE: DType = DType::Float16;

    fn new(_: u8, normalised: f32) -> Self {
        Self::from_f32(normalised)
    }

    fn zero() -> Self {
        Self::ZERO
    }
}

impl Element for u8 {
    const DTYPE: DType = DType::UInt8;

    fn new(byte: u8, _: f32) -> Self {
        byte
    }

    fn zero() -> Self {
        0
    }
}
