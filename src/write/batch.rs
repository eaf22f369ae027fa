//! The tensors of a batch laid out, in either form.

use super::hf::Hf;
use super::layout::{self, Layout};
use super::samples::Samples;
use super::tensors::{BatchLayout, LayoutKind, Segments, Tensor, placement};
use crate::error::{Error, Result};
use crate::limits::Budget;
use crate::memory::try_reserve;
use crate::plan::Plan;
use crate::recipe::{OutputKind, Recipe};

impl BatchLayout {
    /// Lays out a batch. `samples` says how many images each sample has; without it they are what the reference makes of
    /// a list of images. `budget` is what its tensors and arrays may take.
    pub fn new(
        recipe: &Recipe,
        plans: &[&Plan],
        kind: LayoutKind,
        samples: Option<&[usize]>,
        budget: Budget,
    ) -> Result<Self> {
        if plans.is_empty() {
            return Err(Error::Argument("a batch needs at least one image or video".into()));
        }
        let videos = plans.iter().filter(|plan| plan.clip.is_some()).count();
        if videos == plans.len() {
            return Self::videos(recipe, plans, kind, budget);
        }
        if videos > 0 {
            return Err(Error::Argument("a batch holds images or videos, not both".into()));
        }
        let samples = Samples::new(recipe, samples, plans.len())?;
        match kind {
            LayoutKind::Packed => Self::packed(recipe, plans, budget),
            LayoutKind::Hf => Self::hf(recipe, plans, samples, budget),
        }
    }

    fn packed(recipe: &Recipe, plans: &[&Plan], mut budget: Budget) -> Result<Self> {
        let patches = recipe.patches;
        let layout = Layout::Flat { size: patches.size, merge: patches.merge, order: patches.order };
        let total = count_patches(plans)?;
        budget.take_values(total as usize * layout.patch_len())?;
        budget.take_integers(total as usize)?;
        let mut segments = Segments { cu_seqlens: vec![0], ..Segments::default() };
        try_reserve(&mut segments.positions, total as usize)?;
        let mut placements = Vec::with_capacity(plans.len());
        let mut patch = 0usize;
        for (image, plan) in plans.iter().enumerate() {
            let mut placed = Vec::with_capacity(plan.views.len());
            for view in &plan.views {
                placed.push(placement(0, patch * layout.patch_len(), layout, view));
                patch += view.num_patches() as usize;
                let positions = layout::positions(patches.order, patches.merge, view.patches)?;
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

    fn hf(recipe: &Recipe, plans: &[&Plan], samples: Samples, budget: Budget) -> Result<Self> {
        count_patches(plans)?;
        let placements = plans.iter().map(|plan| vec![None; plan.views.len()]).collect();
        let (tensors, arrays, keys) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = Hf { recipe, plans, samples, budget, tensors, arrays, keys, placements };
        for spec in recipe.outputs.iter().filter(|spec| spec.enabled) {
            match spec.kind {
                OutputKind::Tiles => batch.tiles(spec)?,
                OutputKind::ChannelPatches | OutputKind::PlanarPatches => batch.channels(spec)?,
                OutputKind::FlatPatches => batch.flat(spec)?,
                OutputKind::StripPatches => batch.strip(spec)?,
                OutputKind::PixelMask => batch.pixel_mask(spec)?,
                OutputKind::TokenPatches => batch.token_patches(spec)?,
                OutputKind::TokenGrids => batch.token_grids(spec),
                OutputKind::TilePatchMask => batch.tile_patch_mask(spec)?,
                OutputKind::RowEnds => batch.row_ends(spec),
                _ => batch.integers(spec)?,
            }
        }
        let placements = batch.placements.into_iter().map(|views| views.into_iter().flatten().collect::<Vec<_>>());
        let placements: Vec<_> = placements.collect();
        if placements.iter().zip(plans).any(|(placed, plan)| placed.len() != plan.views.len()) {
            return Err(Error::Argument(format!("recipe {:?} has views that are in no output", recipe.name())));
        }
        Ok(Self { tensors: batch.tensors, arrays: batch.arrays, keys: batch.keys, placements, segments: None })
    }
}

/// Pixel values of a batch for which no machine has memory.
const MOST_VALUES: f64 = (1u64 << 44) as f64;

/// Patches of all images: an index of one fits 32 bits.
pub(super) fn count_patches(plans: &[&Plan]) -> Result<u64> {
    let total = plans.iter().map(|plan| plan.num_patches()).fold(0, u64::saturating_add);
    let views = plans.iter().flat_map(|plan| &plan.views);
    let bytes: f64 = views.map(|view| view.tile.area() as f64 * 3.0 * view.tiles.cells() as f64).sum();
    // Beyond this no product of sizes is computed.
    if bytes > MOST_VALUES {
        return Err(Error::Memory { bytes: bytes as usize });
    }
    if total > i32::MAX as u64 {
        return Err(Error::Argument(format!("a batch of {total} patches is over the limit of {}", i32::MAX)));
    }
    Ok(total)
}
