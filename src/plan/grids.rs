//! Tile-grid searches. Ties are exact f64 comparisons in the reference's order.

use crate::geometry::{Grid, Size};
use crate::recipe::{Search, Tiles};

pub(super) fn search(tiles: &Tiles, size: Size) -> Grid {
    match &tiles.search {
        Search::Ratio { grids, .. } => closest_ratio(grids, size, tiles.size),
        Search::Pinpoints { candidates } => {
            let best = best_pinpoint(candidates, size);
            Grid { rows: best.height / tiles.size.height, cols: best.width / tiles.size.width }
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
