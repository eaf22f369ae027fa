//! A batch in the reference's form: its keys, and where in them every view goes.

use std::ops::Range;

use super::layout::{Layout, Placement};
use super::samples::Samples;
use super::tensors::{IntArray, Tensor, num_tiles, placement, takes};
use crate::error::{Error, Result};
use crate::geometry::{Grid, Size};
use crate::limits::Budget;
use crate::memory::{filled, try_reserve};
use crate::plan::{Plan, View};
use crate::recipe::{OutputKind, OutputSpec, Per, Recipe, Role};

/// How the tiles of an output lie in its tensor.
struct TileLayout {
    /// Tiles of every image.
    counts: Vec<usize>,
    /// Index of the first tile of every image, ascending.
    starts: Vec<usize>,
    /// Dimensions before those of a tile.
    shape: Vec<usize>,
    /// Size of a tile, padding included.
    canvas: Size,
}

impl TileLayout {
    fn new(spec: &OutputSpec, samples: &Samples, counts: Vec<usize>, canvas: Size) -> Self {
        let most = counts.iter().copied().max().unwrap_or(0).max((spec.length + spec.extra_slots) as usize);
        let room = |count: usize| if spec.nested { most } else { count };
        // Tiles from one sample to the next, where samples have a row each.
        let row = samples.ranges().map(|images| counts[images].iter().copied().map(room).sum()).max().unwrap_or(0);
        let mut starts = Vec::with_capacity(counts.len());
        let mut next = 0;
        for (sample, images) in samples.ranges().enumerate() {
            if spec.per_sample {
                next = sample * row;
            }
            for &count in &counts[images] {
                starts.push(next);
                next += room(count);
            }
        }
        let shape = match (spec.per_sample, spec.nested) {
            (true, true) => vec![samples.counts().len(), samples.most(), most],
            (true, false) => vec![samples.counts().len(), row],
            (false, true) => vec![counts.len(), most],
            (false, false) => vec![next],
        };
        Self { counts, starts, shape, canvas }
    }

    /// Runs of tiles that no image has.
    fn gaps(&self) -> Vec<Range<usize>> {
        let ends = self.starts.iter().zip(&self.counts).map(|(start, count)| start + count);
        let nexts = self.starts.iter().copied().chain([self.shape.iter().product()]);
        let gaps = std::iter::once(0).chain(ends).zip(nexts).map(|(end, next)| end..next);
        gaps.filter(|gap| !gap.is_empty()).collect()
    }
}

/// A batch in the reference's form, under construction.
pub(super) struct Hf<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) plans: &'a [&'a Plan],
    pub(super) samples: Samples,
    /// What is left for tensors and arrays.
    pub(super) budget: Budget,
    pub(super) tensors: Vec<Tensor>,
    pub(super) arrays: Vec<IntArray>,
    pub(super) keys: Vec<String>,
    pub(super) placements: Vec<Vec<Option<Placement>>>,
}

