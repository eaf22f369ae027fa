//! The reference processor's output.

use serde::Deserialize;

use super::views::Role;
use super::yes;
use crate::geometry::Size;

/// One entry of the reference processor's output.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // words of the language, each on its own
pub struct OutputSpec {
    /// The output's key.
    pub key: String,
    /// The kind of its contents.
    pub kind: OutputKind,
    /// Roles of the views that it contains; empty for all views.
    #[serde(default)]
    pub roles: Vec<Role>,
    /// Tiles: one row of tiles per image, padded with zeros to the longest, or to `length` tiles.
    #[serde(default)]
    pub nested: bool,
    /// Tiles: whether tiles of different sizes are padded, right and below, to the largest. Padding is zero after normalisation.
    #[serde(default)]
    pub padded: bool,
    /// Tiles: the size of one tile of zeros that is used if there are no tiles. Without it the key is left out.
    #[serde(default)]
    pub zeros_when_empty: Option<Size>,
    /// Number of patches (or of tiles, if nested) to pad to. Padding is zero after normalisation.
    #[serde(default)]
    pub length: u32,
    /// Nested tiles: this many more, for views other than tiles.
    #[serde(default)]
    pub extra_slots: u32,
    /// Patches: number of merged patches to pad to, if there are fewer.
    #[serde(default)]
    pub length_tokens: u32,
    /// Whether it has an entry for each image or each tile.
    #[serde(default)]
    pub per: Per,
    /// Whether there is a row for each sample, padded with zeros to the longest. Then the reference takes a list of
    /// images for each sample; a single list counts as one sample.
    #[serde(default)]
    pub per_sample: bool,
    /// Tile mask: number of leading ones for a missing image, when samples are padded to equal length.
    #[serde(default)]
    pub ones_when_missing: u32,
    /// Tile rows and columns: whether they are zero if there is a single tile.
    #[serde(default)]
    pub zero_if_single: bool,
    /// Whether the output is made.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Type of integers.
    #[serde(default)]
    pub dtype: IntType,
}

/// The unit of an output's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// Each image.
    #[default]
    Image,
    /// Each tile.
    Tile,
}

/// Type of an array without pixel values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub enum IntType {
    /// 64 bits.
    #[default]
    Int64,
    /// 32 bits.
    Int32,
    /// Truth values.
    Bool,
    /// IEEE single precision.
    Float32,
}

impl OutputKind {
    /// The keys of an [`OutputSpec`] that apply to this kind, besides `key`, `kind` and `enabled`; a recipe with any
    /// other is refused.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Tiles => &["roles", "nested", "padded", "length", "extra_slots", "per_sample", "zeros_when_empty"],
            Self::PixelMask | Self::TilePatchMask => {
                &["roles", "nested", "padded", "length", "extra_slots", "per_sample", "dtype"]
            }
            Self::ChannelPatches | Self::PlanarPatches | Self::StripPatches => &["roles"],
            Self::FlatPatches => &["roles", "length", "length_tokens", "per"],
            Self::PatchMask | Self::PatchPositions => &["roles", "length", "length_tokens", "per", "dtype"],
            Self::GridThw | Self::SpatialShapes | Self::CanvasSizes => &["roles", "per", "per_sample", "dtype"],
            Self::NumTiles => &["roles", "per_sample", "dtype"],
            Self::RowEnds | Self::TokenPatches | Self::TokenGrids | Self::MostTiles => &["roles", "dtype"],
            Self::ImageSizes | Self::NumTokens | Self::NumVisualTokens | Self::TileGrid | Self::TileShape => {
                &["per_sample", "dtype"]
            }
            Self::TileRows | Self::TileCols => &["per_sample", "zero_if_single", "dtype"],
            Self::TileGridId => &["length", "per_sample", "dtype"],
            Self::TileMask => &["roles", "length", "per", "per_sample", "ones_when_missing", "dtype"],
            Self::NumImages | Self::NumChunks => &["dtype"],
        }
    }

    /// Whether it holds pixel values.
    pub fn has_values(self) -> bool {
        use OutputKind::{ChannelPatches, FlatPatches, PlanarPatches, StripPatches, Tiles};
        matches!(self, ChannelPatches | FlatPatches | PlanarPatches | StripPatches | Tiles)
    }
}

/// Kinds of output. Shapes are those per image; per tile, tiles take the place of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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
    /// `[images, 3]`: frames, patch rows, patch columns. For videos a row for each chunk, with patches along time in
    /// place of frames.
    GridThw,
    /// `[videos]`: chunks.
    NumChunks,
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
    /// `[images, 2]`: tile rows, tile columns; zeros if there is no view with tiles.
    TileShape,
    /// `[images]`: tile rows.
    TileRows,
    /// `[images]`: tile columns.
    TileCols,
    /// `[images]`: 1 plus the index of the tile grid among all grids of up to `length` tiles, by rows, then columns.
    TileGridId,
    /// `[images, length]`: 1 for a tile, 0 for padding; `[tiles]` of 1 per tile.
    TileMask,
    /// `[images, most, rows, columns]`, nested and padded as the tiles: 0 for a patch of a tile that is only padding
    /// right or below; 1 for any other patch, for other views, and for missing tiles.
    TilePatchMask,
    /// `[tiles, height, width]`: 1 for a pixel of the resized image, 0 for padding; nested and padded as the tiles.
    PixelMask,
    /// `[images, most crops]`: whether this crop ends a row of crops that is not the last; left out if there are no
    /// crops.
    RowEnds,
    /// `[tokens of all images, stride * stride]`: indices of the patches that make each token, over all tiles; -1 for
    /// none. If tiles overlap, a patch is taken from the tile in which it is farther from the edge.
    TokenPatches,
    /// `[images, 2 * views]`: rows and columns of each view's tokens.
    TokenGrids,
    /// `[images]`: tokens that carry image features.
    NumVisualTokens,
    /// `[images]`: tokens, separators included.
    NumTokens,
    /// `[samples]`: number of images; samples without one are left out.
    NumImages,
    /// One number: the most tiles that an image has.
    MostTiles,
}
