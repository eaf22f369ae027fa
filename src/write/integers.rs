//! Arrays of a batch that hold no pixel values: counts, sizes, grids and masks.

use std::ops::Range;

use super::hf::Hf;
use super::tensors::{num_tiles, takes};
use crate::error::{Error, Result};
use crate::geometry::Grid;
use crate::memory::try_reserve;
use crate::plan::{Plan, View};
use crate::recipe::{OutputKind, OutputSpec, Per, Role};

impl Hf<'_> {
    /// `[images, most tiles]`.
    pub(super) fn row_ends(&mut self, spec: &OutputSpec) {
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

    /// `[images, 2 * views]`.
    pub(super) fn token_grids(&mut self, spec: &OutputSpec) {
        let mut values = Vec::new();
        for plan in self.plans {
            for view in plan.views.iter().filter(|view| takes(spec, view)) {
                values.extend([i64::from(view.token_grid.rows), i64::from(view.token_grid.cols)]);
            }
        }
        self.push_integers(spec, vec![self.plans.len(), values.len() / self.plans.len()], values);
    }

    /// `[tokens, stride * stride]`.
    pub(super) fn token_patches(&mut self, spec: &OutputSpec) -> Result<()> {
        let side = self.recipe.tokens.stride;
        let views = self.plans.iter().flat_map(|plan| &plan.views).filter(|view| takes(spec, view));
        let tokens: u64 = views.map(|view| view.token_grid.cells()).sum();
        let count = (tokens * u64::from(side) * u64::from(side)) as usize;
        self.budget.take_integers(count)?;
        let mut values = Vec::new();
        try_reserve(&mut values, count)?;
        let mut first = 0;
        for plan in self.plans {
            for view in plan.views.iter().filter(|view| takes(spec, view)) {
                pool(view, self.recipe.patches.size, side, first, &mut values);
                first += view.num_patches() as i64;
            }
        }
        let pooled = (side * side) as usize;
        self.push_integers(spec, vec![values.len() / pooled, pooled], values);
        Ok(())
    }

    /// One entry for each image, or for each tile.
    pub(super) fn integers(&mut self, spec: &OutputSpec) -> Result<()> {
        let length = self.recipe.length(spec) as usize;
        let tiles: Vec<usize> = self.plans.iter().map(|plan| num_tiles(spec, plan) as usize).collect();
        let most = tiles.iter().copied().max().unwrap_or(0);
        if spec.kind == OutputKind::MostTiles {
            self.push_integers(spec, Vec::new(), vec![most as i64]);
            return Ok(());
        }
        if spec.kind == OutputKind::NumImages {
            let counts = self.samples.counts().iter().filter(|&&count| count > 0);
            let values: Vec<i64> = counts.map(|&count| count as i64).collect();
            self.push_integers(spec, vec![values.len()], values);
            return Ok(());
        }
        let entries =
            |images: Range<usize>| if spec.per == Per::Tile { tiles[images].iter().sum() } else { images.len() };
        let row = self.samples.ranges().map(entries).max().unwrap_or(0);
        let dimensions = dimensions(spec, length, most);
        let width: usize = dimensions.iter().product();
        let mut values = Vec::new();
        let entries: usize = if spec.per == Per::Tile { tiles.iter().sum() } else { tiles.len() };
        let padded = if spec.per_sample { self.samples.counts().len() * row } else { entries };
        self.budget.take_integers(padded.saturating_mul(width))?;
        try_reserve(&mut values, padded.saturating_mul(width))?;
        for (sample, images) in self.samples.ranges().enumerate() {
            for plan in &self.plans[images] {
                let mut taken = plan.views.iter().filter(|view| takes(spec, view));
                if spec.per == Per::Tile {
                    for view in taken {
                        for _ in 0..view.tiles.cells() {
                            entry(spec, length, most, plan, Some(view), &mut values)?;
                        }
                    }
                } else {
                    entry(spec, length, most, plan, taken.next(), &mut values)?;
                }
            }
            while spec.per_sample && values.len() < (sample + 1) * row * width {
                values.extend(mask(spec.ones_when_missing.into(), width));
            }
        }
        let mut shape =
            if spec.per_sample { vec![self.samples.counts().len(), row] } else { vec![values.len() / width.max(1)] };
        shape.extend(dimensions);
        self.push_integers(spec, shape, values);
        Ok(())
    }
}