impl Hf<'_> {
    fn push(&mut self, tensor: Tensor) -> Result<()> {
        self.budget.take_values(tensor.len())?;
        self.keys.push(tensor.key.clone());
        self.tensors.push(tensor);
        Ok(())
    }

    pub(super) fn push_integers(&mut self, spec: &OutputSpec, shape: Vec<usize>, values: Vec<i64>) {
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
        Ok(Some(TileLayout::new(spec, &self.samples, counts, canvas)))
    }

    /// `[tiles, 3, height, width]`, or `[images, most tiles, 3, height, width]`; a row of these for each sample.
    pub(super) fn tiles(&mut self, spec: &OutputSpec) -> Result<()> {
        let Some(tiles) = self.tile_layout(spec)? else {
            if let Some(size) = spec.zeros_when_empty {
                let shape = vec![1, 3, size.height as usize, size.width as usize];
                let len = shape.iter().product();
                self.push(Tensor { key: spec.key.clone(), shape, zeros: vec![0..len; 1] })?;
            }
            return Ok(());
        };
        let stride = tiles.canvas.area() as usize * 3;
        let layout = Layout::planes(tiles.canvas);
        let tensor = self.tensors.len();
        let mut zeros: Vec<_> = tiles.gaps().into_iter().map(|gap| gap.start * stride..gap.end * stride).collect();
        for (image, &start) in tiles.starts.iter().enumerate() {
            let mut tile = start;
            for index in self.views(spec, image) {
                let view = &self.plans[image].views[index];
                let placement = Placement { stride, ..placement(tensor, tile * stride, layout, view) };
                self.placements[image][index] = Some(placement);
                for _ in 0..view.tiles.cells() {
                    margins(tile * stride, view.tile, tiles.canvas, &mut zeros)?;
                    tile += 1;
                }
            }
        }
        let mut shape = tiles.shape;
        shape.extend([3, tiles.canvas.height as usize, tiles.canvas.width as usize]);
        self.push(Tensor { key: spec.key.clone(), shape, zeros })
    }

    /// `[tiles, height, width]`, with dimensions as of tiles.
    pub(super) fn pixel_mask(&mut self, spec: &OutputSpec) -> Result<()> {
        let Some(tiles) = self.tile_layout(spec)? else { return Ok(()) };
        let (width, area) = (tiles.canvas.width as usize, tiles.canvas.area() as usize);
        let mut shape = tiles.shape;
        let count = shape.iter().product::<usize>().saturating_mul(area);
        self.budget.take_integers(count)?;
        let mut values = filled(count, 0)?;
        for (image, start) in tiles.starts.into_iter().enumerate() {
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

    /// `[tiles, rows, columns]` of patches, with dimensions as of tiles.
    pub(super) fn tile_patch_mask(&mut self, spec: &OutputSpec) -> Result<()> {
        let Some(tiles) = self.tile_layout(spec)? else { return Ok(()) };
        let size = self.recipe.patches.size;
        let (rows, cols) = ((tiles.canvas.height / size) as usize, (tiles.canvas.width / size) as usize);
        let mut shape = tiles.shape;
        shape.extend([rows, cols]);
        let count = shape.iter().product();
        self.budget.take_integers(count)?;
        let mut values = filled(count, 1)?;
        for (image, start) in tiles.starts.into_iter().enumerate() {
            let mut next = start;
            for index in self.views(spec, image) {
                let view = &self.plans[image].views[index];
                let shown = view.stages[view.stages.len() - 1].shown_patches(size);
                let tiles = next..next + view.tiles.cells() as usize;
                next = tiles.end;
                if view.role != Role::Tile {
                    continue;
                }
                for (cell, tile) in tiles.enumerate() {
                    let cell = cell as u32;
                    let (top, left) =
                        (cell / view.tiles.cols * view.patches.rows, cell % view.tiles.cols * view.patches.cols);
                    for (row, mask) in values[tile * rows * cols..][..rows * cols].chunks_exact_mut(cols).enumerate() {
                        let hidden = top + row as u32 >= shown.rows;
                        let from = if hidden { 0 } else { shown.cols.saturating_sub(left) as usize };
                        mask.iter_mut().skip(from).for_each(|patch| *patch = 0);
                    }
                }
            }
        }
        self.push_integers(spec, shape, values);
        Ok(())
    }

    /// `[patches, 3 * temporal * size * size]` or `[patches, 3 * temporal, size, size]`.
    pub(super) fn channels(&mut self, spec: &OutputSpec) -> Result<()> {
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
        self.push(Tensor { key: spec.key.clone(), shape, zeros: Vec::new() })
    }

    /// `[1, 3, size, patches * size]`.
    pub(super) fn strip(&mut self, spec: &OutputSpec) -> Result<()> {
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
        self.push(Tensor { key: spec.key.clone(), shape, zeros: Vec::new() })
    }

    /// `[images, length, size * size * 3]`, or so for every tile.
    pub(super) fn flat(&mut self, spec: &OutputSpec) -> Result<()> {
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
        self.push(Tensor { key: spec.key.clone(), shape, zeros })
    }
}

/// Ranges of a tile on a larger canvas that the tile does not write.
fn margins(base: usize, tile: Size, canvas: Size, zeros: &mut Vec<Range<usize>>) -> Result<()> {
    if tile == canvas {
        return Ok(());
    }
    // As many at once as vectors grow by, where tiles are many.
    let most = 3 * tile.height as usize;
    if zeros.capacity() - zeros.len() < most {
        try_reserve(zeros, most.max(zeros.len()))?;
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
    Ok(())
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
