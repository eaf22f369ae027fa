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
    /// The whole image once more, for a second encoder.
    Detail,
}

impl Role {
    /// The role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Tile => "tile",
            Self::Crop => "crop",
            Self::Detail => "detail",
        }
    }
}

/// When a view is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// For every image.
    #[default]
    Always,
    /// Where an earlier view has more than one tile.
    Tiled,
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
    /// Both sides rounded up to whole merged patches.
    Aligned,
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
#[serde(rename_all = "snake_case")]
pub enum LongestRounding {
    /// `round(short / long * edge)`: Pillow's `ImageOps.contain`.
    Contain,
    /// `round(short * (edge / long))`: transformers.
    Scale,
    /// `int(short * (edge / long))`.
    ScaleDown,
    /// As `scale_down`, and the longer side alike: it may be a pixel short of `edge`.
    ScaleBothDown,
    /// `int(edge / aspect)` or `int(edge * aspect)`.
    Aspect,
    /// As `aspect`, then up to an even number; no side is longer than 4096 (Idefics 3).
    AspectEven,
}

/// How a resize into a canvas rounds the side that does not fill it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InsideRounding {
    /// Up.
    #[default]
    Ceil,
    /// Down, to at least one pixel.
    Floor,
    /// To the nearest, by aspect ratios: Pillow's `ImageOps.contain`.
    Contain,
}

/// Precision of a reference's arithmetic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Double: Python and numpy.
    #[default]
    F64,
    /// Single: torch tensors.
    F32,
}

/// When a smart resize sees to it that a side holds a merged patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clamp {
    /// After rounding, before the area is looked at (qwen-vl-utils).
    Rounded,
    /// After shrinking: a side may round to zero first, which makes the image grow (transformers).
    Shrunk,
    /// Both times.
    Both,
}

/// How a smart resize enlarges an image with a side smaller than a merged patch, before anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enlarge {
    /// It does not.
    #[default]
    None,
    /// Both sides by one factor, truncated (GLM).
    Scale,
    /// The height to a merged patch and the width along, rounded; then the width (`PaddleOCR-VL`).
    Sides,
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
        /// Fewest pixels of either side.
        #[serde(default)]
        min: u32,
        /// Whether smaller images are enlarged.
        #[serde(default = "yes")]
        enlarge: bool,
    },
    /// Resize to fit inside, keeping the aspect ratio.
    Inside {
        /// The size to fit.
        to: Target,
        /// How the other side rounds.
        #[serde(default)]
        rounding: InsideRounding,
        /// Whether no side is enlarged beyond that of a tile.
        #[serde(default)]
        at_most_tile: bool,
        /// Precision of scales to the canvas's own sides.
        #[serde(default)]
        precision: Precision,
    },
    /// Resize to whole merged patches within a budget of pixels, or of merged patches ("tokens").
    Smart {
        /// When a side is seen to hold a merged patch.
        clamp: Clamp,
        /// What happens to images with smaller sides.
        #[serde(default)]
        enlarge: Enlarge,
        /// Frames that the budget counts.
        #[serde(default = "one")]
        frames: u32,
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
        /// Whether this step is Pillow's in every arithmetic.
        #[serde(default)]
        always_pillow: bool,
    },
    /// Resize to the largest whole number of patches within a budget (SigLIP 2).
    Naflex {
        /// Most patches.
        max_patches: u32,
    },
    /// Resize to whole merged patches, rounded up, after the longer side is brought down to `longest` (Pixtral).
    CeilPatches {
        /// Most pixels of a side before rounding.
        longest: u32,
    },
    /// Shrink, where there are more patches than allowed; never enlarge (Kimi).
    Navit {
        /// Most whole patches.
        max_patches: u32,
        /// Most patches of a side.
        max_side_patches: u32,
    },
    /// Resize to the largest multiples of merged patches within a budget, as near to it as their shape allows (Gemma 4).
    FloorPatches {
        /// Most merged patches.
        max_tokens: u32,
    },
    /// Place, shrunk or enlarged only where the budget asks, on a canvas of merged patches rounded up (GLM-5).
    CeilCanvas {
        /// Fewest merged patches.
        min_tokens: u64,
        /// Most merged patches.
        max_tokens: u64,
    },
    /// Resize to whole merged patches with nearly the area of a square, whatever the image's own (MiniCPM-V).
    SquareArea {
        /// Side of the square.
        edge: u32,
    },
    /// Cut the centre out; where the image is smaller, pad with zeros.
    CenterCrop {
        /// The size.
        to: Size,
    },
    /// Pad a thin image right and below to a square with zeros (Step3).
    SquareThin {
        /// The shorter side is under this.
        under: u32,
        /// Longer over shorter side is over this.
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

/// Size of a tile: fixed, or found for the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TileSize {
    /// `[width, height]`.
    Fixed(Size),
    /// Whole merged patches with nearly the area of the square on this side, of the cell's aspect ratio (MiniCPM-V).
    SquareArea {
        /// Side of the square.
        edge: u32,
    },
}

