//! Sizes that keep the image's own aspect ratio within a budget. Each in the reference's order of f64 operations;
//! (width, height).

use super::clip::Clip;
use crate::error::{Error, Result};
use crate::geometry::{Size, py_round};
use crate::recipe::{CeilRounding, Clamp, Enlarge};

/// The rules of a smart resize.
#[derive(Clone, Copy)]
pub(super) struct Smart {
    /// Sides become multiples of this.
    pub(super) align: u64,
    /// Fewest pixels.
    pub(super) min: u64,
    pub(super) max: Most,
    pub(super) clamp: Clamp,
    pub(super) enlarge: Enlarge,
    /// Frames that the budget counts: in the scale, and in the area.
    pub(super) frames: (u32, u32),
    /// Most of longer over shorter side.
    pub(super) max_ratio: f64,
}

/// Most pixels.
#[derive(Clone, Copy)]
pub(super) struct Most {
    /// Whole ones.
    pub(super) pixels: u64,
    /// As the reference divides by them.
    pub(super) exact: f64,
}

impl Most {
    pub(super) fn whole(pixels: u64) -> Self {
        Self { pixels, exact: pixels as f64 }
    }
}

/// Qwen's `smart_resize` and its relatives: sides that are multiples of `align`, with an area between `min` and `max` pixels.
pub(super) fn smart_resize(size: Size, rules: Smart) -> Result<(i64, i64)> {
    let Smart { align, min, max, clamp, enlarge, frames, max_ratio } = rules;
    let factor = align as f64;
    let (w, h) = enlarged((f64::from(size.width), f64::from(size.height)), factor, enlarge);
    let ratio = w.max(h) / w.min(h);
    if ratio > max_ratio {
        return Err(Error::AspectRatio { width: size.width, height: size.height, ratio, limit: max_ratio });
    }
    let align = align as i64;
    let whole = |x: f64| x as i64 * align;
    let nearest = |x: f64| {
        let side = whole(py_round(x / factor));
        if clamp == Clamp::AfterShrinking { side } else { side.max(align) }
    };
    let (frames, counted) = frames;
    let area = f64::from(frames) * w * h;
    let (width, height) = (nearest(w), nearest(h));
    let planned = i128::from(width) * i128::from(height) * i128::from(counted);
    if planned > i128::from(max.pixels) {
        let beta = (area / max.exact).sqrt();
        let shrunk = |x: f64| {
            let side = whole((x / beta / factor).floor());
            if clamp == Clamp::AfterRounding { side } else { side.max(align) }
        };
        Ok((shrunk(w), shrunk(h)))
    } else if planned < i128::from(min) {
        let beta = (min as f64 / area).sqrt();
        let grown = |x: f64| whole((x * beta / factor).ceil());
        Ok((grown(w), grown(h)))
    } else {
        Ok((width, height))
    }
}

fn enlarged((mut w, mut h): (f64, f64), factor: f64, rule: Enlarge) -> (f64, f64) {
    match rule {
        Enlarge::None => {}
        Enlarge::Scale => {
            if h < factor || w < factor {
                let scale = (factor / h).max(factor / w);
                (w, h) = ((w * scale).trunc(), (h * scale).trunc());
            }
        }
        Enlarge::Short if h < factor || w < factor => {
            if h < w {
                (w, h) = (py_round(factor / h * w), factor);
            } else {
                (w, h) = (factor, py_round(factor / w * h));
            }
        }
        Enlarge::Short => (w, h) = (w.min(200.0 * h), h.min(200.0 * w)),
        Enlarge::Sides => {
            if h < factor {
                (w, h) = (py_round(w * factor / h), factor);
            }
            if w < factor {
                (w, h) = (factor, py_round(h * factor / w));
            }
        }
    }
    (w, h)
}

