//! The tensors of a batch: their keys, shapes, and where in them every view goes. Needs plans only, no pixels.

use std::ops::Range;
use std::str::FromStr;

use super::layout::{self, Cells, Layout, Placement};
use crate::error::{Error, Result};
use crate::plan::{Plan, View};
use crate::recipe::{OutputKind, OutputSpec, Recipe};

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

/// An array of integers that goes with the tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntArray {
    /// Its key.
    pub key: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values in C order.
    pub values: Vec<i64>,
    /// Whether it is int32, not int64.
    pub narrow: bool,
}

/// What an encoder needs beside packed patches. A segment is a tile or an uncut view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segments {
    /// Start of every segment, and the end: `[segments + 1]`.
    pub cu_seqlens: Vec<i32>,
    /// (rows, columns) of patches per segment.
    pub grids: Vec<[i32; 2]>,
    /// Image of every segment.
    pub image_index: Vec<i32>,
    /// (row, column) of every patch in its segment.
    pub positions: Vec<[i32; 2]>,
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
    /// Placements of image `i`'s views, in the plan's order.
    pub placements: Vec<Vec<Placement>>,
    /// Of a packed batch.
    pub segments: Option<Segments>,
}

impl BatchLayout {
    /// Lays out a batch.
    pub fn new(recipe: &Recipe, plans: &[&Plan], kind: LayoutKind) -> Result<Self> {
        if plans.is_empty() {
            return Err(Error::Argument("a batch needs at least one image".into()));
        }
        match kind {
            LayoutKind::Packed => Self::packed(recipe, plans),
            LayoutKind::Hf => Self::hf(recipe, plans),
        }
    }

    fn packed(recipe: &Recipe, plans: &[&Plan]) -> Result<Self> {
        let patches = recipe.patches;
        let layout = Layout::Flat { size: patches.size, merge: patches.merge, order: patches.order };
        let total = count_patches(plans)?;
        let mut segments = Segments { cu_seqlens: vec![0], ..Segments::default() };
        segments.positions.reserve(total as usize);
        let mut placements = Vec::with_capacity(plans.len());
        let mut patch = 0usize;
        for (image, plan) in plans.iter().enumerate() {
            let mut placed = Vec::with_capacity(plan.views.len());
            for view in &plan.views {
                placed.push(Placement { tensor: 0, base: patch * layout.patch_len(), layout, cells: cells(view) });
                patch += view.num_patches() as usize;
                let positions = layout::positions(patches.order, patches.merge, view.patches);
                for _ in 0..view.tiles.cells() {
                    segments.positions.extend_from_slice(&positions);
                    segments.cu_seqlens.push(segments.positions.len() as i32);
                    segments.grids.push([view.patches.rows as i32, view.patches.cols as i32]);
                    segments.image_index.push(image as i32);
                }
            }
            placements.push(placed);
        }
        let tensor = Tensor { key: "patches".into(), shape: vec![patch, layout.patch_len()], zeros: Vec::new() };
        Ok(Self {
            keys: vec![tensor.key.clone()],
            tensors: vec![tensor],
            arrays: Vec::new(),
            placements,
            segments: Some(segments),
        })
    }

    fn hf(recipe: &Recipe, plans: &[&Plan]) -> Result<Self> {
        count_patches(plans)?;
        let placements = plans.iter().map(|plan| vec![None; plan.views.len()]).collect();
        let mut batch = Hf { recipe, plans, tensors: Vec::new(), arrays: Vec::new(), keys: Vec::new(), placements };
        for spec in &recipe.outputs {
            match spec.kind {
                OutputKind::Tiles => batch.tiles(spec)?,
                OutputKind::MergedPatches => batch.merged(spec),
                OutputKind::FlatPatches => batch.flat(spec)?,
                _ => batch.integers(spec)?,
            }
        }
        let placements = batch.placements.into_iter().map(|views| views.into_iter().flatten().collect::<Vec<_>>());
        let placements: Vec<_> = placements.collect();
        if placements.iter().zip(plans).any(|(placed, plan)| placed.len() != plan.views.len()) {
            return Err(Error::Argument(format!("recipe {:?} has views that no output takes", recipe.name())));
        }
        Ok(Self { tensors: batch.tensors, arrays: batch.arrays, keys: batch.keys, placements, segments: None })
    }
}

