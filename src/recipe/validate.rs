//! What a recipe must hold for its plans to make sense, whatever its overrides. Messages name the value.

use super::Body;
use super::language::{
    Crops, Filter, FloatResize, FrameCount, FrameSampling, NormalizeAs, OutputKind, Sampled, Search, Step, Target,
    TileSize, Tiles, Video, ViewSpec, When,
};
use crate::geometry::{Grid, Size};

/// No side of a tile, canvas or crop is larger.
const MAX_TARGET: u32 = 1 << 16;
/// No grid search looks at more tiles.
const MAX_TILES: u32 = 1024;

type Check = Result<(), String>;

pub(super) fn check(body: &mut Body) -> Check {
    numbers(body)?;
    let patches = body.patches;
    let align = u64::from(patches.size) * u64::from(patches.merge);
    let order = body.pixels.normalize_as;
    let mut grid = false;
    for view in &mut body.views {
        if let Some(tiles) = &mut view.tiles {
            check_tiles(tiles, patches.size)?;
            grid = true;
        }
        for step in view.pre_crop_steps.iter().chain(&view.steps) {
            check_step(step, grid, patches.size, align)?;
        }
        check_view(view, order)?;
    }
    if body.views.is_empty() {
        return Err("has no views".into());
    }
    if let Some(video) = &body.video {
        check_video(video, patches.size, align).map_err(|message| format!("video: {message}"))?;
    }
    for output in &body.outputs {
        if matches!(output.kind, OutputKind::FlatPatches | OutputKind::PatchMask | OutputKind::PatchPositions) {
            range(&format!("length of {}", output.key), body.length(output), 1, 1 << 24)?;
        }
    }
    Ok(())
}

fn numbers(body: &Body) -> Check {
    let pixels = &body.pixels;
    if pixels.mean.iter().chain(&pixels.std).any(|value| !value.is_finite()) || pixels.std.contains(&0.0) {
        return Err(format!("mean {:?} and std {:?} must be finite, and std not zero", pixels.mean, pixels.std));
    }
    if !pixels.rescale.is_finite() || pixels.rescale <= 0.0 {
        return Err(format!("rescale_factor must be positive, got {}", pixels.rescale));
    }
    if !pixels.do_rescale && !pixels.do_normalize {
        return Err("do_rescale and do_normalize are both false: ask for dtype=\"uint8\" to get plain pixels".into());
    }
    if matches!(pixels.arithmetic, super::Backend::Torch) && matches!(pixels.filter, Filter::Box | Filter::Hamming) {
        return Err(format!("filter {:?} does not exist in arithmetic \"torch\"", pixels.filter).to_lowercase());
    }
    if matches!(pixels.normalize_as, super::NormalizeAs::ToTensor) && pixels.rescale != 1.0 / 255.0 {
        return Err(format!("its reference rescales by 1/255 (ToTensor), got rescale_factor {}", pixels.rescale));
    }
    range("patch_size", body.patches.size.into(), 1, 1024)?;
    range("merge_size", body.patches.merge.into(), 1, 64)?;
    range("temporal_patch_size", body.patches.temporal.into(), 1, 64)?;
    range("tokens.stride", body.tokens.stride.into(), 1, 1024)
}

fn check_video(video: &Video, patch: u32, align: u64) -> Check {
    let view = &video.view;
    if view.tiles.is_some() || view.crops.is_some() || view.float_resize.is_some() || view.steps.is_empty() {
        return Err("a frame's view has steps, and neither tiles, crops nor float_resize".into());
    }
    for step in &view.steps {
        check_step(step, false, patch, align)?;
    }
    range("temporal_patch_size", video.temporal.into(), 1, 64)?;
    range("chunk", video.chunk.into(), 0, 1 << 20)?;
    range("tokens.stride", video.tokens.stride.into(), 1, 1024)?;
    for output in &video.outputs {
        use OutputKind::{ChannelPatches, GridThw, NumChunks, PlanarPatches, Tiles};
        if !matches!(output.kind, ChannelPatches | GridThw | NumChunks | PlanarPatches | Tiles) {
            return Err(format!("{} cannot be of kind {:?}", output.key, output.kind));
        }
    }
    let (fps, counts) = match video.frame_sampling {
        FrameSampling::Arange { fps } => (fps, None),
        FrameSampling::ArangePatches { min_frames, max_frames } => (0.0, Some((min_frames, max_frames))),
        FrameSampling::Linspace { fps, min_frames, max_frames } => (fps, Some((min_frames, max_frames))),
        FrameSampling::Timestamps { fps, max_duration } => (fps.min(max_duration), None),
        FrameSampling::FpsByDuration { ref rates, max_frames, max_duration, .. } => {
            let least = rates.iter().flatten().copied().fold(max_duration, f64::min);
            (if rates.is_empty() { f64::NAN } else { least }, Some((1, max_frames)))
        }
    };
    if !fps.is_finite() || fps < 0.0 {
        return Err(format!("fps and durations of frame_sampling must be positive, got {:?}", video.frame_sampling));
    }
    match counts {
        Some((min, max)) if min > max || max == 0 => {
            Err(format!("min_frames {min} and max_frames {max} must satisfy min <= max, and max not be 0"))
        }
        _ => Ok(()),
    }
}