/// SigLIP 2's binary search for the largest scale whose patches fit. The loop is the definition: its twenty-odd halvings
/// end at a particular scale, and another method's may be one patch off.
#[allow(clippy::manual_midpoint)] // the reference's own arithmetic
pub(super) fn naflex(size: Size, patch: u32, max_patches: u32) -> (i64, i64) {
    const EPS: f64 = 1e-5;
    let p = f64::from(patch);
    let side = |scale: f64, side: u32| ((f64::from(side) * scale / p).ceil() * p).max(p);
    let (mut low, mut high) = (EPS / 10.0, 100.0);
    while high - low >= EPS {
        let scale = (low + high) / 2.0;
        let patches = (side(scale, size.height) / p) * (side(scale, size.width) / p);
        if patches <= f64::from(max_patches) {
            low = scale;
        } else {
            high = scale;
        }
    }
    (side(low, size.width) as i64, side(low, size.height) as i64)
}

/// Pixtral: sides rounded where one is over `longest`, then whole multiples, rounded up; a side floored to zero pixels stays one.
pub(super) fn ceil_patches(size: Size, align: u64, longest: u32, rounding: CeilRounding) -> (i64, i64) {
    let (w, h, most) = (f64::from(size.width), f64::from(size.height), f64::from(longest));
    let ratio = (h / most).max(w / most);
    let align = align as i64;
    let side = |side: f64| {
        let side = match rounding {
            _ if ratio <= 1.0 => side,
            CeilRounding::Floor => (side / ratio).floor(),
            CeilRounding::Nearest => py_round(side / ratio).max(1.0),
        };
        ((side as i64 - 1).div_euclid(align) + 1) * align
    };
    (side(w), side(h))
}

/// Kimi: one scale, never above 1, that brings whole patches and the sides within their limits; sides truncate.
pub(super) fn shrink_to_patches(size: Size, patch: u32, max_patches: u32, max_side: u32) -> (i64, i64) {
    let patches = |side: u32| f64::from((side / patch).max(1));
    let most = u64::from(max_side) * u64::from(patch);
    let within = |side: u32| most as f64 / f64::from(side);
    let scale = 1f64
        .min((f64::from(max_patches) / (patches(size.height) * patches(size.width))).sqrt())
        .min(within(size.height))
        .min(within(size.width));
    let side = |side: u32| ((f64::from(side) * scale) as i64).max(1).min(most as i64);
    (side(size.width), side(size.height))
}

/// Gemma 4: the area of all patches at the image's aspect ratio, sides floored to merged patches; a side of none becomes one.
pub(super) fn floor_patches(size: Size, patch: u32, merge: u32, max_tokens: u32) -> Result<(i64, i64)> {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let align = i64::from(patch) * i64::from(merge);
    let target = i64::from(max_tokens) * align * align;
    let factor = (target as f64 / size.area() as f64).sqrt();
    let floor = |side: f64| (factor * side / align as f64).floor() as i64 * align;
    let longest = i64::from(max_tokens) * align;
    let (mut width, mut height) = (floor(w), floor(h));
    if height == 0 && width != 0 {
        (width, height) = (((w / h).floor() as i64 * align).min(longest), align);
    } else if width == 0 && height != 0 {
        (width, height) = (align, ((h / w).floor() as i64 * align).min(longest));
    }
    if width == 0 || width * height > target {
        return Err(Error::PlannedSize {
            width,
            height,
            from_width: size.width,
            from_height: size.height,
            limit: Size::MAX_SIDE,
        });
    }
    Ok((width, height))
}

