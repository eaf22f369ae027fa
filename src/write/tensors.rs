//! The tensors of a batch: their keys, shapes, and where in them every view goes. Needs plans only, no pixels.

use std::ops::Range;
use std::str::FromStr;

use super::layout::{self, Cells, Layout, Placement};
use crate::error::{Error, Result};
use crate::geometry::{Grid, Size};
use crate::plan::{Plan, View};
use crate::recipe::{IntType, OutputKind, OutputSpec, Per, Recipe, Role};

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
                placed.push(placement(0, patch * layout.patch_len(), layout, view));
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
                OutputKind::ChannelPatches | OutputKind::PlanarPatches => batch.channels(spec),
                OutputKind::FlatPatches => batch.flat(spec)?,
                OutputKind::StripPatches => batch.strip(spec),
                OutputKind::PixelMask => batch.pixel_mask(spec)?,
                OutputKind::RowEnds => batch.row_ends(spec),
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

/// A view whose tiles lie one after the other from value `base` on.
fn placement(tensor: usize, base: usize, layout: Layout, view: &View) -> Placement {
    let cells = cells(view);
    let stride = match layout {
        Layout::Planar { .. } => cells.tile.area() as usize * 3,
        Layout::Merged { .. } | Layout::Flat { .. } => cells.patches.cells() as usize * layout.patch_len(),
    };
    Placement { tensor, base, layout, cells, stride }
}

/// How the tiles of an output lie in its tensor.
struct TileLayout {
    /// Tiles of every image.
    counts: Vec<usize>,
    /// Tiles that each image has room for, where they are nested.
    most: usize,
    /// Size of a tile, padding included.
    canvas: Size,
}

impl TileLayout {
    /// Dimensions before those of a tile.
    fn shape(&self, spec: &OutputSpec) -> Vec<usize> {
        let mut shape = if spec.sample { vec![1] } else { Vec::new() };
        if spec.nested {
            shape.extend([self.counts.len(), self.most]);
        } else {
            shape.push(self.counts.iter().sum());
        }
        shape
    }

    /// Index of the first tile of every image.
    fn starts(&self, spec: &OutputSpec) -> Vec<usize> {
        let mut next = 0;
        let mut starts = Vec::with_capacity(self.counts.len());
        for count in &self.counts {
            starts.push(next);
            next += if spec.nested { self.most } else { *count };
        }
        starts
    }
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

    fn push_integers(&mut self, spec: &OutputSpec, shape: Vec<usize>, values: Vec<i64>) {
        self.keys.push(spec.key.clone());
        self.arrays.push(IntArray { key: spec.key.clone(), shape, values, dtype: spec.dtype });
    }

    /// Indices of the views of an image that an output takes.
    fn views(&self, spec: &OutputSpec, image: usize) -> Vec<usize> {
        let views = self.plans[image].views.iter().enumerate();
        views.filter(|(_, view)| takes(spec, view)).map(|(index, _)| index).collect()
    }

    /// Nothing where there are no tiles.
    fn tile_layout(&self, spec: &OutputSpec) -> Result<Option<TileLayout>> {
        let mut sizes =
            self.plans.iter().flat_map(|plan| &plan.views).filter(|view| takes(spec, view)).map(|view| view.tile);
        let Some(first) = sizes.next() else { return Ok(None) };
        let mut canvas = first;
        for size in sizes {
            if size != first && !spec.padded {
                return Err(Error::Argument(format!(
                    "tiles of {}x{} and {}x{} cannot share {:?}",
                    first.width, first.height, size.width, size.height, spec.key
                )));
            }
            canvas = Size::new(canvas.width.max(size.width), canvas.height.max(size.height));
        }
        let counts: Vec<usize> = self.plans.iter().map(|plan| num_tiles(spec, plan) as usize).collect();
        let most = counts.iter().copied().max().unwrap_or(0).max(spec.length as usize);
        Ok(Some(TileLayout { counts, most, canvas }))
    }

