//! From an image to values: filters, arithmetic, colours, normalisation, patches.

use serde::Deserialize;

use crate::options::{Backend, Filter, PatchOrder};

/// How images that are not RGB are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Convert {
    /// To RGB, with transparency composited on white (transformers 5).
    White,
    /// RGBA is composited on white; other transparency is dropped (qwen-vl-utils).
    #[serde(rename = "white_rgba")]
    WhiteRgba,
    /// To RGB, with alpha dropped (`Image.convert("RGB")`; the authors' code of most families).
    Drop,
    /// Images that are not RGB are refused.
    None,
}

/// Order of operations from a byte to a normalised float.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NormalizeAs {
    /// transformers' own, by [`Backend`].
    Transformers,
    /// torchvision's `ToTensor` then `Normalize`, all in f32.
    ToTensor,
    /// Rescaled in bfloat16, then normalised in it (transformers' Llama 4).
    #[serde(rename = "bfloat16")]
    BFloat16,
}

/// From pixels to values.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Pixels {
    /// Resampling filter of every step.
    pub filter: Filter,
    /// Arithmetic of every step without its own.
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
    pub normalize_as: NormalizeAs,
}

/// Patches of the vision encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Patches {
    /// Side of a patch in pixels.
    pub size: u32,
    /// Patches per side of a merged patch. Steps such as `smart_resize` align to merged patches, and `order = "merge"`
    /// writes patches in their order. It does not change the number of tokens (`tokens.stride` does): with fixed sizes
    /// and `order = "raster"` it has no effect.
    pub merge: u32,
    /// Frames in a patch; a still image is repeated.
    pub temporal: u32,
    /// Order of patches.
    pub order: PatchOrder,
}
