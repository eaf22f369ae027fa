//! Nearest neighbour: which input sample each output sample copies.

use std::ops::Range;

use crate::recipe::Backend;

/// Input index of each output in `range`. Pillow adds the scale up step by step in f64 (`ImagingScaleAffine`); ATen
/// ("nearest-exact") multiplies in f32.
pub(super) fn indices(backend: Backend, input: u32, output: u32, range: Range<u32>) -> Vec<u32> {
    let last = input - 1;
    match backend {
        Backend::Pillow => {
            let scale = f64::from(input) / f64::from(output);
            let mut position = scale * 0.5;
            let mut all = Vec::with_capacity(output as usize);
            for _ in 0..range.end {
                all.push((position as u32).min(last));
                position += scale;
            }
            all.split_off(range.start as usize)
        }
        Backend::Torch => {
            let scale = input as f32 / output as f32;
            range.map(|index| (((index as f32 + 0.5) * scale) as u32).min(last)).collect()
        }
    }
}
