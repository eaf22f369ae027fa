//! The tensors of a batch: their keys, shapes, and where in them every view goes. Needs plans only, no pixels.

use std::ops::Range;
use std::str::FromStr;

use super::layout::{Cells, Layout, Placement};
use crate::error::{Error, Result};
use crate::plan::{Plan, View};
use crate::recipe::{IntType, OutputSpec};

/// Which form a batch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutKind {
    /// The reference processor's keys, shapes and order.
    Hf,
    /// All patches of all images in one buffer.
    Packed,
}

impl FromStr for LayoutKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "hf" => Ok(Self::Hf),
            "packed" => Ok(Self::Packed),
            _ => Err(Error::Argument(format!("layout must be \"hf\" or \"packed\", got {name:?}"))),
        }
    }
}

/// A tensor of pixel values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Ranges of values that no view writes: padding, zero after normalisation.
    pub zeros: Vec<Range<usize>>,
}

impl Tensor {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An array of integers or truth values that goes with the tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntArray {
    /// Its key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values in C order.
    pub values: Vec<i64>,
    /// Their type.
    pub dtype: IntType,
}

/// What an encoder needs beside packed patches. A segment is a tile, an uncut view, or one time of a video.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// Start of every segment, and the end: `[segments + 1]`.
    pub cu_seqlens: Vec<i32>,
    /// (rows, columns) of patches per segment.
    pub grids: Vec<[i32; 2]>,
    /// Image, or video, of every segment.
    pub image_index: Vec<i32>,
    /// (row, column) of every patch in its segment.
    pub positions: Vec<[i32; 2]>,
    /// Of videos: which patch along time of its row of the grid every segment is.
    pub times: Vec<i32>,
}

/// The tensors of a batch and where everything goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLayout {
    /// Tensors of pixel values.
    pub tensors: Vec<Tensor>,
    /// Arrays of integers.
    pub arrays: Vec<IntArray>,
    /// Keys in the reference's order.
    pub keys: Vec<String>,
    /// Placements of the views of image `i`, or of frame `i` of all videos, in the plan's order.
    pub(crate) placements: Vec<Vec<Placement>>,
    /// Of a packed batch.
    pub segments: Option<Segments>,
}

/// A view's cut.
pub(super) fn cells(view: &View) -> Cells {
    Cells { tile: view.tile, tiles: view.tiles, patches: view.patches }
}

/// Whether an output is made of a view.
pub(super) fn takes(spec: &OutputSpec, view: &View) -> bool {
    spec.roles.is_empty() || spec.roles.contains(&view.role)
}

/// A view whose tiles lie one after the other from value `base` on.
pub(super) fn placement(tensor: usize, base: usize, layout: Layout, view: &View) -> Placement {
    let cells = cells(view);
    let stride = match layout {
        Layout::Planar { .. } => cells.tile.area() as usize * 3,
        _ => cells.patches.cells() as usize * layout.patch_len(),
    };
    Placement { tensor, base, layout, cells, stride }
}

/// Tiles of an image in an output.
pub(super) fn num_tiles(spec: &OutputSpec, plan: &Plan) -> u64 {
    plan.views.iter().filter(|view| takes(spec, view)).map(|view| view.tiles.cells()).sum()
}
