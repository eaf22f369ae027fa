//! The recipe language: the contents of each section of a `builtin/*.toml`.

mod arguments;
mod checkpoint;
mod outputs;
mod pixels;
#[cfg(test)]
mod schema;
mod steps;
mod video;
mod views;

use serde::Deserialize;

pub use crate::options::{Backend, Filter, FloatArithmetic, FloatResize, PatchOrder, Sampled};
pub use arguments::{
    Align, Cap, CapPer, CeilRounding, Clamp, ContainRounding, Enlarge, Fill, FrameCount, LongestRounding, NamedFill,
    NamedFrameCount, NamedTarget, Precision, Target,
};
pub(super) use checkpoint::Checkpoint;
pub use outputs::{IntType, OutputKind, OutputSpec, Per};
pub use pixels::{Convert, NormalizeAs, Patches, Pixels};
pub use steps::Step;
pub use video::{FrameSampling, Sampling, Video};
pub use views::{Crops, Role, Search, Separators, TileSize, Tiles, Unpad, ViewOrder, ViewSpec, When};

/// How a family handles image size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Every image becomes a canvas of one size: squashed, cropped or padded.
    Squash,
    /// The image is cut into a grid of tiles. If there is also a view of the whole image, it has the size of a tile: a
    /// thumbnail.
    Tiles,
    /// The canvas follows the image's own size and aspect ratio, within a budget.
    Native,
    /// Tiles, and the whole image at another size than a tile's.
    Hybrid,
}

impl Strategy {
    /// The name as in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Squash => "squash",
            Self::Tiles => "tiles",
            Self::Native => "native",
            Self::Hybrid => "hybrid",
        }
    }
}

/// From patches to the language model's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Patches per side of a token. It only sets the number of tokens: a tile of 27 patches a side with a stride of 2
    /// has 14 tokens a side, the last of which covers a single patch.
    pub stride: u32,
    /// Tokens per image in addition to those of its views: separators, start and end.
    pub extra: u64,
}

/// Units of the coordinates that a model reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Convention {
    /// Pixels of the resized image.
    #[serde(rename = "pixels")]
    Pixels,
    /// 0 to 1000 over the frame.
    #[serde(rename = "0-1000")]
    Thousand,
    /// 0 to 999 over the frame.
    #[serde(rename = "0-999")]
    NineNineNine,
    /// 0 to 1 over the frame.
    #[serde(rename = "0-1")]
    Unit,
}

impl Convention {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pixels, Self::Thousand, Self::NineNineNine, Self::Unit];

    /// The name as in TOML.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pixels => "pixels",
            Self::Thousand => "0-1000",
            Self::NineNineNine => "0-999",
            Self::Unit => "0-1",
        }
    }
}

/// The frame that relative coordinates refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Frame {
    /// The source image.
    Image,
    /// The view's canvas, padding included.
    Canvas,
}

/// Why a checkpoint's boxes or videos cannot be followed, although its images can; empty if they can.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub struct Unsupported {
    /// Why boxes cannot.
    pub boxes: String,
    /// Why videos cannot.
    pub videos: String,
}

/// The model's coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// Units.
    pub convention: Convention,
    /// Frame of relative units.
    pub frame: Frame,
}

fn yes() -> bool {
    true
}

fn no_limit() -> u32 {
    u32::MAX
}

fn qwen_ratio() -> f64 {
    200.0
}
