//! A batch of videos laid out, in either form. Placements are those of frames, video by video.

use super::batch::count_patches;
use super::layout::{self, Layout, Placement};
use super::tensors::{BatchLayout, IntArray, LayoutKind, Segments, Tensor, placement};
use crate::error::{Error, Result};
use crate::limits::Budget;
use crate::memory::try_reserve;
use crate::plan::{Clip, Plan, Slots, View};
use crate::recipe::{OutputKind, OutputSpec, Patches, Recipe};

impl BatchLayout {
    pub(super) fn videos(recipe: &Recipe, plans: &[&Plan], kind: LayoutKind, budget: Budget) -> Result<Self> {
        let total = count_patches(plans)?;
        let videos: Vec<Video<'_>> =
            plans.iter().filter_map(|plan| Some(Video { clip: plan.clip?, view: &plan.views[0] })).collect();
        match kind {
            LayoutKind::Packed => packed(recipe.patches, &videos, total as usize, budget),
            LayoutKind::Hf => hf(recipe, &videos, budget),
        }
    }
}

/// What of a video's plan a layout needs.
struct Video<'a> {
    clip: Clip,
    /// That of every frame.
    view: &'a View,
}

/// The layout of a frame in patches of several.
fn layout(patches: Patches, slots: Slots, planar: bool) -> Layout {
    let Patches { size, merge, order, .. } = patches;
    let Slots { temporal, count, .. } = slots;
    match (planar, count == temporal) {
        // One frame fills the patch, as a still image does.
        (true, true) => Layout::Merged { size, merge, temporal, order },
        (false, true) if temporal == 1 => Layout::Flat { size, merge, order },
        _ => Layout::Slots { size, merge, order, slots, planar },
    }
}

/// Where every frame goes, from patch `start` on; the patch after the last.
fn place_patches(
    patches: Patches,
    video: &Video<'_>,
    planar: bool,
    tensor: usize,
    start: usize,
    placements: &mut Vec<Vec<Placement>>,
) -> usize {
    let per_time = video.view.num_patches() as usize;
    for frame in 0..video.clip.frames {
        let (time, slots) = video.clip.place(frame);
        let layout = layout(patches, slots, planar);
        let base = (start + time as usize * per_time) * layout.patch_len();
        placements.push(vec![placement(tensor, base, layout, video.view)]);
    }
    start + per_time * video.clip.patches() as usize
}