/// Nemotron: `round(side / patch + 0.5)` patches, then within the budget, then whole merged patches where that leaves room.
pub(super) fn patch_budget(size: Size, patch: u32, merge: u32, min: u32, max: u32) -> (i64, i64) {
    let (min, max, merge) = (i64::from(min), i64::from(max), i64::from(merge));
    let begun = |side: u32| py_round(f64::from(side) / f64::from(patch) + 0.5);
    let (mut rows, mut cols) = (begun(size.height), begun(size.width));
    let factor = (max as f64 / (rows * cols)).sqrt().min(1.0);
    (rows, cols) = ((factor * rows).floor(), (factor * cols).floor());
    if max > min && rows * cols < min as f64 {
        let factor = (min as f64 / (rows * cols)).sqrt();
        (rows, cols) = ((factor * rows).ceil(), (factor * cols).ceil());
    }
    let (mut rows, mut cols) = (rows as i64, cols as i64);
    let whole = |side: i64, other: i64| {
        let rest = side % merge;
        // Where a side has no patch left, the least budget enlarges the other beyond all bounds: such a size is refused.
        let more = (side - rest).saturating_add(merge);
        if rest == 0 {
            side
        } else if more.saturating_mul(other) <= max {
            more
        } else {
            merge.max(side - rest)
        }
    };
    rows = whole(rows, cols);
    cols = whole(cols, rows);
    (cols.saturating_mul(i64::from(patch)), rows.saturating_mul(i64::from(patch)))
}

/// GLM-5: a canvas of merged patches within a budget, and the image's size on it. `clip` is a video's, or that of one patch.
pub(super) fn pad_to_patches(
    size: Size,
    align: u64,
    clip: Clip,
    min: u64,
    max: u64,
) -> Result<((i64, i64), (i64, i64))> {
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let (factor, frames) = (align as i64, i64::from(clip.frames));
    let counted = i64::from(clip.rounded_frames().max(clip.temporal));
    let token = i128::from(i64::from(clip.temporal) * factor * factor);
    let (min, max) = (i128::from(min) * token, i128::from(max) * token);
    let least = i128::from(counted * factor * factor);
    if max < least {
        return Err(Error::Frames { frames, message: format!("a budget of {max} pixels holds no {least}") });
    }
    let aligned = |side: i64| (side as f64 / factor as f64).ceil() as i64 * factor;
    let pixels = |(width, height): (i64, i64)| i128::from(counted) * i128::from(width) * i128::from(height);
    let mut canvas = (aligned(size.width.into()), aligned(size.height.into()));
    if pixels(canvas) < min {
        let scale = (min as f64 / (frames as f64 * h * w)).sqrt();
        let grown = |side: f64| aligned(((side * scale).ceil() as i64).max(1));
        canvas = (grown(w), grown(h));
    }
    if pixels(canvas) > max {
        canvas = (factor, factor);
        let (mut low, mut high) = (1, i64::from(size.height));
        while low <= high {
            let height = i64::midpoint(low, high);
            let width = ((i64::from(size.width) * height) as f64 / h).floor() as i64;
            let candidate = (aligned(width.max(1)), aligned(height));
            if pixels(candidate) <= max {
                canvas = candidate;
                low = height + 1;
            } else {
                high = height - 1;
            }
        }
    }
    let mut scale = (canvas.1 as f64 / h).min(canvas.0 as f64 / w);
    if i128::from(frames) * i128::from(size.area()) >= min {
        scale = scale.min(1.0);
    }
    let content = |side: f64, canvas: i64| ((side * scale).floor() as i64).min(canvas).max(1);
    Ok((canvas, (content(w, canvas.0), content(h, canvas.1))))
}

/// MiniCPM-V's `find_best_resize`: the area of a square at the aspect ratio of `w` x `h`, truncated, then the nearest
/// multiples of `align`, at least one.
pub(super) fn match_area(w: f64, h: f64, edge: u32, align: u32) -> Size {
    let aspect = w / h;
    let height = (f64::from(edge) / aspect.sqrt()).trunc();
    let width = (height * aspect).trunc();
    Size::new(nearest_multiple(width, align), nearest_multiple(height, align))
}

/// `max(round(length / divisor) * divisor, divisor)`.
pub(super) fn nearest_multiple(length: f64, divisor: u32) -> u32 {
    (py_round(length / f64::from(divisor)) as u32).saturating_mul(divisor).clamp(divisor, Size::MAX_SIDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_without_a_patch_gives_a_size_that_is_refused() {
        let (width, height) = patch_budget(Size::new(1_000_000, 1), 16, 2, 64, 256);
        assert!(width > i64::from(Size::MAX_SIDE) && height == 0, "{width}x{height}");
    }
}
