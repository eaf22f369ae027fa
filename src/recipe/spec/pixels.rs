//! From an image to values: filters, arithmetic, colours, normalisation, patches.

use std::str::FromStr;

use serde::Deserialize;

use super::yes;
use crate::error::{Error, Result};

/// Resampling filter, by Pillow's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
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

/// Whose integer arithmetic a resize follows, and with it whose order of normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Pillow's 22-bit weights; transformers' PIL backend.
    Pillow,
    /// ATen's 16-bit weights; transformers' torchvision backend.
    Torch,
}

/// What a resize in floating point weighs, and what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampled {
    /// Bytes; the result is rounded to bytes.
    Bytes,
    /// Bytes; the result is normalised as it is, beyond 0 to 255 too.
    Floats,
    /// Normalised values, which the result is already.
    Normalized,
}

/// A resize in f32, as torch's `interpolate` does it on the CPU, whatever the recipe's arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// What it weighs.
    pub of: Sampled,
    /// Filter: bilinear, or Keys' cubic, with a = -0.75 where there is no antialiasing.
    pub filter: Filter,
    /// Whether the filter widens as the image shrinks.
    #[serde(default = "yes")]
    pub antialias: bool,
    /// Whether a bilinear filter that does not weighs four corners at once, as torch does where it has a single thread.
    #[serde(default)]
    pub corners: bool,
}

/// What becomes of images that are not RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Convert {
    /// To RGB, transparency composited on white (transformers 5).
    White,
    /// To RGB, alpha discarded (`Image.convert("RGB")`; the authors' code of most families).
    Drop,
    /// Refused.
    None,
}

/// Order of operations from a byte to a normalised float.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormalizeOrder {
    /// transformers' own, by [`Backend`].
    Backend,
    /// torchvision's `ToTensor` then `Normalize`, all in f32.
    ToTensor,
    /// Rescaled in bfloat16, then normalised in it (transformers' Llama 4).
    #[serde(rename = "bfloat16")]
    BFloat16,
}

/// From pixels to values.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pixels {
    /// Resampling filter of every step.
    pub filter: Filter,
    /// Arithmetic of every step that does not name its own.
    pub arithmetic: Backend,
    /// Colour rule.
    pub convert: Convert,
    /// Mean per channel, of values in 0..1.
    pub mean: [f64; 3],
    /// Standard deviation per channel.
    pub std: [f64; 3],
    /// Factor from bytes to 0..1.
    pub rescale: f64,
    /// Whether bytes are rescaled.
    pub do_rescale: bool,
    /// Whether mean and deviation are applied.
    pub do_normalize: bool,
    /// Order of operations.
    pub order: NormalizeOrder,
}

/// Order of a segment's patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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

/// Patches of the vision encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Side in pixels.
    pub size: u32,
    /// Patches per side that the processor aligns to.
    pub merge: u32,
    /// Frames in a patch; a still image is repeated.
    pub temporal: u32,
    /// Order of patches.
    pub order: PatchOrder,
}
