//! From patches to the language model's tokens.

use super::{Stage, View};
use crate::geometry::{Grid, Size, trunc_round7};
use crate::recipe::{Separators, Tokens, Unpad, ViewSpec};

/// The patches of a view.
#[derive(Clone, Copy)]
pub(super) struct Patches {
    pub(super) tiles: Grid,
    pub(super) of_tile: Grid,
    /// Rows, or columns, that neighbouring tiles share.
    pub(super) shared: u32,
    /// Those that are not of padding alone.
    pub(super) shown: Grid,
}

/// Rows and columns of tokens over a whole view.
pub(super) fn grid(spec: &ViewSpec, tokens: Tokens, patches: Patches, image: Size) -> Grid {
    let Patches { tiles, of_tile: patches, shared, shown } = patches;
    if let Some(count) = spec.tokens_per_tile {
        return Grid { rows: tiles.cells() as u32, cols: count };
    }
    let tile = Grid { rows: patches.rows.div_ceil(tokens.stride), cols: patches.cols.div_ceil(tokens.stride) };
    let whole = if shared == 0 {
        Grid { rows: tiles.rows * tile.rows, cols: tiles.cols * tile.cols }
    } else {
        // Tokens are of the canvas's patches, whichever tile they are encoded in.
        let side = |count: u32, side: u32| (count * (side - shared) + shared).div_ceil(tokens.stride);
        Grid { rows: side(tiles.rows, patches.rows), cols: side(tiles.cols, patches.cols) }
    };
    let seen = match spec.unpad {
        None => whole,
        Some(Unpad::Aspect) => unpad(whole, image),
        Some(Unpad::Patches) => {
            Grid { rows: shown.rows.div_ceil(tokens.stride), cols: shown.cols.div_ceil(tokens.stride) }
        }
    };
    match spec.max_token_tiles {
        Some(most) => interpolated(seen, tile, most),
        None => seen,
    }
}

/// Tokens of a view that carry no image features.
pub(super) fn separators(spec: &ViewSpec, tiles: Grid, token_grid: Grid) -> u64 {
    let newlines = if spec.row_newline { i128::from(token_grid.rows) } else { 0 };
    let Separators { per_tile, per_row, once, only_if_tiled } = spec.separators;
    let per_row = if spec.crops.is_some() { 0 } else { per_row };
    let others = if only_if_tiled && tiles == Grid::SINGLE {
        0
    } else {
        let products = i128::from(per_tile) * i128::from(tiles.cells()) + i128::from(per_row) * i128::from(tiles.rows);
        products + i128::from(once)
    };
    (newlines + others).clamp(0, u64::MAX.into()) as u64
}

/// LLaVA-NeXT's removal of the tokens over padding; the rounding to seven digits is transformers' guard against 335.99999.
fn unpad(grid: Grid, image: Size) -> Grid {
    let (w, h) = (f64::from(image.width), f64::from(image.height));
    let (cols, rows) = (f64::from(grid.cols), f64::from(grid.rows));
    let shrunk = |side: u32, content: i64| {
        let padding = (i64::from(side) - content).div_euclid(2);
        (i64::from(side) - 2 * padding) as u32
    };
    if w / h > cols / rows {
        Grid { rows: shrunk(grid.rows, trunc_round7(h * (cols / w))), cols: grid.cols }
    } else {
        Grid { rows: grid.rows, cols: shrunk(grid.cols, trunc_round7(w * (rows / h))) }
    }
}

/// LLaVA-OneVision's interpolation of more tokens than `most` square tiles have, where it takes away over a tenth of a side.
fn interpolated(grid: Grid, tile: Grid, most: u32) -> Grid {
    let full = u64::from(most) * u64::from(tile.rows) * u64::from(tile.rows);
    let ratio = (grid.cells() as f64 / full as f64).sqrt();
    // Python's `//` of floats.
    let divided = |side: u32| ((f64::from(side) - f64::from(side) % ratio) / ratio).round() as u32;
    if ratio > 1.1 { Grid { rows: divided(grid.rows), cols: divided(grid.cols) } } else { grid }
}

/// DeepSeek-OCR's count of tokens that are not over padding: `int(tokens * (1 - (long - short) / long))` for a padded view.
pub(super) fn valid(view: &View, image: Size) -> u64 {
    let tokens = view.token_grid.cells();
    if view.tiles == Grid::SINGLE && view.stages.iter().any(Stage::pads) {
        let (long, short) = (f64::from(image.longest()), f64::from(image.shortest()));
        (tokens as f64 * (1.0 - (long - short) / long)) as u64
    } else {
        tokens
    }
}
