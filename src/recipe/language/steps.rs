//! Steps from an image to a view's canvas.

use serde::Deserialize;

use super::arguments::{
    Align, Cap, CeilRounding, Clamp, ContainRounding, Enlarge, Fill, FrameCount, LongestRounding, Precision, Target,
};
use super::{qwen_ratio, yes};
use crate::geometry::Size;

/// One step from an image to a view's canvas.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Resize to exactly this size.
    Squash {
        /// The size.
        to: Target,
    },
    /// Resize the shorter side to `edge`, keeping the aspect ratio (the longer side truncates).
    ShortestEdge {
        /// Pixels.
        edge: u32,
    },
    /// Resize the longer side to `edge`, keeping the aspect ratio.
    LongestEdge {
        /// Pixels.
        edge: u32,
        /// How the shorter side rounds.
        rounding: LongestRounding,
        /// Fewest pixels of either side.
        #[serde(default)]
        min: u32,
        /// Whether smaller images are enlarged.
        #[serde(default = "yes")]
        enlarge: bool,
    },
    /// Resize to fit inside, keeping the aspect ratio: the side that fills the canvas has exactly its length, and `rounding`
    /// rounds the other. (For a square canvas, `longest_edge` with
    /// `scale_both_down` gives `int(side * min(scale))` of both sides.)
    Contain {
        /// The canvas to fit.
        to: Target,
        /// How the other side rounds.
        #[serde(default)]
        rounding: ContainRounding,
        /// Whether neither side is enlarged beyond a tile's.
        #[serde(default)]
        at_most_tile: bool,
        /// Fewest pixels of a side; an image with fewer is refused.
        #[serde(default)]
        at_least: u32,
        /// Precision of scales to the canvas's own sides.
        #[serde(default)]
        precision: Precision,
    },
    /// Resize the longer side to the largest number of tiles of side `edge` that gives at most `max` tiles, when the
    /// shorter side's tiles are rounded up. The shorter side truncates. An image that is taller than wide is transposed
    /// for this (Phi-3.5).
    HdTransform {
        /// Side of a tile.
        edge: u32,
        /// Most tiles.
        max: u32,
    },
    /// Resize to whole merged patches within a budget of pixels, or of merged patches ("tokens").
    SmartResize {
        /// When each side is raised to at least one merged patch.
        clamp: Clamp,
        /// How images with smaller sides are enlarged.
        #[serde(default)]
        enlarge: Enlarge,
        /// Number of frames that the budget covers.
        #[serde(default = "FrameCount::one")]
        frames: FrameCount,
        /// A further limit for videos.
        #[serde(default)]
        cap: Option<Cap>,
        /// Most of longer over shorter side.
        #[serde(default = "qwen_ratio")]
        max_ratio: f64,
        /// Fewest pixels.
        #[serde(default)]
        min_pixels: Option<u64>,
        /// Most pixels.
        #[serde(default)]
        max_pixels: Option<u64>,
        /// Fewest merged patches.
        #[serde(default)]
        min_tokens: Option<u64>,
        /// Most merged patches.
        #[serde(default)]
        max_tokens: Option<u64>,
        /// Whether this step uses Pillow's arithmetic always.
        #[serde(default)]
        always_pillow: bool,
    },
    /// Resize to the largest whole number of patches within a budget (SigLIP 2).
    Naflex {
        /// Most patches.
        max_patches: u32,
    },
    /// Shrink the longer side to `longest`, then resize to whole merged patches, rounded up (Pixtral).
    CeilPatches {
        /// Most pixels of a side before rounding.
        longest: u32,
        /// How sides round when they are shrunk.
        #[serde(default)]
        rounding: CeilRounding,
    },
    /// Shrink if there are more patches than allowed; never enlarge (Kimi).
    ShrinkToPatches {
        /// Most whole patches.
        max_patches: u32,
        /// Most patches of a side.
        max_side_patches: u32,
    },
    /// Resize to the largest multiples of merged patches within a budget, with nearly the image's aspect ratio (Gemma
    /// 4).
    FloorPatches {
        /// Most merged patches.
        max_tokens: u32,
    },
    /// Round up to whole patches, then resize to whole merged patches within a budget of patches (Nemotron).
    PatchBudget {
        /// Fewest patches.
        min_patches: u32,
        /// Most patches.
        max_patches: u32,
    },
    /// Place on a canvas of whole merged patches, rounded up. The image is only shrunk or enlarged if the budget
    /// requires it (GLM-5).
    PadToPatches {
        /// Fewest merged patches.
        min_tokens: u64,
        /// Most merged patches.
        max_tokens: u64,
    },
    /// Resize to whole merged patches with nearly the area of a square, whatever the area of the image (MiniCPM-V).
    MatchArea {
        /// Side of the square.
        edge: u32,
    },
    /// Cut out the centre; if the image is smaller, pad with zero bytes.
    CenterCrop {
        /// The size.
        to: Size,
        /// Which side loses an odd pixel.
        #[serde(default)]
        align: Align,
    },
    /// Pad a thin image right and below to a square with zero bytes (Step3).
    PadThinToSquare {
        /// Applies if the shorter side is below this.
        under: u32,
        /// Applies if longer over shorter side is above this.
        ratio: u32,
    },
    /// Place on a larger canvas.
    Pad {
        /// The canvas.
        to: Target,
        /// Where the image goes.
        align: Align,
        /// Colour around it.
        fill: Fill,
    },
}
