//! Types of the arguments of steps: sizes, colours, roundings, budgets.

use serde::Deserialize;

use crate::geometry::Size;

/// A size in a step: fixed, or the canvas of the view's tile grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a size is [width, height], \"grid\", \"square\" or \"aligned\"")]
pub enum Target {
    /// `[width, height]`.
    Fixed(Size),
    /// A size that depends on the image.
    Named(NamedTarget),
}

/// Sizes that depend on the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NamedTarget {
    /// The tile grid's canvas.
    Grid,
    /// The square on the longer side.
    Square,
    /// Both sides rounded up to whole merged patches.
    Aligned,
}

/// Where padding goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// Centred; an odd pixel goes to the right or below.
    #[default]
    Center,
    /// Centred by Python's `round(d / 2)`: an odd pixel goes to either side (`ImageOps.pad`).
    CenterHalfEven,
    /// All padding right and below.
    TopLeft,
}

/// Colour of padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "a colour is [red, green, blue] of 0 to 255, \"black\" or \"mean\"")]
pub enum Fill {
    /// An RGB colour.
    Rgb([u8; 3]),
    /// A colour that depends on the recipe.
    Named(NamedFill),
}

/// Colours that depend on the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NamedFill {
    /// Bytes of zero, before normalisation.
    Black,
    /// Bytes of `int(255 * mean)` per channel.
    Mean,
}

/// How a resize of the longer side rounds the shorter side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LongestRounding {
    /// `round(short / long * edge)`: Pillow's `ImageOps.contain`.
    PilContain,
    /// `round(short * (edge / long))`: transformers.
    Scale,
    /// `int(short * (edge / long))`.
    ScaleDown,
    /// As `scale_down`, for both sides: `int(side * min(scale))` with a square canvas. The longer side may then be a
    /// pixel shorter than `edge`.
    ScaleBothDown,
    /// `int(edge / aspect)` or `int(edge * aspect)`.
    Aspect,
    /// As `aspect`, then rounded up to an even number; no side is longer than 4096 (Idefics 3).
    AspectEven,
}

/// How a resize into a canvas rounds the side that does not fill it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum ContainRounding {
    /// Up.
    #[default]
    Ceil,
    /// Down, to at least one pixel.
    Floor,
    /// To the nearest, by aspect ratios: Pillow's `ImageOps.contain`.
    PilContain,
}

/// How sides round when they are shrunk, before they are rounded up to whole merged patches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub enum CeilRounding {
    /// Down: transformers.
    #[default]
    Floor,
    /// To the nearest, halves to even, and to at least one pixel: mistral-common.
    Nearest,
}

/// Precision of a reference's arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Double: Python and numpy.
    #[default]
    F64,
    /// Single: torch tensors.
    F32,
}

/// When each side is raised to at least one merged patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Clamp {
    /// After rounding, before the area is checked (qwen-vl-utils).
    AfterRounding,
    /// After shrinking. Before that a side may round to zero, which makes the image grow (transformers).
    AfterShrinking,
    /// Both times.
    Both,
}

/// How a smart resize enlarges an image with a side smaller than a merged patch, before anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Enlarge {
    /// It does not.
    #[default]
    None,
    /// Both sides by one factor, truncated (GLM).
    Scale,
    /// The height is raised to a merged patch, and the width in proportion, rounded; then the same for the width
    /// (`PaddleOCR-VL`).
    Sides,
    /// The shorter side is raised to a merged patch, and the longer in proportion, rounded. For images without such a
    /// short side, the longer side counts as at most 200 times the shorter (Ovis 2.5).
    Short,
}

/// Frames that a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "frames are a number or \"all\"")]
pub enum FrameCount {
    /// So many.
    Count(u32),
    /// A number that depends on the video.
    Named(NamedFrameCount),
}

impl FrameCount {
    /// One frame: each has the whole budget.
    pub(super) fn one() -> Self {
        Self::Count(1)
    }
}

/// Numbers of frames that depend on the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NamedFrameCount {
    /// All frames of the video, rounded up to whole patches for the area but not for the scale.
    All,
}

/// A limit of a frame's pixels that falls with the number of frames (transformers' `cap_pixels_per_frame`,
/// qwen-vl-utils' `total_pixels`). It is never below 1.05 times the fewest pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Whether it applies.
    pub enabled: bool,
    /// Merged patches.
    pub tokens: u64,
    /// What `tokens` counts.
    pub per: CapPer,
    /// Pixels of the whole video, where `per` is "share".
    #[serde(default)]
    pub total_pixels: Option<u64>,
}

/// What a cap's tokens count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum CapPer {
    /// Tokens of the whole video, less a tenth: each patch along time gets an equal share (Qwen2-VL).
    Video,
    /// Tokens of one frame, which gets at most an equal share of the whole budget (Qwen3-VL).
    Frame,
    /// Tokens of one frame. Each patch along time gets an equal share of `total_pixels`, which may be a fraction of a
    /// pixel; then the budget applies (qwen-vl-utils).
    Share,
}