    /// `[tiles, 3, height, width]`, or `[images, most tiles, 3, height, width]`.
    fn tiles(&mut self, spec: &OutputSpec) -> Result<()> {
        let Some(tiles) = self.tile_layout(spec)? else {
            if let Some(size) = spec.zeros_when_empty {
                let shape = vec![1, 3, size.height as usize, size.width as usize];
                let len = shape.iter().product();
                self.push(Tensor { key: spec.key.clone(), shape, zeros: vec![0..len; 1] });
            }
            return Ok(());
        };
        let stride = tiles.canvas.area() as usize * 3;
        let layout = Layout::planes(tiles.canvas);
        let tensor = self.tensors.len();
        let mut zeros = Vec::new();
        for (image, (start, count)) in tiles.starts(spec).into_iter().zip(&tiles.counts).enumerate() {
            let mut tile = start;
            for index in self.views(spec, image) {
                let view = &self.plans[image].views[index];
                let placement = Placement { stride, ..placement(tensor, tile * stride, layout, view) };
                self.placements[image][index] = Some(placement);
                for _ in 0..view.tiles.cells() {
                    margins(tile * stride, view.tile, tiles.canvas, &mut zeros);
                    tile += 1;
                }
            }
            if spec.nested && *count < tiles.most {
                zeros.push(tile * stride..(start + tiles.most) * stride);
            }
        }
        let mut shape = tiles.shape(spec);
        shape.extend([3, tiles.canvas.height as usize, tiles.canvas.width as usize]);
        self.push(Tensor { key: spec.key.clone(), shape, zeros });
        Ok(())
    }

    /// `[tiles, height, width]`, with dimensions as of tiles.
    fn pixel_mask(&mut self, spec: &OutputSpec) -> Result<()> {
        let Some(tiles) = self.tile_layout(spec)? else { return Ok(()) };
        let (width, area) = (tiles.canvas.width as usize, tiles.canvas.area() as usize);
        let mut shape = tiles.shape(spec);
        let mut values = vec![0; shape.iter().product::<usize>() * area];
        for (image, start) in tiles.starts(spec).into_iter().enumerate() {
            let views = self.views(spec, image).into_iter().map(|index| &self.plans[image].views[index]);
            let shown = views.flat_map(|view| std::iter::repeat_n(shown(view), view.tiles.cells() as usize));
            for (tile, shown) in shown.enumerate() {
                let rows = values[(start + tile) * area..][..area].chunks_exact_mut(width);
                for row in rows.take(shown.height as usize) {
                    row[..shown.width as usize].fill(1);
                }
            }
        }
        shape.extend([tiles.canvas.height as usize, width]);
        self.push_integers(spec, shape, values);
        Ok(())
    }

    /// `[patches, 3 * temporal * size * size]` or `[patches, 3 * temporal, size, size]`.
    fn channels(&mut self, spec: &OutputSpec) {
        let patches = self.recipe.patches;
        let (size, temporal) = (patches.size as usize, patches.temporal as usize);
        let layout = Layout::Merged {
            size: patches.size,
            merge: patches.merge,
            temporal: patches.temporal,
            order: patches.order,
        };
        let mut patch = 0usize;
        for image in 0..self.plans.len() {
            for index in self.views(spec, image) {
                let view = &self.plans[image].views[index];
                let placement = placement(self.tensors.len(), patch * layout.patch_len(), layout, view);
                self.placements[image][index] = Some(placement);
                patch += view.num_patches() as usize;
            }
        }
        let shape = match spec.kind {
            OutputKind::PlanarPatches => vec![patch, 3 * temporal, size, size],
            _ => vec![patch, layout.patch_len()],
        };
        self.push(Tensor { key: spec.key.clone(), shape, zeros: Vec::new() });
    }

    /// `[1, 3, size, patches * size]`.
    fn strip(&mut self, spec: &OutputSpec) {
        let size = self.recipe.patches.size;
        let images = || self.plans.iter().flat_map(|plan| &plan.views).filter(|view| takes(spec, view));
        let total = images().map(|view| view.num_patches() as usize).sum();
        let mut patch = 0usize;
        for image in 0..self.plans.len() {
            for index in self.views(spec, image) {
                let view = &self.plans[image].views[index];
                let layout = Layout::strip(size, total, view.patches);
                let stride = view.patches.cells() as usize * size as usize;
                let base = patch * size as usize;
                let placement = Placement { stride, ..placement(self.tensors.len(), base, layout, view) };
                self.placements[image][index] = Some(placement);
                patch += view.num_patches() as usize;
            }
        }
        let shape = vec![1, 3, size as usize, total * size as usize];
        self.push(Tensor { key: spec.key.clone(), shape, zeros: Vec::new() });
    }

