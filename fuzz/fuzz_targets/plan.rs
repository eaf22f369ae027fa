//! Plans and layouts of arbitrary recipes and sizes, and frames that are picked: nothing that needs a pixel.

#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use vlmres::geometry::Size;
use vlmres::limits::Budget;
use vlmres::plan::{Footage, Plan, sample_frames};
use vlmres::recipe::Recipe;
use vlmres::write::{BatchLayout, LayoutKind};
use vlmres_fuzz::arbitrary::{recipe, size};

/// Pixels of all views of plans that are laid out: masks are in proportion to them.
const MOST_AREA: u64 = 1 << 21;
/// Frames of a video that is laid out.
const MOST_FRAMES: i64 = 4096;

fuzz_target!(init: vlmres_fuzz::init(), |data: &[u8]| {
    let _ = check(&mut Unstructured::new(data));
});

fn check(bytes: &mut Unstructured<'_>) -> Result<()> {
    let Some(recipe) = recipe(bytes)? else { return Ok(()) };
    frames(&recipe, bytes)?;
    let count = bytes.int_in_range(1..=4)?;
    let mut plans = Vec::new();
    for _ in 0..count {
        let size = size(bytes, Size::MAX_SIDE, u64::MAX)?;
        if let Ok(plan) = Plan::among(&recipe, size, count) {
            same(&plan, size);
            plans.push(plan);
        }
    }
    lay_out(&recipe, &plans, bytes)?;
    let frames = match bytes.int_in_range(0..=2)? {
        0 => bytes.int_in_range(0..=MOST_FRAMES)?,
        1 => bytes.int_in_range(1..=40)?,
        _ => bytes.arbitrary()?,
    };
    let size = size(bytes, 1 << 16, u64::MAX)?;
    if let Ok(plan) = Plan::of_video(&recipe, size, frames) {
        same(&plan, size);
        if frames <= MOST_FRAMES {
            lay_out(&recipe, &[plan], bytes)?;
        }
    }
    Ok(())
}

/// What a plan says of itself in several ways.
fn same(plan: &Plan, size: Size) {
    assert_eq!(plan.size, size);
    assert!(plan.main_view() < plan.views.len().max(1));
    let reduced = plan.reduced_size();
    assert!(reduced.width <= size.width && reduced.height <= size.height);
    for view in &plan.views {
        assert!(!view.stages.is_empty() && view.tiles.cells() > 0);
        let canvas = view.canvas();
        let corner = view.tile_corner(view.tiles.cells() - 1);
        assert_eq!(corner.x as u32 + view.tile.width, canvas.width);
        assert_eq!(corner.y as u32 + view.tile.height, canvas.height);
    }
    std::hint::black_box((plan.num_patches(), plan.num_tiles()));
}

fn lay_out(recipe: &Recipe, plans: &[Plan], bytes: &mut Unstructured<'_>) -> Result<()> {
    let area = |plan: &Plan| {
        let views: u64 = plan.views.iter().map(|view| view.canvas().area()).fold(0, u64::saturating_add);
        views.saturating_mul(plan.num_frames().into())
    };
    if plans.is_empty() || plans.iter().map(area).fold(0, u64::saturating_add) > MOST_AREA {
        return Ok(());
    }
    let plans: Vec<&Plan> = plans.iter().collect();
    let split = bytes.int_in_range(0..=plans.len())?;
    let samples = [None, Some(vec![split, plans.len() - split]), Some(vec![1; plans.len()])];
    for kind in [LayoutKind::Hf, LayoutKind::Packed] {
        for samples in &samples {
            let Ok(layout) = BatchLayout::new(recipe, &plans, kind, samples.as_deref(), Budget::UNLIMITED) else {
                continue;
            };
            for array in &layout.arrays {
                assert_eq!(array.values.len(), array.shape.iter().product::<usize>(), "{}", array.key);
            }
            for tensor in &layout.tensors {
                assert!(tensor.zeros.iter().all(|range| range.end <= tensor.len()), "{}", tensor.key);
            }
        }
    }
    Ok(())
}

fn frames(recipe: &Recipe, bytes: &mut Unstructured<'_>) -> Result<()> {
    let total = match bytes.int_in_range(0..=2)? {
        0 => bytes.arbitrary()?,
        _ => bytes.int_in_range(1..=2000)?,
    };
    let mut rate = || -> Result<Option<f64>> {
        Ok(match bytes.int_in_range(0..=4)? {
            0 => Some(bytes.arbitrary()?),
            1 => Some(f64::from(bytes.int_in_range(1..=240)?)),
            2 => Some(f64::from(bytes.int_in_range(1..=10_000)?) / 1000.0),
            _ => None,
        })
    };
    let (video_fps, duration, fps) = (rate()?, rate()?, rate()?);
    let num_frames = match bytes.int_in_range(0..=3)? {
        0 => Some(bytes.arbitrary()?),
        1 => Some(bytes.int_in_range(1..=300)?),
        _ => None,
    };
    let first = if bytes.ratio(1, 8)? { bytes.int_in_range(0..=2000)? } else { 0 };
    if let Ok(picked) = sample_frames(recipe, Footage { total, video_fps, duration, fps, num_frames, first }) {
        // To the end: transformers' `arange` in floats gives Qwen2-VL one frame too many at some counts.
        let part = first..=first + total;
        assert!(picked.iter().all(|frame| part.contains(frame)), "{picked:?} of {part:?}");
        assert!(picked.is_sorted(), "{picked:?}");
    }
    Ok(())
}
