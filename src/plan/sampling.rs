//! Which frames of a longer video a reference's processor picks: transformers' `sample_frames`, each in its order of
//! operations.

use crate::error::{Error, Result};
use crate::geometry::py_round;
use crate::memory::probe;
use crate::recipe::{FrameSampling, Recipe, Sampling};

/// Most frames of a video of which some are picked, and most that are picked.
const MAX_TOTAL: i64 = 1 << 24;

/// What is known of a video, and asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Footage {
    /// Frames of the video.
    pub total: i64,
    /// Frames a second of the video.
    pub video_fps: Option<f64>,
    /// Its seconds; by default those of its frames.
    pub duration: Option<f64>,
    /// Frames a second asked for; by default the recipe's.
    pub fps: Option<f64>,
    /// Frames asked for, in place of a rate.
    pub num_frames: Option<i64>,
    /// The frame that the part of the video begins with of which `total` frames are; qwen-vl-utils alone takes a part.
    pub first: i64,
}

/// Indices of the frames that the recipe's reference picks.
pub fn sample_frames(recipe: &Recipe, footage: Footage) -> Result<Vec<i64>> {
    let Footage { total, video_fps, duration, fps, num_frames, first } = footage;
    let video = recipe.video()?;
    if !(1..=MAX_TOTAL).contains(&total) {
        return Err(Error::Argument(format!("total_frames must be between 1 and {MAX_TOTAL}, got {total}")));
    }
    for (name, value) in [("video_fps", video_fps), ("duration", duration), ("fps", fps)] {
        if let Some(value) = value.filter(|value| !value.is_finite() || *value <= 0.0) {
            return Err(Error::Argument(format!("{name} must be positive, got {value}")));
        }
    }
    if let Some(count) = num_frames {
        if fps.is_some() {
            return Err(Error::Argument("fps and num_frames exclude each other".into()));
        }
        if count < 1 {
            return Err(Error::Argument(format!("num_frames must be at least 1, got {count}")));
        }
    }
    if video.sampling == Sampling::QwenVlUtils {
        return by_qwen_vl_utils(footage, &video.frame_sampling);
    }
    if first != 0 {
        return Err(Error::Argument("a part of a video needs sampling = \"qwen-vl-utils\"".into()));
    }
    let temporal = i64::from(video.temporal);
    let picked = match &video.frame_sampling {
        FrameSampling::Arange { fps: own } => by_arange(footage, fps.or((*own > 0.0).then_some(*own)))?,
        FrameSampling::ArangePatches { min_frames, max_frames } => {
            by_arange_patches(footage, temporal, (*min_frames, *max_frames))?
        }
        FrameSampling::Linspace { fps: own, min_frames, max_frames } => {
            by_linspace(footage, fps.unwrap_or(*own), (*min_frames, *max_frames))?
        }
        FrameSampling::Timestamps { fps: own, max_duration } => {
            no_count(num_frames)?;
            by_timestamps(total, known(video_fps)?, duration, fps.unwrap_or(*own), *max_duration)?
        }
        FrameSampling::FpsByDuration { rates, per_patch, max_frames, max_duration } => {
            no_count(num_frames)?;
            if let Some(fps) = fps.filter(|_| *per_patch) {
                return Err(Error::Argument(format!(
                    "fps={fps} has no effect: the rate follows from the video's length"
                )));
            }
            let pace = Pace { rates, temporal: per_patch.then_some(temporal), fps, max_duration: *max_duration };
            by_duration(total, known(video_fps)?, duration, pace, i64::from(*max_frames))?
        }
    };
    if picked.is_empty() {
        return Err(Error::Argument(format!("no frame is picked out of {total}")));
    }
    Ok(picked)
}

fn known(video_fps: Option<f64>) -> Result<f64> {
    video_fps.ok_or_else(|| Error::Argument("video_fps is needed: frames are picked by their time".into()))
}

fn no_count(num_frames: Option<i64>) -> Result<()> {
    match num_frames {
        Some(count) => {
            Err(Error::Argument(format!("num_frames={count} has no effect: frames are picked by their time")))
        }
        None => Ok(()),
    }
}

fn within(count: i64, total: i64) -> Result<i64> {
    if (1..=total).contains(&count) {
        Ok(count)
    } else {
        Err(Error::Argument(format!("{count} frames cannot be picked out of {total}")))
    }
}