fn check_view(view: &ViewSpec, order: NormalizeAs) -> Check {
    if let Some(FloatResize { of, filter, antialias, corners }) = view.float_resize {
        if corners && (antialias || filter != Filter::Bilinear) {
            return Err("only a bilinear filter without antialiasing weighs corners".into());
        }
        if !matches!(filter, Filter::Bilinear | Filter::Bicubic) {
            return Err(format!("filter {filter:?} does not resize floats; bilinear and bicubic do").to_lowercase());
        }
        if matches!(
            view.steps.last(),
            None | Some(Step::Pad { .. } | Step::CenterCrop { .. } | Step::PadThinToSquare { .. })
        ) {
            return Err("a view that is resized in floating point must end in a resize".into());
        }
        if of != Sampled::Bytes && view.tiles.as_ref().is_some_and(|tiles| tiles.overlap > 0) {
            return Err("tiles that overlap cannot be resized as floats".into());
        }
        if of != Sampled::Bytes && order == NormalizeAs::BFloat16 {
            return Err("what is normalised in bfloat16 cannot be resized as floats".into());
        }
    }
    if view.unpad.is_some() && view.tiles.is_none() {
        return Err("a view without tiles cannot be unpadded".into());
    }
    match view.crops {
        Some(Crops::PanAndScan { min_size, max, min_ratio }) => {
            range("pan_and_scan_min_crop_size", min_size.into(), 1, MAX_TARGET.into())?;
            range("pan_and_scan_max_num_crops", max.into(), 1, MAX_TILES.into())?;
            if !min_ratio.is_finite() || min_ratio < 0.0 {
                return Err(format!("pan_and_scan_min_ratio_to_activate must not be negative, got {min_ratio}"));
            }
        }
        Some(Crops::Windows { window, longest, .. }) => {
            range("window", window.into(), 1, MAX_TARGET.into())?;
            range("max_image_size", longest.into(), 1, MAX_TARGET.into())?;
        }
        Some(Crops::Quarters) | None => {}
    }
    match view.when {
        When::RoundedOver { tolerance, .. } if !tolerance.is_finite() || tolerance <= 0.0 => {
            Err(format!("max_pixels_tolerance must be positive, got {tolerance}"))
        }
        When::AreaOver(side) => range("edge", side.into(), 1, MAX_TARGET.into()),
        _ => Ok(()),
    }
}

