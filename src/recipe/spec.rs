//! The vocabulary in which recipes are written: what each section of a `builtin/*.toml` may say.

use std::str::FromStr;

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::geometry::{Grid, Size};

/// Which of the four answers to the resolution question a family gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// One fixed square, whatever the image.
    Squash,
    /// A grid of fixed tiles.
    Tiles,
    /// The image's own aspect ratio within a budget.
    Native,
    /// Tiles and a native view together.
    Hybrid,
}

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

/// What a view is to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The whole image.
    Global,
    /// A grid of tiles over the whole image.
    Tile,
    /// A part of the image.
    Crop,
}

impl Role {
    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tile => "tile",
            Self::Crop => "crop",
        }
    }
}

/// When a view is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// For every image.
    #[default]
    Always,
    /// Where an earlier view has more than one tile.
    Tiled,
    /// Where the image's longer side is over this many pixels.
    LongestOver(u32),
}

/// A size in a step: fixed, or the canvas of the view's tile grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Target {
    /// `[width, height]`.
    Fixed(Size),
    /// A size that depends on the image.
    Named(NamedTarget),
}

/// Sizes that depend on the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedTarget {
    /// The tile grid's canvas.
    Grid,
    /// The square on the longer side.
    Square,
}

/// Where padding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// Centred, an odd pixel after.
    Floor,
    /// Centred by Python's `round(d / 2)`: an odd pixel goes to either side (`ImageOps.pad`).
    HalfEven,
    /// All padding right and below.
    TopLeft,
}

/// Colour of padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Fill {
    /// An RGB colour.
    Rgb([u8; 3]),
    /// A colour that depends on the recipe.
    Named(NamedFill),
}

/// Colours that depend on the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedFill {
    /// Zeros.
    Black,
    /// `int(255 * mean)` per channel.
    Mean,
}

/// How a longest-edge resize rounds the shorter side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LongestRounding {
    /// `round(short / long * edge)`: Pillow's `ImageOps.contain`.
    Contain,
    /// `round(short * (edge / long))`: transformers.
    Scale,
}

/// Which `smart_resize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmartVariant {
    /// transformers' Qwen2-VL.
    Transformers,
    /// qwen-vl-utils.
    QwenVlUtils,
}

/// One step from an image to a view's canvas.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
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
    },
    /// Resize to fit inside, keeping the aspect ratio (the other side rounds up).
    Inside {
        /// The size to fit.
        to: Target,
    },
    /// Resize to whole merged patches within a budget of pixels, or of merged patches ("tokens").
    Smart {
        /// Whose rounding.
        variant: SmartVariant,
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
        /// Whether this step is Pillow's in every arithmetic.
        #[serde(default)]
        always_pillow: bool,
    },
    /// Resize to the largest whole number of patches within a budget (SigLIP 2).
    Naflex {
        /// Most patches.
        max_patches: u32,
    },
    /// Cut the centre out; where the image is smaller, pad with zeros.
    CenterCrop {
        /// The size.
        to: Size,
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

/// How a view is cut into tiles.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    /// Size of a tile.
    pub size: Size,
    /// How the grid is found.
    pub search: Search,
}

/// Search for a tile grid.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Search {
    /// The closest aspect ratio among all grids of `min..=max` tiles; on a tie, more tiles if the image can fill half of them.
    Ratio {
        /// Fewest tiles.
        min: u32,
        /// Most tiles.
        max: u32,
        /// All grids, by area, then columns; filled in when the recipe is checked.
        #[serde(skip)]
        grids: Vec<Grid>,
    },
    /// The candidate canvas that keeps most of the image and wastes least.
    Pinpoints {
        /// Canvases as `[height, width]`, in order of preference.
        candidates: Vec<[u32; 2]>,
    },
}

/// One view of the image.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewSpec {
    /// Its role.
    pub role: Role,
    /// Whether it is made at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// For which images it is made.
    #[serde(default)]
    pub when: When,
    /// Steps from the image to its canvas.
    pub steps: Vec<Step>,
    /// How the canvas is cut.
    #[serde(default)]
    pub tiles: Option<Tiles>,
    /// Whether each row of tokens ends in a newline token.
    #[serde(default)]
    pub row_newline: bool,
    /// Whether tokens over padding are removed (LLaVA-NeXT).
    #[serde(default)]
    pub unpad: bool,
}

fn yes() -> bool {
    true
}

/// One entry of the reference processor's output.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputSpec {
    /// Its key.
    pub key: String,
    /// What it is.
    pub kind: OutputKind,
    /// Views it is made of; all where empty.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Tiles: one row of tiles per image, padded with zeros to the longest.
    #[serde(default)]
    pub nested: bool,
    /// Tiles: the size of one tile of zeros that stands in where there are none; else the key is left out.
    #[serde(default)]
    pub zeros_when_empty: Option<Size>,
    /// Patches: number of patches to pad each image to.
    #[serde(default)]
    pub length: u32,
}

/// Kinds of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// `[tiles, 3, height, width]`, or `[images, most tiles, 3, height, width]` where nested.
    Tiles,
    /// `[patches, 3 * temporal * size * size]` in merge order.
    MergedPatches,
    /// `[images, length, size * size * 3]`.
    FlatPatches,
    /// `[images, 3]` int64: frames, patch rows, patch columns.
    GridThw,
    /// `[images]` int64: number of tiles.
    NumTiles,
    /// `[images, 2]` int64: height and width of the source.
    ImageSizes,
    /// `[images, 2]` int64: patch rows, patch columns.
    SpatialShapes,
    /// `[images, length]` int32: 1 for a patch, 0 for padding.
    PatchMask,
    /// `[images, 2]` int64: tile columns, tile rows.
    TileGrid,
}

/// From patches to the language model's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Patches per side of a token.
    pub downsample: u32,
    /// Tokens per image besides those of its views: separators, start and end.
    pub extra: u64,
}

/// Units of the coordinates that a model reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
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

/// What relative coordinates are relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Frame {
    /// The source image.
    Image,
    /// The view's canvas, padding included.
    Canvas,
}

/// The model's coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxes {
    /// Units.
    pub convention: Convention,
    /// Frame of relative units.
    pub frame: Frame,
}
