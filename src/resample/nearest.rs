//! Nearest neighbour: which input sample each output sample copies.

use std::ops::Range;

use super::{Arithmetic, Window};
use crate::error::Result;
use crate::geometry::Size;
use crate::memory::try_reserve;
use crate::options::Backend;

/// Output sizes (width plus height) up to which ATen runs its generic kernel.
const SMALL: u32 = 128;

/// Input columns and rows of the outputs in a window.
pub(super) fn indices(arithmetic: Arithmetic, from: Size, to: Size, window: &Window) -> Result<(Vec<u32>, Vec<u32>)> {
    let axis = |input: u32, output: u32, range: &Range<u32>, mirrored: bool| {
        let range = if mirrored { output - range.end..output - range.start } else { range.clone() };
        let mut picked = match arithmetic.backend {
            Backend::Pillow => pillow(input, output, &range),
            Backend::Torch => torch(input, output, to.width + to.height <= SMALL, &range),
        }?;
        if mirrored {
            picked.reverse();
            for index in &mut picked {
                *index = input - 1 - *index;
            }
        }
        Ok(picked)
    };
    let [columns, rows] = arithmetic.mirrored;
    let columns = axis(from.width, to.width, &window.columns, columns)?;
    Ok((columns, axis(from.height, to.height, &window.rows, rows)?))
}

/// Pillow adds the scale up step by step in f64 (`ImagingScaleAffine`).
fn pillow(input: u32, output: u32, range: &Range<u32>) -> Result<Vec<u32>> {
    let scale = f64::from(input) / f64::from(output);
    let mut position = scale * 0.5;
    let mut picked = Vec::new();
    try_reserve(&mut picked, range.len())?;
    for index in 0..range.end {
        if index >= range.start {
            picked.push((position as u32).min(input - 1));
        }
        position += scale;
    }
    Ok(picked)
}

/// ATen's "nearest-exact" multiplies in f32: small outputs in one step, others by way of a source coordinate that is first
/// shifted by half a pixel, with one rounding, and then back.
fn torch(input: u32, output: u32, small: bool, range: &Range<u32>) -> Result<Vec<u32>> {
    let scale = input as f32 / output as f32;
    let index = |output: u32| {
        let centre = output as f32 + 0.5;
        let position = if small {
            centre * scale
        } else {
            let shifted = scale.mul_add(centre, -0.5).max(0.0);
            (f64::from(shifted) + 0.5) as f32
        };
        (position as u32).min(input - 1)
    };
    let mut picked = Vec::new();
    try_reserve(&mut picked, range.len())?;
    picked.extend(range.clone().map(index));
    Ok(picked)
}
