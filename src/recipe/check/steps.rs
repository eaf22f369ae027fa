//! Checks of the arguments of a step.

use super::{MAX_PATCHES, MAX_TILES};
use crate::recipe::language::{CapPer, FrameCount, NamedTarget, Step, Target};
use crate::recipe::place::{Check, MAX_SIDE, PatchRule, Place};

impl Step {
    /// `has_tiles`: whether a grid was searched for before, or may be here.
    pub(super) fn check(&self, place: &Place<'_>, has_tiles: bool, patch: u32, align: u64) -> Check {
        let patches = PatchRule { size: patch, partial: true, merge: 1 };
        let target = |to: Target| match to {
            Target::Fixed(size) => place.size("to", size, patches),
            Target::Named(NamedTarget::Grid) if !has_tiles => {
                Err(place.key("to").problem("there is no grid: neither this view nor one before it has tiles"))
            }
            Target::Named(_) => Ok(()),
        };
        match *self {
            Self::Squash { to } | Self::Contain { to, .. } | Self::Pad { to, .. } => target(to),
            Self::CenterCrop { to, .. } => place.size("to", to, patches),
            Self::LongestEdge { edge, min, .. } => {
                place.side("edge", edge)?;
                place.range("min", min.into(), 0, MAX_SIDE)
            }
            Self::ShortestEdge { edge } | Self::MatchArea { edge } => place.side("edge", edge),
            Self::CeilPatches { longest, .. } => place.side("longest", longest),
            Self::ShrinkToPatches { max_patches, max_side_patches } => {
                place.range("max_patches", max_patches.into(), 1, MAX_PATCHES)?;
                place.range("max_side_patches", max_side_patches.into(), 1, MAX_SIDE)
            }
            Self::PadThinToSquare { under, ratio } => {
                place.range("under", under.into(), 0, MAX_SIDE)?;
                place.range("ratio", ratio.into(), 1, MAX_SIDE)
            }
            Self::FloorPatches { max_tokens } => place.range("max_tokens", max_tokens.into(), 1, MAX_PATCHES),
            Self::PadToPatches { min_tokens, max_tokens } => {
                place.range("max_tokens", max_tokens, 1, MAX_PATCHES)?;
                place.range("min_tokens", min_tokens, 0, MAX_PATCHES)
            }
            Self::HdTransform { edge, max } => {
                place.side("edge", edge)?;
                place.range("max", max.into(), 1, MAX_TILES)
            }
            Self::PatchBudget { min_patches, max_patches } => {
                place.range("max_patches", max_patches.into(), 1, MAX_PATCHES)?;
                place.range("min_patches", min_patches.into(), 0, max_patches.into())
            }
            Self::Naflex { max_patches } => place.range("max_patches", max_patches.into(), 1, MAX_PATCHES),
            Self::SmartResize { .. } => self.check_smart(place, align),
        }
    }

    fn check_smart(&self, place: &Place<'_>, align: u64) -> Check {
        let Self::SmartResize { min_pixels, max_pixels, min_tokens, max_tokens, frames, max_ratio, cap, .. } = *self
        else {
            return Ok(());
        };
        if let FrameCount::Count(frames) = frames {
            place.range("frames", frames.into(), 1, 64)?;
        }
        if let Some(cap) = cap {
            let place = place.key("cap");
            place.range("tokens", cap.tokens, 1, 1 << 40)?;
            match (cap.per, cap.total_pixels) {
                (CapPer::Share, Some(total)) => place.range("total_pixels", total, 1, 1 << 50)?,
                (CapPer::Share, None) => return Err(place.problem("per = \"share\" needs total_pixels")),
                (_, Some(_)) => return Err(place.problem("total_pixels is for per = \"share\"")),
                (_, None) => {}
            }
        }
        if max_ratio.is_nan() || max_ratio < 1.0 {
            let message = format!("{} must be at least 1, got {max_ratio}", place.name("max_ratio"));
            return Err(place.key("max_ratio").problem(message));
        }
        let Some((min, max)) = smart_budget(min_pixels, max_pixels, min_tokens, max_tokens, align) else {
            return Err(place.problem(
                "smart_resize needs min_pixels and max_pixels, or min_tokens and max_tokens (merged patches)",
            ));
        };
        let tokens = min_tokens.is_some();
        let keys = if tokens { ["min_tokens", "max_tokens"] } else { ["min_pixels", "max_pixels"] };
        let scale = if tokens { align * align } else { 1 };
        if min > max || max < align * align {
            let [low, high] = keys.map(|key| place.name(key));
            return Err(place.key(keys[1]).problem(format!(
                "{low} {} and {high} {} must satisfy min <= max, and max hold one merged patch of {align}x{align} pixels",
                min / scale,
                max / scale
            )));
        }
        place.range(keys[1], max, 1, 1 << 40)
    }
}

/// A smart resize's fewest and most pixels.
pub(crate) fn smart_budget(
    min_pixels: Option<u64>,
    max_pixels: Option<u64>,
    min_tokens: Option<u64>,
    max_tokens: Option<u64>,
    align: u64,
) -> Option<(u64, u64)> {
    let merged = |tokens: u64| tokens.saturating_mul(align * align);
    match (min_pixels, max_pixels, min_tokens, max_tokens) {
        (Some(min), Some(max), None, None) => Some((min, max)),
        (None, None, Some(min), Some(max)) => Some((merged(min), merged(max))),
        _ => None,
    }
}
