//! Checks of tiles and of the search for their grid, and the grids that a search looks at.

use super::MAX_TILES;
use crate::geometry::{Grid, Size};
use crate::recipe::language::{Search, TileSize, Tiles};
use crate::recipe::place::{Check, MAX_SIDE, PatchRule, Place};

impl Tiles {
    /// Checks them, and fills in the grids of the search.
    pub(super) fn check(&mut self, place: &Place<'_>, patches: PatchRule) -> Check {
        let tile = match self.size {
            TileSize::Fixed(size) => {
                place.size("size", size, patches)?;
                size
            }
            TileSize::MatchArea { edge } => {
                place.key("size").side("edge", edge)?;
                Size::new(1, 1)
            }
        };
        let overlap = self.overlap;
        if overlap > 0 {
            let even = overlap.is_multiple_of(2 * patches.size);
            let searched = matches!((self.size, &self.search), (TileSize::Fixed(_), Search::Scale { .. }));
            if !even || !searched || 2 * overlap > tile.shortest() {
                return Err(place.key("overlap").problem(format!(
                    "tiles of {}x{} cannot overlap by {overlap} pixels: that must be whole patches of {} on either side, at most half a tile, and the search be scale",
                    tile.width, tile.height, patches.size
                )));
            }
        }
        self.search.check(&place.key("search"), tile)
    }
}

impl Search {
    /// The most tiles that it finds, where that is written.
    pub(super) fn most(&self) -> Option<u32> {
        match self {
            Self::AspectRatio { max, .. } | Self::Scale { max, .. } | Self::Coverage { max, .. } => Some(*max),
            Self::Pinpoints { .. } | Self::LongestSide | Self::Slices { .. } => None,
        }
    }

    fn check(&mut self, place: &Place<'_>, tile: Size) -> Check {
        match self {
            Self::AspectRatio { min, max, max_side, grids, .. } => {
                place.range("max", (*max).into(), 1, MAX_TILES)?;
                if *min < 1 || *min > *max {
                    let (low, high) = (place.name("min"), place.name("max"));
                    let message = format!("{low} {min} and {high} {max} must satisfy 1 <= {low} <= {high}");
                    return Err(place.key("min").problem(message));
                }
                *grids = grids_between(*min, *max);
                grids.retain(|grid| grid.rows.max(grid.cols) <= *max_side);
                if grids.is_empty() {
                    let message =
                        format!("{} {max_side} leaves no grid of {min} to {max} tiles", place.name("max_side"));
                    return Err(place.key("max_side").problem(message));
                }
                Ok(())
            }
            Self::Scale { max, grids, .. } => {
                place.range("max", (*max).into(), 1, MAX_TILES)?;
                *grids = grids_between(1, *max);
                Ok(())
            }
            Self::Coverage { max, threshold, grids, .. } => {
                place.range("max", (*max).into(), 1, MAX_TILES)?;
                if !threshold.is_finite() {
                    let message = format!("{} must be finite, got {threshold}", place.name("threshold"));
                    return Err(place.key("threshold").problem(message));
                }
                *grids = grids_between(1, *max);
                // The reference's pairs are of rows and columns, and tie in that order.
                grids.sort_by_key(|grid| (grid.cells(), grid.rows));
                Ok(())
            }
            Self::LongestSide => Ok(()),
            Self::Slices { edge, max } => {
                place.range("max", (*max).into(), 2, MAX_TILES)?;
                place.side("edge", *edge)
            }
            Self::Pinpoints { candidates, width_first } => {
                let swap = std::mem::take(width_first);
                check_candidates(candidates, swap, place, tile)
            }
        }
    }
}

fn check_candidates(candidates: &mut [[u32; 2]], swap: bool, place: &Place<'_>, tile: Size) -> Check {
    let name = place.name("candidates");
    if candidates.is_empty() {
        return Err(place.key("candidates").problem(format!("{name} is empty")));
    }
    for (index, candidate) in candidates.iter_mut().enumerate() {
        let [first, second] = *candidate;
        if swap {
            candidate.swap(0, 1);
        }
        let [height, width] = *candidate;
        let fits = |side: u32, tile: u32| side > 0 && u64::from(side) <= MAX_SIDE && side.is_multiple_of(tile);
        let whole = fits(width, tile.width) && fits(height, tile.height);
        let tiles = u64::from(width / tile.width.max(1)) * u64::from(height / tile.height.max(1));
        if !whole || tiles > MAX_TILES {
            let order = if swap { "(width, height)" } else { "(height, width)" };
            let Size { width, height } = tile;
            return Err(place.key("candidates").item(index).problem(format!(
                "{name}: [{first}, {second}] {order} is not made of up to {MAX_TILES} whole tiles of {width}x{height}"
            )));
        }
    }
    Ok(())
}

/// All grids of `min..=max` tiles by number of tiles, then columns ascending (transformers' order).
fn grids_between(min: u32, max: u32) -> Vec<Grid> {
    let mut grids: Vec<Grid> = (1..=max)
        .flat_map(|cols| (1..=max / cols).map(move |rows| Grid { rows, cols }))
        .filter(|grid| grid.cells() >= u64::from(min))
        .collect();
    grids.sort_by_key(|grid| grid.cells());
    grids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_come_by_area_then_columns() {
        let grids: Vec<_> = grids_between(2, 4).into_iter().map(|grid| (grid.cols, grid.rows)).collect();
        assert_eq!(grids, [(1, 2), (2, 1), (1, 3), (3, 1), (1, 4), (2, 2), (4, 1)]);
    }
}