    /// `[images, length, size * size * 3]`, or so for every tile.
    fn flat(&mut self, spec: &OutputSpec) -> Result<()> {
        let patches = self.recipe.patches;
        let layout = Layout::Flat { size: patches.size, merge: patches.merge, order: patches.order };
        let length = self.recipe.length(spec) as usize;
        let row = length * layout.patch_len();
        let mut zeros = Vec::new();
        let mut rows = 0;
        let too_many =
            |count: usize| Error::Argument(format!("an image of {count} patches is over the length of {length}"));
        for image in 0..self.plans.len() {
            let mut used = 0;
            for index in self.views(spec, image) {
                let view = &self.plans[image].views[index];
                let base = rows * row + used * layout.patch_len();
                let mut placement = placement(self.tensors.len(), base, layout, view);
                if spec.per == Per::Tile {
                    let count = view.patches.cells() as usize;
                    if count > length {
                        return Err(too_many(count));
                    }
                    placement.stride = row;
                    for _ in 0..view.tiles.cells() {
                        zeros.push(rows * row + count * layout.patch_len()..(rows + 1) * row);
                        rows += 1;
                    }
                } else {
                    used += view.num_patches() as usize;
                }
                self.placements[image][index] = Some(placement);
            }
            if spec.per == Per::Image {
                if used > length {
                    return Err(too_many(used));
                }
                zeros.push(rows * row + used * layout.patch_len()..(rows + 1) * row);
                rows += 1;
            }
        }
        zeros.retain(|range| !range.is_empty());
        let shape = vec![rows, length, layout.patch_len()];
        self.push(Tensor { key: spec.key.clone(), shape, zeros });
        Ok(())
    }

    /// `[images, most tiles]`.
    fn row_ends(&mut self, spec: &OutputSpec) {
        let ends =
            |plan: &&Plan| plan.views.iter().filter(|view| takes(spec, view)).map(|view| view.ends_row).collect();
        let rows: Vec<Vec<bool>> = self.plans.iter().map(ends).collect();
        let most = rows.iter().map(Vec::len).max().unwrap_or(0);
        if most > 0 {
            let padded = rows.iter().flat_map(|row| row.iter().copied().chain(std::iter::repeat(false)).take(most));
            let values = padded.map(i64::from).collect();
            self.push_integers(spec, vec![rows.len(), most], values);
        }
    }

    fn integers(&mut self, spec: &OutputSpec) -> Result<()> {
        let length = self.recipe.length(spec) as usize;
        let most = self.plans.iter().map(|plan| num_tiles(spec, plan) as usize).max().unwrap_or(0);
        let mut values = Vec::new();
        let mut entries = 0;
        for plan in self.plans {
            let taken: Vec<&View> = plan.views.iter().filter(|view| takes(spec, view)).collect();
            if spec.per == Per::Tile {
                for view in taken {
                    for _ in 0..view.tiles.cells() {
                        entry(spec, length, most, plan, Some(view), &mut values)?;
                        entries += 1;
                    }
                }
            } else {
                entry(spec, length, most, plan, taken.first().copied(), &mut values)?;
                entries += 1;
            }
        }
        let mut shape = if spec.sample { vec![1] } else { Vec::new() };
        match spec.kind {
            OutputKind::NumImages if spec.sample => values = vec![entries as i64],
            OutputKind::MostTiles => {
                values = vec![most as i64];
                shape.clear();
            }
            _ => shape.push(entries),
        }
        shape.extend(match spec.kind {
            OutputKind::GridThw => vec![3],
            OutputKind::ImageSizes
            | OutputKind::CanvasSizes
            | OutputKind::SpatialShapes
            | OutputKind::TileGrid
            | OutputKind::TileShape => vec![2],
            OutputKind::PatchMask => vec![length],
            OutputKind::PatchPositions => vec![length, 2],
            OutputKind::TileMask if spec.per == Per::Image => vec![length.max(most)],
            _ => Vec::new(),
        });
        self.push_integers(spec, shape, values);
        Ok(())
    }
}

