//! Views of an image: their part of the image, conditions, tiles and tokens.

use serde::Deserialize;

use super::arguments::Precision;
use super::steps::Step;
use super::{no_limit, yes};
use crate::geometry::{Grid, Size};
use crate::options::FloatResize;

/// The role of a view for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The whole image.
    Global,
    /// A grid of tiles over the whole image.
    Tile,
    /// A part of the image.
    Crop,
    /// The whole image once more, for a second encoder.
    Detail,
    /// A frame of a video.
    Frame,
}

impl Role {
    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tile => "tile",
            Self::Crop => "crop",
            Self::Detail => "detail",
            Self::Frame => "frame",
        }
    }
}

/// When a view is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// For every image.
    #[default]
    Always,
    /// If an earlier view has more than one tile.
    EarlierTiled,
    /// If the image is the only one of its sample.
    Alone,
    /// If its sample has more images.
    Several,
    /// If the image's longer side has more pixels than this.
    LongestOver(u32),
    /// If the image's area is larger than a square of this side.
    AreaOver(u32),
    /// If the image, rounded to whole merged patches, has more than `tolerance` times the area of `tokens` merged
    /// patches.
    RoundedOver {
        /// Merged patches.
        tokens: u64,
        /// Times.
        tolerance: f64,
    },
}

/// Size of a tile: fixed, or found for the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged, expecting = "the size of a tile is [width, height] or { edge = pixels }")]
pub enum TileSize {
    /// `[width, height]`.
    Fixed(Size),
    /// Whole merged patches with nearly the area of a square and the aspect ratio of the cell (MiniCPM-V).
    MatchArea {
        /// Side of the square.
        edge: u32,
    },
}

/// How a view is cut into tiles.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    /// Size of a tile.
    pub size: TileSize,
    /// How the grid is found, from the image's size just before the first step that uses "grid".
    pub search: Search,
    /// Pixels that neighbouring tiles share (Molmo2). The search subtracts them from the image and from each tile.
    #[serde(default)]
    pub overlap: u32,
}

/// Search for a tile grid.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Search {
    /// The closest aspect ratio among all grids of `min..=max` tiles; on a tie, more tiles if the image can fill half of them.
    AspectRatio {
        /// Fewest tiles.
        min: u32,
        /// Most tiles.
        max: u32,
        /// Most tiles of a side.
        #[serde(default = "no_limit")]
        max_side: u32,
        /// Whether an image that fits into `max` tiles at its own size gets exactly the tiles that cover it.
        #[serde(default)]
        keep_if_fits: bool,
        /// All grids, by area, then columns; filled in when the recipe is checked.
        #[serde(skip)]
        grids: Vec<Grid>,
    },
    /// The candidate canvas that keeps most of the image and wastes least.
    Pinpoints {
        /// Canvases as `[height, width]`, in order of preference.
        candidates: Vec<[u32; 2]>,
        /// Whether candidates are `[width, height]`.
        #[serde(default)]
        width_first: bool,
    },
    /// The grid for which the image is enlarged least; if there is none, the one for which it is shrunk least; fewer
    /// tiles on a tie.
    Scale {
        /// Most tiles.
        max: u32,
        /// Whether the grid that enlarges most is taken, among those that enlarge.
        #[serde(default)]
        enlarge_most: bool,
        /// Precision of the scales.
        #[serde(default)]
        precision: Precision,
        /// All grids, by area; filled in when the recipe is checked.
        #[serde(skip)]
        grids: Vec<Grid>,
    },
    /// The fewest tiles that keep over `threshold` of the image's pixels, else those that keep most (Ovis 2).
    Coverage {
        /// Most tiles.
        max: u32,
        /// Share of pixels that must be kept, 0 to 1.
        threshold: f64,
        /// Whether rows and columns of the grid are swapped, as transformers does.
        transposed: bool,
        /// All grids, by area; filled in when the recipe is checked.
        #[serde(skip)]
        grids: Vec<Grid>,
    },
    /// Tiles that cover the longer side, rounded up; then as many as the shorter side has at that scale (Idefics 3).
    LongestSide,
    /// The grid of closest aspect ratio among those with nearly as many tiles as squares of side `edge` in the image
    /// (MiniCPM-V).
    Slices {
        /// Side of the square.
        edge: u32,
        /// Most tiles.
        max: u32,
    },
}

/// Parts of the source image, each of which becomes a view.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Crops {
    /// Along the longer side of an image that is much longer than it is wide (Gemma 3).
    PanAndScan {
        /// Fewest pixels of a crop's side.
        min_size: u32,
        /// Most crops.
        max: u32,
        /// Least of longer over shorter side.
        min_ratio: f64,
    },
    /// The four quarters (Idefics 2).
    Quarters,
    /// Windows over the image at nearly its own size, in whole rows and columns (Step3).
    Windows {
        /// Up to this longer side only an elongated image has windows, with the size of its shorter side.
        small: u32,
        /// Side of a window.
        window: u32,
        /// Most pixels of a side.
        longest: u32,
    },
}

/// Tokens of a view that carry no image features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(default, deny_unknown_fields)]
pub struct Separators {
    /// Tokens for each tile.
    pub per_tile: i64,
    /// Tokens for each row of tiles; with crops, for each row but the last.
    pub per_row: i64,
    /// Tokens for the whole view.
    pub once: i64,
    /// Whether a view with a single tile has no such tokens.
    pub only_if_tiled: bool,
}

/// Which padding tokens are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unpad {
    /// Tokens outside the image's aspect ratio, with padding on both sides (LLaVA-NeXT).
    Aspect,
    /// Tokens whose first patch is only padding, which is right or below (Phi-4).
    Patches,
}

/// The place of a view among those of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum ViewOrder {
    /// After the views made before it.
    #[default]
    Last,
    /// Before them.
    First,
}

/// One view of the image.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // words of the language, each on its own
pub struct ViewSpec {
    /// Its role.
    pub role: Role,
    /// Whether the view is made.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// For which images it is made.
    #[serde(default)]
    pub when: When,
    /// Its place in the language model's input, among the views made so far.
    #[serde(default)]
    pub order: ViewOrder,
    /// Parts of the image, each of which becomes a view; without `crops` the whole image does.
    #[serde(default)]
    pub crops: Option<Crops>,
    /// Steps of the whole image before it is cut into crops.
    #[serde(default)]
    pub pre_crop_steps: Vec<Step>,
    /// Steps from the image, or from a crop of it, to its canvas.
    pub steps: Vec<Step>,
    /// How the last step resizes, if it does so in floating point.
    #[serde(default)]
    pub float_resize: Option<FloatResize>,
    /// How the canvas is cut.
    #[serde(default)]
    pub tiles: Option<Tiles>,
    /// Whether each row of tokens ends in a newline token.
    #[serde(default)]
    pub row_newline: bool,
    /// Whether padding tokens are removed.
    #[serde(default)]
    pub unpad: Option<Unpad>,
    /// Tokens that remain after unpadding are interpolated down to about the number of this many tiles
    /// (LLaVA-OneVision's `anyres_max_N`).
    #[serde(default)]
    pub max_token_tiles: Option<u32>,
    /// Fixed number of tokens per tile, for models with a resampler.
    #[serde(default)]
    pub tokens_per_tile: Option<u32>,
    /// Tokens that carry no image features.
    #[serde(default)]
    pub separators: Separators,
}
