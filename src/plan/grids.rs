//! Tile-grid searches. Ties are exact comparisons in the reference's order and precision.

use super::native::{match_area, nearest_multiple};
use crate::geometry::{Grid, Size};
use crate::recipe::{Precision, Search, TileSize, Tiles};

/// The grid for an image of this size; `align` are the pixels of a merged patch.
pub(super) fn search(tiles: &Tiles, size: Size, align: u32) -> Grid {
    // Only a search over fixed tiles asks for the tile.
    let tile = match tiles.size {
        TileSize::Fixed(tile) => tile,
        TileSize::MatchArea { .. } => Size::new(align, align),
    };
    match &tiles.search {
        Search::AspectRatio { grids, max, keep_if_fits, .. } => {
            let held = Grid { rows: size.height.div_ceil(tile.height), cols: size.width.div_ceil(tile.width) };
            if *keep_if_fits && held.cells() <= u64::from(*max) { held } else { closest_ratio(grids, size, tile) }
        }
        Search::Pinpoints { candidates, .. } => {
            let best = best_pinpoint(candidates, size);
            Grid { rows: best.height / tile.height, cols: best.width / tile.width }
        }
        Search::Scale { grids, enlarge_most, precision, .. } => {
            least_scale(grids, size, tile, tiles.overlap, *enlarge_most, *precision)
        }
        Search::Coverage { grids, threshold, transposed, .. } => {
            let Grid { rows, cols } = coverage(grids, size, tile.height, *threshold);
            if *transposed { Grid { rows: cols, cols: rows } } else { Grid { rows, cols } }
        }
        Search::LongestSide => longest_side(size, tile),
        Search::Slices { edge, max } => slices(size, *edge, *max),
    }
}

/// Size of a tile of `grid`.
pub(super) fn tile(tile: TileSize, size: Size, grid: Grid, align: u32) -> Size {
    match tile {
        TileSize::Fixed(tile) => tile,
        TileSize::MatchArea { edge } => {
            let cell = |side: u32, count: u32| f64::from(nearest_multiple(side.into(), count)) / f64::from(count);
            match_area(cell(size.width, grid.cols), cell(size.height, grid.rows), edge, align)
        }
    }
}

/// InternVL's search: the grid of closest aspect ratio; among equals a larger one wins if the image fills over half of it.
fn closest_ratio(grids: &[Grid], size: Size, tile: Size) -> Grid {
    let aspect = size.aspect();
    let area = size.area() as f64;
    let mut best = Grid::SINGLE;
    let mut best_difference = f64::INFINITY;
    for &grid in grids {
        let difference = (aspect - f64::from(grid.cols) / f64::from(grid.rows)).abs();
        let fills_half = || {
            area > 0.5 * f64::from(tile.height) * f64::from(tile.width) * f64::from(grid.cols) * f64::from(grid.rows)
        };
        if difference < best_difference || (difference == best_difference && fills_half()) {
            best_difference = difference;
            best = grid;
        }
    }
    best
}

/// LLaVA-NeXT's search: the canvas on which most pixels survive, then the one that wastes least; the first among equals.
fn best_pinpoint(candidates: &[[u32; 2]], size: Size) -> Size {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let mut best = candidates.first().map_or(size, |[height, width]| Size::new(*width, *height));
    let mut most_kept = 0;
    let mut least_wasted = i64::MAX;
    for &[height, width] in candidates {
        let scale = (f64::from(width) / w).min(f64::from(height) / h);
        let (scaled_w, scaled_h) = ((w * scale) as i64, (h * scale) as i64);
        let kept = (scaled_w * scaled_h).min(size.area() as i64);
        let wasted = i64::from(width) * i64::from(height) - kept;
        if kept > most_kept || (kept == most_kept && wasted < least_wasted) {
            (most_kept, least_wasted) = (kept, wasted);
            best = Size::new(width, height);
        }
    }
    best
}