/// What an array of integers says of an image, or of a tile of a view of it.
fn entry(
    spec: &OutputSpec,
    length: usize,
    most: usize,
    plan: &Plan,
    view: Option<&View>,
    values: &mut Vec<i64>,
) -> Result<()> {
    let patches = view.map_or(plan.grid, |view| view.patches);
    let (rows, cols) = (i64::from(patches.rows), i64::from(patches.cols));
    let canvas = view.map_or(plan.size, View::canvas);
    let tiles = plan.views.iter().find(|view| view.role == Role::Tile).map(|view| view.tiles);
    let grid = tiles.unwrap_or(Grid::SINGLE);
    let pair = |rows: u32, cols: u32| [i64::from(rows), i64::from(cols)];
    let mask = |used: u64, length: usize| (0..length as u64).map(move |index| i64::from(index < used));
    match spec.kind {
        OutputKind::GridThw => values.extend([1, rows, cols]),
        OutputKind::SpatialShapes => values.extend([rows, cols]),
        OutputKind::NumTiles => values.push(num_tiles(spec, plan) as i64),
        OutputKind::ImageSizes => values.extend(pair(plan.size.height, plan.size.width)),
        OutputKind::CanvasSizes => values.extend(pair(canvas.height, canvas.width)),
        OutputKind::TileGrid => values.extend(pair(grid.cols, grid.rows)),
        OutputKind::TileShape => values.extend(tiles.map_or([0; 2], |grid| pair(grid.rows, grid.cols))),
        OutputKind::TileRows => values.push(grid.rows.into()),
        OutputKind::TileCols => values.push(grid.cols.into()),
        OutputKind::TileGridId => values.push(grid_id(grid, length as u32)),
        OutputKind::TileMask if spec.per == Per::Tile => values.push(1),
        OutputKind::TileMask => values.extend(mask(num_tiles(spec, plan), length.max(most))),
        OutputKind::PatchMask if spec.per == Per::Tile => values.extend(mask(patches.cells(), length)),
        OutputKind::PatchMask => values.extend(mask(plan.num_patches(), length)),
        OutputKind::PatchPositions => {
            let used = (0..patches.cells() as i64).flat_map(|index| [index % cols, index / cols]);
            values.extend(used.chain(std::iter::repeat(-1)).take(length * 2));
        }
        OutputKind::NumVisualTokens => values.push(plan.num_visual_tokens as i64),
        OutputKind::NumImages | OutputKind::MostTiles => values.push(1),
        OutputKind::Tiles
        | OutputKind::ChannelPatches
        | OutputKind::PlanarPatches
        | OutputKind::FlatPatches
        | OutputKind::StripPatches
        | OutputKind::RowEnds
        | OutputKind::PixelMask => {
            return Err(Error::Argument(format!("{:?} is not made of integers", spec.key)));
        }
    }
    Ok(())
}

/// 1 and the place of a grid among all of up to `most` tiles, by rows, then columns.
fn grid_id(grid: Grid, most: u32) -> i64 {
    let before: u32 = (1..grid.rows).map(|rows| most / rows).sum();
    i64::from(before + grid.cols)
}

/// Ranges of a tile on a larger canvas that the tile does not write.
fn margins(base: usize, tile: Size, canvas: Size, zeros: &mut Vec<Range<usize>>) {
    if tile == canvas {
        return;
    }
    let (width, row) = (tile.width as usize, canvas.width as usize);
    for channel in 0..3 {
        let plane = base + channel * canvas.area() as usize;
        let end = plane + canvas.area() as usize;
        for y in 0..tile.height as usize {
            let gap = if y + 1 == tile.height as usize {
                plane + y * row + width..end
            } else {
                plane + y * row + width..plane + (y + 1) * row
            };
            if !gap.is_empty() {
                zeros.push(gap);
            }
        }
    }
}

/// The part of a view's tile that shows the image: all of it, but where a single tile is padded right and below.
fn shown(view: &View) -> Size {
    let last = &view.stages[view.stages.len() - 1];
    if view.tiles == Grid::SINGLE {
        Size::new(last.resized.width.min(view.tile.width), last.resized.height.min(view.tile.height))
    } else {
        view.tile
    }
}

fn num_tiles(spec: &OutputSpec, plan: &Plan) -> u64 {
    plan.views.iter().filter(|view| takes(spec, view)).map(|view| view.tiles.cells()).sum()
}