/// A number of frames to pick for which there is memory; they may be more than the video has.
fn affordable(count: i64) -> Result<i64> {
    if count > MAX_TOTAL {
        return Err(Error::Argument(format!("{count} frames to pick are over the limit of {MAX_TOTAL}")));
    }
    probe(count.max(0) as usize * size_of::<i64>())?;
    Ok(count)
}

/// `default_sample_indices_fn`.
fn by_arange(footage: Footage, fps: Option<f64>) -> Result<Vec<i64>> {
    let total = footage.total;
    let count = match (footage.num_frames, fps) {
        (Some(count), _) => count,
        (None, Some(fps)) => ((total as f64 / known(footage.video_fps)? * fps) as i64).max(1),
        (None, None) => return Ok((0..total).collect()),
    };
    let count = within(count, total)?;
    Ok((0..count).map(|index| index * total / count).collect())
}

/// `Qwen2VLVideoProcessor.sample_frames`.
fn by_arange_patches(footage: Footage, temporal: i64, (min, max): (u32, u32)) -> Result<Vec<i64>> {
    let total = footage.total;
    let count = match (footage.num_frames, footage.fps) {
        (Some(count), _) => py_round(count as f64 / temporal as f64) as i64 * temporal,
        (None, Some(fps)) => {
            let max = i64::from(max).min(total) / temporal * temporal;
            let count = total as f64 / known(footage.video_fps)? * fps;
            let count = count.max(min.into()).min(max as f64).min(total as f64);
            (count / temporal as f64).floor() as i64 * temporal
        }
        (None, None) => return Ok((0..total).collect()),
    };
    let step = total as f64 / within(count, total)? as f64;
    Ok(arange(total as f64, step).map(|value| value as i64).collect())
}

/// `torch.arange(0, end, step)`, in f32 and a vector at a time: its lanes add to a base that is rounded already, which tells
/// from some ten thousand frames on. What does not fill two vectors is made one by one.
fn arange(end: f64, step: f64) -> impl Iterator<Item = f32> {
    const LANES: i64 = if cfg!(target_arch = "x86_64") { 8 } else { 4 };
    let length = (end / step).ceil() as i64;
    let in_vectors = length / (2 * LANES) * (2 * LANES);
    (0..length).map(move |index| {
        let lane = if index < in_vectors { index % LANES } else { 0 };
        let base = ((index - lane) as f64 * step) as f32;
        (f64::from(base) + lane as f64 * step) as f32
    })
}

/// qwen-vl-utils' `smart_nframes`, and the indices of its readers: an even number, spread from the first frame to the last.
fn by_qwen_vl_utils(footage: Footage, own: &FrameSampling) -> Result<Vec<i64>> {
    const FACTOR: i64 = 2;
    let Footage { total, video_fps, fps, num_frames, first, .. } = footage;
    let (rate, min, max) = match *own {
        FrameSampling::Arange { fps } if fps > 0.0 => (fps, 4, 768),
        FrameSampling::ArangePatches { min_frames, max_frames } => (2.0, min_frames, max_frames),
        FrameSampling::Linspace { fps, min_frames, max_frames } => (fps, min_frames, max_frames),
        _ => (2.0, 4, 768),
    };
    let count = if let Some(count) = num_frames {
        py_round(count as f64 / FACTOR as f64) as i64 * FACTOR
    } else {
        let min = (i64::from(min) + 1) / FACTOR * FACTOR;
        let max = i64::from(max) / FACTOR * FACTOR;
        let count = total as f64 / known(video_fps)? * fps.unwrap_or(rate);
        let count = count.max(min as f64).min(max as f64).min(total as f64);
        (count / FACTOR as f64).floor() as i64 * FACTOR
    };
    if !(FACTOR..=total).contains(&count) {
        return Err(Error::Argument(format!("{count} frames cannot be picked out of {total}, {FACTOR} at least")));
    }
    Ok(torch_linspace(first as f32, (first + total - 1) as f32, count).map(|at| at.round_ties_even() as i64).collect())
}

/// `torch.linspace` in f32: from both ends to the middle, a vector at a time.
fn torch_linspace(start: f32, end: f32, count: i64) -> impl Iterator<Item = f32> {
    let step = (end - start) / (count - 1) as f32;
    let half = count / 2;
    (0..count).map(move |index| {
        if index < half { step.mul_add(index as f32, start) } else { (-step).mul_add((count - 1 - index) as f32, end) }
    })
}