/// How a view is cut into tiles.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiles {
    /// Size of a tile.
    pub size: TileSize,
    /// How the grid is found, over the size that the image has when a step first asks for it.
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
        /// Most tiles of a side.
        #[serde(default = "no_limit")]
        max_side: u32,
        /// All grids, by area, then columns; filled in when the recipe is checked.
        #[serde(skip)]
        grids: Vec<Grid>,
    },
    /// The candidate canvas that keeps most of the image and wastes least.
    Pinpoints {
        /// Canvases as `[height, width]`, in order of preference.
        candidates: Vec<[u32; 2]>,
        /// Whether they are `[width, height]`.
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
    Cover {
        /// Most tiles.
        max: u32,
        /// Share of pixels.
        threshold: f64,
        /// Whether the grid found is used with rows for columns and columns for rows, as transformers does.
        transposed: bool,
        /// All grids, by area; filled in when the recipe is checked.
        #[serde(skip)]
        grids: Vec<Grid>,
    },
    /// As many tiles as the image is long, rounded up; then as many as its shorter side has at that length (Idefics 3).
    Ceil,
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
#[serde(default, deny_unknown_fields)]
pub struct Separators {
    /// One or more for each tile.
    pub per_tile: i64,
    /// For each row of tiles; of crops, for each but the last.
    pub per_row: i64,
    /// For the view.
    pub once: i64,
    /// Whether a view of a single tile has none of these.
    pub only_tiled: bool,
}

/// Where a view comes among those of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
    /// Where it comes among the views made so far.
    #[serde(default)]
    pub order: ViewOrder,
    /// Parts of the image that become a view each; else the whole image does.
    #[serde(default)]
    pub crops: Option<Crops>,
    /// Steps of the whole image before it is cut into crops.
    #[serde(default)]
    pub before: Vec<Step>,
    /// Steps from the image, or from a crop of it, to its canvas.
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
    /// Tokens that are left after unpadding are interpolated down to about as many as this many tiles have
    /// (LLaVA-OneVision's `anyres_max_N`).
    #[serde(default)]
    pub max_token_tiles: Option<u32>,
    /// Tokens of a tile where a resampler makes as many whatever its patches.
    #[serde(default)]
    pub resampled: Option<u32>,
    /// Tokens besides those.
    #[serde(default)]
    pub separators: Separators,
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

fn no_limit() -> u32 {
    u32::MAX
}

fn qwen_ratio() -> f64 {
    200.0
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
    /// Tiles: one row of tiles per image, padded with zeros to the longest, or to `length` tiles.
    #[serde(default)]
    pub nested: bool,
    /// Tiles: whether ones of different sizes are padded with zeros, right and below, to the largest.
    #[serde(default)]
    pub padded: bool,
    /// Tiles: the size of one tile of zeros that stands in where there are none; else the key is left out.
    #[serde(default)]
    pub zeros_when_empty: Option<Size>,
    /// Patches, or tiles where nested: number to pad to.
    #[serde(default)]
    pub length: u32,
    /// Patches: number of merged patches to pad to, where that is more.
    #[serde(default)]
    pub length_tokens: u32,
    /// What it has an entry for.
    #[serde(default)]
    pub per: Per,
    /// Whether a dimension of one leads: the reference takes the images of a call for those of one sample.
    #[serde(default)]
    pub sample: bool,
    /// Type of integers.
    #[serde(default)]
    pub dtype: IntType,
}

/// What an output has an entry for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each image.
    #[default]
    Image,
    /// Each tile.
    Tile,
}

/// Type of an array that holds no pixel values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntType {
    /// 64 bits.
    #[default]
    Int64,
    /// 32 bits.
    Int32,
    /// Truth values.
    Bool,
}

/// Kinds of output. Shapes are those per image; per tile, tiles take the place of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// `[tiles, 3, height, width]`, or `[images, most tiles, 3, height, width]` where nested.
    Tiles,
    /// `[patches, 3 * temporal * size * size]`.
    ChannelPatches,
    /// `[patches, 3 * temporal, size, size]`.
    PlanarPatches,
    /// `[images, length, size * size * 3]`.
    FlatPatches,
    /// `[1, 3, size, patches * size]`.
    StripPatches,
    /// `[images, 3]`: frames, patch rows, patch columns.
    GridThw,
    /// `[images]`: number of tiles.
    NumTiles,
    /// `[images, 2]`: height and width of the source.
    ImageSizes,
    /// `[images, 2]`: height and width of the canvas.
    CanvasSizes,
    /// `[images, 2]`: patch rows, patch columns.
    SpatialShapes,
    /// `[images, length]`: 1 for a patch, 0 for padding.
    PatchMask,
    /// `[images, length, 2]`: column and row of a patch, -1 for padding.
    PatchPositions,
    /// `[images, 2]`: tile columns, tile rows.
    TileGrid,
    /// `[images, 2]`: tile rows, tile columns; zeros where there is no view of tiles.
    TileShape,
    /// `[images]`: tile rows.
    TileRows,
    /// `[images]`: tile columns.
    TileCols,
    /// `[images]`: 1 and the tile grid's place among all grids of up to `length` tiles, by rows, then columns.
    TileGridId,
    /// `[images, length]`: 1 for a tile, 0 for padding; `[tiles]` of 1 per tile.
    TileMask,
    /// `[tiles, height, width]`: 1 for a pixel of the resized image, 0 for padding; nested and padded as the tiles.
    PixelMask,
    /// `[images, most crops]`: whether a row of crops, but the last, ends with this one; left out where there are no crops.
    RowEnds,
    /// `[images]`: tokens that carry image features.
    NumVisualTokens,
    /// `[samples]`: number of images.
    NumImages,
    /// One number: the most tiles that an image has.
    MostTiles,
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