fn packed(patches: Patches, videos: &[Video<'_>], total: usize, mut budget: Budget) -> Result<BatchLayout> {
    let temporal = videos[0].clip.temporal;
    let patch_len = (temporal * 3 * patches.size * patches.size) as usize;
    budget.take_values(total * patch_len)?;
    budget.take_integers(total)?;
    let mut segments = Segments { cu_seqlens: vec![0], ..Segments::default() };
    let mut placements = Vec::new();
    let mut patch = 0;
    for (index, video) in videos.iter().enumerate() {
        patch = place_patches(patches, video, false, 0, patch, &mut placements);
        let grid = video.view.patches;
        let positions = layout::positions(patches.order, patches.merge, grid)?;
        let times = video.clip.patches() as usize;
        try_reserve(&mut segments.positions, positions.len().saturating_mul(times))?;
        for time in video.clip.rows().flat_map(|times| 0..times) {
            segments.positions.extend_from_slice(&positions);
            segments.cu_seqlens.push(segments.positions.len() as i32);
            segments.grids.push([grid.rows as i32, grid.cols as i32]);
            segments.image_index.push(index as i32);
            segments.times.push(time as i32);
        }
    }
    let tensor = Tensor { key: "patches".into(), shape: vec![patch, patch_len], zeros: Vec::new() };
    Ok(BatchLayout {
        keys: vec![tensor.key.clone()],
        tensors: vec![tensor],
        arrays: Vec::new(),
        placements,
        segments: Some(segments),
    })
}

fn hf(recipe: &Recipe, videos: &[Video<'_>], mut budget: Budget) -> Result<BatchLayout> {
    let mut batch = BatchLayout {
        keys: Vec::new(),
        tensors: Vec::new(),
        arrays: Vec::new(),
        placements: Vec::new(),
        segments: None,
    };
    for spec in &recipe.video()?.outputs {
        match spec.kind {
            OutputKind::Tiles => tiles(spec, videos, &mut batch, &mut budget)?,
            OutputKind::ChannelPatches | OutputKind::PlanarPatches => {
                channels(spec, recipe.patches, videos, &mut batch, &mut budget)?;
            }
            OutputKind::GridThw => {
                let row = |video: &Video<'_>| {
                    let grid = video.view.patches;
                    let rows = video.clip.rows();
                    rows.map(move |times| [times, grid.rows, grid.cols].map(i64::from)).collect::<Vec<_>>()
                };
                let rows: Vec<[i64; 3]> = videos.iter().flat_map(row).collect();
                push_integers(spec, vec![rows.len(), 3], rows.as_flattened().to_vec(), &mut batch);
            }
            OutputKind::NumChunks => {
                let counts = videos.iter().map(|video| video.clip.chunks().into()).collect();
                push_integers(spec, vec![videos.len()], counts, &mut batch);
            }
            kind => return Err(Error::Argument(format!("videos have no output of kind {kind:?}"))),
        }
    }
    Ok(batch)
}

fn push_integers(spec: &OutputSpec, shape: Vec<usize>, values: Vec<i64>, batch: &mut BatchLayout) {
    batch.keys.push(spec.key.clone());
    batch.arrays.push(IntArray { key: spec.key.clone(), shape, values, dtype: spec.dtype });
}

fn push(tensor: Tensor, batch: &mut BatchLayout, budget: &mut Budget) -> Result<()> {
    budget.take_values(tensor.len())?;
    batch.keys.push(tensor.key.clone());
    batch.tensors.push(tensor);
    Ok(())
}

/// `[patches, 3 * temporal * size * size]` or `[patches, 3 * temporal, size, size]`.
fn channels(
    spec: &OutputSpec,
    patches: Patches,
    videos: &[Video<'_>],
    batch: &mut BatchLayout,
    budget: &mut Budget,
) -> Result<()> {
    let (size, mut planes, mut patch) = (patches.size as usize, 3, 0);
    for video in videos {
        planes = 3 * video.clip.temporal as usize;
        patch = place_patches(patches, video, true, batch.tensors.len(), patch, &mut batch.placements);
    }
    let shape = match spec.kind {
        OutputKind::PlanarPatches => vec![patch, planes, size, size],
        _ => vec![patch, planes * size * size],
    };
    push(Tensor { key: spec.key.clone(), shape, zeros: Vec::new() }, batch, budget)
}

/// `[videos, frames, 3, height, width]`.
fn tiles(spec: &OutputSpec, videos: &[Video<'_>], batch: &mut BatchLayout, budget: &mut Budget) -> Result<()> {
    let shape = |video: &Video<'_>| (video.clip.frames, video.view.canvas());
    let Some(first) = videos.first().map(shape) else { return Ok(()) };
    if let Some(other) = videos.iter().map(shape).find(|other| *other != first) {
        let [one, two] =
            [first, other].map(|(frames, size)| format!("{frames} frames of {}x{}", size.width, size.height));
        return Err(Error::Argument(format!("videos of {one} and {two} cannot share {:?}", spec.key)));
    }
    let (frames, canvas) = first;
    let layout = Layout::planes(canvas);
    let stride = canvas.area() as usize * 3;
    let tensor = batch.tensors.len();
    for (index, video) in videos.iter().flat_map(|video| (0..frames).map(move |_| video)).enumerate() {
        batch.placements.push(vec![placement(tensor, index * stride, layout, video.view)]);
    }
    let shape = vec![videos.len(), frames as usize, 3, canvas.height as usize, canvas.width as usize];
    push(Tensor { key: spec.key.clone(), shape, zeros: Vec::new() }, batch, budget)
}
