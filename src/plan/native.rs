//! Sizes that keep the image's own aspect ratio within a budget. Each in the reference's order of f64 operations.

use crate::error::{Error, Result};
use crate::geometry::{Size, py_round};

/// Qwen's limit of longer over shorter side.
const MAX_RATIO: f64 = 200.0;

/// Qwen's `smart_resize`: sides that are multiples of `align`, with an area between `min` and `max` pixels; (width, height).
///
/// `clamp_first` is qwen-vl-utils' order (a side is at least `align` before the area is looked at, and not again when it
/// shrinks); otherwise transformers' (a side may round to zero first, which sends the image to the growing branch).
pub(super) fn smart_resize(size: Size, align: u64, min: u64, max: u64, clamp_first: bool) -> Result<(i64, i64)> {
    let ratio = f64::from(size.longest()) / f64::from(size.shortest());
    if ratio > MAX_RATIO {
        return Err(Error::AspectRatio { width: size.width, height: size.height, ratio, limit: MAX_RATIO });
    }
    let factor = align as f64;
    let (w, h) = (f64::from(size.width), f64::from(size.height));
    let align = align as i64;
    let whole = |x: f64| x as i64 * align;
    let nearest = |x: f64| {
        let side = whole(py_round(x / factor));
        if clamp_first { side.max(align) } else { side }
    };
    let area = size.area() as f64;
    let (width, height) = (nearest(w), nearest(h));
    let planned = i128::from(width) * i128::from(height);
    if planned > i128::from(max) {
        let beta = (area / max as f64).sqrt();
        let shrunk = |x: f64| {
            let side = whole((x / beta / factor).floor());
            if clamp_first { side } else { side.max(align) }
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

/// SigLIP 2's binary search for the largest scale whose patches fit; (width, height). The loop is the definition: its
/// twenty-odd halvings end at a particular scale, and another method's may be one patch off.
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