/// Dimensions of an entry.
fn dimensions(spec: &OutputSpec, length: usize, most: usize) -> Vec<usize> {
    match spec.kind {
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
    }
}

/// `used` ones and then zeros.
fn mask(used: u64, length: usize) -> impl Iterator<Item = i64> {
    (0..length as u64).map(move |index| i64::from(index < used))
}

/// The patches of each token of a view, whose first patch is `first`. A canvas that is not whole tokens has a margin around it,
/// the smaller half before.
fn pool(view: &View, patch: u32, side: u32, first: i64, values: &mut Vec<i64>) {
    let shared = view.overlap / patch;
    let Grid { rows, cols } = view.patches;
    // Along one axis: the tile that gives a patch of the canvas, and the patch's place in it.
    let along = |at: i64, tiles: u32, of_tile: u32| -> Option<(i64, i64)> {
        let (step, tiles) = (i64::from(of_tile - shared), i64::from(tiles));
        let canvas = tiles * step + i64::from(shared);
        let tile = ((at - i64::from(shared / 2)).div_euclid(step)).clamp(0, tiles - 1);
        (0..canvas).contains(&at).then_some((tile, at - tile * step))
    };
    let margin = |tokens: u32, tiles: u32, of_tile: u32| (tokens * side - (tiles * (of_tile - shared) + shared)) / 2;
    let top = i64::from(margin(view.token_grid.rows, view.tiles.rows, rows));
    let left = i64::from(margin(view.token_grid.cols, view.tiles.cols, cols));
    let patch_at = |y: i64, x: i64| {
        let (tile_row, row) = along(y, view.tiles.rows, rows)?;
        let (tile_col, col) = along(x, view.tiles.cols, cols)?;
        let tile = tile_row * i64::from(view.tiles.cols) + tile_col;
        Some(first + (tile * i64::from(rows) + row) * i64::from(cols) + col)
    };
    for row in 0..view.token_grid.rows {
        for col in 0..view.token_grid.cols {
            for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                let (y, x) = (i64::from(row * side + y) - top, i64::from(col * side + x) - left);
                values.push(patch_at(y, x).unwrap_or(-1));
            }
        }
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
    match spec.kind {
        OutputKind::GridThw => values.extend([1, rows, cols]),
        OutputKind::SpatialShapes => values.extend([rows, cols]),
        OutputKind::NumTiles => values.push(num_tiles(spec, plan) as i64),
        OutputKind::ImageSizes => values.extend(pair(plan.size.height, plan.size.width)),
        OutputKind::CanvasSizes => values.extend(pair(canvas.height, canvas.width)),
        OutputKind::TileGrid => values.extend(pair(grid.cols, grid.rows)),
        OutputKind::TileShape => values.extend(tiles.map_or([0; 2], |grid| pair(grid.rows, grid.cols))),
        OutputKind::TileRows | OutputKind::TileCols if spec.zero_if_single && grid == Grid::SINGLE => values.push(0),
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
        OutputKind::NumTokens => values.push(plan.num_tokens as i64),
        OutputKind::NumVisualTokens => values.push(plan.num_visual_tokens as i64),
        OutputKind::NumChunks
        | OutputKind::Tiles
        | OutputKind::ChannelPatches
        | OutputKind::PlanarPatches
        | OutputKind::FlatPatches
        | OutputKind::StripPatches
        | OutputKind::RowEnds
        | OutputKind::NumImages
        | OutputKind::MostTiles
        | OutputKind::TilePatchMask
        | OutputKind::TokenPatches
        | OutputKind::TokenGrids
        | OutputKind::PixelMask => {
            return Err(Error::Argument(format!("{:?} has no integers of each image", spec.key)));
        }
    }
    Ok(())
}

/// 1 and the place of a grid among all of up to `most` tiles, by rows, then columns.
fn grid_id(grid: Grid, most: u32) -> i64 {
    let before: u32 = (1..grid.rows).map(|rows| most / rows).sum();
    i64::from(before + grid.cols)
}
