//! Views of an image: which parts of it, under which conditions, cut how, worth which tokens.

use serde::Deserialize;

use super::arguments::Precision;
use super::steps::Step;
use super::{no_limit, yes};
use crate::geometry::{Grid, Size};
use crate::options::FloatResize;

/// What a view is to the model.
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
    /// Where an earlier view has more than one tile.
    EarlierTiled,
    /// Where the image is the only one of its sample.
    Alone,
    /// Where its sample has more images.
    Several,
    /// Where the image's longer side is over this many pixels.
    LongestOver(u32),
    /// Where the image's area is over that of a square of this side.
    AreaOver(u32),
    /// Where the sides, rounded to whole merged patches, have an area over `tolerance` times that of `tokens` of them.
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
    /// Whole merged patches with nearly the area of the square on this side, of the cell's aspect ratio (MiniCPM-V).
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
    /// Pixels that neighbouring tiles share (Molmo2). The search then sees the image, and each tile, without as many.
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
        /// Whether an image that fits `max` tiles at the size it has gets just those that hold it.
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
    /// The grid onto which the image must be enlarged least, else the one for which it shrinks least; fewer tiles on a tie.
    Scale {
        /// Most tiles.
        max: u32,
        /// Whether, of grids that enlarge, the one that does it most is taken.
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
        /// Whether the grid found is used with rows for columns and columns for rows, as transformers does.
        transposed: bool,
        /// All grids, by area; filled in when the recipe is checked.
        #[serde(skip)]
        grids: Vec<Grid>,
    },
    /// As many tiles as the image is long, rounded up; then as many as its shorter side has at that length (Idefics 3).
    LongestSide,
    /// The grid of nearly as many tiles as squares of side `edge` fit the image, of closest aspect ratio (MiniCPM-V).
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
    /// Windows of the image at nearly its own size, in whole rows and columns (Step3).
    Windows {
        /// Longer side up to which only a long image has windows, as large as its shorter side.
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
    /// Whether a view of a single tile has none of these.
    pub only_if_tiled: bool,
}

/// Which tokens over padding are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unpad {
    /// Those outside the image's aspect ratio, around which there is padding (LLaVA-NeXT).
    Aspect,
    /// Those whose first patch shows nothing but padding, which is right or below (Phi-4).
    Patches,
}

/// Where a view comes among those of an image.
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
    /// Where the language model receives it, among the views made so far.
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
    /// How the last step resizes, where it is in floating point.
    #[serde(default)]
    pub float_resize: Option<FloatResize>,
    /// How the canvas is cut.
    #[serde(default)]
    pub tiles: Option<Tiles>,
    /// Whether each row of tokens ends in a newline token.
    #[serde(default)]
    pub row_newline: bool,
    /// Whether tokens over padding are removed.
    #[serde(default)]
    pub unpad: Option<Unpad>,
    /// Tokens that are left after unpadding are interpolated down to about as many as this many tiles have
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