/// `Qwen3VLVideoProcessor.sample_frames`, which takes 24 frames a second where none are known.
fn by_linspace(footage: Footage, fps: f64, (min, max): (u32, u32)) -> Result<Vec<i64>> {
    let total = footage.total;
    let count = footage.num_frames.unwrap_or_else(|| {
        let count = (total as f64 / footage.video_fps.unwrap_or(24.0) * fps) as i64;
        count.max(min.into()).min(max.into()).min(total)
    });
    Ok(linspace(0.0, (total - 1) as f64, affordable(count)?).map(|value| py_round(value) as i64).collect())
}

/// `Glm4vVideoProcessor.sample_frames`.
fn by_timestamps(total: i64, video_fps: f64, duration: Option<f64>, fps: f64, max_duration: f64) -> Result<Vec<i64>> {
    let last = total - 1;
    let duration = seconds(total, video_fps, duration);
    let picked = if duration <= max_duration {
        let count = affordable(((duration * fps).floor() as i64).max(1))?;
        (0..count).map(|index| (((index as f64 * video_fps) / fps).ceil() as i64).min(last)).collect()
    } else {
        let count = (max_duration * fps) as i64;
        if count >= total {
            (0..total).collect()
        } else {
            linspace(0.0, duration, count).map(|time| ((time * video_fps).ceil() as i64).min(last)).collect()
        }
    };
    Ok(an_even_number(picked))
}

/// How fast frames are picked.
#[derive(Clone, Copy)]
struct Pace<'a> {
    rates: &'a [[f64; 2]],
    /// Frames of a patch, where rates are of patches.
    temporal: Option<i64>,
    /// The caller's rate.
    fps: Option<f64>,
    max_duration: f64,
}

/// `Glm46VVideoProcessor.sample_frames` and `Glm5NextVideoProcessor.sample_frames`.
fn by_duration(total: i64, video_fps: f64, duration: Option<f64>, pace: Pace<'_>, most: i64) -> Result<Vec<i64>> {
    let duration = seconds(total, video_fps, duration);
    let end = duration.trunc();
    let counted = if pace.max_duration > 0.0 { duration.min(pace.max_duration) } else { duration };
    let rate = pace.rates.iter().find(|[until, _]| counted <= *until).or(pace.rates.last()).map_or(1.0, |rate| rate[1]);
    let (count, interval) = if let Some(temporal) = pace.temporal {
        (counted * rate * temporal as f64, 1.0 / (temporal as f64 * rate))
    } else {
        let rate = pace.fps.unwrap_or(rate);
        (counted * rate, 1.0 / rate)
    };
    let count = affordable((count as i64).min(most))?;
    let spread = |first: i64, last: i64| linspace(first as f64, last as f64, count).map(|value| value.floor() as i64);
    let mut picked: Vec<i64> = if total < count {
        spread(0, total - 1).collect()
    } else {
        let (mut picked, mut time, frame_time) = (Vec::new(), 0.0, 1.0 / video_fps);
        for index in 0..total {
            if index as f64 * frame_time >= time {
                time += interval;
                picked.push(index);
                if time >= end {
                    break;
                }
            }
        }
        picked
    };
    let found = picked.len() as i64;
    if found < count {
        let (first, last) = (picked.first().copied().unwrap_or(0), picked.last().copied().unwrap_or(total - 1));
        picked = spread(first, last).collect();
    } else if found > count {
        picked = spread(0, total - 1).collect();
    }
    Ok(an_even_number(picked))
}

fn seconds(total: i64, video_fps: f64, duration: Option<f64>) -> f64 {
    duration.unwrap_or_else(|| py_round((total - 1) as f64 / video_fps) + 1.0)
}

/// Each once, in order, the last once more where their number is odd.
fn an_even_number(mut picked: Vec<i64>) -> Vec<i64> {
    // They are in order, so that those alike are neighbours.
    picked.dedup();
    if picked.len() % 2 == 1 {
        picked.extend(picked.last().copied());
    }
    picked
}

/// `numpy.linspace`.
fn linspace(start: f64, stop: f64, count: i64) -> impl Iterator<Item = f64> {
    let intervals = (count - 1) as f64;
    let (delta, step) = (stop - start, (stop - start) / intervals);
    (0..count).map(move |index| {
        if index > 0 && index + 1 == count {
            stop
        } else if step == 0.0 || count == 1 {
            index as f64 / intervals.max(1.0) * delta + start
        } else {
            index as f64 * step + start
        }
    })
}
