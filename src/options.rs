//! Filters, arithmetic and patch order: types that the recipe language, resampling and writing share.

use std::str::FromStr;

use serde::Deserialize;

use crate::error::{Error, Result};

/// Resampling filter, by Pillow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// The pixel under each centre.
    Nearest,
    /// Mean over the footprint.
    Box,
    /// Triangle.
    Bilinear,
    /// Hamming-windowed sinc of support 1.
    Hamming,
    /// Keys' cubic with a = -0.5.
    Bicubic,
    /// Windowed sinc of support 3.
    Lanczos,
}

impl FromStr for Filter {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        use serde::de::value::{Error as ValueError, StrDeserializer};
        Self::deserialize(StrDeserializer::<ValueError>::new(name))
            .map_err(|error| Error::Argument(format!("filter: {error}")))
    }
}

/// Whose integer arithmetic a resize follows, and whose order of operations normalisation follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Pillow's 22-bit weights; transformers' PIL backend.
    Pillow,
    /// ATen's 16-bit weights; transformers' torchvision backend.
    Torch,
}

/// What a resize in floating point resizes, and what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sampled {
    /// Bytes, and the result is rounded to bytes.
    Bytes,
    /// Bytes, and the result is normalised without rounding, even where it is under 0 or over 255.
    Floats,
    /// Normalised values; the result is final.
    Normalized,
}

/// Whose arithmetic in f32 a resize in floating point follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum FloatArithmetic {
    /// That of torch's `interpolate` on a CPU.
    #[default]
    Torch,
    /// That of `INTER_CUBIC` in `OpenCV`'s own code: bicubic without antialiasing.
    OpenCv,
}

/// A resize in f32, whatever the recipe's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FloatResize {
    /// What is resized: bytes, floats or normalised values.
    pub of: Sampled,
    /// Filter: bilinear, or Keys' cubic, with a = -0.75 where there is no antialiasing.
    pub filter: Filter,
    /// Whose arithmetic it follows.
    #[serde(default)]
    pub arithmetic: FloatArithmetic,
    /// Whether the filter widens as the image shrinks.
    #[serde(default = "yes")]
    pub antialias: bool,
    /// Whether a bilinear filter that does not weighs four corners at once, as torch does where it has a single thread.
    #[serde(default)]
    pub corners: bool,
}

/// Order of a segment's patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PatchOrder {
    /// Row by row.
    Raster,
    /// The patches that merge into one token are neighbours.
    Merge,
}

impl PatchOrder {
    /// Rows of patches among which this order goes back and forth, where tokens are of `merge` patches a side.
    pub fn rows(self, merge: u32) -> u32 {
        match self {
            Self::Raster => 1,
            Self::Merge => merge,
        }
    }
}

fn yes() -> bool {
    true
}