/// Patches of all images: an index of one fits 32 bits.
fn count_patches(plans: &[&Plan]) -> Result<u64> {
    let total: u64 = plans.iter().map(|plan| plan.num_patches()).sum();
    if total > i32::MAX as u64 {
        return Err(Error::Argument(format!("a batch of {total} patches is over the limit of {}", i32::MAX)));
    }
    Ok(total)
}

fn cells(view: &View) -> Cells {
    Cells { tile: view.tile, tiles: view.tiles, patches: view.patches }
}

fn takes(spec: &OutputSpec, view: &View) -> bool {
    spec.roles.is_empty() || spec.roles.contains(&view.role)
}

/// A batch in the reference's form, under construction.
struct Hf<'a> {
    recipe: &'a Recipe,
    plans: &'a [&'a Plan],
    tensors: Vec<Tensor>,
    arrays: Vec<IntArray>,
    keys: Vec<String>,
    placements: Vec<Vec<Option<Placement>>>,
}

impl Hf<'_> {
    fn push(&mut self, tensor: Tensor) {
        self.keys.push(tensor.key.clone());
        self.tensors.push(tensor);
    }

    /// `[tiles, 3, height, width]`, or `[images, most tiles, 3, height, width]`.
    fn tiles(&mut self, spec: &OutputSpec) -> Result<()> {
        let views = || self.plans.iter().flat_map(|plan| &plan.views).filter(|view| takes(spec, view));
        let counts: Vec<u64> = self.plans.iter().map(|plan| num_tiles(spec, plan)).collect();
        let Some(tile) = views().next().map(|view| view.tile) else {
            if let Some(size) = spec.zeros_when_empty {
                let shape = vec![1, 3, size.height as usize, size.width as usize];
                let len = shape.iter().product();
                self.push(Tensor { key: spec.key.clone(), shape, zeros: vec![0..len; 1] });
            }
            return Ok(());
        };
        if let Some(view) = views().find(|view| view.tile != tile) {
            return Err(Error::Argument(format!(
                "tiles of {}x{} and {}x{} cannot share {:?}",
                tile.width, tile.height, view.tile.width, view.tile.height, spec.key
            )));
        }
        let tile_len = tile.area() as usize * 3;
        let most = counts.iter().copied().max().unwrap_or(0) as usize;
        let mut zeros = Vec::new();
        let mut at = 0;
        for (image, plan) in self.plans.iter().enumerate() {
            let start = at;
            for (index, view) in plan.views.iter().enumerate().filter(|(_, view)| takes(spec, view)) {
                let tensor = self.tensors.len();
                let placement = Placement { tensor, base: at, layout: Layout::Planar, cells: cells(view) };
                self.placements[image][index] = Some(placement);
                at += view.tiles.cells() as usize * tile_len;
            }
            if spec.nested && at < start + most * tile_len {
                zeros.push(at..start + most * tile_len);
                at = start + most * tile_len;
            }
        }
        let (height, width) = (tile.height as usize, tile.width as usize);
        let shape = if spec.nested {
            vec![self.plans.len(), most, 3, height, width]
        } else {
            vec![counts.iter().sum::<u64>() as usize, 3, height, width]
        };
        self.push(Tensor { key: spec.key.clone(), shape, zeros });
        Ok(())
    }

    /// `[patches, 3 * temporal * size * size]`.
    fn merged(&mut self, spec: &OutputSpec) {
        let patches = self.recipe.patches;
        let layout = Layout::Merged { size: patches.size, merge: patches.merge, temporal: patches.temporal };
        let mut patch = 0usize;
        for (image, plan) in self.plans.iter().enumerate() {
            for (index, view) in plan.views.iter().enumerate().filter(|(_, view)| takes(spec, view)) {
                let base = patch * layout.patch_len();
                let placement = Placement { tensor: self.tensors.len(), base, layout, cells: cells(view) };
                self.placements[image][index] = Some(placement);
                patch += view.num_patches() as usize;
            }
        }
        self.push(Tensor { key: spec.key.clone(), shape: vec![patch, layout.patch_len()], zeros: Vec::new() });
    }

    /// `[images, length, size * size * 3]`.
    fn flat(&mut self, spec: &OutputSpec) -> Result<()> {
        let patches = self.recipe.patches;
        let layout = Layout::Flat { size: patches.size, merge: patches.merge, order: patches.order };
        let row = spec.length as usize * layout.patch_len();
        let mut zeros = Vec::new();
        for (image, plan) in self.plans.iter().enumerate() {
            let mut at = image * row;
            for (index, view) in plan.views.iter().enumerate().filter(|(_, view)| takes(spec, view)) {
                let placement = Placement { tensor: self.tensors.len(), base: at, layout, cells: cells(view) };
                self.placements[image][index] = Some(placement);
                at += view.num_patches() as usize * layout.patch_len();
            }
            let end = (image + 1) * row;
            if at > end {
                let (count, length) = (plan.num_patches(), spec.length);
                return Err(Error::Argument(format!("an image of {count} patches is over the length of {length}")));
            }
            if at < end {
                zeros.push(at..end);
            }
        }
        let shape = vec![self.plans.len(), spec.length as usize, layout.patch_len()];
        self.push(Tensor { key: spec.key.clone(), shape, zeros });
        Ok(())
    }

    fn integers(&mut self, spec: &OutputSpec) -> Result<()> {
        let images = self.plans.len();
        let mut values = Vec::new();
        for plan in self.plans {
            let main = plan.views.iter().find(|view| takes(spec, view));
            let patches = main.map_or(plan.grid, |view| view.patches);
            let (rows, cols) = (i64::from(patches.rows), i64::from(patches.cols));
            match spec.kind {
                OutputKind::GridThw => values.extend([1, rows, cols]),
                OutputKind::SpatialShapes => values.extend([rows, cols]),
                OutputKind::NumTiles => values.push(num_tiles(spec, plan) as i64),
                OutputKind::ImageSizes => values.extend([i64::from(plan.size.height), i64::from(plan.size.width)]),
                OutputKind::TileGrid => {
                    let tiles = plan.views.iter().find(|view| view.role == crate::recipe::Role::Tile);
                    let grid = tiles.map_or(crate::geometry::Grid::SINGLE, |view| view.tiles);
                    values.extend([i64::from(grid.cols), i64::from(grid.rows)]);
                }
                OutputKind::PatchMask => {
                    let used = plan.num_patches();
                    values.extend((0..u64::from(spec.length)).map(|index| i64::from(index < used)));
                }
                OutputKind::Tiles | OutputKind::MergedPatches | OutputKind::FlatPatches => {
                    return Err(Error::Argument(format!("{:?} is not made of integers", spec.key)));
                }
            }
        }
        let shape = match values.len() / images {
            1 if spec.kind == OutputKind::NumTiles => vec![images],
            columns => vec![images, columns],
        };
        self.keys.push(spec.key.clone());
        self.arrays.push(IntArray { key: spec.key.clone(), shape, values, narrow: spec.kind == OutputKind::PatchMask });
        Ok(())
    }
}

fn num_tiles(spec: &OutputSpec, plan: &Plan) -> u64 {
    plan.views.iter().filter(|view| takes(spec, view)).map(|view| view.tiles.cells()).sum()
}
