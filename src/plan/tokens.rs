//! From patches to the language model's tokens.

use super::View;
use crate::geometry::{Grid, Size, trunc_round7};
use crate::recipe::{Tokens, ViewSpec};

/// Rows and columns of tokens over a whole view.
pub(super) fn grid(spec: &ViewSpec, tokens: Tokens, tiles: Grid, patches: Grid, image: Size) -> Grid {
    let whole = Grid {
        rows: tiles.rows * patches.rows.div_ceil(tokens.downsample),
        cols: tiles.cols * patches.cols.div_ceil(tokens.downsample),
    };
    if spec.unpad { unpad(whole, image) } else { whole }
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

/// DeepSeek-OCR's count of tokens that are not over padding: `int(tokens * (1 - (long - short) / long))` for a padded view.
pub(super) fn valid(view: &View, image: Size) -> u64 {
    let tokens = view.token_grid.cells();
    if view.tiles == Grid::SINGLE && view.stages.iter().any(super::Stage::pads) {
        let (long, short) = (f64::from(image.longest()), f64::from(image.shortest()));
        (tokens as f64 * (1.0 - (long - short) / long)) as u64
    } else {
        tokens
    }
}