/// The search of Llama 3.2, Llama 4 and Command A Vision: of the grids into which the image fits without shrinking the one
/// that enlarges it least (or most), else the one that shrinks it least.
///
/// Grids come by area, and the first among equals wins. Two grids of one area never tie: the grid of the fewer rows and
/// the fewer columns of both has the same scale, and a smaller area.
///
/// Of tiles that share pixels with their neighbours, canvas and image are seen without as many; an image may have fewer.
fn least_scale(grids: &[Grid], size: Size, tile: Size, overlap: u32, enlarge_most: bool, precision: Precision) -> Grid {
    let (width, height) = (i64::from(size.width) - i64::from(overlap), i64::from(size.height) - i64::from(overlap));
    let scale = |grid: &Grid| {
        let canvas = grid.canvas(Size::new(tile.width - overlap, tile.height - overlap));
        match precision {
            Precision::F64 => (f64::from(canvas.width) / width as f64).min(f64::from(canvas.height) / height as f64),
            Precision::F32 => f64::from((canvas.width as f32 / width as f32).min(canvas.height as f32 / height as f32)),
        }
    };
    let mut best = (Grid::SINGLE, f64::NAN);
    for grid in grids {
        let new = scale(grid);
        let better = match (new >= 1.0, best.1 >= 1.0) {
            _ if best.1.is_nan() => true,
            (true, true) if enlarge_most => new > best.1,
            (true, true) => new < best.1,
            (false, false) => new > best.1,
            (enlarges, _) => enlarges,
        };
        if better {
            best = (*grid, new);
        }
    }
    best.0
}

/// Ovis 2's search. A tile keeps the pixels that are left when its longer side shrinks to `side`.
fn coverage(grids: &[Grid], size: Size, side: u32, threshold: f64) -> Grid {
    let kept = |grid: &Grid| {
        let (height, width) = (size.height / grid.rows, size.width / grid.cols);
        let last = |side: u32, count: u32, cell: u32| side - cell * (count - 1);
        let mut sum = PythonSum::default();
        for row in 0..grid.rows {
            let h = if row + 1 == grid.rows { last(size.height, grid.rows, height) } else { height };
            for col in 0..grid.cols {
                let w = if col + 1 == grid.cols { last(size.width, grid.cols, width) } else { width };
                let (long, short) = (w.max(h), w.min(h));
                if long > side {
                    sum.add_float(f64::from(short) / f64::from(long) * f64::from(side) * f64::from(side));
                } else {
                    sum.add_integer(u64::from(long) * u64::from(short));
                }
            }
        }
        sum.value() / size.area() as f64
    };
    let mut best = (Grid::SINGLE, f64::NEG_INFINITY);
    let mut enough: Option<(Grid, f64)> = None;
    for grid in grids {
        let kept = kept(grid);
        let better = |(other, most): (Grid, f64)| grid.cells() == other.cells() && kept > most;
        if kept > threshold && enough.is_none_or(better) {
            enough = Some((*grid, kept));
        }
        if kept > best.1 {
            best = (*grid, kept);
        }
    }
    enough.unwrap_or(best).0
}

/// `sum()` of integers and floats as Python has it since 3.12: floats are added with compensation.
#[derive(Default)]
struct PythonSum {
    sum: f64,
    lost: f64,
    float: bool,
}

impl PythonSum {
    fn add_integer(&mut self, value: u64) {
        self.sum += value as f64;
    }

    fn add_float(&mut self, value: f64) {
        self.float = true;
        let sum = self.sum + value;
        self.lost += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        self.sum = sum;
    }

    fn value(&self) -> f64 {
        if self.float { self.sum + self.lost } else { self.sum }
    }
}

/// Idefics 3's second resize: whole tiles along the longer side, then along the other at that side's length.
fn longest_side(size: Size, tile: Size) -> Grid {
    let aspect = size.aspect();
    if size.width >= size.height {
        let cols = size.width.div_ceil(tile.width);
        let height = (f64::from(cols * tile.width) / aspect) as u32;
        Grid { rows: height.div_ceil(tile.height).max(1), cols }
    } else {
        let rows = size.height.div_ceil(tile.height);
        let width = (f64::from(rows * tile.height) * aspect) as u32;
        Grid { rows, cols: width.div_ceil(tile.width).max(1) }
    }
}

/// MiniCPM-V's search: of all grids of about as many tiles as squares fit the image the one of closest aspect ratio, by
/// logarithms; among equals the one of more rows.
fn slices(size: Size, edge: u32, max: u32) -> Grid {
    let log_ratio = size.aspect().ln();
    let squares = size.area() as f64 / (u64::from(edge) * u64::from(edge)) as f64;
    let multiple = (squares.ceil() as u64).min(max.into()) as u32;
    let mut best = Grid::SINGLE;
    let mut least = f64::INFINITY;
    for count in multiple.saturating_sub(1)..=multiple + 1 {
        if count <= 1 || count > max {
            continue;
        }
        for rows in (1..=count).filter(|rows| count.is_multiple_of(*rows)) {
            let grid = Grid { rows, cols: count / rows };
            let error = (log_ratio - (f64::from(grid.cols) / f64::from(rows)).ln()).abs();
            if error < least || (error == least && rows > best.rows) {
                (best, least) = (grid, error);
            }
        }
    }
    best
}