fn check_tiles(tiles: &mut Tiles, patch: u32) -> Check {
    let tile = match tiles.size {
        TileSize::Fixed(size) => {
            check_size("tile", size, patch)?;
            size
        }
        TileSize::MatchArea { edge } => {
            range("edge", edge.into(), 1, MAX_TARGET.into())?;
            Size::new(1, 1)
        }
    };
    let overlap = tiles.overlap;
    if overlap > 0 {
        let even = overlap.is_multiple_of(2 * patch);
        let searched = matches!((tiles.size, &tiles.search), (TileSize::Fixed(_), Search::Scale { .. }));
        if !even || !searched || 2 * overlap > tile.shortest() {
            return Err(format!(
                "tiles of {}x{} cannot overlap by {overlap} pixels: that must be whole patches of {patch} on either side, at most half a tile",
                tile.width, tile.height
            ));
        }
    }
    let most = |min: u32, max: u32| {
        if min < 1 || min > max || max > MAX_TILES {
            return Err(format!("min_tiles {min} and max_tiles {max} must satisfy 1 <= min <= max <= {MAX_TILES}"));
        }
        Ok(())
    };
    match &mut tiles.search {
        Search::AspectRatio { min, max, max_side, grids, .. } => {
            most(*min, *max)?;
            *grids = grids_between(*min, *max);
            grids.retain(|grid| grid.rows.max(grid.cols) <= *max_side);
        }
        Search::Scale { max, grids, .. } => {
            most(1, *max)?;
            *grids = grids_between(1, *max);
        }
        Search::Coverage { max, threshold, grids, .. } => {
            most(1, *max)?;
            if !threshold.is_finite() {
                return Err(format!("threshold must be finite, got {threshold}"));
            }
            *grids = grids_between(1, *max);
            // The reference's pairs are of rows and columns, and tie in that order.
            grids.sort_by_key(|grid| (grid.cells(), grid.rows));
        }
        Search::LongestSide => {}
        Search::Slices { edge, max } => {
            most(2, *max)?;
            range("edge", (*edge).into(), 1, MAX_TARGET.into())?;
        }
        Search::Pinpoints { candidates, width_first } => {
            if candidates.is_empty() {
                return Err("image_grid_pinpoints is empty".into());
            }
            if std::mem::take(width_first) {
                for candidate in candidates.iter_mut() {
                    candidate.swap(0, 1);
                }
            }
            for [height, width] in candidates {
                let fits = |side: u32, tile: u32| side > 0 && side <= MAX_TARGET && side.is_multiple_of(tile);
                if !fits(*width, tile.width) || !fits(*height, tile.height) {
                    return Err(format!(
                        "pinpoint [{height}, {width}] (height, width) is not made of whole tiles of {}x{}",
                        tile.width, tile.height
                    ));
                }
            }
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

fn check_step(step: &Step, has_tiles: bool, patch: u32, align: u64) -> Check {
    let target = |to: Target| match to {
        Target::Fixed(size) => check_size("target", size, patch),
        Target::Named(super::NamedTarget::Grid) if !has_tiles => Err("there are no tiles before this view".into()),
        Target::Named(_) => Ok(()),
    };
    match *step {
        Step::Squash { to } | Step::Contain { to, .. } | Step::Pad { to, .. } => target(to),
        Step::CenterCrop { to, .. } => check_size("crop", to, patch),
        Step::LongestEdge { edge, min, .. } => {
            range("edge", edge.into(), 1, MAX_TARGET.into())?;
            range("min_size", min.into(), 0, MAX_TARGET.into())
        }
        Step::ShortestEdge { edge } | Step::MatchArea { edge } | Step::CeilPatches { longest: edge } => {
            range("edge", edge.into(), 1, MAX_TARGET.into())
        }
        Step::ShrinkToPatches { max_patches, max_side_patches } => {
            range("max_patches", max_patches.into(), 1, 1 << 24)?;
            range("max_side_patches", max_side_patches.into(), 1, MAX_TARGET.into())
        }
        Step::PadThinToSquare { .. } => Ok(()),
        Step::FloorPatches { max_tokens } => range("max_soft_tokens", max_tokens.into(), 1, 1 << 24),
        Step::PadToPatches { min_tokens, max_tokens } => {
            range("max_image_tokens", max_tokens, 1, 1 << 24)?;
            range("min_image_tokens", min_tokens, 0, 1 << 24)
        }
        Step::HdTransform { edge, max } => {
            check_size("tile", Size::new(edge, edge), patch)?;
            range("max_tiles", max.into(), 1, MAX_TILES.into())
        }
        Step::PatchBudget { min_patches, max_patches } => {
            range("max_num_patches", max_patches.into(), 1, 1 << 24)?;
            range("min_num_patches", min_patches.into(), 0, max_patches.into())
        }
        Step::Naflex { max_patches } => range("max_num_patches", max_patches.into(), 1, 1 << 24),
        Step::SmartResize { min_pixels, max_pixels, min_tokens, max_tokens, frames, max_ratio, .. } => {
            if let FrameCount::Count(frames) = frames {
                range("temporal_patch_size", frames.into(), 1, 64)?;
            }
            if max_ratio.is_nan() || max_ratio < 1.0 {
                return Err(format!("max_ratio must be at least 1, got {max_ratio}"));
            }
            let (min, max) = smart_budget(min_pixels, max_pixels, min_tokens, max_tokens, align)
                .ok_or("a smart resize needs min and max, both in pixels or both in tokens")?;
            let unit = if min_tokens.is_some() { "tokens" } else { "pixels" };
            let scale = if min_tokens.is_some() { align * align } else { 1 };
            if min > max || max < align * align {
                return Err(format!(
                    "min_{unit} {} and max_{unit} {} must satisfy min <= max, and max hold one merged patch of {align}x{align} pixels",
                    min / scale,
                    max / scale
                ));
            }
            range(&format!("max_{unit}"), max, 1, 1 << 40)
        }
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

fn check_size(what: &str, size: Size, patch: u32) -> Check {
    range(&format!("{what} width"), size.width.into(), 1, MAX_TARGET.into())?;
    range(&format!("{what} height"), size.height.into(), 1, MAX_TARGET.into())?;
    if size.shortest() < patch {
        return Err(format!("a {what} of {}x{} holds no patch of patch_size {patch}", size.width, size.height));
    }
    Ok(())
}

fn range(what: &str, value: u64, min: u64, max: u64) -> Check {
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(format!("{what} must be between {min} and {max}, got {value}"))
    }
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
